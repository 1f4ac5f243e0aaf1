"""What the worker refuses before it times anything."""

from __future__ import annotations

import pytest

from deploybench.measure.job import Job
from deploybench.measure.worker import fallback
from deploybench.results import Facts


def job(**changes: object) -> Job:
    made = Job(artifact="", runner="r", device="cpu", precision="fp32", batch=1, threads=4)
    return made.model_copy(update=changes)


def facts(**changes: object) -> Facts:
    return Facts(precision="fp32", threads=4, provider="CPU", device="cpu").model_copy(update=changes)


@pytest.mark.parametrize(
    ("asked", "ran", "reason"),
    [
        ({}, {}, None),
        ({}, {"precision": "bf16"}, "asked for precision fp32, CPU runs bf16"),
        ({}, {"threads": 8}, "asked for threads 4, CPU runs 8"),
        ({"device": "cuda"}, {}, "asked for device cuda, CPU runs cpu"),
        ({"streams": 2}, {"threads": 2}, None),
        ({"streams": 3}, {"threads": 1}, None),
        ({"streams": 2}, {"threads": 4}, "asked for threads 2, CPU runs 4"),
    ],
)
def test_session_that_is_not_what_was_asked_for_is_refused_in_words(
    asked: dict[str, object], ran: dict[str, object], reason: str | None
) -> None:
    assert fallback(job(**asked), facts(**ran)) == reason
