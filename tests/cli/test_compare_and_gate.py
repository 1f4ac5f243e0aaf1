"""``compare`` and ``gate`` as a user types them: what is printed, and the exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.cli.compare import compare
from deploybench.results.record import Record
from deploybench.results.store import write_record
from deploybench.statistics.ratios import DEFAULT_MARGIN
from tests.comparisons import FAR_NS, launch, launches, record
from tests.conftest import Cli, run_here

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]
STEADY_RUNS = ("--run-shift", "0%")
"""Runs that do not shift as a whole."""
LONG = {
    "model": "timm:vit_small_patch16_224|odd",
    "weights": "checkpoint vit_small_patch16_224.safetensors",
}


@pytest.fixture
def cli() -> Cli:
    """What is printed is looked at, not the process."""
    return run_here


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with the runs ``before`` (two runners), ``same``, ``slower`` (the latest) and
    ``unlike``."""
    keep(
        tmp_path,
        record(STEADY, "before", **LONG),
        record(STEADY, "before", runner="openvino", **LONG),
    )
    keep(
        tmp_path, record(STEADY, "same", **LONG), record(STEADY, "same", runner="openvino", **LONG)
    )
    slower = record([1.2 * ms for ms in STEADY], "slower", runner="openvino", **LONG)
    keep(tmp_path, record(STEADY, "slower", **LONG), slower)
    keep(tmp_path, record(STEADY, "a-unlike", batch=8, **LONG))
    return tmp_path


def keep(root: Path, *records: Record) -> None:
    for item in records:
        write_record(item, Workspace(root).records_folder / item.run)


def refuse(text: str) -> NoReturn:
    raise AssertionError(f"{text} is no JSON")


def rows_of(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(text, parse_constant=refuse)
    return rows


def test_compare_prints_speed_ups_and_answers_within_112_columns(root: Path, cli: Cli) -> None:
    done = cli("compare", "before", "slower", "-w", root, *STEADY_RUNS)
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 112
    assert re.search(
        r"onnxruntime +fp32 +1 +2 +105 +10.01 +10.01 +1.000 +0.990–1.010 +SAME", done.stdout
    )
    assert re.search(r"openvino .* 0.833 +0.825–0.842 +SLOWER", done.stdout)


def test_compare_as_json_is_flat_and_holds_both_sides(root: Path, cli: Cli) -> None:
    rows = rows_of(cli("compare", "before", "slower", "-w", root, "--json", *STEADY_RUNS).stdout)
    assert {row["candidate_runner"]: row["answer"] for row in rows} == {
        "onnxruntime": "SAME",
        "openvino": "SLOWER",
    }
    for row in rows:
        assert not any(isinstance(value, (dict, list)) for value in row.values())
        assert (row["baseline_run"], row["candidate_run"], row["paired"]) == (
            "before",
            "slower",
            False,
        )
        assert row["speedup_low"] <= row["speedup"] <= row["speedup_high"]
        assert row["state_hop_ns"] == 105


def test_compare_within_one_run_is_paired_by_round(root: Path, cli: Cli) -> None:
    done = cli("compare", "slower", "--across", "runner=onnxruntime,openvino", "-w", root)
    assert done.returncode == 0, done.stderr
    assert re.search(r"onnxruntime → openvino .* 0.833 +0.833–0.833 +SLOWER", done.stdout)
    assert "paired by round" in " ".join(done.stdout.split())


def test_compare_answers_by_the_margin_that_was_asked_for(root: Path, cli: Cli) -> None:
    answers = [
        {
            row["answer"]
            for row in rows_of(cli("compare", "before", "same", "-w", root, "--json", *more).stdout)
        }
        for more in (STEADY_RUNS, (*STEADY_RUNS, "--margin", "0.1%"))
    ]
    assert answers == [{"SAME"}, {"AMBIGUOUS"}]
    table = cli("compare", "before", "same", "-w", root, "--margin", "0.1%", *STEADY_RUNS).stdout
    assert "within 0.1 % of 1" in " ".join(table.split())
    assert table.count("AMBIGUOUS [1]") == 2


def test_default_margin_of_the_command_is_that_of_the_core() -> None:
    import inspect

    assert inspect.signature(compare).parameters["margin"].default == f"{DEFAULT_MARGIN:.0%}"


def test_compare_of_unlike_rows_only_exits_2_until_they_are_allowed(root: Path, cli: Cli) -> None:
    keep(root, record(STEADY, "small", batch=1, **LONG))
    done = cli("compare", "small", "a-unlike", "-w", root)
    assert done.returncode == 2
    assert "unlike: batch 1 → 8; --allow batch compares them" in " ".join(done.stdout.split())
    assert "none of 1 cell could be compared" in done.stderr
    allowed = cli("compare", "small", "a-unlike", "-w", root, "--allow", "batch,host")
    assert allowed.returncode == 0
    assert "1 → 8" in allowed.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare", "before"), ["one run is no comparison", "--across runner="]),
        (
            ("compare", "before", "before"),
            ["2 records of run before are on both sides", "--across"],
        ),
        (
            ("compare", "before", "same", "--allow", "bach"),
            ["unknown kind of difference 'bach'", "batch"],
        ),
        (("compare", "before", "same", "--margin", "0.02"), ["--margin 0.02", "5%"]),
        (
            ("compare", "before", "--across", "runner"),
            ["--across runner", "runner=onnxruntime,openvino"],
        ),
        (
            ("compare", "before", "--across", "runner=onnxruntime,x"),
            ["unknown runner 'x'", "openvino"],
        ),
        (("gate", "--baseline", "before", "--max-regression", "5"), ["--max-regression 5", "5%"]),
        (
            ("gate", "--baseline", "before", "--max-regression", "-5%"),
            ["--max-regression -5%", "5%"],
        ),
        (("gate", "--baseline", "before", "nowhere"), ["no records at nowhere"]),
    ],
)
def test_bad_arguments_are_refused_with_exit_code_2(
    arguments: tuple[str, ...], words: list[str], root: Path, cli: Cli
) -> None:
    done = cli(*arguments, "-w", root)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [word for word in words if word not in done.stderr] == []


def test_gate_passes_with_exit_code_0(root: Path, cli: Cli) -> None:
    done = cli(
        "gate", "--baseline", "before", "same", "--max-regression", "5 %", "-w", root, *STEADY_RUNS
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "PASS: 2 of 2 at most 5 % slower than the baseline"


def test_gate_holds_the_latest_run_against_a_folder_and_exits_1_for_a_regression(
    root: Path, cli: Cli
) -> None:
    done = cli("gate", "--baseline", root / "records" / "before", "-w", root, *STEADY_RUNS)
    assert done.returncode == 1
    assert max(len(line) for line in done.stdout.splitlines()) <= 112
    assert "+20.0% (+18.8% to +21.2%), all of it above 5 %" in " ".join(done.stdout.split())
    assert (
        done.stdout.splitlines()[-1]
        == "REGRESSION: 1 regressed, 1 of 2 at most 5 % slower than the baseline"
    )


def test_gate_exits_3_when_the_runs_cannot_tell(root: Path, cli: Cli) -> None:
    keep(root, record([10.0, 10.0], "short", **LONG))
    done = cli("gate", "--baseline", "before", "short", "-w", root, "--json")
    assert done.returncode == 3
    outcomes = {row["baseline_runner"]: row["outcome_reason"] for row in rows_of(done.stdout)}
    assert outcomes["openvino"] == "missing: the candidate does not have it"
    assert "2 launches give no 95 % interval" in outcomes["onnxruntime"]
    assert done.stderr.startswith("INCONCLUSIVE: 2 inconclusive")


def test_gate_as_markdown_is_a_github_table_whose_bars_are_escaped(root: Path, cli: Cli) -> None:
    done = cli("gate", "--baseline", "before", "slower", "-w", root, "--markdown")
    assert done.returncode == 1
    assert done.stdout.startswith("**REGRESSION: 1 regressed")
    table = [
        re.split(r"(?<!\\)\|", line) for line in done.stdout.splitlines() if line.startswith("|")
    ]
    assert len(table) == 4
    assert {len(cells) for cells in table} == {len(table[0])}
    assert r"vit_small_patch16_224\|odd" in done.stdout
    assert set("".join(table[1])) <= set("-: ")


def test_compare_as_markdown_names_the_state_of_the_machine(root: Path, cli: Cli) -> None:
    for run in ("left", "right"):
        far = [launch(30.0, number, hop_ns=FAR_NS) for number in range(6, 12)]
        keep(root, record([*launches(STEADY), *far], run, **LONG))
    done = cli("compare", "left", "right", "-w", root, "--markdown")
    rows = [line for line in done.stdout.splitlines() if "onnxruntime" in line]
    assert [cells.split("|")[6].strip() for cells in (row.replace(r"\|", "") for row in rows)] == [
        "105",
        "235",
    ]
