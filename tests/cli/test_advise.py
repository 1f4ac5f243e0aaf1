"""``advise`` as a user types it: the sentence, the table, the exit code, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.results.record import Record
from deploybench.results.store import write_record
from tests.advised import NOISY, TRAINED, candidate
from tests.analysis.test_advice import evaluated
from tests.conftest import Cli, run_here

RANDOM = {"weights": "random weights", "weights_identity": "random seed 0, version 3"}


@pytest.fixture
def cli() -> Cli:
    """What is printed is looked at, not the process."""
    return run_here


def keep(root: Path, *records: Record) -> Path:
    for record in records:
        write_record(record, Workspace(root).records_folder / record.run)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with three runners of one model, one of them NOISY."""
    return keep(
        tmp_path,
        candidate(5.33, "openvino", p99=(6.9, 6.5, 7.4), memory_mb=131),
        candidate(6.4, "onnxruntime", p99=(7.0, 6.8, 7.3), memory_mb=101),
        candidate(4.0, "pytorch", judgement=NOISY, memory_mb=700),
    )


def flat(text: str) -> str:
    return " ".join(text.split())


def test_first_line_is_one_sentence_that_needs_no_legend(root: Path, cli: Cli) -> None:
    done = cli("advise", "-w", root, "--p50", "10ms")
    assert done.returncode == 0, done.stderr
    assert flat(done.stdout).startswith(
        "On the AMD EPYC (2 cores), openvino fp32 runs net with 2 threads in 5.33 ms (±0.4%), "
        "within the 10 ms asked for, and gives the trained model's own answers; accuracy was "
        "not measured. "
    )
    assert max(len(line) for line in done.stdout.splitlines() if "deploybench " not in line) <= 112
    assert "NOISY" in done.stdout
    assert "deploybench evaluate --data FOLDER --model net --runner openvino" in done.stdout
    assert "deploybench run --model net" in done.stdout


def test_random_weights_are_never_called_trained(tmp_path: Path, cli: Cli) -> None:
    keep(tmp_path, candidate(5.33, **RANDOM))
    said = flat(cli("advise", "-w", tmp_path).stdout)
    assert "gives PyTorch's answers; accuracy was not measured" in said
    assert "The weights of net are random" in said
    assert "trained model's" not in said
    assert "Once it is exported with --checkpoint, this measures it:" in said


def test_accuracy_that_is_known_is_in_the_sentence(root: Path, cli: Cli) -> None:
    keep(root, evaluated(candidate(5.33, "openvino"), 900, 905))
    done = cli("advise", "-w", root, "--accuracy", "80%")
    assert done.returncode == 0, done.stderr
    assert "top-1 90.0 % (88.0 to 91.7), at least the 80 % asked for, on 1000 images of" in flat(
        done.stdout
    )
    # Without an accuracy the other two cannot be known to meet it.
    rows = json.loads(cli("advise", "-w", root, "--accuracy", "80%", "--json").stdout)
    assert {row["runner"]: row["fit"] for row in rows} == {
        "openvino": "MEETS",
        "onnxruntime": "NOT KNOWN",
        "pytorch": "NOT KNOWN",
    }


def test_constraint_that_nothing_has_a_figure_for_is_told_with_the_command(
    root: Path, cli: Cli
) -> None:
    done = cli("advise", "-w", root, "--accuracy", "80%")
    assert done.returncode == 3
    said = flat(done.stdout)
    assert "nothing is known to meet accuracy of at least 80 %; openvino fp32 with net may" in said
    assert "its accuracy was not measured" in said
    assert "deploybench evaluate --data FOLDER --model net" in done.stdout


def test_nothing_within_the_limits_names_the_nearest_and_its_miss(root: Path, cli: Cli) -> None:
    done = cli("advise", "-w", root, "--p99", "5ms", "--runner", "openvino,onnxruntime")
    assert done.returncode == 1
    assert (
        "nothing meets p99 of at most 5 ms; the nearest is openvino fp32 with net: "
        "p99 6.90 ms (6.50 to 7.40), 38% over 5 ms."
    ) in flat(done.stdout)


def test_nothing_known_within_the_limits_is_no_verdict_on_what_is_not_known(
    root: Path, cli: Cli
) -> None:
    done = cli("advise", "-w", root, "--p50", "2ms")
    assert done.returncode == 3
    assert (
        "nothing is known to meet p50 of at most 2 ms; the nearest is openvino fp32 with net: "
        "p50 5.33 ms (±0.4%), 2.7 times 2 ms."
    ) in flat(done.stdout)


def test_json_and_csv_are_flat_rows_with_the_unit_in_every_name(root: Path, cli: Cli) -> None:
    rows = json.loads(cli("advise", "-w", root, "--p99", "7.4ms", "--json").stdout)
    best = next(row for row in rows if row["recommended"])
    assert best["runner"] == "openvino"
    assert (best["p99_limit_ms"], best["p99_fit"], best["fit"]) == (7.4, "MEETS", "MEETS")
    assert best["memory_mib"] == 131
    assert best["advice"].startswith("On the AMD EPYC")
    noisy = next(row for row in rows if row["runner"] == "pytorch")
    assert noisy["p50_doubt"].startswith("NOISY")
    assert noisy["p50_ms"] == 4.0
    for row in rows:
        assert not any(isinstance(value, (dict, list)) for value in row.values())
    text = cli("advise", "-w", root, "--csv").stdout
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(rows)


def test_every_machine_has_its_sentence_and_its_table(root: Path, cli: Cli) -> None:
    keep(root, candidate(1.0, hostname="there", run="r2", created="2026-01-02T00:00:00"))
    done = cli("advise", "-w", root)
    assert done.stdout.count("\nOn the AMD EPYC") + done.stdout.startswith("On the AMD EPYC") == 2
    assert "(host there, 2 cores)" in done.stdout
    only = cli("advise", "-w", root, "--host", "here")
    assert "host there" not in only.stdout


def test_unreadable_record_is_named_and_left_out(root: Path, cli: Cli) -> None:
    broken = Workspace(root).records_folder / "broken" / "cell.json"
    broken.parent.mkdir()
    broken.write_text("{}")
    done = cli("advise", "-w", root)
    assert done.returncode == 0, done.stderr
    assert f"{broken} does not read as a record" in flat(done.stdout).replace("- ", "-")
    alone = cli("advise", broken.parent, "-w", root)
    assert alone.returncode == 2
    assert "none of the records reads" in alone.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--p99", "10"), ["--p99 10", "a time with its unit: 10ms"]),
        (("--p50", "fast"), ["--p50 fast", "10ms"]),
        (("--memory", "200"), ["--memory 200", "200MB"]),
        (("--throughput", "100"), ["--throughput 100", "100/s"]),
        (("--accuracy", "0.8"), ["--accuracy 0.8", "5%"]),
        (("--accuracy", "101%"), ["--accuracy 101%", "at most 100%"]),
        (("--objective", "price"), ["--objective price", "p50, p99"]),
        (("--model", "nat"), ["unknown model of these records 'nat'", "net"]),
        (("--runner", "tensorrt"), ["unknown runner of these records 'tensorrt'", "openvino"]),
        (("--batch", "8"), ["unknown batch of these records '8'"]),
        (("--data", "photos"), ["unknown set of images 'photos'", "deploybench evaluate"]),
        (("--timing", "end-to-end"), ["no record is of end-to-end times"]),
        (("no-such-run",), ["there are no records at no-such-run"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_would_do(
    root: Path, cli: Cli, arguments: tuple[str, ...], words: list[str]
) -> None:
    done = cli("advise", "-w", root, *arguments)
    assert done.returncode == 2
    for word in words:
        assert word in flat(done.stderr)


def test_empty_workspace_says_what_makes_records(tmp_path: Path, cli: Cli) -> None:
    done = cli("advise", "-w", tmp_path)
    assert done.returncode == 2
    assert "deploybench run" in done.stderr


def test_units_say_the_same_however_they_are_written(root: Path, cli: Cli) -> None:
    for limit in ("10ms", "0.01s", "10000us"):
        (row, *_) = json.loads(cli("advise", "-w", root, "--p50", limit, "--json").stdout)
        assert row["p50_limit_ms"] == pytest.approx(10)
    for limit in ("200MB", "200 MiB"):
        (row, *_) = json.loads(cli("advise", "-w", root, "--memory", limit, "--json").stdout)
        assert row["memory_limit_mib"] == 200


def test_weights_tell_two_models_of_one_name_apart(tmp_path: Path, cli: Cli) -> None:
    keep(
        tmp_path,
        candidate(5.0, **TRAINED),
        candidate(5.0, artifact_key="b" * 16, **RANDOM),
    )
    said = flat(cli("advise", "-w", tmp_path).stdout)
    assert "net (checkpoint net.safetensors)" in said
    assert "Of each model" in said
