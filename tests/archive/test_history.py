"""Cells over time: one series a cell and host, since when it changed, and what changed beside."""

from __future__ import annotations

import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploybench.archive.history import History, history_of
from deploybench.archive.places import place_of
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from tests.archive.made import packed, steady, written
from tests.conftest import Cli

BEGAN = datetime(2026, 9, 1, 6)
DAYS, SINCE = 24, 14


def daily(level: float, day: int, seed: int, **changes: object) -> Record:
    """The record of a day, its run shifted by 1 % or so."""
    shift = random.Random(1000 * seed + day).gauss(0, 0.01)
    created = (BEGAN + timedelta(days=day)).isoformat()
    return steady(level * math.exp(shift), f"day-{day:02}", created=created, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells: ONNX Runtime became 10 % slower with a new version, OpenVINO did not change."""
    place = tmp_path_factory.mktemp("history") / "records"
    for day in range(DAYS):
        slower = daily(11 if day >= SINCE else 10, day, 1, runner="onnxruntime")
        version = "1.24.0" if day >= SINCE else "1.23.2"
        slower = slower.replaced(versions={**slower.versions, "onnxruntime": version})
        written(place, slower, daily(7, day, 2, runner="openvino"))
    return place


def history(*places: Path, cell: str | None = None, margin: float = 0.02) -> History:
    return history_of([place_of(str(place)) for place in places], cell, margin)


def test_the_change_is_found_with_its_size_and_what_changed_beside_it(folder: Path) -> None:
    (series,) = history(folder, cell="onnxruntime fp32").series
    (change,) = series.changes
    assert change.before.run < f"day-{SINCE:02}" <= change.after.run
    assert change.step.low < 1.1 < change.step.high
    assert change.step.high - change.step.low < 0.06
    assert "onnxruntime: 1.23.2 → 1.24.0" in change.beside


def test_a_cell_that_did_not_change_says_so(folder: Path) -> None:
    (series,) = history(folder, cell="net openvino").series
    assert series.enough
    assert not series.changes


def test_a_pack_has_the_same_history_and_a_record_in_both_counts_once(
    folder: Path, tmp_path: Path
) -> None:
    pack = packed(folder, tmp_path / "pack")
    plain, of_pack, of_both = history(folder), history(pack), history(folder, pack)
    for other in (of_pack, of_both):
        assert [len(one.points) for one in other.series] == [DAYS, DAYS]
        (change,) = other.series[0].changes
        assert change.step == plain.series[0].changes[0].step
        assert change.beside == plain.series[0].changes[0].beside


def test_other_hosts_and_settings_are_series_of_their_own(tmp_path: Path) -> None:
    for day in range(4):
        one = daily(10, day, 1)
        other = one.replaced(host=one.host.replaced(hostname="there"))
        written(tmp_path / "here", one, daily(9, day, 1, batch=8))
        written(tmp_path / "there", other)
    found = history(tmp_path)
    assert sorted((one.host, len(one.points)) for one in found.series) == [
        ("here", 4),
        ("here", 4),
        ("there", 4),
    ]
    assert not any(one.enough for one in found.series)


def test_records_without_a_trusted_number_are_left_out_and_counted(tmp_path: Path) -> None:
    for day in range(3):
        written(tmp_path, daily(10, day, 1))
    broken = daily(10, 3, 1)
    unknown = broken.replaced(created="some day")
    written(tmp_path, unknown)
    (series,) = history(tmp_path).series
    assert len(series.points) == 3
    assert dict(series.left_out) == {"without a time": 1}


def test_changes_within_the_margin_are_counted_and_not_told(folder: Path) -> None:
    (series,) = history(folder, cell="onnxruntime", margin=0.5).series
    assert not series.changes
    assert series.small == 1


def test_an_unknown_cell_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(DeployBenchError) as caught:
        history(folder, cell="nothing")
    assert "net openvino" in str(caught.value.expected)


def test_an_edited_record_is_no_point(folder: Path, tmp_path: Path) -> None:
    written(tmp_path, daily(10, 0, 1), daily(10, 1, 1))
    path = next((tmp_path / "day-01").iterdir())
    path.write_text(path.read_text().replace('"run": "day-01"', '"run": "day-09"'))
    found = history(tmp_path)
    assert [len(one.points) for one in found.series] == [1]
    assert "was edited" in found.problems[0].found


def test_the_command_prints_a_chart_json_and_a_picture(
    folder: Path, tmp_path: Path, cli_here: Cli
) -> None:
    table = cli_here("results", "history", folder, "--cell", "onnxruntime")
    assert table.returncode == 0
    words = " ".join(table.stdout.split())
    assert "slower by" in words
    assert "beside it: onnxruntime: 1.23.2 → 1.24.0" in words
    assert "┊" in table.stdout
    entries = json.loads(cli_here("results", "history", folder, "--json").stdout)
    assert [entry["answer"] for entry in entries] == ["changed", "no change"]
    assert entries[0]["changes"][0]["time_factor"] == pytest.approx(1.1, abs=0.03)
    drawn = cli_here("results", "history", folder, "--svg", tmp_path / "pictures")
    assert drawn.returncode == 0
    assert list((tmp_path / "pictures").glob("*.svg"))
    assert cli_here("results", "history", tmp_path / "nowhere").returncode == 2
