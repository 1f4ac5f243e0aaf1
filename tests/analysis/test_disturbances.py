"""What disturbs a launch and what does not, beyond what the verdicts' tests show."""

from __future__ import annotations

import pytest

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import states_of
from deploybench.analysis.verdicts import judge_state
from deploybench.results.verdict import Verdict
from tests.records import launch, surroundings

STEADY = [10.0] * 20


@pytest.mark.parametrize(
    ("count", "share", "words"),
    [
        pytest.param(
            12,
            0.2,
            "throttled by the quota of its cgroup 12 times, 20% of the CPUs' time",
            marks=pytest.mark.trust(
                item=20,
                case="a launch that its cgroup's quota held back in 12 periods",
                before="undisturbed: what the quota held back was not read",
                now="disturbed: throttled by the quota of its cgroup 12 times",
            ),
        ),
        (1, None, "throttled by the quota of its cgroup once"),
        (3, 0.005, None),  # threads that just fill their quota
        (0, 0.0, None),
        (None, None, None),
    ],
)
def test_waiting_for_a_quota_disturbs(
    count: int | None, share: float | None, words: str | None
) -> None:
    around = surroundings(quota_throttled=count, quota_share=share)
    found = disturbances(launch(STEADY, surroundings=around))
    assert [one.what for one in found] == ([words] if words else [])
    if words:
        assert "--threads" in found[0].advice


def test_cell_whose_launches_all_waited_for_their_quota_is_noisy() -> None:
    around = surroundings(quota_throttled=12, quota_share=0.2)
    (state,) = states_of([launch(STEADY, surroundings=around)] * 6)
    judgement = judge_state(state)
    assert judgement.verdict is Verdict.NOISY
    assert "throttled by the quota" in judgement.reason
