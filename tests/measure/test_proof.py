"""What is refused before any clock starts, and how a failure is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploybench.contracts import RunOptions
from deploybench.measure.proof import Failure, failure_of, fallback
from deploybench.results.launch import Facts


def options(**changes: Any) -> RunOptions:
    return replace(RunOptions(device="cpu", threads=4, precision="fp32", batch=1), **changes)


def facts(**changes: object) -> Facts:
    return Facts(precision="fp32", threads=4, provider="CPU", device="cpu").model_copy(
        update=changes
    )


@pytest.mark.parametrize(
    ("asked", "ran", "reason"),
    [
        ({}, {}, None),
        ({}, {"precision": "bf16"}, "asked for precision fp32, CPU runs bf16"),
        ({}, {"threads": 8}, "asked for threads 4, CPU runs 8"),
        ({"device": "cuda"}, {}, "asked for device cuda, CPU runs cpu"),
        ({"device": "cuda"}, {"device": "cuda:0"}, None),
        ({"device": "cuda:1"}, {"device": "cuda:1"}, None),
        ({"device": "cuda"}, {"device": "cuda:1"}, "asked for device cuda, CPU runs cuda:1"),
        ({"streams": 2}, {"threads": 2}, None),
        ({"streams": 3}, {"threads": 1}, None),
        ({"streams": 2}, {"threads": 4}, "asked for threads 2, CPU runs 4"),
    ],
)
def test_session_that_is_not_what_was_asked_for_is_refused_in_words(
    asked: dict[str, object], ran: dict[str, object], reason: str | None
) -> None:
    assert fallback(options(**asked), facts(**ran)) == reason


class OutOfMemoryError(RuntimeError):
    """As torch.cuda has it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OutOfMemoryError("Tried to allocate 2.00 GiB"),
            "out of memory: Tried to allocate 2.00 GiB",
        ),
        (RuntimeError("CUDA error: out of memory"), "out of memory: CUDA error: out of memory"),
        (
            RuntimeError("BFCArena: Failed to allocate memory"),
            "out of memory: BFCArena: Failed to allocate memory",
        ),
        (RuntimeError("no kernel image"), "RuntimeError: no kernel image"),
        (MemoryError(), "out of memory"),
    ],
)
def test_memory_that_ran_out_is_called_so_whatever_the_runtime_calls_it(
    error: Exception, words: str
) -> None:
    assert failure_of(error) == Failure(error=words)


def test_traceback_of_what_a_runtime_raised_is_kept_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DEPLOYBENCH_TRACEBACK", "1")

    def broken_runtime() -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing") as raised:
        broken_runtime()
    words = failure_of(raised.value).error

    (path,) = (tmp_path / "deploybench" / "crashes").iterdir()
    assert words == f"ValueError: no such thing (traceback: {path})"
    assert "in broken_runtime" in path.read_text()
