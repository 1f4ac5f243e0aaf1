"""The commands as a user types them: what is printed, exit codes, and what stays after an
interrupt."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploybench.analysis.states import SAME_STATE
from deploybench.artifacts.workspace import Workspace
from deploybench.report.console import PIPE_WIDTH
from deploybench.results.store import read_records
from tests.conftest import TINY, Cli, run_cli

QUICK = ("--duration", "50ms", "--min-samples", "8")
HEAVY = ("torch", "numpy", "scipy", "pydantic", "onnxruntime", "openvino", "rich.table")


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


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy\ntry:\n  runpy.run_module('deploybench', "
        "run_name='__main__')\nexcept SystemExit: pass\n"
    )
    code += "print([name for name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    assert "deploybench.cli.run" in loaded
    assert [name for name in HEAVY if f"'{name}'" in loaded] == []


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
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace, cli: Cli
) -> None:
    rows = json.loads(run_of_two.stdout)
    table = cli("show", rows[0]["run"], "-w", tiny_workspace.root)
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
            io.StringIO(cli("show", rows[0]["run"], "-w", tiny_workspace.root, "--csv").stdout)
        )
    )
    assert [float(row["cold_start_s"]) for row in printed] == [row["cold_start_s"] for row in rows]


def test_record_is_of_schema_version_2_and_has_probes_and_usage_of_each_sample(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    for path in (tiny_workspace.records_folder / name).glob("*.json"):
        assert json.loads(path.read_text())["schema_version"] == 2
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
    cli: Cli,
) -> None:
    name = json.loads(run_of_two.stdout)[0]["run"]
    path = next((tiny_workspace.records_folder / name).glob("*.json"))
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 1}))
    done = cli("show", old)
    assert done.returncode == 2
    for words in (
        "old.json does not read as a record: schema_version",
        "schema version 2",
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


def test_precision_that_any_launch_has_ends_after_six_rounds(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    asked = ("--precision-target", "100000%", "--budget", "60s")
    done = cli("run", "-w", tiny_workspace.root, "-r", "onnxruntime", *asked, *QUICK, "--json")
    rows = json.loads(done.stdout)
    assert {row["stopped"] for row in rows} == {"precise"}
    (record,) = read_records(tiny_workspace.records_folder / rows[0]["run"])
    assert len(record.launches) >= 6
    assert record.more_rounds == 0


def test_compare_of_two_runners_of_one_run_is_paired_by_round(
    run_of_two: subprocess.CompletedProcess[str], tiny_workspace: Workspace, cli: Cli
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
    rows = json.loads(cli(*asked).stdout)
    assert rows
    assert all(row["paired"] and row["speedup"] > 0 for row in rows)


def test_damaged_artifact_is_an_invalid_row_and_the_others_go_on(
    tiny_workspace: Workspace, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "w" / "artifacts")
    victim = next((tmp_path / "w" / "artifacts").rglob("model.onnx"))
    victim.write_bytes(victim.read_bytes()[:-10])
    done = cli(
        "run", "-w", tmp_path / "w", "-r", "onnxruntime,openvino", *QUICK, "--rounds", "1", "--json"
    )
    assert done.returncode == 1
    by_runner = {row["runner"]: row for row in json.loads(done.stdout)}
    assert by_runner["onnxruntime"]["verdict"] == "INVALID"
    assert "model.onnx was changed or truncated" in by_runner["onnxruntime"]["reason"]
    assert by_runner["onnxruntime"]["p50_ms"] is None
    assert by_runner["openvino"]["p50_ms"] > 0


@pytest.mark.parametrize("damage", ["truncate", "edit"])
def test_manifest_that_was_changed_is_an_invalid_row(
    damage: str, tiny_workspace: Workspace, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    manifest = next(tmp_path.glob("artifacts/*/onnx-*/manifest.json"))
    text = manifest.read_text()
    content = json.loads(text)
    content["model"]["macs"] = 1
    manifest.write_text(text[:300] if damage == "truncate" else json.dumps(content))
    done = cli("run", "-w", tmp_path, "-r", "onnxruntime", "--rounds", "1", "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)
    assert row["verdict"] == "INVALID"
    assert "manifest.json" in row["reason"]
    assert row["p50_ms"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "--model", "vitt"), ["unknown model 'vitt'", "did you mean vit"]),
        (("export", "--model", "vit", "--backend", "onx"), ["unknown backend 'onx'", "onnx"]),
        (("export", "--model", "vit", "--precision", "fp23"), ["unknown precision 'fp23'", "fp32"]),
        (("export", "--model", "vit", "--batch", "zero"), ["--batch zero", "expected"]),
        (("export", "--model", "vit", "--image-size", "big"), ["--image-size big", "224x320"]),
        (("run", "--profile", "rtx309"), ["unknown profile 'rtx309'", "rtx3090"]),
        (
            ("run", "--profile", "rtx3090"),
            ["no CUDA device", "NVIDIA GeForce RTX 3090", "--profile host"],
        ),
        (("run", "--device", "gpu"), ["--device gpu", "cpu, cuda or cuda:N"]),
        (("run", "--device", "cpu,cuda:1"), ["cuda:1", "no CUDA device", "doctor"]),
        (("run", "--profile", "xeon", "--device", "cuda"), ["expected"]),
        (("run", "--runner", "onnxruntim"), ["unknown runner", "onnxruntime"]),
        (("run", "--duration", "soon"), ["--duration soon", "500ms"]),
        (("run", "--budget", "0s"), ["--budget 0s", "a time"]),
        (("run", "--precision-target", "1"), ["--precision-target 1", "with its sign: 5%"]),
        (("run", "--precision-target", "-1%"), ["--precision-target -1%", "5%"]),
        (("run", "--margin", "nan%"), ["--margin nan%", "5%"]),
        (("run", "--streams", "0"), ["--streams 0", "1,8,32"]),
        (("run", "--streams", "two"), ["--streams two", "1,8,32"]),
        (("run", "--batch", "1,x"), ["--batch 1,x", "1,8,32"]),
        (("run", "--end-to-end", "--image", "no.jpg"), ["there is no image no.jpg"]),
        (("run", "--baseline", "pytorhc"), ["unknown runner 'pytorhc'", "pytorch"]),
        (("run", "-w", "/proc/nowhere"), ["cannot be written", "--workspace"]),
        (("run", "-w", "/dev/null/x"), ["cannot be written", "--workspace"]),
        (("run", "--artifact", "/tmp"), ["is no artifact", "deploybench export"]),
        (("show", "nothing", "-w", "/tmp/empty-workspace"), ["no records at nothing"]),
        (("compare", "a", "b", "-w", "/tmp/empty-workspace"), ["no records at a"]),
        (("profiles", "show", "k8"), ["unknown profile 'k8'", "k80"]),
        (("predict", "/tmp", "x.png"), ["is no artifact"]),
    ],
)
def test_bad_input_is_refused_in_three_lines_with_exit_code_2(
    arguments: tuple[str, ...], words: list[str], cli: Cli, tmp_path: Path
) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert [word for word in words if word not in done.stderr] == []


def test_empty_workspace_says_what_to_type(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "-w", tmp_path)
    assert done.returncode == 2
    assert "deploybench export --model" in done.stderr


def start_cli(arguments: list[str]) -> subprocess.Popen[str]:
    """The command line as a terminal starts it: a shell's background job would have SIGINT
    ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploybench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_interrupt_keeps_what_is_finished_and_leaves_no_process(
    tiny_workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    arguments = [
        "run",
        "-w",
        str(tmp_path),
        "-r",
        "onnxruntime,openvino",
        "--rounds",
        "50",
        "--json",
        *QUICK,
    ]
    child = start_cli(arguments)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(tmp_path.glob("records/*/*.json"))) < 2:
        time.sleep(0.1)
    family = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    rows = json.loads(output)
    assert len({row["runner"] for row in rows}) == 2
    assert all(
        not row["complete"] and row["launches"] > 0 and row["stopped"] is None for row in rows
    )
    assert [
        process for process in family if process.is_running() and process.status() != "zombie"
    ] == []
    assert len(read_records(tmp_path / "records")) == 2
    assert list(tmp_path.rglob(".partial-*")) == []


def test_interrupted_export_leaves_neither_processes_nor_partial_folders(tmp_path: Path) -> None:
    arguments = [
        "export",
        "-w",
        str(tmp_path),
        "-m",
        TINY,
        "-b",
        "pytorch,torchscript,onnx",
        "-j",
        "2",
    ]
    child = start_cli(arguments)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(tmp_path.glob("artifacts/.partial-*")):
        time.sleep(0.1)
    time.sleep(1)
    family = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130
    assert family
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert list(tmp_path.glob("artifacts/.partial-*")) == []


def test_killed_parent_leaves_no_worker_behind(tiny_workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    arguments = ["run", "-w", str(tmp_path), "-r", "onnxruntime", "--duration", "30s"]
    child = start_cli(arguments)
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not workers:
        time.sleep(0.2)
        workers = [
            p
            for p in psutil.Process(child.pid).children()
            if "measure.worker" in " ".join(p.cmdline())
        ]
    time.sleep(1)
    child.kill()
    child.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone
    assert not alive


def test_profiles_backends_and_doctor_print_and_as_json(cli: Cli, tmp_path: Path) -> None:
    assert {item["name"] for item in json.loads(cli("profiles", "--json").stdout)} >= {
        "xeon",
        "k80",
    }
    assert "Kepler" in cli("profiles", "show", "k80").stdout
    plugins = json.loads(cli("backends", "--json").stdout)
    assert {"onnx", "onnxruntime", "openvino", "inductor", "aotinductor"} <= {
        item["name"] for item in plugins
    }
    unusable = [item for item in plugins if not item["usable"]]
    assert {item["name"] for item in unusable} <= {"tensorrt", "tensorrt-rtx"}, "which need a GPU"
    ending = (
        "plug-ins do not work here" if unusable else "Everything that is registered works here."
    )
    assert ending in cli("doctor", "-w", tmp_path).stdout
    described = json.loads(cli("doctor", "--json", "-w", tmp_path).stdout)
    assert described["host"]["usable_cores"] >= 1
    on_gpu = {row["name"]: row["problem"] or "" for row in described["gpu"]}
    assert on_gpu["openvino"] == "openvino runs on cpu, not on cuda"
    assert on_gpu.keys() >= {"pytorch", "onnxruntime", "onnxruntime-tensorrt"}


def test_doctor_gives_the_pip_line_of_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    hidden = tmp_path / "site"
    hidden.mkdir()
    hook = "import importlib.util as u\nfind = u.find_spec\n"
    hook += (
        "u.find_spec = lambda name, package=None: None if name == 'openvino' else find(name, "
        "package)\n"
    )
    (hidden / "sitecustomize.py").write_text(hook)
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    done = cli("doctor", "-w", tmp_path, environment={"PYTHONPATH": path})
    assert 'pip install "deploybench[openvino]"' in done.stdout
    assert "needs openvino" in done.stdout
