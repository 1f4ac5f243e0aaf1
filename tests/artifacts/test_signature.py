"""Signatures: what this user made or trusted is known again; nothing that others did is."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import MANIFEST, SIGNATURE, Artifact, Manifest, open_artifact
from deploybench.artifacts.pack import read_pack, write_pack
from deploybench.artifacts.signature import (
    SECRET,
    check_consent,
    is_signed,
    sign,
    signature_of,
    why_unsigned,
)
from deploybench.artifacts.workspace import Workspace, publish
from deploybench.errors import DeployBenchError
from deploybench.files import state_folders
from tests.artifacts.workspaces import PYTORCH, kept_workspace

COMMAND = "deploybench run --trust"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that is not there yet."""
    folder = tmp_path / "state"
    monkeypatch.setenv("DEPLOYBENCH_STATE", str(folder))
    return folder


@pytest.fixture
def artifact(tmp_path: Path, state: Path) -> Artifact:
    """One that this user did not make."""
    workspace = kept_workspace(tmp_path / "workspace", PYTORCH)
    return open_artifact(workspace.artifacts_folder / PYTORCH)


def test_what_is_published_is_signed_by_a_secret_that_nobody_else_reads(
    artifact: Artifact, state: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "other")
    workspace.prepare()
    with workspace.staging() as staging:
        shutil.copytree(artifact.path, staging, dirs_exist_ok=True)
        publish(staging, workspace.artifacts_folder / "model" / "made")

    made = open_artifact(workspace.artifacts_folder / "model" / "made")
    signature = signature_of(made)
    assert is_signed(made)
    assert signature is not None
    assert signature.how == "made"
    assert "@" in signature.who
    assert stat.S_IMODE((state / SECRET).stat().st_mode) == 0o600
    made.check_files()


@pytest.mark.trust(
    item=22,
    case="an artifact without a signature",
    before="predict answered, on ONNX, eager and TorchScript",
    now="refused: it was made elsewhere, or made before signatures; --trust signs it once",
)
def test_artifact_without_a_signature_is_refused_until_it_is_trusted_once(
    artifact: Artifact,
) -> None:
    with pytest.raises(DeployBenchError, match="made elsewhere, or made before signatures") as told:
        check_consent([artifact], trust=False, command=COMMAND)
    assert COMMAND in (told.value.action or "")

    check_consent([artifact], trust=True, command=COMMAND)
    check_consent([artifact], trust=False, command=COMMAND)
    signature = signature_of(artifact)
    assert signature is not None
    assert signature.how == "trusted"
    artifact.check_files()


@pytest.mark.trust(
    item=22,
    case="a signature copied from another artifact, or written with another secret",
    before="no signatures: predict answered on any artifact whose seal holds",
    now="refused, with what is wrong with the signature",
)
def test_signature_of_others_is_none(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sign(artifact.path, "made")

    # A signature holds for the content that it was given for.
    manifest = Manifest.model_validate_json((artifact.path / MANIFEST).read_bytes())
    changed = manifest.replaced(parity_note="changed").sealed()
    (artifact.path / MANIFEST).write_text(changed.model_dump_json())
    assert "other content" in str(why_unsigned(open_artifact(artifact.path)))
    (artifact.path / MANIFEST).write_text(manifest.model_dump_json(exclude_unset=True))
    assert is_signed(open_artifact(artifact.path))

    # It holds for its own words: who trusted something is no field to be edited.
    signature = json.loads((artifact.path / SIGNATURE).read_text())
    (artifact.path / SIGNATURE).write_text(json.dumps({**signature, "who": "somebody@else"}))
    assert "not this user's" in str(why_unsigned(artifact))
    (artifact.path / SIGNATURE).write_text("[]")
    assert "cannot be read" in str(why_unsigned(artifact))

    # It holds for one user.
    (artifact.path / SIGNATURE).write_text(json.dumps(signature))
    monkeypatch.setenv("DEPLOYBENCH_STATE", str(tmp_path / "another user's"))
    assert "not this user's" in str(why_unsigned(artifact))
    assert sign(artifact.path, "made")
    assert is_signed(artifact)


def test_workspace_that_is_moved_or_copied_stays_signed(artifact: Artifact, tmp_path: Path) -> None:
    sign(artifact.path, "made")
    moved = shutil.copytree(tmp_path / "workspace", tmp_path / "moved")
    assert is_signed(open_artifact(moved / "artifacts" / PYTORCH))


def test_pack_carries_no_signature_and_what_is_there_already_keeps_its_own(
    artifact: Artifact, tmp_path: Path
) -> None:
    sign(artifact.path, "made")
    pack = tmp_path / "x.dbpack"
    write_pack([artifact], pack)
    elsewhere = Workspace(tmp_path / "elsewhere")
    elsewhere.prepare()

    [unpacked] = read_pack(pack, elsewhere)
    assert not is_signed(unpacked)
    sign(unpacked.path, "trusted")
    [again] = read_pack(pack, elsewhere)
    assert is_signed(again)
    # A damaged copy that is mended holds what was trusted.
    again.entry.write_bytes(b"damaged")
    [mended] = read_pack(pack, elsewhere)
    mended.check_files()
    assert is_signed(mended)


def test_user_whose_home_cannot_be_written_has_a_private_temporary_folder(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "home").write_text("no folder")
    monkeypatch.delenv("DEPLOYBENCH_STATE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    assert sign(artifact.path, "made")
    assert is_signed(artifact)
    [folder] = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    # Whoever else may write there could have put a secret of theirs there.
    folder.chmod(0o777)
    assert folder not in state_folders()
    assert not is_signed(artifact)
    assert not sign(artifact.path, "made")


def test_trust_holds_for_once_where_it_cannot_be_written_down(
    artifact: Artifact, state: Path
) -> None:
    state.write_text("no folder")
    check_consent([artifact], trust=True, command=COMMAND)
    assert not (artifact.path / SIGNATURE).exists()
    with pytest.raises(DeployBenchError):
        check_consent([artifact], trust=False, command=COMMAND)


def _sign(folder: Path) -> None:
    assert sign(folder, "made")


def test_processes_that_sign_at_once_for_the_first_time_share_one_secret(
    artifact: Artifact, tmp_path: Path
) -> None:
    folders = [shutil.copytree(artifact.path, tmp_path / f"copy-{number}") for number in range(4)]
    context = multiprocessing.get_context("fork")
    signers = [context.Process(target=_sign, args=(folder,)) for folder in folders]
    for signer in signers:
        signer.start()
    for signer in signers:
        signer.join()
    assert all(is_signed(open_artifact(folder)) for folder in folders)
