"""Allocators that can take the place of the C library's, and huge pages: what this host has."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploybench.errors import DeployBenchError, unknown_name
from deploybench.versions import comparable

DEFAULT = "default"
LIBRARIES = {
    "jemalloc": ("libjemalloc.so.2", "libjemalloc.so.1", "libjemalloc.so"),
    "tcmalloc": (
        "libtcmalloc_minimal.so.4",
        "libtcmalloc.so.4",
        "libtcmalloc_minimal.so",
        "libtcmalloc.so",
    ),
    "mimalloc": ("libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so"),
}
"""The files of each allocator by its name, the best first."""
DEBIAN_PACKAGES = {
    "jemalloc": "libjemalloc2",
    "tcmalloc": "libtcmalloc-minimal4",
    "mimalloc": "libmimalloc2.0",
}
TRANSPARENT_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES_OF = (DEFAULT, "jemalloc")
"""The allocators that take a word on transparent huge pages."""
FIRST_GLIBC_WITH_HUGE_PAGES = "2.35"
"""The tunable glibc.malloc.hugetlb is as old."""


def allocator_library(name: str, folders: Sequence[Path] | None = None) -> Path | None:
    """The library of that allocator; None where none of the ``folders`` has it.

    Without ``folders`` they are those of LD_LIBRARY_PATH, of the linker's cache, and those where
    distributions and conda put libraries.
    """
    if folders is None:
        folders = list(_folders())
    for file in LIBRARIES[name]:
        for folder in folders:
            if (folder / file).is_file():
                return folder / file
    return None


def check_allocator(name: str) -> None:
    """Raise DeployBenchError for an allocator that cannot be preloaded here."""
    if name == DEFAULT:
        return
    if name not in LIBRARIES:
        raise unknown_name("allocator", name, (DEFAULT, *LIBRARIES))
    if not sys.platform.startswith("linux"):
        raise DeployBenchError(
            f"--allocator {name} on {platform.system()}",
            expected="Linux, where LD_PRELOAD puts another malloc in place",
        )
    if allocator_library(name) is None:
        raise DeployBenchError(
            f"--allocator {name}, and this host has no {LIBRARIES[name][0]}",
            expected="the library in LD_LIBRARY_PATH or where the linker looks",
            action=f"apt-get install {DEBIAN_PACKAGES[name]} (Debian, Ubuntu), or leave it out",
        )


def check_huge_pages(asked: str, allocator: str = DEFAULT) -> None:
    """Raise DeployBenchError where no process of this host gets huge pages by asking for them."""
    if asked == DEFAULT:
        return
    policy = huge_page_policy()
    if policy not in ("always", "madvise"):
        raise DeployBenchError(
            f"--huge-pages {asked}, and transparent huge pages are {policy or 'unknown'} here",
            expected=f"always or madvise in {TRANSPARENT_HUGE_PAGES}",
            action=f"echo madvise | sudo tee {TRANSPARENT_HUGE_PAGES}, or leave it out",
        )
    if allocator not in HUGE_PAGES_OF:
        raise DeployBenchError(
            f"--huge-pages {asked} with --allocator {allocator}, which takes no word on them",
            expected=f"--allocator {' or '.join(HUGE_PAGES_OF)}",
        )
    library, version = platform.libc_ver()
    if allocator == DEFAULT and (
        library != "glibc" or comparable(version) < comparable(FIRST_GLIBC_WITH_HUGE_PAGES)
    ):
        raise DeployBenchError(
            f"--huge-pages {asked} with the C library {library or 'of this system'} {version}",
            expected=f"glibc {FIRST_GLIBC_WITH_HUGE_PAGES} or later",
            action="--allocator jemalloc, or leave it out",
        )


def huge_page_policy(enabled: Path = TRANSPARENT_HUGE_PAGES) -> str | None:
    """``always``, ``madvise`` or ``never``; None where the kernel does not tell."""
    try:
        words = enabled.read_text().split()
    except OSError:
        return None
    for word in words:
        if word.startswith("["):  # "always [madvise] never": the one in force
            return word.strip("[]")
    return None


def _folders() -> Iterator[Path]:
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry)
    yield Path(sys.prefix, "lib")
    yield from _folders_of_the_cache()
    triplet = f"{platform.machine()}-linux-gnu"
    for parent in ("/usr/local/lib", "/usr/lib", "/lib"):
        yield Path(parent, triplet)
        yield Path(parent)
    yield Path("/usr/lib64")


def _folders_of_the_cache() -> Iterator[Path]:
    """The folders that the linker knows, each once."""
    try:
        listed = subprocess.run(
            ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    # "	libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1"
    paths = [Path(line.rpartition("=> ")[2]) for line in listed.splitlines() if "=> " in line]
    yield from dict.fromkeys(path.parent for path in paths)
