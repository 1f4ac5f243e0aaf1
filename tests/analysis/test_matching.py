"""Partners are found without holding every record against every other, and they are the same."""

from __future__ import annotations

import random
import time

from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.matching import ALLOWABLE, FIELDS, held_against, match
from deploybench.results.record import Record
from tests.comparisons import record

Pairs = list[tuple[Record | None, Record | None]]


def by_every_pair(baseline: list[Record], candidate: list[Record], free: set[str]) -> Pairs:
    """What the partners are, by holding every record against every other."""
    near = []
    for i, old in enumerate(baseline):
        for j, new in enumerate(candidate):
            differing = {
                name
                for name, field in FIELDS.items()
                if getattr(old.cell, field) != getattr(new.cell, field)
            }
            if differing <= {*ALLOWABLE, *free}:
                near.append((len(differing - free), len(differing), i, j))
    chosen: dict[int, int] = {}
    for _, _, i, j in sorted(near):
        if i not in chosen and j not in chosen.values():
            chosen[i] = j
    pairs: Pairs = []
    for i, old in enumerate(baseline):
        pairs.append((old, candidate[chosen[i]] if i in chosen else None))
    pairs += [(None, new) for j, new in enumerate(candidate) if j not in chosen.values()]
    return pairs


def test_partners_are_those_that_every_pair_would_give() -> None:
    draw = random.Random(0)
    made = record([10.0] * 6)

    def cells(count: int, run: str) -> list[Record]:
        drawn = []
        for _ in range(count):
            cell = made.cell.replaced(
                runner=draw.choice(["onnxruntime", "openvino"]),
                batch=draw.choice([1, 2, 4]),
                precision=draw.choice(["fp32", "fp16"]),
                threads=draw.choice([1, 2]),
                form=draw.choice(["fp32-dynamic", "fp16-dynamic"]),
            )
            drawn.append(made.replaced(cell=cell, run=run))
        return drawn

    for free in (set(), {"runner", "backend", "form"}, {"precision", "form"}):
        for _ in range(20):
            before, after = cells(draw.randrange(9), "before"), cells(draw.randrange(9), "after")
            assert match(before, after, free) == by_every_pair(before, after, free)


def test_thousands_of_records_are_matched_at_once() -> None:
    made = record([10.0] * 6)
    sides = []
    for run in ("before", "after"):
        cells = [made.cell.model_copy(update={"model": f"net{n}"}) for n in range(3000)]
        sides.append([made.model_copy(update={"cell": cell, "run": run}) for cell in cells])
    started = time.perf_counter()
    matched = match(sides[0], sides[1], ())
    # Held against each other one by one they took over a minute.
    assert time.perf_counter() - started < 5
    assert all(old and new and old.cell.model == new.cell.model for old, new in matched)


def test_the_runs_of_a_thing_are_found_among_all_others() -> None:
    one, other = record([10.0] * 6, "a"), record([10.0] * 6, "b", runner="openvino")
    again = record([11.0] * 6, "c")
    others = OtherRuns(records=(one, other, again))
    assert others.of_the_things(one) == [one, again]
    assert others.of_the_things(one, other) == [one, again, other]
    assert others.of_the_things(record([1.0] * 6, "d", batch=9)) == []


def kept_run(
    day: int, *weights: str, models: tuple[str, ...] = ("m",), **host: str
) -> list[Record]:
    """A run of a baseline: every model with these weights."""
    made = record([10.0] * 6)
    machine = made.host.model_copy(update=host)
    records = []
    for model in models:
        for checkpoint in weights:
            cell = made.cell.replaced(model=model, weights_identity=checkpoint)
            created = f"2026-01-0{day}T00:00:0{len(records)}"
            records.append(
                made.replaced(cell=cell, run=f"run-{day}", created=created, host=machine)
            )
    return records


def names(records: list[Record]) -> list[tuple[str, str, str]]:
    return [(one.run, one.cell.model, one.cell.weights_identity) for one in records]


def test_candidate_is_not_held_against_a_checkpoint_that_the_baseline_left_behind() -> None:
    for hosts in ({}, {"hostname": "another"}):
        baseline = [*kept_run(1, "W1", **hosts), *kept_run(2, "W2")]
        for checkpoint in ("W2", "W3"):
            held = held_against(baseline, kept_run(5, checkpoint))
            assert names(held) == [("run-2", "m", "W2")]
    # a candidate of the old checkpoint still has its own
    assert ("run-1", "m", "W1") in names(held_against(baseline, kept_run(5, "W1")))


def test_removed_model_is_missed_only_until_the_baseline_has_left_it_behind() -> None:
    first = kept_run(1, "W", models=("m", "removed"))
    candidate = kept_run(5, "W")
    assert ("run-1", "removed", "W") in names(held_against(first, candidate))
    baseline = [*first, *kept_run(2, "W")]
    assert names(held_against(baseline, candidate)) == [("run-2", "m", "W")]
    # where the candidate has it, the last that is known of it counts
    held = names(held_against(baseline, kept_run(5, "W", models=("m", "removed"))))
    assert ("run-1", "removed", "W") in held


def test_run_of_other_cells_or_of_another_host_leaves_none_behind() -> None:
    for later in (
        kept_run(2, "W", models=("other",)),
        kept_run(2, "W", models=("m",), hostname="another"),
    ):
        baseline = [*kept_run(1, "W", models=("m", "large")), *later]
        assert ("run-1", "large", "W") in names(held_against(baseline, kept_run(5, "W")))


def test_two_checkpoints_of_one_run_are_both_held() -> None:
    baseline = kept_run(1, "W1", "W2")
    assert len(held_against(baseline, kept_run(5, "W2"))) == 2


def test_of_two_that_differ_as_much_the_later_run_is_the_partner() -> None:
    (before, now), (candidate,) = [*kept_run(1, "W1"), *kept_run(2, "W2")], kept_run(5, "W3")
    for baseline in ([before, now], [now, before]):
        assert (now, candidate) in match(baseline, [candidate], ())
