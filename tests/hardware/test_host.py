"""What the host record says of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploybench.hardware.host import ISA_FLAGS, cache_bytes, cpu_of, describe_host
from deploybench.hardware.nvml import visible_devices


def put_cache(folder: Path, cpu: int, index: int, level: str, size: str, shared: str) -> None:
    place = folder / f"cpu{cpu}" / "cache" / f"index{index}"
    place.mkdir(parents=True)
    for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
        (place / name).write_text(f"{text}\n")


def test_caches_count_once_from_the_second_level_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    for cpu in (0, 1, 2):
        put_cache(tmp_path, cpu, 0, "1", "32K", str(cpu))
        put_cache(tmp_path, cpu, 2, "2", "512K", str(cpu))
        put_cache(tmp_path, cpu, 3, "3", "32M", "0-1" if cpu < 2 else "2")
    assert cache_bytes(tmp_path) == 2 * 512 * 1024 + 32 * 2**20


def test_caches_are_unknown_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert cache_bytes(tmp_path) is None


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 17
model name\t: AMD EPYC 9R14
flags\t\t: fpu sse4_2 avx2 avx512f hypervisor
power management:

processor\t: 1
vendor_id\t: Another
model name\t: Another
flags\t\t: fpu
"""
ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd
CPU implementer\t: 0x41
"""


def test_first_cpu_of_x86_is_read_from_the_system() -> None:
    assert cpu_of(X86) == {
        "brand_raw": "AMD EPYC 9R14",
        "vendor_id_raw": "AuthenticAMD",
        "flags": ["fpu", "sse4_2", "avx2", "avx512f", "hypervisor"],
    }


@pytest.mark.parametrize("text", [ARM, "", X86.replace("flags", "bugs"), "\n\n" + X86])
def test_cpu_that_the_system_does_not_tell_whole_is_left_to_py_cpuinfo(text: str) -> None:
    assert cpu_of(text) is None


def test_cpu_is_what_py_cpuinfo_says_of_this_machine() -> None:
    from cpuinfo import get_cpu_info

    theirs, host = get_cpu_info(), describe_host()
    assert host.cpu_model == theirs.get("brand_raw", host.cpu_model)
    assert host.cpu_vendor == theirs.get("vendor_id_raw", "unknown")
    # It adds what the processor itself says; what the kernel hides no program may use.
    assert set(host.isa) <= set(theirs.get("flags", [])) & set(ISA_FLAGS)
    assert host.virtual_machine == ("hypervisor" in theirs.get("flags", []))


def test_host_record_of_this_machine_is_whole() -> None:
    found = describe_host()
    assert found.usable_cores >= 1
    assert found.cache_bytes is None or found.cache_bytes > 0
    assert found.gpus or found.gpu_note


def test_host_has_the_versions_of_what_it_is_handed_beside_the_programs_own() -> None:
    assert {"deploybench", "numpy"} <= set(describe_host().versions)
    assert "pydantic" not in describe_host().versions
    assert describe_host(
        ("pydantic", "not-installed")
    ).versions.keys() - describe_host().versions.keys() == {"pydantic"}


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("-1", []),
        ("", []),
        ("1,-1,0", ["1"]),
        ("0,7,1", ["0"]),
        ("GPU-abc, 1", ["GPU-abc", "1"]),
    ],
)
def test_visible_devices_are_those_that_cuda_would_take(
    visible: str | None, seen: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_devices(3, environment) == seen
