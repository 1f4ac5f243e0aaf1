"""What was measured goes along: the records, the figures with their intervals, the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.bundle.card import model_card, preprocessing_words
from deploybench.bundle.request import BundleRequest, carry_out_bundle
from deploybench.bundle.writing import write_bundle
from deploybench.errors import DeployBenchError
from deploybench.results.cell import CellOptions
from deploybench.results.record import Record
from deploybench.results.store import read_records, write_record
from deploybench.versions import installed_versions
from tests import records as made
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.bundle.test_refusals import cell_of
from tests.qualities import quality

INSTALLED = installed_versions(("onnxruntime",))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return open_artifact(kept_workspace(tmp_path / "workspace", ONNX).artifacts_folder / ONNX)


def timed(artifact: Artifact, **changes: Any) -> Record:
    """Six launches of about 5 ms of the cell, on this onnxruntime."""
    launches = [made.launch([5.0, 5.1, 4.9] * 20, number=number) for number in range(6)]
    cell = cell_of(artifact)
    record = made.record(launches).replaced(
        cell=cell.replaced(timing="engine-only"),
        versions=INSTALLED,
        command="deploybench run --artifact `a`",
    )
    return record.replaced(**changes)


def evaluated(artifact: Artifact, **changes: Any) -> Record:
    sha256 = artifact.manifest.content_sha256
    found = quality(np.arange(200) % 4 != 0).replaced(**{"artifact_sha256": sha256, **changes})
    return timed(artifact).replaced(measures="quality", quality=found)


def test_options_that_the_record_does_not_have_are_refused(
    artifact: Artifact, tmp_path: Path
) -> None:
    time = write_record(timed(artifact), tmp_path / "records")
    other = CellOptions(arena="off", allocator="jemalloc")
    request = BundleRequest(None, tmp_path / "bundle", records=(time,), options=other)
    with pytest.raises(DeployBenchError, match="--arena off --allocator jemalloc, and the record"):
        carry_out_bundle(request)


def test_record_says_artifact_runner_and_options_and_goes_along(
    artifact: Artifact, tmp_path: Path
) -> None:
    time = write_record(timed(artifact), tmp_path / "records")
    good = tmp_path / "quality.json"
    good.write_text(evaluated(artifact).model_dump_json())

    request = BundleRequest(None, tmp_path / "bundle", records=(time, good))
    done = carry_out_bundle(request)

    assert done.cell.artifact_key == artifact.manifest.key
    assert (done.cell.threads, done.measured, done.evaluated) == (1, 1, 1)
    folder = tmp_path / "bundle" / "measurements"
    assert sorted(path.name for path in folder.iterdir()) == ["quality-1.json", "time-1.json"]
    assert {record.measures for record in read_records(folder)} == {"time", "quality"}
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "- verdict: " in card
    assert "engine-only: 5 ms (" in card
    assert "- top-1: 75.0 % (" in card
    assert "images of " in card
    assert "AMD EPYC" in card
    assert "deploybench run --artifact `a`" in card
    assert "not measured: latency" not in card
    assert "not measured: accuracy" not in card


def test_without_records_the_card_says_that_nothing_was_measured(artifact: Artifact) -> None:
    card = model_card(artifact, cell_of(artifact), ["onnxruntime==1"], (), ())
    assert "## Accuracy\n\nNot measured." in card
    assert "## Speed and memory\n\nNot measured." in card
    assert "not measured: latency and memory" in card


def test_records_of_other_cells_are_no_measurement_of_this_one(artifact: Artifact) -> None:
    other = timed(artifact, cell=cell_of(artifact).replaced(threads=2))
    card = model_card(artifact, cell_of(artifact), ["onnxruntime==1"], (other,), ())
    assert "## Speed and memory\n\nNot measured." in card


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"artifact_sha256": "0" * 64}, "is that of other files"),
        ({"preprocessing": "--window=-160,240"}, "was found with --window=-160,240 beyond"),
    ],
)
def test_accuracy_of_something_else_is_refused(
    artifact: Artifact, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    of_another = evaluated(artifact, **changes)
    with pytest.raises(DeployBenchError, match=words):
        write_bundle(artifact, cell_of(artifact), tmp_path / "b", quality=[of_another])


def test_other_versions_than_those_measured_are_refused(artifact: Artifact, tmp_path: Path) -> None:
    record = timed(artifact, versions={"onnxruntime": "1.0"})
    with pytest.raises(DeployBenchError, match=r"was measured with onnxruntime 1\.0, and") as told:
        write_bundle(artifact, cell_of(artifact), tmp_path / "b", records=[record])
    assert "pip install onnxruntime==1.0" in (told.value.action or "")


def test_option_that_contradicts_the_record_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    path = write_record(timed(artifact), tmp_path / "records")
    request = BundleRequest(None, tmp_path / "bundle", records=(path,), threads=7)
    with pytest.raises(DeployBenchError, match="--threads 7, and the record is of 1"):
        carry_out_bundle(request)


def test_every_step_of_the_preprocessing_is_in_the_card(artifact: Artifact) -> None:
    spec = artifact.manifest.preprocessing.replaced(
        crop_mode="border",
        crop_border_pixels=3,
        window=(-160.0, 240.0),
        background="black",
        orientation="keep",
        color="bgr",
    )
    words = preprocessing_words(spec)
    for told in (
        "stored",
        "laid on black",
        "-160 (black) to 240",
        "3 pixels trimmed",
        "padded with the mean",
        "blue, green and red",
    ):
        assert told in words
