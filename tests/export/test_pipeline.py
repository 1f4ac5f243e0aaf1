"""Export end to end on tiny models: content keys, forms, precisions, failures."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export import pipeline
from deploybench.export.pipeline import ExportOptions, check_requests, export_all, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions
from tests.conftest import TINY, run_cli

Artifacts = Callable[[str], Artifact]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.prepare()
    return made


def request_of(backend: str, name: str = TINY, **changes: object) -> ExportRequest:
    return ExportRequest(model=ModelRequest(name=name), backend=backend).model_copy(update=changes)


def test_same_export_again_is_a_no_op_and_force_redoes_it(
    tiny_workspace: Workspace, workspace: Workspace
) -> None:
    shutil.copytree(tiny_workspace.root, workspace.root, dirs_exist_ok=True)
    again = export_one(request_of("torchscript"), workspace, ExportOptions())
    assert again.reused
    assert again.seconds < 5
    forced = export_one(request_of("torchscript"), workspace, ExportOptions(force=True))
    assert not forced.reused
    assert forced.artifact is not None
    assert forced.artifact.manifest.created > again.artifact.manifest.created  # type: ignore[union-attr]


def test_damaged_artifact_is_exported_again(
    tiny_workspace: Workspace, workspace: Workspace
) -> None:
    shutil.copytree(tiny_workspace.root, workspace.root, dirs_exist_ok=True)
    artifact = next(
        item for item in workspace.artifacts() if item.manifest.backend == "torchscript"
    )
    artifact.entry.write_bytes(artifact.entry.read_bytes()[:100])
    result = export_one(request_of("torchscript"), workspace, ExportOptions())
    assert not result.reused
    assert result.ok


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16"},
        {"batch": 1},
        {"options": {"opset": 17}},
        {"model": ModelRequest(name=TINY, num_classes=3)},
    ],
)
def test_key_changes_with_everything_that_changes_the_artifact(change: dict[str, object]) -> None:
    base = request_of("onnx")
    assert base.key({}, {}, {"torch": "1"}) != base.model_copy(update=change).key(
        {}, {}, {"torch": "1"}
    )


def test_key_depends_on_versions_code_and_checkpoint_content_but_not_on_path_or_threads() -> None:
    base = request_of("onnx")
    assert base.key({}, {}, {"torch": "1"}) != base.key({}, {}, {"torch": "2"})
    assert base.key({}, {"code": "a"}, {}) != base.key({}, {"code": "b"}, {})
    assert base.key({"checkpoint": "a"}, {}, {}) != base.key({"checkpoint": "b"}, {}, {})
    moved = base.model_copy(
        update={"model": ModelRequest(name=TINY, checkpoint="/elsewhere"), "threads": 8}
    )
    assert base.key({"checkpoint": "a"}, {}, {}) == moved.key({"checkpoint": "a"}, {}, {})


def test_portable_onnx_has_opset_17_and_ir_8_and_passes_parity(workspace: Workspace) -> None:
    result = export_one(
        request_of("onnx", "timm:test_resnet", options={"opset": 17, "ir_version": 8}),
        workspace,
        ExportOptions(),
    )
    assert result.ok, result.error
    assert result.artifact is not None
    document = onnx.load(result.artifact.entry)
    assert document.ir_version == 8
    assert [item.version for item in document.opset_import if item.domain == ""] == [17]
    assert result.artifact.manifest.verified


@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch-export", "torchscript"])
def test_static_batch_is_fixed_and_another_batch_is_planned_as_skipped(
    backend: str, workspace: Workspace
) -> None:
    result = export_one(request_of(backend, batch=2), workspace, ExportOptions())
    assert result.ok, result.error
    assert result.artifact is not None
    assert result.artifact.manifest.inputs[0].shape == (2, 3, 160, 160)
    assert result.artifact.manifest.verified


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("pytorch", "bf16"), ("torchscript", "bf16"), ("onnx", "fp16"), ("openvino", "fp16")],
)
def test_reduced_precision_is_within_its_own_budget_and_smaller(
    backend: str, precision: str, workspace: Workspace, tiny_artifact: Artifacts
) -> None:
    result = export_one(request_of(backend, precision=precision), workspace, ExportOptions())
    assert result.artifact is not None, result.error
    manifest = result.artifact.manifest
    assert manifest.size_bytes < 0.7 * tiny_artifact(backend).manifest.size_bytes
    assert manifest.parity is not None
    assert manifest.parity.precision == precision
    assert manifest.parity.passed, manifest.parity.reason


def test_checkpoint_decides_the_number_of_classes_and_labels_go_into_the_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    built, _ = load_model(TINY, BuildOptions(num_classes=3), None, allow_partial=False)
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in built.module.state_dict().items()}},
        tmp_path / "c.pth",
    )
    (tmp_path / "names.txt").write_text("cat\ndog\nother\n")
    model = ModelRequest(
        name=TINY, checkpoint=str(tmp_path / "c.pth"), labels=str(tmp_path / "names.txt")
    )
    result = export_one(ExportRequest(model=model, backend="pytorch"), workspace, ExportOptions())
    assert result.ok, result.error
    assert result.artifact is not None
    assert result.artifact.manifest.model.num_classes == 3
    assert result.artifact.manifest.weights.label == "checkpoint c.pth"
    assert result.artifact.labels() == ["cat", "dog", "other"]


def test_failed_export_leaves_nothing_behind_and_the_others_go_on(
    workspace: Workspace, tmp_path: Path
) -> None:
    torch.save({"nothing.fits": torch.zeros(1)}, tmp_path / "wrong.pt")
    wrong = ExportRequest(
        model=ModelRequest(name=TINY, checkpoint=str(tmp_path / "wrong.pt")), backend="pytorch"
    )
    results = list(export_all([wrong, request_of("pytorch")], workspace, ExportOptions(jobs=2)))
    by_ok = {result.ok: result for result in results}
    assert by_ok[False].error is not None
    assert "no tensor of" in by_ok[False].error.found
    assert by_ok[True].artifact is not None
    assert [path.name for path in workspace.artifacts_folder.iterdir()] == ["timm-test_vit"]


def test_export_that_takes_too_long_is_a_failure_with_the_limit(workspace: Workspace) -> None:
    result = export_one(request_of("onnx"), workspace, ExportOptions(time_limit_s=0.5))
    assert result.error is not None
    assert "time limit of 0.5 s" in result.error.found
    assert "deploybench export --model timm:test_vit" in str(result.error.action)
    assert list(workspace.artifacts_folder.iterdir()) == []


def test_disk_that_fills_up_leaves_no_partial_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    (tmp_path / "sitecustomize.py").write_text(limit)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run_cli(
        "export",
        "-w",
        workspace.root,
        "-m",
        TINY,
        "-b",
        "pytorch",
        environment={"PYTHONPATH": path},
    )
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "too large" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert list(workspace.artifacts_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (request_of("pytorch", "vitt"), "unknown model 'vitt'"),
        (request_of("onx"), "unknown backend 'onx'"),
        (request_of("onnx", precision="bf16"), "does not write bf16"),
        (request_of("pytorch", "timm:test_vti"), "unknown timm model 'test_vti'"),
        (request_of("pytorch", "no.such:thing"), "cannot be found"),
        (
            request_of("pytorch", model=ModelRequest(name=TINY, checkpoint="/no/such.pt")),
            "no checkpoint /no/such.pt",
        ),
    ],
)
def test_request_that_cannot_work_is_refused_before_anything_starts(
    request_: ExportRequest, words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        check_requests([request_])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"checkpoint": "/no/such.pt"}, "there is no checkpoint /no/such.pt"),
        ({"labels": "/no/names.txt"}, "there is no file /no/names.txt"),
    ],
)
def test_file_that_is_not_there_is_refused_before_a_process_is_started_to_look_at_it(
    monkeypatch: pytest.MonkeyPatch, file: dict[str, str], words: str
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(pipeline, "run_forked", started)
    model = ModelRequest(name="resnet50", **file)  # type: ignore[arg-type]
    with pytest.raises(DeployBenchError, match=words):
        check_requests([request_of("pytorch", model=model)])


def test_labels_that_are_no_text_are_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"caf\xe9")
    model = ModelRequest(name="resnet50", labels=str(path))
    with pytest.raises(DeployBenchError, match="is no text"):
        check_requests([request_of("pytorch", model=model)])


def test_manifest_carries_the_request_and_the_command_that_repeats_it(
    tiny_artifact: Artifacts,
) -> None:
    manifest = tiny_artifact("onnx").manifest
    assert ExportRequest.model_validate(manifest.request) == request_of("onnx")
    assert (
        manifest.command
        == "deploybench export --model timm:test_vit --backend onnx --precision fp32 --batch "
        "dynamic"
    )
    assert (
        json.loads((tiny_artifact("onnx").path / "manifest.json").read_text())["schema_version"]
        == 1
    )


def test_asked_bf16_on_fp32_weights_is_cast_by_eager_and_held_to_the_bf16_budget(
    tiny_artifact: Artifacts,
) -> None:
    job = Job(
        artifact=str(tiny_artifact("pytorch").path),
        runner="pytorch",
        device="cpu",
        precision="bf16",
        batch=1,
        threads=1,
        measure=False,
    )
    launch = run_job(job)
    assert launch.facts is not None
    assert launch.facts.precision == "bf16"
    assert launch.parity is not None
    assert launch.parity.precision == "bf16"
    assert launch.parity.max_error is not None
    assert launch.parity.max_error > 1e-4
