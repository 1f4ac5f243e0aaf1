"""What could not be served as it was measured is refused, and names of others do nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import SIGNATURE, Artifact, open_artifact
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.bundle import writing
from deploybench.bundle.checks import run_options, serving_of
from deploybench.bundle.process import process_of
from deploybench.bundle.request import BundleRequest, carry_out_bundle
from deploybench.bundle.writing import write_bundle
from deploybench.contracts.registry import runner, runners
from deploybench.errors import DeployBenchError
from deploybench.plan.cells import Selection, plan_cells
from deploybench.results.cell import Cell
from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace
from tests.bundle.conftest import serve
from tests.conftest import rewrite_manifest, run_here
from tests.docker.test_dockerfiles import lint

TORCHSCRIPT = "timm-test_efficientnet/torchscript-fp32-dynamic-8a125cd9"


def kept(tmp_path: Path, name: str = ONNX) -> Artifact:
    return open_artifact(kept_workspace(tmp_path / "workspace", name).artifacts_folder / name)


def cell_of(artifact: Artifact, name: str = "onnxruntime", **changes: object) -> Cell:
    selection = Selection([runner(name)], batches=[1], precisions=[], threads=1)
    (planned,) = plan_cells([artifact], selection, None)
    return planned.cell.replaced(**changes)


def test_python_function_writes_what_the_command_writes(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    folder = write_bundle(artifact, cell_of(artifact), tmp_path / "bundle", records=())
    assert folder == tmp_path / "bundle"
    assert serve(folder, "--check").returncode == 0
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cuda:0"}, "a bundle for cuda:0: none is written for GPUs yet"),
        ({"streams": 2, "threads": 2}, "ran 2 streams at the same time"),
        ({"precision": "bf16"}, "onnxruntime runs a fp32 artifact here in fp32, not bf16"),
        ({"artifact_key": "0" * 64}, "expected: the artifact that was measured"),
        ({"cuda_graph": True}, r"the option --cuda-graph \(CUDA graph\), and onnxruntime does not"),
    ],
)
def test_cell_that_could_not_be_served_as_measured_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    artifact = kept(tmp_path)
    with pytest.raises(DeployBenchError, match=words):
        write_bundle(artifact, cell_of(artifact, **changes), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_runner_that_was_not_taught_is_refused(tmp_path: Path) -> None:
    artifact = kept(tmp_path, PYTORCH)
    with pytest.raises(DeployBenchError, match="pytorch cannot tell how a program of its own"):
        write_bundle(artifact, cell_of(artifact, "pytorch"), tmp_path / "bundle", trust=True)


def test_every_option_that_a_runner_obeys_is_served_or_refused(tmp_path: Path) -> None:
    """None is dropped in silence: another value of it makes another program."""
    artifact = kept(tmp_path)
    plugin = runner("onnxruntime").require()
    cell = cell_of(artifact)
    plain = serving_of(artifact, cell, plugin)
    for name in plugin.cell_options & plain.options:
        options = run_options(cell)
        for value in ("on", "off", "basic", "none", True, 1):
            try:
                serving = plugin.serving(artifact, replace(options, **{name: value}))
            except Exception:  # no value of that option
                continue
            if serving != plain:
                break
        else:
            raise AssertionError(f"{name} changes nothing in serve.py")


def test_code_of_others_is_not_run_without_consent(tmp_path: Path) -> None:
    artifact = kept(tmp_path, TORCHSCRIPT)
    cell = cell_of(artifact, "torchscript")
    (artifact.path / SIGNATURE).unlink(missing_ok=True)
    with pytest.raises(DeployBenchError, match="code that would run as you"):
        write_bundle(artifact, cell, tmp_path / "bundle")


def test_artifact_that_failed_parity_is_refused(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    parity = artifact.manifest.parity
    assert parity is not None
    failed = parity.replaced(passed=False, reason="far off")
    rewrite_manifest(artifact.path, parity=failed, parity_note="failed: far off")
    again = open_artifact(artifact.path)
    with pytest.raises(DeployBenchError, match="failed parity: failed: far off"):
        write_bundle(again, cell_of(again), tmp_path / "bundle")


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    folder = tmp_path / "bundle"
    folder.mkdir()
    mine = folder / "thesis.txt"
    mine.write_text("mine")
    for force in (False, True):
        with pytest.raises(DeployBenchError, match="what it holds is no bundle"):
            write_bundle(artifact, cell_of(artifact), folder, force=force)
    assert mine.read_text() == "mine"
    mine.unlink()

    write_bundle(artifact, cell_of(artifact), folder)  # empty: it may be there
    with pytest.raises(DeployBenchError, match="--force to replace it"):
        write_bundle(artifact, cell_of(artifact), folder)
    (folder / "old.txt").write_text("of the old bundle")
    write_bundle(artifact, cell_of(artifact), folder, force=True)
    assert not (folder / "old.txt").exists()
    assert (folder / "bundle.json").is_file()


def test_bundle_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = kept(tmp_path)
    whole = writing.program
    monkeypatch.setattr(
        writing,
        "program",
        lambda *asked: whole(*asked).replace("{INPUT: images}", "{INPUT: -images}"),
    )
    with pytest.raises(DeployBenchError, match="does not answer as its runner does: reference"):
        write_bundle(artifact, cell_of(artifact), tmp_path / "bundle")
    assert {path.name for path in tmp_path.iterdir()} == {"workspace"}


HOSTILE = 'evil"""\nimport os\nRUN rm -rf /\n`$(id)` <img src=x> \x1b[31m | ../../up \u202e'


def test_hostile_names_stand_in_no_code_and_in_no_line_of_their_own(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    manifest = artifact.manifest
    model = manifest.model.replaced(name=HOSTILE)
    weights = manifest.weights.replaced(kind="checkpoint", source=f"/x/{HOSTILE}")
    rewrite_manifest(artifact.path, model=model, weights=weights, command=f"export {HOSTILE} ```")
    again = open_artifact(artifact.path)

    folder = write_bundle(again, cell_of(again), tmp_path / "bundle")

    assert serve(folder, "--check").returncode == 0
    for name in ("serve.py", "Dockerfile", "requirements.txt"):
        text = (folder / name).read_text("utf-8")
        assert "import os" not in text
        assert "rm -rf" not in text
        assert "\x1b" not in text
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    assert "\nRUN rm" not in card
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert re.search(r"(?<!\\)<img", card.split("## Measured on")[0]) is None
    assert card.count("\n````") == 2  # the commands are fenced by more than they hold
    assert lint(folder / "Dockerfile") == []


@dataclass(frozen=True)
class Named:
    """Of an ONNX graph whose tensors have odd names."""

    input: str = "in'put\"\n"
    output: str = "out\\put{}"


def test_odd_names_of_tensors_and_files_are_served(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    artifact = kept(tmp_path)
    manifest = artifact.manifest
    names = Named()
    graph = onnx.load(artifact.entry)
    for node in graph.graph.node:
        node.input[:] = [names.input if name == "input" else name for name in node.input]
        node.output[:] = [names.output if name == "logits" else name for name in node.output]
    graph.graph.input[0].name, graph.graph.output[0].name = names.input, names.output
    entry = artifact.path / "it's {a} model.onnx"
    artifact.entry.unlink()
    onnx.save(graph, entry)
    files = [file for file in manifest.files if file.path != manifest.entry]
    rewrite_manifest(
        artifact.path,
        entry=entry.name,
        inputs=(manifest.inputs[0].replaced(name=names.input),),
        outputs=(manifest.outputs[0].replaced(name=names.output),),
        files=(*files, writing.file_entry(entry, artifact.path)),
    )
    again = open_artifact(artifact.path)
    folder = write_bundle(again, cell_of(again), tmp_path / "bundle")
    assert serve(folder, "--check").returncode == 0


ODD = {
    "border, bgr": {"crop_mode": "border", "color": "bgr", "crop_fraction": 1.0},
    "squash, trimmed by much": {"crop_mode": "squash", "crop_border_pixels": 90},
    "grey, window": {"color": "grey", "window": (10.0, 200.0), "background": "black"},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_odd_preprocessing_is_kept(tmp_path: Path, changes: dict[str, object]) -> None:
    artifact = kept(tmp_path)
    spec: Preprocessing = artifact.manifest.preprocessing.replaced(**changes)
    rewrite_manifest(artifact.path, preprocessing=spec)
    again = open_artifact(artifact.path)
    folder = write_bundle(again, cell_of(again, batch=2), tmp_path / "bundle")
    done = serve(folder, "--check")
    assert done.returncode == 0
    assert "sample inputs: output 'logits': largest difference 0, allowed" in done.stdout


def test_dockerfile_of_every_runner_lints_and_pins_this_python(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    cell = cell_of(artifact)
    seen = 0
    for name in ("onnxruntime", "torchscript", "torch-export", "aotinductor"):
        plugin = runners()[name].plugin
        assert plugin is not None
        serving = plugin.serving(artifact, run_options(cell))
        text = writing.dockerfile(serving, process_of({"allocator": "jemalloc"}))
        assert f"FROM python:{sys.version_info[0]}.{sys.version_info[1]}-slim-" in text
        assert " libjemalloc2" in text
        path = tmp_path / "Dockerfile"
        path.write_text(text)
        assert lint(path) == [], name
        assert "\nUSER 1000\n" in text
        seen += "libgomp1" in text
    assert seen == 1


def test_command_refuses_in_words(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="nothing to bundle: no artifact, and no --record"):
        carry_out_bundle(BundleRequest(None, tmp_path / "bundle", workspace=tmp_path))
    artifact = kept(tmp_path)
    with pytest.raises(DeployBenchError, match="openvino does not run onnx artifacts"):
        carry_out_bundle(BundleRequest(str(artifact.path), tmp_path / "bundle", runner="openvino"))
    with pytest.raises(DeployBenchError, match="unknown precision 'fp31'"):
        carry_out_bundle(BundleRequest(str(artifact.path), tmp_path / "bundle", precision="fp31"))


def test_options_of_the_command_are_those_of_the_bundle(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    folder = tmp_path / "bundle"
    done = run_here(
        "bundle", artifact.path, "-o", folder, "--arena", "off", "--graph-level", "basic"
    )
    assert done.returncode == 0, done.stderr
    program = (folder / "serve.py").read_text()
    assert "options.enable_cpu_mem_arena = False" in program
    assert "ORT_ENABLE_BASIC" in program
    assert serve(folder, "--check").returncode == 0
    refused = run_here("bundle", artifact.path, "-o", tmp_path / "b", "--openvino-hint", "none")
    assert refused.returncode != 0
    assert "--openvino-hint" in refused.stderr
    assert not (tmp_path / "b").exists()


def test_serve_without_anything_to_do_says_what_to_type(tmp_path: Path) -> None:
    artifact = kept(tmp_path)
    folder = write_bundle(artifact, cell_of(artifact), tmp_path / "bundle")
    for arguments in ([], ["--http", "8000x"]):
        done = serve(folder, *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    program = [sys.executable, "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"]
    subprocess.run([*program, str(folder / "serve.py")], check=True)
