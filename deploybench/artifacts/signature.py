"""Signatures: which artifacts this user made, or said to trust. Nothing else may run code.

Most formats are programs: TorchScript, torch.export and AOTInductor hold code, a ``pytorch``
artifact names the Python code of its model, an engine is native code. A seal tells whether an
artifact is whole; anybody can compute one. So what is published in a workspace is signed with a
secret that only this user has, and what carries no such signature runs no code before the user has
said ``--trust`` once.

The signature is HMAC-SHA256 over the seal, with who gave it, when, and whether the artifact was
made or trusted. It lies as ``signature.json`` in the artifact's folder: it moves with the folder
and with the workspace, and is no part of a pack. The secret lies in the user's state folder, never
in a workspace: whoever hands over a workspace would hand over the means to sign in it.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import hmac
import os
import platform
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from deploybench.artifacts.artifact import SIGNATURE, Artifact, open_artifact
from deploybench.documents import Document, now, read_document_file
from deploybench.errors import DeployBenchError
from deploybench.files import STATE_VARIABLE, state_folders, write_whole

SECRET = "secret"
SECRET_BYTES = 32
"""As many as SHA-256 gives: RFC 2104, section 3, advises no fewer."""
PURPOSE = b"deploybench artifact, signature 1\n"
"""What the secret signs: a signature of anything else is none of an artifact."""
NAMED = 3
"""A refusal names so many artifacts, and counts the others."""


class Signature(Document):
    """Somebody's word for an artifact, as it lies beside the manifest.

    ``how`` says whether the artifact was made by that user, or trusted when it came from elsewhere.
    ``when`` is in UTC as ISO 8601, ``code`` the HMAC-SHA256 over all other fields in hexadecimal.
    """

    schema_version: Literal[1] = 1
    seal: str
    how: Literal["made", "trusted"]
    who: str
    when: str
    code: str = ""

    def code_by(self, secret: bytes) -> str:
        """The code that a secret gives to what is said here."""
        content = self.model_dump_json(exclude={"code"})
        return hmac.new(secret, PURPOSE + content.encode(), hashlib.sha256).hexdigest()


def sign(folder: Path, how: Literal["made", "trusted"]) -> bool:
    """Sign the artifact in a folder; False where that cannot be kept, and nothing is changed then.

    There may be no folder for the secret, or the artifact may lie where nobody can write. An
    artifact without a signature is as good as any: it is asked about before it runs code.
    """
    try:
        artifact = open_artifact(folder)
        words = Signature(seal=artifact.manifest.seal, how=how, who=_who(), when=now())
        signature = words.replaced(code=words.code_by(_secret_to_sign_with()))
        write_whole(folder / SIGNATURE, signature.model_dump_json(indent=1))
    except DeployBenchError:
        return False
    return True


def signature_of(artifact: Artifact) -> Signature | None:
    """The signature beside the manifest, good or not; None without one.

    Raises DeployBenchError where the file is none.
    """
    path = artifact.path / SIGNATURE
    if not os.path.lexists(path):
        return None
    return read_document_file(
        Signature,
        path,
        what="a signature",
        expected="a signature of schema version 1",
        action="remove the file, and run the command with --trust once",
    )


def why_unsigned(artifact: Artifact) -> str | None:
    """Why nobody here answers for the artifact, in words; None where this user does."""
    try:
        signature = signature_of(artifact)
    except DeployBenchError as error:
        return f"its signature cannot be read ({error.found})"
    if signature is None:
        return "it carries no signature: it was made elsewhere, or made before signatures"
    if not artifact.manifest.intact or signature.seal != artifact.manifest.seal:
        return "its signature is that of other content"
    for secret in _secrets():
        if hmac.compare_digest(signature.code.encode(), signature.code_by(secret).encode()):
            return None
    return (
        "its signature is not this user's: another user or machine signed it, or the secret in "
        f"{' and '.join(map(str, state_folders())) or STATE_VARIABLE} is gone, as a container's is"
    )


def is_signed(artifact: Artifact) -> bool:
    """Whether this user made the artifact, or trusted it before."""
    return why_unsigned(artifact) is None


def check_consent(artifacts: Sequence[Artifact], *, trust: bool, command: str) -> None:
    """Refuse to run code of artifacts that nobody here answers for.

    With ``trust`` the user does so now: they are signed, and never asked about again. (What lies
    where nobody can write is trusted for this time.) ``command`` is what to type to say so.

    Raises DeployBenchError that names them, and says why.
    """
    unsigned = []
    for artifact in artifacts:
        reason = why_unsigned(artifact)
        if reason is not None:
            unsigned.append((artifact, reason))
    if trust:
        for artifact, _ in unsigned:
            sign(artifact.path, "trusted")
        return
    if not unsigned:
        return
    names = [f"{artifact.path.parent.name}/{artifact.path.name}" for artifact, _ in unsigned]
    about = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        about += f" and {len(names) - NAMED} more"
    verb = "holds or names code"
    if len(names) > 1:
        verb = "hold or name code"
    reasons = "; ".join(dict.fromkeys(reason for _, reason in unsigned))
    raise DeployBenchError(
        f"{about} {verb} that would run as you, and nothing says that you made it: {reasons}",
        expected="artifacts that you exported on this machine, or your word for where these come "
        "from",
        action=f"if you trust where they come from, type once: {command}",
    )


def _who() -> str:
    """The user and the machine, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a bare number in a container
        user = f"user {os.getuid()}"
    return f"{user}@{platform.node()}"


def _secrets() -> list[bytes]:
    """Every secret of this user that there is: usually one."""
    found = [_read_secret(folder / SECRET) for folder in state_folders()]
    return [secret for secret in found if secret is not None]


def _secret_to_sign_with() -> bytes:
    """The user's secret; made at its first use.

    Raises DeployBenchError where no folder can keep one.
    """
    problem = f"{STATE_VARIABLE} names no folder"
    for folder in state_folders():
        try:
            return _kept_secret(folder)
        except OSError as error:
            problem = f"{folder}: {error.strerror}"
    raise DeployBenchError(
        f"no secret can be kept to sign artifacts with: {problem}",
        expected="a folder of the user's own that can be written",
        action=f"set {STATE_VARIABLE} to one",
    )


def _kept_secret(folder: Path) -> bytes:
    """The secret in a folder; made there, at once whole and for nobody else, where there is none.

    Of several processes that make one at the same time, all get the first one's. Raises OSError.
    """
    path = folder / SECRET
    present = _read_secret(path)
    if present is not None:
        return present
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f".{SECRET}-{secrets.token_hex(8)}"
    made = secrets.token_bytes(SECRET_BYTES)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(made)
            stream.flush()
            os.fsync(stream.fileno())
        _put_first(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return _read_secret(path) or made


def _put_first(partial: Path, path: Path) -> None:
    """Give a secret its name unless somebody else was first."""
    try:
        os.link(partial, path)
    except FileExistsError:
        if _read_secret(path) is None:  # something else: a signature by it would be none
            partial.replace(path)
    except OSError:  # a file system without hard links
        partial.replace(path)


def _read_secret(path: Path) -> bytes | None:
    """What the file holds, where that is a secret."""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        if len(content) == SECRET_BYTES:
            return content
    return None
