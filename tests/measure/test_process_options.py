"""Options of the worker's process: what its environment says, and how it is proved in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.hardware.allocators import huge_page_policy
from deploybench.measure import process_options
from deploybench.measure.job import Job
from deploybench.measure.process_options import (
    SPINNING_SHARE,
    environment_of,
    idle_share,
    settled,
)
from deploybench.measure.scheduler import run_job, worker_environment
from deploybench.results.launch import Facts

Artifacts = Callable[[str], Artifact]
PLAIN = RunOptions(device="cpu", threads=2, precision="fp32", batch=1)
FACTS = Facts(precision="fp32", threads=2, provider="test", device="cpu")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
FORWARDING = """
#include <stddef.h>
extern void *__libc_malloc(size_t);
void *malloc(size_t size) { return __libc_malloc(size); }
"""


@pytest.fixture
def allocator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library by the name of jemalloc's that hands everything on to the C library."""
    if shutil.which("gcc") is None:
        pytest.skip("the double of an allocator is built by gcc")
    source = tmp_path / "malloc.c"
    source.write_text(FORWARDING)
    library = tmp_path / "libjemalloc.so.2"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return library


def job(artifact: Artifact, runner: str, **options: object) -> Job:
    asked = {"device": "cpu", "precision": "fp32", "batch": 1, "threads": 2, "measure": False}
    return Job.model_validate(
        {"artifact": str(artifact.path), "runner": runner, **asked, **options}
    )


def test_plain_cell_adds_nothing_to_the_environment(tiny_artifact: Artifacts) -> None:
    assert environment_of(PLAIN) == {}
    assert "OMP_WAIT_POLICY" not in worker_environment(job(tiny_artifact("onnx"), "onnxruntime"))


def test_environment_of_a_worker_has_its_options_and_what_the_user_preloads(
    allocator: Path,
) -> None:
    asked = replace(PLAIN, spinning="off", allocator="jemalloc", huge_pages="on")
    user = {"LD_PRELOAD": "/lib/mine.so", "MALLOC_CONF": "narenas:1"}
    assert environment_of(asked, user) == {
        "OMP_WAIT_POLICY": "PASSIVE",
        "LD_PRELOAD": f"{allocator} /lib/mine.so",
        "THP_MEM_ALLOC_ENABLE": "1",
        "MALLOC_CONF": "narenas:1,thp:always,metadata_thp:auto",
    }
    with_glibc = environment_of(replace(PLAIN, huge_pages="on"), {"GLIBC_TUNABLES": "a=1"})
    assert with_glibc["GLIBC_TUNABLES"] == "a=1:glibc.malloc.hugetlb=1"


@ON_LINUX
def test_worker_says_in_which_library_its_malloc_lies(
    tiny_artifact: Artifacts, allocator: Path
) -> None:
    launch = run_job(job(tiny_artifact("onnx"), "onnxruntime", allocator="jemalloc"))
    assert launch.error is None
    assert launch.refused is None
    assert launch.facts is not None
    assert "malloc of libjemalloc.so.2" in launch.facts.notes


@ON_LINUX
def test_worker_whose_allocator_was_not_loaded_is_refused(
    tiny_artifact: Artifacts, allocator: Path
) -> None:
    """The linker ignores a file that is no library, with a warning that nobody reads."""
    allocator.write_text("no library")
    launch = run_job(job(tiny_artifact("onnx"), "onnxruntime", allocator="jemalloc"))
    assert launch.refused is not None
    assert launch.refused.startswith("asked for allocator jemalloc, malloc is that of libc")
    assert not launch.measured


@ON_LINUX
@pytest.mark.skipif(
    huge_page_policy() not in ("always", "madvise"), reason="this kernel gives no huge pages"
)
def test_worker_says_how_much_of_its_memory_lies_in_huge_pages(tiny_artifact: Artifacts) -> None:
    launch = run_job(job(tiny_artifact("onnx"), "onnxruntime", huge_pages="on"))
    assert launch.refused is None
    assert launch.facts is not None
    assert "MiB in huge pages" in launch.facts.notes[-1]


@pytest.mark.parametrize("huge", [0, None])
def test_no_huge_page_at_all_is_refused(huge: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_options, "huge_page_bytes", lambda: huge)
    _, refused = settled(FACTS, replace(PLAIN, huge_pages="on"), lambda: None)
    assert refused == "asked for huge pages, the kernel gave this process none"


def spinning_helper() -> None:
    """What a pool leaves behind whose thread looks for work for a while."""

    def spin() -> None:
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            pass

    threading.Thread(target=spin).start()


def test_threads_that_spin_are_told_from_threads_that_sleep_by_their_cpu_time() -> None:
    assert idle_share(lambda: None) < SPINNING_SHARE
    assert idle_share(spinning_helper) > SPINNING_SHARE
    time.sleep(0.2)
    for asked, call, word in (("on", lambda: None, "on"), ("off", spinning_helper, "off")):
        _, refused = settled(FACTS, replace(PLAIN, spinning=asked), call)
        assert refused is not None
        assert refused.startswith(f"asked for spinning {word}, idle threads took")
        time.sleep(0.2)


def test_runtime_that_tells_whether_it_spins_is_believed() -> None:
    told = FACTS.replaced(options={"spinning": "on"})
    assert settled(told, replace(PLAIN, spinning="on"), lambda: None) == (told, None)


def test_one_thread_alone_has_nothing_to_prove() -> None:
    facts, refused = settled(FACTS, replace(PLAIN, threads=1, spinning="on"), lambda: None)
    assert refused is None
    assert facts.notes == ("one thread: none idles between calls",)


@ON_LINUX
@pytest.mark.parametrize("spinning", ["on", "off"])
def test_torch_s_idle_threads_do_what_the_cell_asks(
    tiny_artifact: Artifacts, spinning: str
) -> None:
    launch = run_job(job(tiny_artifact("pytorch"), "pytorch", spinning=spinning))
    assert launch.error is None
    assert launch.refused is None
    assert launch.facts is not None
    assert launch.facts.notes[-1].startswith("idle threads took")
