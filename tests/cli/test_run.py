"""A run as a user types it: rows, records, sweeps, timings, and when it ends."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import threading
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.report.console import PIPE_WIDTH
from deploybench.results.store import read_records
from deploybench.statistics.levels import SAME_STATE
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL
from tests.conftest import TINY, Cli, run_cli, run_here
from tests.telemetry.test_alone import holder

QUICK = ("--duration", "50ms", "--min-samples", "8")


@pytest.fixture(scope="module")
def run_of_two(tiny_workspace: Workspace) -> subprocess.CompletedProcess[str]:
    """Two runners on the tiny model, three rounds, as JSON."""
    return run_cli(
        "run",
        "-w",
        tiny_workspace.root,
        "--runner",
        "pytorch,onnxruntime",
        "--rounds",
        "3",
        *QUICK,
        "--json",
    )


def test_run_prints_one_row_a_cell_and_state_with_what_really_ran(
    run_of_two: subprocess.CompletedProcess[str],
) -> None:
    assert run_of_two.returncode == 0, run_of_two.stderr
    rows = json.loads(run_of_two.stdout)
    main = [row for row in rows if row["main_state"]]
    assert [row["runner"] for row in main] == ["pytorch", "onnxruntime"]
    for row in main:
        assert row["model"] == TINY
        assert row["precision"] == "fp32"
        assert row["launches"] + row["launches_flipped"] <= 3
        assert row["cold_start_s"] > row["load_s"] > 0
        assert row["flops_per_image"] == 2 * row["macs_per_image"]
        assert (row["complete"], row["stopped"]) == (True, "rounds done")
        if row["p50_ms"] is not None:
            assert (
                row["p50_low_ms"] is None
                or row["p50_low_ms"] <= row["p50_ms"] <= row["p50_high_ms"]
            )
            assert row["throughput_images_per_s"] > 0
            assert row["share_of_peak"] > 0
    assert main[0]["speedup"] is None


def test_records_of_a_run_hold_raw_samples_of_interleaved_rounds(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    records = read_records(tiny_workspace.records_folder / name)
    assert len(records) == 2
    assert all(record.complete for record in records)
    assert [launch.round for launch in records[0].launches] == [0, 1, 2]
    starts = sorted(
        (launch.started, record.cell.runner, launch.round)
        for record in records
        for launch in record.launches
    )
    assert [number for _, _, number in starts] == [0, 0, 1, 1, 2, 2]
    assert all(len(launch.samples_ns) >= 5 for record in records for launch in record.launches)


def test_show_prints_the_same_run_as_table_and_csv(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace, cli_here: Cli
) -> None:
    rows = json.loads(run_of_two.stdout)
    table = cli_here("show", rows[0]["run"], "-w", tiny_workspace.root)
    assert table.returncode == 0
    # A command is there to be copied, so it stays in one line.
    folded = [line for line in table.stdout.splitlines() if "deploybench run" not in line]
    assert max(map(len, folded)) <= PIPE_WIDTH
    assert table.stdout.startswith("The answer\n")
    assert "\x1b" not in table.stdout
    for words in ("p50 ms", "×baseline", "onnxruntime", "Kendall tau", "n/a"):
        assert words in table.stdout
    printed = list(
        csv.DictReader(
            io.StringIO(cli_here("show", rows[0]["run"], "-w", tiny_workspace.root, "--csv").stdout)
        )
    )
    assert [float(row["cold_start_s"]) for row in printed] == [row["cold_start_s"] for row in rows]


def test_record_is_of_schema_version_4_and_has_probes_and_usage_of_each_sample(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    for path in (tiny_workspace.records_folder / name).glob("*.json"):
        assert json.loads(path.read_text())["schema_version"] == 4
    for record in read_records(tiny_workspace.records_folder / name):
        for launch in record.launches:
            assert launch.surroundings is not None
            assert launch.surroundings.before.compute_us
            assert launch.surroundings.after.memory_ms
            assert (
                len(launch.samples_ns) == len(launch.sample_cpu_ns) == len(launch.sample_switches)
            )
            assert launch.start_s is not None
            assert 0 < launch.start_s < launch.seconds


def test_show_refuses_a_record_of_the_first_schema_and_says_what_to_do(
    run_of_two: subprocess.CompletedProcess[str],
    tiny_workspace: Workspace,
    tmp_path: Path,
    cli_here: Cli,
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    path = next((tiny_workspace.records_folder / name).glob("*.json"))
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 1}))
    done = cli_here("show", old)
    assert done.returncode == 2
    for words in (
        "old.json does not read as a record: schema_version",
        "schema version 2 to 4",
        "run the cell again",
    ):
        assert words in " ".join(done.stderr.split())


def test_command_of_a_record_measures_the_same_cell_again(
    tiny_workspace: Workspace, tmp_path: Path, cli: Cli
) -> None:
    asked = (
        "--batch",
        "2",
        "--streams",
        "2",
        "--threads",
        "2",
        "--engine-only",
        "--rounds",
        "1",
        "--seed",
        "5",
    )
    done = cli("run", "-w", tiny_workspace.root, "-r", "onnxruntime", *asked, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)[0]
    again = cli(*shlex.split(first["command"])[1:], "-w", tmp_path, "--json")
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)[0]
    asked_of = (
        "model",
        "weights_identity",
        "form",
        "runner",
        "device",
        "precision",
        "batch",
        "streams",
        "timing",
    )
    for field in (*asked_of, "asked_threads", "threads", "stopped"):
        assert first[field] == second[field], field
    assert shlex.split(first["command"]) == shlex.split(second["command"])
    old, new = (
        read_records(folder / row["run"])[0].cell
        for folder, row in ((tiny_workspace.records_folder, first), (tmp_path / "records", second))
    )
    assert old == new
    assert (old.batch, old.streams, old.timing) == (2, 2, "engine-only")


@pytest.mark.measures
def test_batch_auto_doubles_until_it_stops_to_pay_and_marks_where(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    done = cli(
        "run",
        "-w",
        tiny_workspace.root,
        "-r",
        "onnxruntime",
        "--batch",
        "auto",
        "--rounds",
        "1",
        *QUICK,
        "--csv",
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    batches = [int(row["batch"]) for row in rows]
    assert batches == [2**power for power in range(len(batches))]
    assert len(batches) > 1
    assert "one short launch a size" in done.stderr
    measured = [row for row in rows if row["p50_ms"]]
    hops = [float(row["state_hop_ns"]) for row in measured if row["state_hop_ns"]]
    if len(measured) > 1 and (not hops or max(hops) < SAME_STATE * min(hops)):
        assert {row["memory_per_image_mib"] for row in measured} != {""}


@pytest.mark.measures
def test_three_timings_in_one_run_show_what_the_copies_and_the_image_cost(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    asked = ("--host-to-host", "--engine-only", "--end-to-end", "--rounds", "3", *QUICK)
    done = cli("run", "-w", tiny_workspace.root, "-r", "onnxruntime", *asked)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("onnxruntime")]
    assert {word for line in lines for word in line} >= {"engine-only", "end-to-end"}
    records = read_records(max(tiny_workspace.records_folder.iterdir(), key=lambda path: path.name))
    found = {
        record.cell.timing: min(launch.median_ms for launch in record.launches)
        for record in records
    }
    assert set(found) == {"host-to-host", "engine-only", "end-to-end"}
    assert found["end-to-end"] > found["host-to-host"]
    assert Path(tiny_workspace.root / "sample.jpg").is_file()


@pytest.mark.measures
def test_precision_that_cannot_be_reached_ends_with_the_budget_and_says_how_many_rounds_are_missing(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    asked = ("--precision-target", "0.01%", "--budget", "3s")
    done = cli("run", "-w", tiny_workspace.root, "-r", "onnxruntime", *asked, *QUICK, "--json")
    rows = json.loads(done.stdout)
    assert {row["stopped"] for row in rows} == {"budget spent"}
    (record,) = read_records(tiny_workspace.records_folder / rows[0]["run"])
    assert sum(launch.seconds for launch in record.launches) < 6
    assert record.more_rounds is None or record.more_rounds > 0


@pytest.mark.measures
def test_precision_that_any_launch_has_ends_after_the_fewest_that_tell(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    asked = ("--launches", "fresh", "--precision-target", "100000%", "--budget", "60s")
    done = cli("run", "-w", tiny_workspace.root, "-r", "onnxruntime", *asked, *QUICK, "--json")
    rows = json.loads(done.stdout)
    assert {row["stopped"] for row in rows} == {"precise"}
    (record,) = read_records(tiny_workspace.records_folder / rows[0]["run"])
    assert len(record.launches) >= FEWEST_FOR_INTERVAL
    assert record.more_rounds == 0


def test_compare_of_two_runners_of_one_run_is_paired_by_round(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace, cli_here: Cli
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    asked = (
        "compare",
        name,
        "--across",
        "runner=pytorch,onnxruntime",
        "-w",
        tiny_workspace.root,
        "--json",
    )
    rows = json.loads(cli_here(*asked).stdout)
    assert rows
    assert all(row["paired"] and row["speedup"] > 0 for row in rows)


def test_a_run_waits_while_another_process_of_the_user_measures_and_says_so(
    tiny_workspace: Workspace,
) -> None:
    other = holder()
    assert other.stdin is not None
    threading.Timer(1.5, other.stdin.close).start()
    run = run_here("run", "-w", tiny_workspace.root, "-r", "onnxruntime", "--rounds", "1", *QUICK)
    assert other.wait(timeout=10) == 0
    assert f"process {other.pid} measures on this machine since" in " ".join(run.stderr.split())
    assert "FAILED" not in run.stdout
