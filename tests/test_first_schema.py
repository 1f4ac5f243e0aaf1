"""Records, artifacts and a pack of the first schema, written by an older version, with the version
of today."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.artifact import open_artifact
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.results.store import read_records
from deploybench.scenarios.record import read_scenario
from tests.conftest import Cli, run_here

FIXTURE = Path(__file__).parent / "fixtures" / "first-schema"
RUN = "20261126-182358-3b0b"
MODEL = "timm-test_efficientnet"
ONNX = "onnx-fp32-dynamic-6575a36b"
PYTORCH = "pytorch-fp32-dynamic-4b1d67e0"
TORCHSCRIPT = "torchscript-fp32-dynamic-8a125cd9"
RUNNERS = {"pytorch", "torchscript", "onnxruntime", "openvino"}
ONE_QUICK_ROUND = ("--rounds", "1", "--duration", "50ms", "--min-samples", "4", "--threads", "1")


@pytest.fixture
def cli() -> Cli:
    """What is printed is looked at, not the process."""
    return run_here


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy: runs write beside what they read."""
    copy = tmp_path_factory.mktemp("first-schema") / "workspace"
    shutil.copytree(FIXTURE, copy)
    return Workspace(copy)


def test_records_of_then_are_read_with_every_launch() -> None:
    records = read_records(FIXTURE / "records" / RUN)

    assert {record.cell.runner for record in records} == RUNNERS
    assert all(record.schema_version == 2 for record in records)
    assert all(len(record.launches) == 2 for record in records)
    assert {record.host.hostname for record in records} == {"example-host"}


def test_a_scenario_of_then_is_read() -> None:
    [path] = (FIXTURE / "scenarios").glob("*/*.json")

    record = read_scenario(path)

    assert record.cell.runner == "onnxruntime"
    assert record.judgement.reason == "LoadGen: not satisfied: early stopping"


def test_a_run_of_then_is_shown_from_its_folder(cli: Cli) -> None:
    shown = cli("show", FIXTURE / "records" / RUN)
    as_data = cli("show", FIXTURE / "records" / RUN, "--json")

    assert shown.returncode == 0, shown.stderr
    assert "timm:test_efficientnet" in shown.stdout
    assert all(runner in shown.stdout for runner in RUNNERS)
    assert as_data.returncode == 0, as_data.stderr
    json.loads(as_data.stdout)


@pytest.fixture
def renamed_run(tmp_path: Path) -> Path:
    """The same records under another run's name: records of one run are no two sides."""
    folder = tmp_path / "renamed"
    folder.mkdir()
    for path in (FIXTURE / "records" / RUN).glob("*.json"):
        (folder / path.name).write_text(path.read_text().replace(RUN, "20261126-182358-copy"))
    return folder


def test_a_run_of_then_compared_with_itself_is_never_faster_or_slower(
    cli: Cli, renamed_run: Path
) -> None:
    compared = cli("compare", FIXTURE / "records" / RUN, renamed_run)

    assert compared.returncode == 0, compared.stderr
    assert all(runner in compared.stdout for runner in RUNNERS)
    assert "FASTER" not in compared.stdout
    assert "SLOWER" not in compared.stdout


def test_a_run_of_then_gated_against_itself_is_no_regression(cli: Cli, renamed_run: Path) -> None:
    gated = cli("gate", renamed_run, "--baseline", FIXTURE / "records" / RUN)

    no_regression = {0, 3}  # a pass, or inconclusive after two rounds
    assert gated.returncode in no_regression, gated.stdout + gated.stderr
    assert all(runner in gated.stdout for runner in RUNNERS)


@pytest.mark.parametrize("name", [ONNX, PYTORCH, TORCHSCRIPT])
def test_an_artifact_of_then_opens_and_its_files_are_what_its_seal_says(name: str) -> None:
    artifact = open_artifact(FIXTURE / "artifacts" / MODEL / name)

    artifact.check_files()

    assert artifact.manifest.schema_version == 1
    assert artifact.manifest.verified
    labels = artifact.labels()
    assert labels is not None
    assert labels[0] == "tench"


def test_artifacts_of_then_run_and_pass_parity(cli: Cli, workspace: Workspace) -> None:
    folder = workspace.artifacts_folder / MODEL

    finished = cli(
        "run",
        *("--artifact", folder / ONNX, "--artifact", folder / PYTORCH, "--trust"),
        *("--runner", "pytorch,onnxruntime", "--workspace", workspace.root),
        *ONE_QUICK_ROUND,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    [run] = [path for path in workspace.records_folder.iterdir() if path.name != RUN]
    records = read_records(run)
    assert {record.cell.runner for record in records} == {"pytorch", "onnxruntime"}
    for record in records:
        parity = record.launches[0].parity
        assert parity is not None
        assert parity.passed


def test_an_artifact_of_then_predicts_with_its_class_names(
    cli: Cli, workspace: Workspace, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    folder = workspace.artifacts_folder / MODEL / ONNX

    finished = cli("predict", folder, tmp_path / "noise.png", "--top", "10", "--json")

    assert finished.returncode == 0, finished.stderr
    [prediction] = json.loads(finished.stdout)
    assert {guess["name"] for guess in prediction["classes"]} == set(
        open_artifact(folder).labels() or ()
    )


def test_the_pack_of_then_opens_with_seals_that_hold(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()

    [artifact] = read_pack(FIXTURE / "openvino.dbpack", workspace)

    artifact.check_files()
    assert artifact.manifest.backend == "openvino"
    assert artifact.manifest.verified
