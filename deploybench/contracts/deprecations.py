"""What was promised to others and will go: when that was announced, and when it is due.

Promised are the names of ``deploybench.contracts``, the entry-point groups, the fields of records
and manifests, and the options of commands. CONTRIBUTING.md says what a promise means. A test fails
as soon as ``deploybench.__version__`` reaches a removal that nobody has carried out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from deploybench.versions import comparable

FEWEST_MINOR_VERSIONS = 2
"""Between the announcement and the removal: a plug-in that is released once in a while meets one
version that warns before the one that breaks it."""


@dataclass(frozen=True)
class Deprecation:
    """One promise that ends.

    ``name`` is what a user writes (``deploybench.contracts.ExportSpec.opset``, ``run --csv``,
    ``record.summary.p50``), ``announced`` and ``removed`` are versions of DeployBench, ``instead``
    is what to write from now on.

    Raises ValueError for a removal that follows its announcement too soon.
    """

    name: str
    announced: str
    removed: str
    instead: str

    def __post_init__(self) -> None:
        announced, removed = comparable(self.announced), comparable(self.removed)
        same_major = announced.major == removed.major
        soonest = announced.minor + FEWEST_MINOR_VERSIONS
        if removed <= announced or (same_major and removed.minor < soonest):
            raise ValueError(
                f"{self.name}: announced in {self.announced}, removed in {self.removed}; expected "
                f"{FEWEST_MINOR_VERSIONS} minor versions between them, or the next major version"
            )

    def __str__(self) -> str:
        return (
            f"{self.name} is deprecated since DeployBench {self.announced} and goes in "
            f"{self.removed}: {self.instead}"
        )

    def warn(self) -> None:
        """Warn the caller of the function that calls this."""
        warnings.warn(str(self), DeprecationWarning, stacklevel=3)


DEPRECATIONS: tuple[Deprecation, ...] = ()
"""The one table of them. An entry leaves it together with what it names."""


def due(deprecations: Iterable[Deprecation], version: str) -> list[Deprecation]:
    """Those that have to be gone by a version of DeployBench; a pre-release counts as its
    release."""
    reached = comparable(version).release
    return [entry for entry in deprecations if comparable(entry.removed).release <= reached]
