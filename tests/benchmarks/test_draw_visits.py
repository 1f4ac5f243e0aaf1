"""The pictures of visits: what they draw, and that they say it in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.draw_visits import (
    caption_of,
    chosen,
    draw_cells,
    draw_slope,
    draw_states,
    draw_trace,
    points_of,
)
from benchmarks.draw_visits import visited_records as visited_only
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from tests.analysis.test_visit_states import cell
from tests.records import record
from tests.rows.test_rows import launches
from tests.visits import visited_record

SHARES = (0.5, 0.78, 0.96, 1.0)


def made(runner: str = "onnxruntime", undisturbed_ms: float = 40.0) -> Record:
    """Visits whose time is the undisturbed one over the speed that was delivered."""
    slope: dict[str, object] = {"slope": -1.0}
    return visited_record(
        undisturbed_ms, 49.1, shares=SHARES, changes=slope, model="resnet50", runner=runner
    )


def test_visit_moved_to_full_speed_takes_what_it_takes_undisturbed() -> None:
    points = points_of(made())
    assert [point.delivered for point in points] == pytest.approx(SHARES)
    assert [point.met_ms for point in points] == pytest.approx([80.0, 51.28, 41.67, 40.0], rel=1e-3)
    assert [point.adjusted_ms for point in points] == pytest.approx([40.0] * 4)
    assert [point.calm for point in points] == [False, False, True, True]


def test_pictures_are_svg_with_their_words_and_units_as_text(tmp_path: Path) -> None:
    records = [made(), made("openvino", 41.0)]
    for figure, words in (
        (
            draw_trace(records[0]),
            (
                "machine delivered, %",
                "each visit as met",
                "undisturbed: 40.0 ms",
                "seconds since the first visit",
            ),
        ),
        (draw_slope(records[0]), ("the line of all visits: slope -1.00", "% of its own")),
        (draw_cells(records), ("onnxruntime", "openvino", "undisturbed", "time of a call, ms")),
    ):
        path = tmp_path / "picture.svg"
        figure.savefig(path, metadata={"Date": None})
        text = path.read_text("utf-8")
        assert text.lstrip().startswith("<?xml")
        for word in words:
            assert word in text, word


def test_states_of_the_machine_have_colours_and_times_of_their_own(tmp_path: Path) -> None:
    record_of_both = cell()
    path = tmp_path / "states.svg"
    draw_states(record_of_both).savefig(path, metadata={"Date": None})
    text = path.read_text("utf-8")
    for words in ("hop from core", "visits at 65 ns", "visits at 160 ns", "10.0", "14.0"):
        assert words in text
    assert len(points_of(record_of_both)) == 100, "the other pictures are of the first state"


def test_picture_of_a_time_that_is_not_known_says_so(tmp_path: Path) -> None:
    known, doubted = made(), made()
    assert doubted.summary is not None
    (state,) = doubted.summary.states
    assert state.visited is not None
    unseen = state.replaced(visited=state.visited.replaced(known=False))
    doubted = doubted.replaced(summary=doubted.summary.replaced(states=(unseen,)))
    assert "; undisturbed: 40.0 ms (39.8 to 40.2)." in caption_of(known)
    assert "; undisturbed, not known: perhaps 40.0 ms" in caption_of(doubted)
    draw_trace(doubted).savefig(tmp_path / "picture.svg")
    assert "undisturbed, not known: perhaps" in (tmp_path / "picture.svg").read_text("utf-8")


def test_run_without_visits_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(DeployBenchError, match="no record of the run has visits"):
        visited_only([record(launches(10.0))])
    with pytest.raises(DeployBenchError, match="no such cell") as refused:
        chosen([made()], "vit", None)
    assert "resnet50 on onnxruntime" in str(refused.value.expected)
    assert chosen([made(), made("openvino")], None, "openvino").cell.runner == "openvino"
