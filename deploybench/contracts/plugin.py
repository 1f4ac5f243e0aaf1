"""What exporters and runners share: a name, and what a host needs to have for them to work."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar


class Plugin(ABC):
    """What exporters and runners share: a name, and what a host needs to have for them to work."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Modules that must be importable."""
    install: ClassVar[str] = ""
    """What pip has to install for ``requires``, for example ``deploybench[onnx]``."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to the result: part of the artifact key and of every
    record."""
    oldest: ClassVar[Mapping[str, str]] = {}
    """The oldest versions that will do, by distribution, where older ones can be imported:
    ``{"torch": "2.6"}``."""

    def check(self) -> str | None:
        """Why the plug-in cannot work on this host although ``requires`` is met, or None.

        Raises DeployBenchError instead where there is something to do about it.
        """
        return None

    def identity(self) -> Mapping[str, str]:
        """What of this host, besides versions, decides what the plug-in writes.

        It is part of the artifact key.
        """
        return {}
