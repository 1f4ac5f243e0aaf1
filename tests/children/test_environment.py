"""What of the user's environment reaches a worker, what does not, and what is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.analysis.matching import unlike
from deploybench.children.environment import (
    Policy,
    cleared_here,
    cleared_of,
    in_words,
    kept_of,
    policy_of,
    said_of,
)
from deploybench.contracts import RunOptions
from deploybench.measure.proof import crowded, thread_limit
from deploybench.report.profile_table import host_section
from deploybench.report.run_notes import notes_of
from deploybench.rows.rows import rows_of
from tests.records import host, launch, record

CHILD = """
import json, os
from deploybench.children.processes import finish

def main():
    finish(json.dumps(dict(os.environ)))

if __name__ == "__main__":
    main()
"""
SETTINGS = {
    "OMP_THREAD_LIMIT": "1",
    "GOMP_CPU_AFFINITY": "0",
    "KMP_AFFINITY": "disabled",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
STEADY = [10.0] * 20


def trust(case: str, before: str, now: str) -> pytest.MarkDecorator:
    return pytest.mark.trust(item=19, case=case, before=before, now=now)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("OMP_NUM_THREADS", Policy.CLEARED),
        ("OMP_PROC_BIND", Policy.CLEARED),
        ("KMP_BLOCKTIME", Policy.CLEARED),
        ("KMP_DUPLICATE_LIB_OK", Policy.RECORDED),
        ("MKL_NUM_THREADS", Policy.CLEARED),
        ("MKL_CBWR", Policy.SAID),
        ("OPENBLAS_CORETYPE", Policy.SAID),
        ("LD_PRELOAD", Policy.SAID),
        ("GLIBC_TUNABLES", Policy.SAID),
        ("DNNL_VERBOSE", Policy.SAID),
        ("PYTORCH_VERSION", Policy.RECORDED),
        ("PYTORCH_CUDA_ALLOC_CONF", Policy.SAID),
        ("CUDA_VISIBLE_DEVICES", Policy.RECORDED),
        ("NVIDIA_TF32_OVERRIDE", Policy.SAID),
        ("ORT_DISABLE_TELEMETRY", None),
        ("PYTHONUNBUFFERED", None),
        ("HOME", None),
    ],
)
def test_every_variable_has_one_policy(name: str, policy: Policy | None) -> None:
    assert policy_of(name) is policy


@pytest.mark.parametrize(
    "forked",
    [
        pytest.param(
            False,
            marks=trust(
                "OMP_THREAD_LIMIT=1, GOMP_CPU_AFFINITY=0, OPENBLAS_NUM_THREADS=1 of the user",
                "reached the workers, and no word of it in the record or the table",
                "cleared for the workers, and in the record",
            ),
        ),
        True,
    ],
)
def test_child_gets_the_users_choices_and_none_of_the_users_threads(
    forked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tells_environment.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    how = "run_child('tells_environment', '', time_limit_s=60)"
    if forked:
        how = "run_forked('tells_environment', '', preload=(), time_limit_s=60)"
    program = (
        "import json, os\nfrom deploybench.children import processes\n"
        "if __name__ == '__main__':\n"
        f"    reply = processes.{how}.reply\n"
        "    print(json.dumps([dict(os.environ), json.loads(reply)]))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, got = json.loads(done.stdout)
    assert {name for name in SETTINGS if name in got} == {"MALLOC_ARENA_MAX", "ONEDNN_MAX_CPU_ISA"}
    assert all(ours[name] == value for name, value in SETTINGS.items()), "ours is as it was"


def test_record_tells_what_was_kept_and_what_was_cleared() -> None:
    given = {**SETTINGS, "CUDA_VISIBLE_DEVICES": "0", "HOME": "/root", "LD_PRELOAD": ""}
    assert set(cleared_of(given)) == set(list(SETTINGS)[:4])
    assert kept_of(given) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "MALLOC_ARENA_MAX": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }
    assert set(said_of(kept_of(given))) == {"MALLOC_ARENA_MAX", "ONEDNN_MAX_CPU_ISA"}


def test_values_are_shown_without_their_escape_codes() -> None:
    assert in_words({"LD_PRELOAD": "a\x1b[31m\nb"}) == r"LD_PRELOAD='a\x1b[31m\nb'"


@trust(
    "LD_PRELOAD=libjemalloc.so of the user",
    "no word of it in the record or in the table",
    "kept, in the record, and a note on the row",
)
def test_row_and_doctor_say_which_allocator_was_set() -> None:
    with_allocator = host(
        environment_kept={"LD_PRELOAD": "libjemalloc.so", "CUDA_HOME": "/cuda"},
        environment_cleared={"OMP_THREAD_LIMIT": "1"},
    )
    measured = record([launch(STEADY)] * 6)
    (row,) = rows_of([measured.replaced(host=with_allocator)])
    assert row.environment == "LD_PRELOAD=libjemalloc.so"
    assert [note.full for note in notes_of(row)] == [
        "LD_PRELOAD=libjemalloc.so was set, and reached the workers"
    ]
    assert notes_of(rows_of([measured])[0]) == []
    lines = [
        [cell.text for cell in line.cells] for line in host_section(with_allocator, extra=()).lines
    ]
    assert ["environment", "LD_PRELOAD=libjemalloc.so: reaches the workers"] in lines
    assert ["", "OMP_THREAD_LIMIT=1: cleared for the workers"] in lines


@trust(
    "a record made with another allocator compared with one made without",
    "compared without a word of it",
    "refused as unlike; --allow environment compares them",
)
def test_records_of_unlike_environments_are_unlike() -> None:
    plain = record([launch(STEADY)] * 6)
    one = plain.replaced(host=host(environment_kept={"CUDA_HOME": "/a"}))
    other = plain.replaced(host=host(environment_kept={"MALLOC_ARENA_MAX": "1"}))
    assert unlike(one, other) == {"environment": "environment without → MALLOC_ARENA_MAX=1"}
    assert unlike(one, one.replaced(host=host(environment_kept={}))) == {}
    assert unlike(plain, other) == {}, "an older record does not know"


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        (1, "1 of 2 threads worked: the model leaves the rest idle"),
        (3, "3 threads worked, 2 were asked for"),
        (2, None),
        (None, None),
    ],
)
def test_row_says_how_many_threads_really_worked(ran: int | None, words: str | None) -> None:
    (row,) = rows_of([record([launch(STEADY, threads_ran=ran)] * 6)])
    assert row.threads_ran == ran
    assert [note.full for note in notes_of(row)] == ([words] if words else [])


def options(device: str = "cpu", threads: int = 2) -> RunOptions:
    return RunOptions(device=device, threads=threads, precision="fp32", batch=1)


@trust(
    "two threads that a mask keeps on one CPU",
    "NOISY by the other work on the machine, 'Threads: 2', and no word of the mask",
    "INVALID: what worked may run on no more than 1 CPU (0)",
)
def test_threads_that_cannot_run_side_by_side_are_refused() -> None:
    refused = crowded(options(), (0,))
    assert refused is not None
    assert "no more than 1 CPU (0)" in refused
    assert crowded(options(), (0, 1)) is None, "a model of one thread"
    assert crowded(options(), None) is None
    assert crowded(options("cuda:0"), (0,)) is None


def test_thread_limit_that_comes_back_in_the_worker_is_refused() -> None:
    assert "OMP_THREAD_LIMIT=1" in (thread_limit({"OMP_THREAD_LIMIT": "1"}, options()) or "")
    for limit in ("2", "", "many"):
        assert thread_limit({"OMP_THREAD_LIMIT": limit}, options()) is None
    assert thread_limit({}, options()) is None


@pytest.mark.trust(
    item=19,
    case="predict, in a process of its own, with OMP_THREAD_LIMIT=1",
    before="one thread worked, while --threads and PyTorch said 2, without a word",
    now="cleared while the artifact runs, and said",
)
def test_what_runs_in_this_process_sees_no_settings_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with cleared_here():
        inside = dict(os.environ)
    assert not cleared_of(inside)
    assert inside["MALLOC_ARENA_MAX"] == "1"
    assert {name: os.environ[name] for name in SETTINGS} == SETTINGS
