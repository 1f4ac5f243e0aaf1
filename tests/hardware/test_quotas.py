"""What cgroups of both versions allow, nested or not, and which CPUs are cores of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploybench.hardware import host as host_module
from deploybench.hardware.host import usable_cores
from deploybench.hardware.quotas import cores_of, cpu_quota, read_throttling
from deploybench.report.profile_table import host_section
from tests.records import host

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)
SLICE = "sys/fs/cgroup/user.slice/job.scope"


def tree(root: Path, files: Mapping[str, str], cores: tuple[str, ...] = ()) -> Path:
    """A file system of /proc and /sys files; ``cores`` names the siblings of each CPU."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for cpu, siblings in enumerate(cores):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    return root


def own_group(version: int, path: str = "/user.slice/job.scope") -> dict[str, str]:
    if version == 2:
        return {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": V2_MOUNT}
    text = f"5:memory:/elsewhere\n4:cpu,cpuacct:{path}\n0::/\n"
    return {"proc/self/cgroup": text, "proc/self/mountinfo": V1_MOUNTS}


NESTED_V2 = {
    **own_group(2),
    f"{SLICE}/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
}
OWN_V2 = {**own_group(2), f"{SLICE}/cpu.max": "50000 100000\n"}
TIGHTER_BELOW = {**NESTED_V2, f"{SLICE}/cpu.max": "100000 100000\n"}
V1_FOLDER = "sys/fs/cgroup/cpu,cpuacct"
NESTED_V1 = {
    **own_group(1, "/kubepods/pod1/box"),
    f"{V1_FOLDER}/kubepods/pod1/box/cpu.cfs_quota_us": "-1\n",
    f"{V1_FOLDER}/kubepods/pod1/box/cpu.cfs_period_us": "100000\n",
    f"{V1_FOLDER}/kubepods/pod1/cpu.cfs_quota_us": "200000\n",
    f"{V1_FOLDER}/kubepods/pod1/cpu.cfs_period_us": "100000\n",
}
# In a container whose /proc tells the host's names, what is mounted is the container's own group.
CONTAINER_V1 = {
    "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n",
    "proc/self/mountinfo": V1_MOUNTS.replace(" / ", " /docker/abc ", 1),
    f"{V1_FOLDER}/cpu.cfs_quota_us": "150000\n",
    f"{V1_FOLDER}/cpu.cfs_period_us": "50000\n",
}
OUTSIDE_V2 = {**own_group(2, "/../../other"), "sys/fs/cgroup/cpu.max": "200000 100000\n"}
NOT_MOUNTED_V2 = {**own_group(2, "/gone/away"), "sys/fs/cgroup/cpu.max": "70000 100000\n"}


def trust(case: str, before: str, now: str) -> pytest.MarkDecorator:
    return pytest.mark.trust(item=20, case=case, before=before, now=now)


@pytest.mark.parametrize(
    ("files", "cpus", "source"),
    [
        pytest.param(
            NESTED_V2,
            1.5,
            "/sys/fs/cgroup/user.slice/cpu.max",
            marks=trust(
                "cgroup v2: 1.5 CPUs for the slice above the process's own group",
                "by reading: 8 threads on 8 cores; only the root group's cpu.max was read",
                "1 thread; doctor names the file and the 1.5 CPUs",
            ),
        ),
        (OWN_V2, 0.5, f"/{SLICE}/cpu.max"),
        (TIGHTER_BELOW, 1.0, f"/{SLICE}/cpu.max"),
        pytest.param(
            NESTED_V1,
            2.0,
            f"/{V1_FOLDER}/kubepods/pod1/cpu.cfs_quota_us",
            marks=trust(
                "cgroup v1: 2 CPUs for the pod, no quota for its container",
                "by reading: 8 threads on 8 cores; version 1 was not read",
                "2 threads",
            ),
        ),
        (CONTAINER_V1, 3.0, f"/{V1_FOLDER}/cpu.cfs_quota_us"),
        (OUTSIDE_V2, 2.0, "/sys/fs/cgroup/cpu.max"),
        (NOT_MOUNTED_V2, 0.7, "/sys/fs/cgroup/cpu.max"),
    ],
)
def test_tightest_quota_on_the_way_to_the_top_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Mapping[str, str],
    cpus: float,
    source: str,
) -> None:
    root = tree(tmp_path, files, cores=tuple(str(cpu) for cpu in range(8)))
    quota = cpu_quota(root)
    assert quota is not None
    assert (quota.cpus, quota.source) == (cpus, source)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert usable_cores(root) == max(int(cpus), 1)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "nonsense", "proc/self/mountinfo": "nonsense - \n1 2 3 - cgroup2"},
        {**own_group(2), f"{SLICE}/cpu.max": "max 100000\n"},
        {**own_group(2), f"{SLICE}/cpu.max": "many 100000\n"},
        {**own_group(2), f"{SLICE}/cpu.max": "100000 0\n"},
        {**own_group(1), f"{V1_FOLDER}/user.slice/job.scope/cpu.cfs_quota_us": "-1\n"},
    ],
)
def test_no_quota_where_none_is_set_or_none_reads(tmp_path: Path, files: Mapping[str, str]) -> None:
    root = tree(tmp_path, files)
    assert cpu_quota(root) is None
    assert read_throttling(root) is None


def test_throttling_is_that_of_every_group_with_a_quota_on_the_way(tmp_path: Path) -> None:
    files = {
        **TIGHTER_BELOW,
        f"{SLICE}/cpu.stat": "usage_usec 9\nnr_periods 50\nnr_throttled 7\nthrottled_usec 300000\n",
        "sys/fs/cgroup/user.slice/cpu.stat": "nr_throttled 2\nthrottled_usec 100000\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 1000\n",
    }
    throttling = read_throttling(tree(tmp_path, files))
    assert throttling is not None
    assert throttling.count == 9
    assert throttling.seconds == pytest.approx(0.4)


def test_throttling_of_version_1_is_in_nanoseconds_and_may_be_untold(tmp_path: Path) -> None:
    stat = f"{V1_FOLDER}/kubepods/pod1/cpu.stat"
    told = {**NESTED_V1, stat: "nr_periods 9\nnr_throttled 3\nthrottled_time 500000000\n"}
    found = read_throttling(tree(tmp_path / "told", told))
    assert found is not None
    assert (found.count, found.seconds) == (3, 0.5)
    untold = {**NESTED_V1, stat: "nr_throttled 3\n"}
    found = read_throttling(tree(tmp_path / "untold", untold))
    assert found is not None
    assert (found.count, found.seconds) == (3, None)


@pytest.mark.parametrize(
    ("mask", "siblings", "cores"),
    [
        pytest.param(
            {0, 4},
            ("0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"),
            1,
            marks=trust(
                "an affinity mask of the two hardware threads of one core",
                "by reading: 2 threads by default, on one core",
                "1 thread; --threads 2 may ask for both, and doctor says what they are",
            ),
        ),
        ({0, 1}, ("0-1", "0-1", "2-3", "2-3"), 1),
        ({1, 2}, ("0-1", "0-1", "2-3", "2-3"), 2),
        ({0, 1, 2, 3}, ("0-1", "0-1", "2", "3"), 3),  # performance and efficiency cores
    ],
)
def test_two_hardware_threads_of_one_core_are_one_core(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mask: set[int],
    siblings: tuple[str, ...],
    cores: int,
) -> None:
    root = tree(tmp_path, {}, cores=siblings)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: mask)
    assert cores_of(frozenset(mask), root) == usable_cores(root) == cores


def test_mask_and_the_machines_own_count_do_where_siblings_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(host_module.psutil, "cpu_count", lambda logical=True: 8 if logical else 4)
    assert cores_of(frozenset({0, 1, 2}), tmp_path) is None
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        (
            {"cpu_quota": 0.5, "cpu_quota_source": "/sys/fs/cgroup/cpu.max", "usable_cores": 1},
            "the quota of /sys/fs/cgroup/cpu.max is 0.5 CPUs, so that one thread has to wait",
        ),
        (
            {"cpu_quota": 1.5, "cpu_quota_source": "/a", "usable_cores": 1},
            "the quota of /a is 1.5 CPUs, of which whole ones count",
        ),
        (
            {"affinity_cpus": 2, "affinity_cores": 1, "logical_cores": 8, "usable_cores": 1},
            "the affinity mask has 2 of 8 CPUs; 2 CPUs are hardware threads of 1 core",
        ),
    ],
)
def test_doctor_says_what_leaves_fewer_cores(changes: dict[str, object], words: str) -> None:
    cores = host_section(host(**changes), extra=()).lines[0].cells[1].text
    assert cores.endswith(words)
    assert bool(words) == (": " in cores)
