"""The bulk comparison says of every cell what ``compare`` says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.between_runs import BEST, visits_record
from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.comparison import answer_of, compare_records
from deploybench.archive.comparing import BulkRequest, compare_in_bulk
from deploybench.archive.places import place_of
from deploybench.archive.sides import identity_of
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.results.store import write_record
from deploybench.results.verdict import Judgement, Verdict
from tests.analysis.test_visit_states import cell
from tests.archive.made import packed, steady, written
from tests.comparisons import FAR_NS, NEAR_NS, host, launch, record
from tests.conftest import Cli

VISITS = 96
FULL_SPEED = np.zeros(VISITS)


def visited(factor: float, run: str, seed: int = 3, **changes: Any) -> Record:
    noise = np.random.default_rng(seed).normal(0, 0.004, VISITS)
    speeds = changes.pop("speeds", FULL_SPEED)
    return visits_record(math.log(factor) - speeds + noise, speeds, run=run, **changes)


def in_bulk(
    baseline: Path, candidate: Path | None = None, **options: Any
) -> tuple[list[dict[str, Any]], int]:
    first = [place_of(str(baseline))]
    second = first if candidate is None else [place_of(str(candidate))]
    with compare_in_bulk(BulkRequest(first, second, **options)) as found:
        return list(found.lines()), found.read_whole


def saved(folder: Path, records: Sequence[Record]) -> Path:
    for number, one in enumerate(records):
        write_record(one, folder / f"{one.run}-{number}")
    return folder


def check_alike(
    tmp_path: Path,
    before: Sequence[Record],
    after: Sequence[Record],
    allowed: frozenset[str] = frozenset(),
    run_shift: float | None = None,
) -> int:
    """Plain records and packs of them give what ``compare_records`` gives; how many were read
    whole."""
    first, second = saved(tmp_path / "before", before), saved(tmp_path / "after", after)
    expected = []
    for row in compare_records(before, after, allowed=allowed, others=OtherRuns(given=run_shift)):
        answer, ratio = answer_of(row), row.ratio
        numbers = () if ratio is None else (ratio.value, ratio.low, ratio.high, ratio.coverage)
        status = row.status.value
        expected.append(
            (row.cells[0].title(), status, answer and answer.value, pytest.approx(numbers))
        )
    packs = [packed(folder, tmp_path / f"{folder.name}-pack") for folder in (first, second)]
    whole = set()
    for places in ((first, second), packs, (first, packs[1])):
        lines, read_whole = in_bulk(*places, allowed=allowed, run_shift=run_shift)
        whole.add(read_whole)
        seen = []
        for line in lines:
            names = ("speedup", "speedup_low", "speedup_high", "speedup_coverage")
            numbers = () if line["speedup"] is None else tuple(line[name] for name in names)
            seen.append((line["title"], line["status"], line["answer"], numbers))
        assert sorted(seen, key=str) == sorted(expected, key=lambda row: str(row[:3]))
    (count,) = whole
    return count


def test_launches_are_compared_alike_and_none_is_read_whole(tmp_path: Path) -> None:
    before = [steady(10.0, "before", batch=batch) for batch in range(1, 9)]
    factors = (1.0, 1.005, 1.05, 1.5, 0.95, 0.7, 1.02, 0.98)
    after = [steady(10.0 * factor, "after", batch=batch) for batch, factor in enumerate(factors, 1)]
    assert check_alike(tmp_path, before, after) == 0


def test_few_and_many_launches_are_compared_alike(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    before, after = [], []
    for batch, (first, second) in enumerate([(1, 1), (3, 8), (5, 5), (9, 4), (12, 20)], 1):
        before.append(record(draw.normal(10, 0.1, first).tolist(), "before", batch=batch))
        after.append(record(draw.normal(9, 0.1, second).tolist(), "after", batch=batch))
    assert check_alike(tmp_path, before, after) == 0


def test_a_machine_whose_probes_moved_is_told_alike(tmp_path: Path) -> None:
    def at(ms: float, compute_us: float, run: str) -> Record:
        made = [launch(ms + 0.01 * n, n, compute_us=compute_us + 0.1 * n) for n in range(8)]
        return record(made, run)

    assert check_alike(tmp_path, [at(10, 40, "before")], [at(8, 50, "after")]) == 0


def test_visits_are_compared_alike(tmp_path: Path) -> None:
    before, after = [visited(1.0, "before")], [visited(0.9, "after", seed=4)]
    assert check_alike(tmp_path, before, after) == 0


def test_what_takes_the_whole_record_is_read_whole_and_compared_alike(tmp_path: Path) -> None:
    two_states = [launch(10 + 5 * (n % 2), n, hop_ns=(NEAR_NS, FAR_NS)[n % 2]) for n in range(12)]
    flipped = [launch(10, n, hop_after_ns=FAR_NS if n == 3 else None) for n in range(8)]
    slow = np.full(VISITS, math.log(0.81))
    seen = BEST.replaced(compute_us=BEST.compute_us / 0.81, memory_us=BEST.memory_us / 0.81)
    before = [
        record(two_states, "before", batch=2),
        record(flipped, "before", batch=3),
        record([launch(10, n, hop_ns=FAR_NS) for n in range(8)], "before", batch=4),
        visited(1.0, "before", speeds=slow, best=seen),
    ]
    after = [
        record(two_states, "after", batch=2),
        steady(9.0, "after", batch=3),
        steady(9.0, "after", batch=4),
        visited(0.9, "after"),
    ]
    assert check_alike(tmp_path, before, after) == 4


def test_visits_of_unlike_states_of_the_machine_are_read_whole(tmp_path: Path) -> None:
    """One run met the near state, one the far one, one both: what both met is compared."""
    near, far = cell(hops_ns=[65.0] * 60), cell(run="two", hops_ns=[160.0] * 60, seed=1)
    assert check_alike(tmp_path / "unlike", [near], [far]) == 1
    assert check_alike(tmp_path / "both", [cell()], [far]) == 1
    again = cell(run="three", hops_ns=[65.0] * 60, seed=2)
    assert check_alike(tmp_path / "alike", [near], [again]) == 0


def test_launches_against_visits_are_compared_as_experienced(tmp_path: Path) -> None:
    after = visited(0.9, "after")
    before = record([10.0 + 0.01 * n for n in range(8)], "before").replaced(
        cell=after.cell, host=after.host
    )
    assert check_alike(tmp_path, [before], [after]) == 1


def test_unlike_missing_and_failed_cells_are_told_alike(tmp_path: Path) -> None:
    failed = steady(1.0, "after", batch=3).replaced(
        summary=None, judgement=Judgement(verdict=Verdict.FAILED, reason="crashed")
    )
    before = [steady(10.0, "before", batch=batch) for batch in (1, 2, 3)]
    before.append(steady(10.0, "before", runner="gone"))
    after = [
        steady(9.0, "after", batch=1, machine=host(hostname="elsewhere")),
        steady(9.0, "after", batch=2, machine=host(versions={"deploybench": "2"})),
        failed,
        steady(9.0, "after", runner="new"),
    ]
    assert check_alike(tmp_path / "refused", before, after) == 0
    assert check_alike(tmp_path / "allowed", before, after, frozenset({"host", "version"})) == 0


def test_a_side_that_is_not_valid_gives_no_answer_in_bulk_either(tmp_path: Path) -> None:
    shaken = [launch(10 + (n % 5), n) for n in range(8)]
    before, after = [record(shaken, "before")], [steady(5.0, "after")]
    check_alike(tmp_path, before, after)


@pytest.mark.parametrize("same_versions", [True, False])
def test_the_shift_of_whole_runs_is_estimated_alike(tmp_path: Path, same_versions: bool) -> None:
    factors = (1.0, 1.02, 0.97, 1.01, 0.99)
    before, after = [], []
    for number, factor in enumerate(factors):
        created = f"2026-01-0{number + 1}T00:00:00"
        before.append(steady(10 * factor, f"b{number}", created=created))
        versions = {"onnxruntime": "1.30" if same_versions else "1.31"}
        after.append(steady(9 * factor, f"c{number}", created=created, versions=versions))
    assert check_alike(tmp_path, before, after) == 0


def test_a_shift_that_is_given_counts_alike(tmp_path: Path) -> None:
    before, after = [steady(10.0, "before")], [steady(9.9, "after")]
    assert check_alike(tmp_path, before, after, run_shift=0.0) == 0


def test_one_place_holds_both_sides_and_conditions_tell_them_apart(tmp_path: Path) -> None:
    folder = written(tmp_path, steady(10.0, "before"), steady(5.0, "after"))
    options = {"baseline_where": "run = 'before'", "candidate_where": "run = 'after'"}
    ((line,), _) = in_bulk(folder, **options)
    assert line["answer"] == "FASTER"
    with pytest.raises(DeployBenchError, match="on both sides"):
        in_bulk(folder)
    with pytest.raises(DeployBenchError, match="no record of a cell"):
        in_bulk(folder, baseline_where="run = 'nothing'", candidate_where="run = 'after'")


@pytest.mark.parametrize(
    "condition",
    [
        "true); COPY sides TO 'stolen.csv'; SELECT (1",
        "run = (SELECT content FROM read_text('/etc/passwd'))",
        "run ==== 1",
        "nothing = 1",
    ],
)
def test_a_condition_that_does_more_than_choose_is_refused(
    condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "records", steady(10.0, "before"), steady(5.0, "after"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployBenchError):
        in_bulk(folder, baseline_where=condition, candidate_where="run = 'after'")
    assert not (tmp_path / "stolen.csv").exists()


CHANGES: tuple[dict[str, object], ...] = (
    {},
    {"batch": 2},
    {"form": "fp16"},
    {"image": "x"},
    {"arena": "off"},
    {"image_size": (1, 2)},
    {"patch_size": 8},
    {"weights_identity": "y"},
    {"timing": "engine-only"},
    {"streams": 2},
    {"artifact": "/b"},
    {"weights": "other words"},
)


def test_cells_are_told_apart_as_by_their_identity() -> None:
    cells = [steady(1.0, "a").cell.replaced(**change) for change in CHANGES]
    for one in cells:
        for other in cells:
            alike = one.identity == other.identity
            assert (identity_of(one) == identity_of(other)) is alike


def test_the_command_counts_and_shows_the_largest_changes(tmp_path: Path, cli_here: Cli) -> None:
    before = [steady(10.0, "before", batch=batch) for batch in (1, 2, 4)]
    after = [steady(10.0 / batch, "after", batch=batch) for batch in (1, 2, 4)]
    written(tmp_path / "before", *before)
    written(tmp_path / "after", *after)
    done = cli_here(
        "results",
        "compare",
        tmp_path / "before",
        tmp_path / "after",
        "--limit",
        "1",
        "--run-shift",
        "0.1%",
    )
    assert done.returncode == 0
    assert "3 cells compared" in done.stdout
    assert "2 FASTER" in done.stdout
    assert "batch 4" in done.stdout
    assert "batch 2" not in done.stdout
