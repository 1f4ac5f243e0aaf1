"""Accuracies in ``show``, ``compare`` and ``gate``: what is printed, and the exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.results.record import Record
from deploybench.results.store import write_record
from tests.comparisons import record
from tests.conftest import run_here
from tests.qualities import evaluation, quality

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]
QUICK = ("--run-shift", "0%")
GATE = ("--no-rerun-baseline", *QUICK)


def right(wrong: int, images: int = 5000) -> np.ndarray:
    marks = np.ones(images, bool)
    marks[:wrong] = False
    return marks


def keep(root: Path, *records: Record) -> None:
    for one in records:
        write_record(one, Workspace(root).records_folder / one.run)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace of two timed runs and three evaluations: as good, and worse."""
    timed = [record(STEADY, run, artifact_key=key) for run, key in (("a", "A"), ("b", "B"))]
    evaluated = [
        evaluation(quality(right(500), eager=right(500)), "e-a", artifact_key="A"),
        evaluation(quality(right(510), eager=right(500), shift=0.2), "e-b", artifact_key="B"),
        evaluation(quality(right(900), eager=right(500), shift=0.2), "f-bad", artifact_key="C"),
    ]
    keep(tmp_path, *timed, *evaluated)
    return tmp_path


def test_comparison_table_has_the_accuracy_of_cells_that_were_evaluated(root: Path) -> None:
    done = run_here("show", "b", "-w", root)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "89.8 ±0.9" in text
    assert re.search(r"-0\.2 ±0\.[12] SAME", text)
    assert "accuracy: top-1 on 5000 images of photos" in text
    (row,) = json.loads(run_here("show", "b", "-w", root, "--json").stdout)
    assert row["accuracy"] == pytest.approx(0.898)
    assert row["accuracy_answer"] == "SAME"
    assert row["accuracy_difference"] == pytest.approx(-0.002)


def test_comparison_table_without_evaluations_has_no_such_column(tmp_path: Path) -> None:
    keep(tmp_path, record(STEADY, "a"))
    text = run_here("show", "a", "-w", tmp_path).stdout
    assert "accuracy" not in text
    assert "Δ" not in text


def test_compare_pairs_the_accuracies_by_image(root: Path) -> None:
    done = run_here("compare", "a", "b", "-w", root, *QUICK)
    assert done.returncode == 0, done.stderr
    assert re.search(r"90\.0 ±0\.9 +89\.8 ±0\.9 +-0\.2 ±0\.[12] SAME", done.stdout)
    rows = json.loads(run_here("compare", "a", "b", "-w", root, "--json", *QUICK).stdout)
    (accuracy,) = [row for row in rows if row.get("of") == "accuracy"]
    assert (accuracy["only_baseline"], accuracy["only_candidate"]) == (10, 0)
    done = run_here("compare", "e-a", "f-bad", "-w", root)
    assert done.returncode == 0, done.stderr
    assert "WORSE" in done.stdout


@pytest.mark.parametrize(
    ("sides", "drop", "code", "words"),
    [
        (("a", "b"), "1%", 0, "PASS: 1 of 1 lost at most 1 % of accuracy"),
        (("e-a", "f-bad"), "1%", 1, "REGRESSION: 1 lost more, 0 of 1 lost at most 1 %"),
        (("e-a", "f-bad"), "9%", 0, "PASS: 1 of 1 lost at most 9 %"),
        (("e-a", "f-bad"), "8%", 3, "INCONCLUSIVE: 1 inconclusive"),
    ],
)
def test_gate_fails_where_accuracy_was_lost(
    root: Path, sides: tuple[str, str], drop: str, code: int, words: str
) -> None:
    old, new = sides
    done = run_here("gate", "-b", old, new, "-w", root, "--max-accuracy-drop", drop, *GATE)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in " ".join(done.stdout.split())


def test_gate_without_the_option_looks_at_times_only(root: Path) -> None:
    done = run_here("gate", "-b", "a", "b", "-w", root, *GATE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ccuracy" not in done.stdout


def test_gate_that_is_asked_for_accuracies_and_finds_none_is_no_pass(tmp_path: Path) -> None:
    keep(tmp_path, record(STEADY, "a"), record(STEADY, "b"))
    done = run_here("gate", "-b", "a", "b", "-w", tmp_path, "--max-accuracy-drop", "1%", *GATE)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no cell has an accuracy on either side" in " ".join(done.stdout.split())


def test_gate_as_json_and_markdown_holds_both(root: Path) -> None:
    arguments = ("gate", "-b", "a", "b", "-w", root, "--max-accuracy-drop", "1%", *GATE)
    rows = json.loads(run_here(*arguments, "--json").stdout)
    assert [row.get("of", "time") for row in rows] == ["time", "accuracy"]
    assert {row["outcome"] for row in rows} == {"PASS"}
    page = run_here(*arguments, "--markdown").stdout
    assert "lost at most 1 % of accuracy" in page.split("|")[0]
