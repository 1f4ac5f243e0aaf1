"""How much memory is left: the least that the machine, or a limit of the cgroup, leaves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deploybench.telemetry import free_memory
from deploybench.telemetry.free_memory import available_bytes

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _machine_with_8_gib_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB)
    )


def limits(folder: Path, names: tuple[str, str], limit: object, used: int) -> Path:
    for name, value in zip(names, (limit, used), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize("names", free_memory.LIMITS, ids=["version 2", "version 1"])
def test_limit_of_the_cgroup_counts_where_it_leaves_less(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    assert available_bytes(limits(tmp_path, names, 3 * GIB, GIB)) == 2 * GIB
    assert available_bytes(limits(tmp_path, names, 30 * GIB, GIB)) == 8 * GIB
    assert available_bytes(limits(tmp_path, names, GIB, 2 * GIB)) == 0


def test_pages_of_files_that_are_given_up_for_others_are_available(tmp_path: Path) -> None:
    limits(tmp_path, free_memory.LIMITS[0], 3 * GIB, 2 * GIB)
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    assert available_bytes(tmp_path) == 2 * GIB


def test_limit_that_is_none_or_not_told_takes_nothing(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == 8 * GIB
    assert available_bytes(limits(tmp_path, free_memory.LIMITS[0], "max", GIB)) == 8 * GIB
