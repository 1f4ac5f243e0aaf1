"""Options of a cell that belong to its process: what has to be in the environment when it starts.

They are the same variables by which the harness gives them to a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT = "default"
OPTIONS = frozenset({"allocator", "huge_pages"})
"""The options of cells that are seen to here."""
ALLOCATORS = {
    "jemalloc": ("libjemalloc.so.2", "libjemalloc2"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    "mimalloc": ("libmimalloc.so.2", "libmimalloc2.0"),
}
"""The library of each, and the package of Debian 12 that has it."""
START_AGAIN = """\
# These count from the start of a process: it starts itself again with them.
PROCESS = {variables}
if any(os.environ.get(name) != value for name, value in PROCESS.items()):
    os.environ.update(PROCESS)
    os.execv(sys.executable, [sys.executable, *sys.argv])
"""
IS_PRELOADED = """\
if {library} not in Path("/proc/self/maps").read_text():
    sys.exit("{file} is not here: apt-get install {package}")
"""


@dataclass(frozen=True)
class OfProcess:
    """The variables of a process, and what preloads another ``malloc``, if anything does."""

    variables: Mapping[str, str] = field(default_factory=dict)
    library: str = ""
    package: str = ""

    @property
    def lines(self) -> str:
        """What ``serve.py`` begins with; empty where there is nothing to see to."""
        if not self.variables:
            return ""
        text = START_AGAIN.format(variables=repr(dict(self.variables)))
        if self.library:
            stem = self.library.partition(".so")[0]
            text += IS_PRELOADED.format(library=repr(stem), file=self.library, package=self.package)
        return text


def process_of(chosen: Mapping[str, object]) -> OfProcess:
    """What the chosen options of a cell ask of its process."""
    allocator = str(chosen.get("allocator", DEFAULT))
    variables: dict[str, str] = {}
    library, package = ALLOCATORS.get(allocator, ("", ""))
    if library:
        variables["LD_PRELOAD"] = library
    if chosen.get("huge_pages", DEFAULT) != DEFAULT:
        variables["THP_MEM_ALLOC_ENABLE"] = "1"
        if allocator == "jemalloc":
            variables["MALLOC_CONF"] = "thp:always,metadata_thp:auto"
        else:
            variables["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    return OfProcess(variables, library, package)
