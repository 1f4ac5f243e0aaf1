"""By how much whole runs of a cell shift, from the records at hand.

Runs tell it that measured the same thing: the same cell of the same artifact, on the same host,
with the same versions of everything. The scatter of their times is the shift. Where fewer than four
such runs are at hand the shift is assumed (:mod:`deploybench.statistics.shift`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.analysis.matching import hardware
from deploybench.results.record import Record
from deploybench.statistics.shift import RunShift, assumed_shift, estimated_shift

TimeOf = Callable[[Record], float | None]
"""The time of a record that is compared; None where it has none that can be trusted."""


def shift_of_runs(
    old: Record,
    new: Record,
    records: Sequence[Record],
    time_of: TimeOf,
    *,
    assumed: float,
) -> RunShift:
    """The shift of a run of either thing, estimated from ``records`` or ``assumed`` (deviation).

    ``new`` itself is left out where it is the same thing as ``old``: the difference of these two is
    what is asked for.
    """
    before, after = thing_of(old), thing_of(new)
    times: dict[object, dict[str, float]] = {before: {}, after: {}}
    for record in sorted((*records, old, new), key=lambda record: record.created):
        thing = thing_of(record)
        same_as_both = before == after and record.run == new.run
        if thing not in times or same_as_both:
            continue
        time = time_of(record)
        if time is not None:
            times[thing][record.run] = time  # a run counts once, with its latest record
    estimated = estimated_shift([list(by_run.values()) for by_run in times.values()])
    if estimated is not None:
        return estimated
    return assumed_shift(assumed)


def thing_of(record: Record) -> tuple[object, ...]:
    """What two runs have to share for their times to differ by the shift of whole runs alone."""
    host = record.host
    return (
        record.cell.identity,
        record.cell.artifact_key,
        host.hostname,
        hardware(record),
        host.versions.get("deploybench"),
        tuple(sorted(record.versions.items())),
    )
