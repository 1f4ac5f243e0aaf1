"""Allocators and huge pages: what this host has, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.errors import DeployBenchError
from deploybench.hardware import allocators
from deploybench.hardware.allocators import (
    DEBIAN_PACKAGES,
    LIBRARIES,
    allocator_library,
    check_allocator,
    check_huge_pages,
    huge_page_policy,
)


@pytest.mark.parametrize("name", LIBRARIES)
def test_absent_allocator_is_refused_with_the_package_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocators, "_folders", lambda: iter(()))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DeployBenchError, match=f"apt-get install {DEBIAN_PACKAGES[name]}"):
        check_allocator(name)


def test_allocator_is_found_in_the_first_folder_that_has_its_best_file(tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    for folder, file in ((older, "libmimalloc.so.2"), (newer, "libmimalloc.so.3")):
        folder.mkdir()
        (folder / file).touch()
    assert allocator_library("mimalloc", [older, newer]) == newer / "libmimalloc.so.3"
    assert allocator_library("jemalloc", [older, newer]) is None


def test_allocator_of_another_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(DeployBenchError, match="jemalloc, mimalloc, tcmalloc"):
        check_allocator("hoard")


def test_the_system_s_own_needs_nothing() -> None:
    check_allocator("default")
    check_huge_pages("default", "mimalloc")


@pytest.mark.parametrize(
    ("text", "policy"),
    [("always [madvise] never\n", "madvise"), ("always madvise [never]", "never")],
)
def test_policy_of_huge_pages_is_the_word_in_brackets(
    text: str, policy: str, tmp_path: Path
) -> None:
    enabled = tmp_path / "enabled"
    enabled.write_text(text)
    assert huge_page_policy(enabled) == policy
    assert huge_page_policy(tmp_path / "missing") is None


@pytest.mark.parametrize("policy", ["never", None])
def test_huge_pages_are_refused_where_the_kernel_gives_none(
    policy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocators, "huge_page_policy", lambda: policy)
    with pytest.raises(DeployBenchError, match=r"transparent huge pages are (never|unknown) here"):
        check_huge_pages("on")


def test_huge_pages_are_refused_with_an_allocator_that_takes_no_word_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocators, "huge_page_policy", lambda: "madvise")
    with pytest.raises(DeployBenchError, match="--allocator mimalloc, which takes no word"):
        check_huge_pages("on", "mimalloc")


@pytest.mark.parametrize("library", [("glibc", "2.31"), ("", "")])
def test_huge_pages_are_refused_where_the_c_library_knows_nothing_of_them(
    library: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocators, "huge_page_policy", lambda: "always")
    monkeypatch.setattr("platform.libc_ver", lambda: library)
    with pytest.raises(DeployBenchError, match=r"expected: glibc 2\.35 or later"):
        check_huge_pages("on")
    check_huge_pages("on", "jemalloc")
