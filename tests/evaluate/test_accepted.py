"""An artifact in fp16 that fails parity, and is accepted by its accuracy, or is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact, file_entry, open_artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOrder, export_models, requests_of
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation
from deploybench.runs.request import RunRequest, carry_out
from tests.conftest import rewrite_manifest, run_here
from tests.evaluate.conftest import COLOURS, write_classes

DROP = 0.01
Weights = np.ndarray
Changed = Callable[[Weights], Weights]


@pytest.fixture(scope="module")
def half(colours: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The colours with an ONNX artifact in fp16 beside them; read only."""
    own = Workspace(tmp_path_factory.mktemp("half") / "workspace")
    shutil.copytree(colours.artifacts_folder, own.artifacts_folder)
    labels = tmp_path_factory.mktemp("labels") / "labels.txt"
    labels.write_text("\n".join(COLOURS))
    model = ModelRequest(name="colournets:colours", image_size=(32, 32), labels=str(labels))
    request = ExportRequest(model=model, backend="onnx", precision="fp16")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(colours.root.parent))
        result = export_one(request, own, ExportOptions())
    assert result.ok, result.error
    return own


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("data") / "photos", each=60, mistakes=3)


@pytest.fixture
def workspace(half: Workspace, tmp_path: Path) -> Workspace:
    own = Workspace(tmp_path / "workspace")
    shutil.copytree(half.artifacts_folder, own.artifacts_folder)
    return own


def artifact_in(workspace: Workspace, precision: str, backend: str = "onnx") -> Artifact:
    (found,) = [
        artifact
        for artifact in workspace.artifacts()
        if (artifact.manifest.backend, artifact.manifest.precision) == (backend, precision)
    ]
    return found


def with_weights(artifact: Artifact, changed: Changed) -> Artifact:
    """The artifact with other weights of its last layer: parity fails, here as at its export."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(artifact.entry))
    (head,) = [tensor for tensor in graph.graph.initializer if tuple(tensor.dims) == (6, 3)]
    weights = numpy_helper.to_array(head)
    head.CopyFrom(numpy_helper.from_array(changed(weights).astype(weights.dtype), head.name))
    onnx.save(graph, str(artifact.entry))
    manifest = artifact.manifest
    files = [file_entry(artifact.path / file.path, artifact.path) for file in manifest.files]
    parity = manifest.parity
    assert parity is not None
    rewrite_manifest(
        artifact.path,
        files=tuple(files),
        parity=parity.replaced(passed=False, max_error=0.4, reason="max error 4e-01"),
        parity_note="max error 4e-01",
    )
    return open_artifact(artifact.path)


def larger(weights: Weights) -> Weights:
    """All scores are larger, and none is the largest that was not before."""
    return 1.4 * weights


def turned(weights: Weights) -> Weights:
    """Each class has the scores of another one."""
    return np.roll(weights, 1, axis=0)


def evaluated(
    workspace: Workspace, data: Path, artifact: Artifact, drop: float | None = DROP
) -> Record:
    result = carry_out_evaluation(
        EvaluationRequest(
            data=data,
            artifacts=[artifact.path],
            runners=["onnxruntime"],
            threads=1,
            max_accuracy_drop=drop,
            workspace=workspace.root,
        )
    )
    (record,) = [one for one in result.records if one.cell.runner == "onnxruntime"]
    return record


def timed(workspace: Workspace, artifact: Artifact, drop: float | None = DROP) -> Record:
    result = carry_out(
        RunRequest(
            artifacts=[artifact.path],
            runners=["onnxruntime"],
            threads=1,
            rounds=1,
            duration_s=0.02,
            min_samples=2,
            max_accuracy_drop=drop,
            workspace=workspace.root,
        )
    )
    (record,) = result.records
    return record


def test_what_is_as_accurate_is_evaluated_and_timed_by_its_accuracy(
    workspace: Workspace, images: Path
) -> None:
    artifact = with_weights(artifact_in(workspace, "fp16"), larger)

    # Parity alone refuses it, and says what would let its accuracy decide.
    refused = evaluated(workspace, images, artifact, drop=None)
    assert refused.judgement.verdict is Verdict.INVALID
    assert "--accept-by accuracy" in refused.judgement.advice
    assert timed(workspace, artifact, drop=None).judgement.verdict is Verdict.INVALID
    # Nothing is known of its accuracy yet: the command that finds out is told.
    unknown = timed(workspace, artifact)
    assert unknown.judgement.verdict is Verdict.INVALID
    assert "holds no evaluation of it" in unknown.judgement.reason
    assert f"deploybench evaluate --data FOLDER --artifact {artifact.path}" in (
        unknown.judgement.advice
    )

    record = evaluated(workspace, images, artifact)
    assert record.judgement.verdict is Verdict.VALID
    accepted = "accepted by accuracy: top-1 +0.0 % [-0.8, +0.8] on 360 images of photos"
    assert accepted in record.judgement.reason
    assert "--accept-by accuracy --max-accuracy-drop 1%" in record.command

    measured = timed(workspace, artifact)
    assert measured.summary is not None, measured.judgement
    assert measured.parity is not None
    assert not measured.parity.passed
    assert f"accepted by accuracy: {measured.parity.accepted}" == accepted
    assert "--accept-by accuracy --max-accuracy-drop 1%" in measured.command
    shown = run_here("show", "-w", workspace.root)
    assert accepted in " ".join(shown.stdout.split())
    (row,) = json.loads(run_here("show", "-w", workspace.root, "--json").stdout)
    assert accepted.endswith(row["parity_accepted"])
    # Who does not ask for it is refused as before.
    assert timed(workspace, artifact, drop=None).judgement.verdict is Verdict.INVALID
    # A bound that the images cannot show is not met.
    assert "more images would tell" in timed(workspace, artifact, drop=0.001).judgement.reason


def test_what_was_accepted_is_predicted_packed_and_put_under_load(
    workspace: Workspace, images: Path, tmp_path: Path
) -> None:
    artifact = with_weights(artifact_in(workspace, "fp16"), larger)
    image = next(images.rglob("*.png"))
    pack = tmp_path / "colours.dbpack"
    here = ("-w", str(workspace.root))
    commands = [
        ("predict", str(artifact.path), str(image), *here, "--json"),
        ("pack", str(artifact.path), "--out", str(pack), *here),
        (
            *("scenario", "--artifact", str(artifact.path), "--runner", "onnxruntime", *here),
            *("--duration", "100ms", "--min-queries", "2", "--threads", "1", "--json"),
        ),
    ]
    accept = ("--accept-by", "accuracy")
    for typed in commands:
        refused = run_here(*typed)
        assert refused.returncode != 0, typed
        unknown = run_here(*typed, *accept)
        assert unknown.returncode != 0, typed
        said = " ".join(f"{unknown.stdout} {unknown.stderr}".split())
        assert "holds no evaluation of it" in said, typed
    assert not pack.exists()

    evaluated(workspace, images, artifact)
    predicted, packed, loaded = [run_here(*typed, *accept) for typed in commands]

    assert json.loads(predicted.stdout)[0]["classes"][0]["name"] in COLOURS
    assert pack.exists()
    assert "is accepted by accuracy: top-1 +0.0 %" in " ".join(packed.stderr.split())
    (row,) = json.loads(loaded.stdout)
    assert row["parity_accepted"].startswith("top-1 +0.0 %")
    assert row["query_count"] >= 2
    assert "--accept-by accuracy --max-accuracy-drop 1%" in row["command"]
    # What is as good in another precision only is no excuse for a wrong one in fp32.
    exact = with_weights(artifact_in(workspace, "fp32"), larger)
    never = run_here("predict", str(exact.path), str(image), *here, *accept)
    assert "parity is the proof" in " ".join(never.stderr.split())


def test_what_has_other_files_than_were_evaluated_is_refused(
    workspace: Workspace, images: Path
) -> None:
    artifact = with_weights(artifact_in(workspace, "fp16"), larger)
    assert evaluated(workspace, images, artifact).judgement.verdict is Verdict.VALID
    other = with_weights(artifact, lambda weights: 1.1 * weights)
    assert other.manifest.key == artifact.manifest.key
    assert "its files are others now" in timed(workspace, other).judgement.reason
    # Nor are the predictions of the other files taken for its own.
    again = evaluated(workspace, images, other)
    assert len(list(workspace.evaluations_folder.glob("*onnxruntime*"))) == 2
    assert again.quality is not None


def test_what_is_less_accurate_is_refused_with_its_figures(
    workspace: Workspace, images: Path
) -> None:
    artifact = with_weights(artifact_in(workspace, "fp16"), turned)
    words = "top-1 -95.0 % [-97.0, -92.0] on 360 images of photos: more than 1 % is lost"
    record = evaluated(workspace, images, artifact)
    assert record.judgement.verdict is Verdict.INVALID
    assert words in record.judgement.reason
    assert record.quality is not None
    measured = timed(workspace, artifact)
    assert measured.summary is None
    assert words in measured.judgement.reason


def test_fp32_is_never_accepted_by_accuracy(workspace: Workspace, images: Path) -> None:
    artifact = with_weights(artifact_in(workspace, "fp32"), larger)
    with pytest.raises(DeployBenchError, match="parity is the proof"):
        evaluated(workspace, images, artifact)
    with pytest.raises(DeployBenchError, match="parity is the proof"):
        timed(workspace, artifact)
    with pytest.raises(DeployBenchError, match="parity is the proof"):
        requests_of(ExportOrder(models=["timm:test_vit"], max_accuracy_drop=DROP))
    # Beside a cell that may be accepted it stands with the reason.
    result = carry_out_evaluation(
        EvaluationRequest(
            data=images,
            runners=["onnxruntime"],
            threads=1,
            max_accuracy_drop=DROP,
            workspace=workspace.root,
        )
    )
    (exact,) = [one for one in result.records if one.cell.form.startswith("fp32")][-1:]
    assert exact.judgement.verdict is Verdict.INVALID
    assert "never in fp32" in exact.judgement.reason


def test_export_says_that_an_artifact_is_accepted_once_it_was_evaluated(
    workspace: Workspace,
    images: Path,
    tmp_path: Path,
    colours: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(colours.root.parent))
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(COLOURS))
    order = ExportOrder(
        models=["colournets:colours"],
        backends=["onnx"],
        precisions=["fp16"],
        image_sizes=[(32, 32)],
        labels=labels,
        max_accuracy_drop=DROP,
        workspace=workspace.root,
    )
    artifact = with_weights(artifact_in(workspace, "fp16"), larger)
    typed = [
        *("export", "--model", "colournets:colours", "--backend", "onnx", "--precision", "fp16"),
        *("--image-size", "32", "--labels", str(labels), "-w", str(workspace.root)),
    ]
    (before,) = export_models(order)
    assert (before.ok, before.artifact) == (False, artifact)
    failing = run_here(*typed)
    assert failing.returncode == 1
    assert "--accept-by accuracy" in " ".join(failing.stdout.split())
    lacking = " ".join(run_here(*typed, "--accept-by", "accuracy").stdout.split())
    assert "not accepted by accuracy: the workspace holds no evaluation" in lacking
    assert "deploybench evaluate --data FOLDER" in lacking

    evaluated(workspace, images, artifact)
    (after,) = export_models(order)
    assert after.ok
    done = run_here(*typed, "--accept-by", "accuracy")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "accepted by accuracy: top-1 +0.0 % [-0.8, +0.8] on 360 images of photos" in text


def test_options_that_contradict_each_other_are_refused(workspace: Workspace, images: Path) -> None:
    typed = ["evaluate", "--data", str(images), "-w", str(workspace.root)]
    for options, words in (
        (("--max-accuracy-drop", "1%"), "without --accept-by accuracy"),
        (("--accept-by", "hope"), "--accept-by hope"),
        (("--accept-by", "accuracy", "--unlabelled"), "without labels"),
        (("--accept-by", "accuracy", "--no-eager"), "without fp32 eager"),
        (("--accept-by", "accuracy", "--max-accuracy-drop", "100%"), "a drop of accuracy of 1"),
    ):
        refused = run_here(*typed, *options)
        assert refused.returncode == 2, options
        assert words in " ".join(refused.stderr.split()), options
