"""What a factory of the user's built, which its name and the installed versions do not decide."""

from __future__ import annotations

import hashlib
import json

from deploybench.documents import Document


class Built(Document):
    """The identity of a built module: two are the same where all of it is."""

    code: dict[str, str]
    """sha256 of the source file of every module that building and one call loaded and that is not
    installed, by the module's name."""
    structure_sha256: str
    """Over the classes of all submodules and their plain numbers: the same on every host."""
    values_sha256: str
    """Over what else they hold (strings, tensors that are no weights) and the plain values of the
    user's modules: it may differ from host to host, and only decides whether an export was done
    before."""
    state_sha256: str
    """Over every parameter and buffer, as the factory left them."""
    torch: str
    """The version that built it: ``structure_sha256`` is compared within one."""
    random: bool = False
    """Whether another seed gives other weights: the factory draws them."""
    volatile: tuple[str, ...] = ()
    """Values that differ from build to build, such as a time. They are in none of the hashes."""

    @property
    def sha256(self) -> str:
        """Over all of it: part of the key of every artifact."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
