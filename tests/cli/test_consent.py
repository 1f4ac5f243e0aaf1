"""Code of others runs only with consent: what was not made here is refused before it is loaded."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from deploybench.artifacts.artifact import SIGNATURE, Artifact, open_artifact
from deploybench.artifacts.pack import write_pack
from deploybench.artifacts.signature import is_signed, sign, signature_of
from deploybench.artifacts.workspace import Workspace
from deploybench.bundle import expected
from deploybench.bundle.request import BundleRequest, carry_out_bundle
from deploybench.cli.main import application
from deploybench.contracts import Runner
from deploybench.contracts.registry import runners
from deploybench.errors import EXIT_REFUSED, DeployBenchError
from deploybench.evaluate.predict import predict_images
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest
from deploybench.runs import explaining, surroundings
from deploybench.runs import request as runs
from deploybench.runs.explaining import ExplainRequest
from deploybench.runs.request import RunRequest, carry_out
from deploybench.scenarios import request as scenarios
from deploybench.scenarios.request import ScenarioRequest, run_scenarios
from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace
from tests.conftest import ROOT, Cli, rewrite_manifest

TORCHSCRIPT = "timm-test_efficientnet/torchscript-fp32-dynamic-8a125cd9"
HOSTILE = """
import pathlib
pathlib.Path({marker!r}).write_text("executed")
def factory(**arguments):
    raise RuntimeError("nothing more to do")
"""
Artifacts = Callable[[str], Artifact]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.new("RGB", (80, 80), (90, 120, 30)).save(path)
    return path


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the hostile module writes as soon as it is imported."""
    marker = tmp_path / "executed"
    module = tmp_path / "modules" / "hostile_zoo.py"
    module.parent.mkdir()
    module.write_text(HOSTILE.format(marker=str(marker)))
    monkeypatch.syspath_prepend(str(module.parent))
    monkeypatch.delitem(sys.modules, "hostile_zoo", raising=False)
    return marker


@pytest.fixture
def hostile(tmp_path: Path, marker: Path) -> Artifact:
    """An eager artifact from elsewhere that names the hostile module as its model."""
    workspace = kept_workspace(tmp_path / "workspace", PYTORCH)
    folder = workspace.artifacts_folder / PYTORCH
    model = open_artifact(folder).manifest.model.replaced(name="hostile_zoo:factory")
    rewrite_manifest(folder, model=model)
    (folder / SIGNATURE).unlink()
    return open_artifact(folder)


@pytest.fixture
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end where measuring would begin."""
    monkeypatch.setattr(surroundings, "measured_peaks", lambda host, threads: None)
    monkeypatch.setattr(runs, "run_cells", lambda *_, **__: iter(()))


@pytest.mark.trust(
    item=22,
    case="predict on an eager artifact from elsewhere, whose manifest names a Python module",
    before="the module was imported and its code ran, before 'the factory … raised RuntimeError'",
    now="refused: it holds or names code, and carries no signature; --trust once",
)
def test_predict_does_not_import_what_a_manifest_names(
    hostile: Artifact, marker: Path, image: Path
) -> None:
    with pytest.raises(DeployBenchError, match="code that would run as you") as refusal:
        predict_images(hostile.path, [image])
    assert "--trust" in (refusal.value.action or "")
    assert not marker.exists()

    with pytest.raises(DeployBenchError, match="nothing more to do"):
        predict_images(hostile.path, [image], trust=True)
    assert marker.exists()
    assert is_signed(hostile)


@pytest.mark.trust(
    item=22,
    case="run on a workspace with an artifact from elsewhere that holds code",
    before="went on to measuring, which loads it, without a question",
    now="refused before anything is measured, with the command that trusts the workspace",
)
@pytest.mark.usefixtures("nothing_measured")
def test_run_is_refused_before_anything_is_measured_and_trust_is_given_once(
    tmp_path: Path,
) -> None:
    workspace = kept_workspace(tmp_path / "workspace", PYTORCH, TORCHSCRIPT, ONNX)
    request = {"workspace": workspace.root, "rounds": 1}

    with pytest.raises(DeployBenchError, match="made before signatures") as refusal:
        carry_out(RunRequest(**request))  # type: ignore[arg-type]
    assert f"deploybench run --workspace {workspace.root} --trust" in (refusal.value.action or "")

    carry_out(RunRequest(**request, trust=True))  # type: ignore[arg-type]
    assert all(is_signed(artifact) for artifact in workspace.artifacts())
    carry_out(RunRequest(**request))  # type: ignore[arg-type]


@pytest.mark.usefixtures("nothing_measured")
def test_what_a_runtime_reads_as_data_needs_no_consent(tmp_path: Path, image: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", ONNX, TORCHSCRIPT)

    carry_out(RunRequest(workspace=workspace.root, runners=("onnxruntime",), rounds=1))
    predictions = predict_images(workspace.artifacts_folder / ONNX, [image])

    assert predictions[0]["classes"]
    assert not any(is_signed(artifact) for artifact in workspace.artifacts())


@pytest.mark.trust(
    item=22,
    case="run PACK with TorchScript in it",
    before="unpacked and loaded without a question (tried with predict)",
    now="unpacked, and refused until --trust is said once",
)
@pytest.mark.usefixtures("nothing_measured")
def test_run_of_a_pack_asks_once(tmp_path: Path) -> None:
    source = kept_workspace(tmp_path / "source", TORCHSCRIPT)
    pack = tmp_path / "from elsewhere.dbpack"
    write_pack(source.artifacts(), pack)
    target = Workspace(tmp_path / "target")

    with pytest.raises(DeployBenchError) as refusal:
        carry_out(RunRequest(packs=(pack,), workspace=target.root, rounds=1))
    assert f"deploybench run '{pack}'" in (refusal.value.action or "")

    carry_out(RunRequest(packs=(pack,), workspace=target.root, rounds=1, trust=True))
    [artifact] = target.artifacts()
    signature = signature_of(artifact)
    assert signature is not None
    assert signature.how == "trusted"
    carry_out(RunRequest(packs=(pack,), workspace=target.root, rounds=1))


@pytest.mark.trust(
    item=22,
    case="scenario on an artifact from elsewhere that holds code",
    before="went on to measuring, which loads it, without a question",
    now="refused before anything is measured",
)
def test_scenario_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    monkeypatch.setattr(scenarios, "check_loadgen", lambda: None)

    def measure(*arguments: object) -> None:
        raise NotImplementedError("measured")

    monkeypatch.setattr(scenarios, "_measure", measure)
    with pytest.raises(DeployBenchError, match="made before signatures"):
        run_scenarios(ScenarioRequest(workspace=workspace.root))
    with pytest.raises(NotImplementedError, match="measured"):
        run_scenarios(ScenarioRequest(workspace=workspace.root, trust=True))
    assert is_signed(workspace.artifacts()[0])


def test_explain_is_refused_before_anything_is_profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    [artifact] = workspace.artifacts()

    def child(*_: object, **__: object) -> object:
        raise NotImplementedError("profiled")

    monkeypatch.setattr(explaining, "run_child", child)
    monkeypatch.setattr(explaining, "measured_peaks", lambda host, threads: None)
    asked = {"artifact": str(artifact.path), "workspace": workspace.root}
    with pytest.raises(DeployBenchError, match="made before signatures"):
        explaining.explain(ExplainRequest(**asked))  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="profiled"):
        explaining.explain(ExplainRequest(**asked, trust=True))  # type: ignore[arg-type]
    assert is_signed(artifact)


def test_every_format_that_holds_code_is_refused_and_what_was_exported_here_is_not(
    tiny_workspace: Workspace, tmp_path: Path, image: Path
) -> None:
    data = {"onnx", "openvino"}
    for artifact in tiny_workspace.artifacts():
        backend = artifact.manifest.backend
        assert is_signed(artifact), backend
        copy = shutil.copytree(artifact.path, tmp_path / backend)
        (copy / SIGNATURE).unlink()
        if backend in data:
            continue
        with pytest.raises(DeployBenchError, match="code that would run as you"):
            predict_images(copy, [image])


def test_predict_on_what_was_exported_here_asks_nothing(
    tiny_artifact: Artifacts, image: Path
) -> None:
    assert predict_images(tiny_artifact("torchscript").path, [image])[0]["classes"]


def test_command_line_says_why_and_what_to_type(cli_here: Cli, tmp_path: Path, image: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    folder = workspace.artifacts_folder / TORCHSCRIPT

    refused = cli_here("predict", folder, image)
    trusted = cli_here("predict", folder, image, "--trust")
    again = cli_here("predict", folder, image)

    assert refused.returncode == EXIT_REFUSED
    assert "made elsewhere, or made before signatures" in refused.stderr
    assert f"deploybench predict {folder} {image} --trust" in refused.stderr
    assert trusted.returncode == again.returncode == 0, trusted.stderr + again.stderr


@pytest.mark.trust(
    item=22,
    case="what the refusal of predict says to type",
    before="no refusal: the artifact was run",
    now="the command as it was typed, with --trust",
)
def test_the_command_to_type_is_the_one_that_was_typed(cli_here: Cli, tmp_path: Path) -> None:
    kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    words = ["predict", "timm:test_efficientnet/torchscript", "a photo.png", "--top", "2"]

    refused = cli_here(*words, "--workspace", "workspace", "--", "-b.png", cwd=tmp_path)

    assert refused.returncode == EXIT_REFUSED
    assert (
        "type once: deploybench predict timm:test_efficientnet/torchscript 'a photo.png' --top 2 "
        "--workspace workspace --trust -- -b.png\n"
    ) in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--runner", "torchscript", "--budget", "5s", "--skip", "*/inductor"],
        ["scenario", "--scenario", "single-stream", "--runner", "torchscript"],
    ],
    ids=["run", "scenario"],
)
def test_refusal_of_a_measurement_says_to_type_all_that_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scenarios, "check_loadgen", lambda: None)
    typed = ["deploybench", *words, "--workspace", "workspace"]
    monkeypatch.setattr(sys, "argv", typed)

    refused = CliRunner().invoke(application(), typed[1:])

    assert refused.exit_code == EXIT_REFUSED
    assert f"type once: {shlex.join(typed)} --trust\n" in refused.output


def test_runner_that_says_nothing_of_itself_runs_code() -> None:
    class Silent(Runner):
        name = "silent"

    assert Silent.runs_code
    reading_data = {
        name
        for name, entry in runners().items()
        if entry.plugin is not None and not entry.plugin.runs_code
    }
    assert reading_data == {"onnxruntime", "openvino"}


def test_export_does_not_hand_on_what_somebody_else_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    [planted] = workspace.artifacts()
    asked = ExportRequest.model_validate(planted.manifest.request)
    request = asked.replaced(model=asked.model.replaced(labels=None))
    monkeypatch.setattr("deploybench.export.pipeline._folder", lambda *_: planted.path)

    def no_child(*_: object, **__: object) -> object:
        raise DeployBenchError("exported again")

    monkeypatch.setattr("deploybench.export.pipeline.run_forked", no_child)
    again = export_one(request, workspace, ExportOptions())
    assert "exported again" in str(again.error)

    sign(planted.path, "made")
    assert export_one(request, workspace, ExportOptions()).reused


def test_artifacts_are_loaded_in_few_places_each_behind_a_question_of_consent() -> None:
    """Whoever loads artifacts anywhere else asks ``check_consent`` or ``check_planned`` first, and
    is added here."""
    loading = set()
    for path in (ROOT / "deploybench").rglob("*.py"):
        if re.search(r"\bplugin\.load(_streams|_profiled)?\(", path.read_text()):
            loading.add(path.relative_to(ROOT / "deploybench").as_posix())
    assert loading == {
        "demo/worker.py",
        "bundle/worker.py",
        "evaluate/predict.py",
        "evaluate/worker.py",
        "export/foreign_answers.py",
        "measure/layers.py",
        "measure/preparing.py",
        "measure/worker.py",
        "scenarios/worker.py",
    }


def test_bundle_is_refused_before_the_artifact_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = kept_workspace(tmp_path / "workspace", TORCHSCRIPT)
    [artifact] = workspace.artifacts()

    def child(*_: object, **__: object) -> object:
        raise NotImplementedError("loaded")

    monkeypatch.setattr(expected, "_outcome", child)
    request = BundleRequest(str(artifact.path), tmp_path / "bundle", workspace=workspace.root)
    with pytest.raises(DeployBenchError, match="made before signatures"):
        carry_out_bundle(request)
    with pytest.raises(NotImplementedError, match="loaded"):
        carry_out_bundle(replace(request, trust=True))
    assert is_signed(artifact)
