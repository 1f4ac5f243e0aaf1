"""Lost launches: a failure that came once and did not come again.

A worker that the system killed in round 8 of 20 says little about the model on the runner. A launch
that ended with an error is lost, and the cell goes on, when a launch before it was measured; when
the next one (the retry) fails as well, or when more than one in six is lost, the cell has FAILED.
What was refused or failed parity is no accident and is never lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from deploybench.plurals import counted
from deploybench.results.launch import Launch
from deploybench.results.verdict import Judgement

LAUNCHES_FOR_EACH_LOSS = 6
"""As many as an interval needs: one loss is forgiven in each six launches, and one in fewer."""


def lost_launches(launches: Sequence[Launch]) -> list[Launch]:
    """The launches that were lost, oldest first; none where the errors are the cell's failure.

    The last launch may be one whose retry has not come yet.
    """
    failed = [launch for launch in launches if launch.error is not None]
    if not failed or launches[0].error is not None:
        return []
    forgiven = max(1, len(launches) // LAUNCHES_FOR_EACH_LOSS)
    if len(failed) > forgiven or _failed_twice_running(launches):
        return []
    return failed


def without_lost(launches: Sequence[Launch]) -> list[Launch]:
    """The launches that say something about the cell."""
    lost = lost_launches(launches)
    # By identity: two launches may be equal.
    lost_ids = {id(launch) for launch in lost}
    return [launch for launch in launches if id(launch) not in lost_ids]


def noting_losses(judgement: Judgement, launches: Sequence[Launch]) -> Judgement:
    """The judgement, whose reason also says how many launches were lost, and to what."""
    lost = lost_launches(launches)
    if not lost:
        return judgement
    count = counted(len(lost), "launch was", "launches were")
    return Judgement(
        verdict=judgement.verdict,
        reason=f"{judgement.reason}; {count} lost: {lost[0].error}",
        advice=judgement.advice,
    )


def _failed_twice_running(launches: Sequence[Launch]) -> bool:
    """Whether a launch failed and its retry, the next one, failed as well."""
    for launch, retry in itertools.pairwise(launches):
        if launch.error is not None and retry.error is not None:
            return True
    return False
