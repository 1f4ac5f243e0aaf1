"""One worker killed among many is a lost launch with a note; more than that is a failure."""

from __future__ import annotations

import pytest

from deploybench.analysis.lost_launches import lost_launches
from deploybench.results.launch import Launch
from deploybench.results.verdict import Verdict
from deploybench.rows.rows import rows_of
from tests.records import launch, record

GOOD, KILLED = "good", "killed"


def launches(*ends: str) -> list[Launch]:
    return [
        launch([10.0] * 20, number=number)
        if end == GOOD
        else Launch(round=number, error="killed by SIGKILL (often: out of memory)")
        for number, end in enumerate(ends)
    ]


@pytest.mark.parametrize(
    ("ends", "lost"),
    [
        ([GOOD] * 8, 0),
        ([*[GOOD] * 7, KILLED, GOOD], 1),
        ([GOOD, KILLED, GOOD], 1),
        ([*[GOOD] * 7, KILLED], 1),
        ([KILLED, GOOD, GOOD], 0),
        ([KILLED], 0),
        ([*[GOOD] * 7, KILLED, KILLED], 0),
        ([GOOD, KILLED, GOOD, KILLED, GOOD, GOOD], 0),
        ([*[GOOD] * 5, KILLED, *[GOOD] * 4, KILLED, GOOD], 2),
        ([*[GOOD] * 5, KILLED, *[GOOD] * 3, KILLED, GOOD], 0),
        ([], 0),
    ],
)
def test_launch_is_lost_after_a_good_one_when_few_are_and_never_two_running(
    ends: list[str], lost: int
) -> None:
    assert len(lost_launches(launches(*ends))) == lost


def test_lost_launch_is_a_note_in_the_reason_and_the_cell_keeps_its_number() -> None:
    made = record(launches(*[GOOD] * 7, KILLED, GOOD))
    assert made.judgement.verdict is Verdict.VALID
    assert "8 launches agree" in made.judgement.reason
    assert "1 launch was lost: killed by SIGKILL" in made.judgement.reason
    assert made.summary is not None
    assert made.summary.launches == 8
    (row,) = rows_of([made])
    assert (row.verdict, row.p50_ms) == ("VALID", 10.0)
    assert "1 launch was lost" in row.reason


def test_cell_that_was_killed_twice_running_has_failed() -> None:
    made = record(launches(*[GOOD] * 7, KILLED, KILLED))
    assert made.judgement.verdict is Verdict.FAILED
    assert "killed by SIGKILL" in made.judgement.reason


def test_refused_launch_is_never_lost() -> None:
    made = record([*launches(*[GOOD] * 7), Launch(round=7, refused="runs bf16")])
    assert made.judgement.verdict is Verdict.INVALID
