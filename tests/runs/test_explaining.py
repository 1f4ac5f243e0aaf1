"""``deploybench explain``: which artifact is meant, what is refused, what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import ChildOutcome
from deploybench.errors import DeployBenchError
from deploybench.models.module_work import modules_of
from deploybench.results.layers import LayerFigures, LayerProfile
from deploybench.runs import explaining
from deploybench.runs.explaining import ExplainRequest, explain
from tests.conftest import TINY, Cli

Artifacts = Callable[[str], Artifact]


def layer(name: str, ms: float, *modules: str) -> LayerFigures:
    return LayerFigures(name=name, kind="Op", modules=modules, ms=ms, low_ms=ms, high_ms=ms)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A child that says what layers took; the jobs that it was given."""
    jobs: list[dict[str, object]] = []

    def run(module: str, request: str, **_: object) -> ChildOutcome:
        jobs.append(json.loads(request))
        found = LayerProfile(
            layers=(layer("a", 1.0, "blocks.0.attn.qkv"), layer("b", 3.0, "head"), layer("c", 0.5)),
            calls=30,
            windows=5,
            plain_ms=4.6,
            profiled_ms=4.7,
            layers_ms=4.5,
            gaps_ms=(0.1, 0.2),
        )
        return ChildOutcome(found.model_dump_json().encode(), None, "")

    monkeypatch.setattr(explaining, "run_child", run)
    monkeypatch.setattr(explaining, "measured_peaks", lambda host, threads: None)
    return jobs


def test_macs_of_the_modules_sum_to_those_of_the_model(tiny_artifact: Artifacts) -> None:
    artifact = tiny_artifact("onnx")
    work = modules_of(artifact)

    assert sum(module.macs for module in work) == artifact.manifest.model.macs
    by_name = {module.name: module for module in work}
    assert by_name["patch_embed.proj"].kind == "Conv2d 16x16"
    assert by_name["blocks.0.attn"].macs > 0, "q k^T belongs to no projection"
    assert sum(module.parameters for module in work) == artifact.manifest.model.parameters


def test_a_runner_and_a_precision_are_something_to_lay_beside(
    tiny_workspace: Workspace, child: list[dict[str, object]]
) -> None:
    asked = {"model": TINY, "runner": "onnxruntime", "workspace": tiny_workspace.root}

    beside = explain(ExplainRequest(**asked, against="openvino"))  # type: ignore[arg-type]
    alone = explain(ExplainRequest(**asked, threads=1))  # type: ignore[arg-type]

    assert [side.runner for side in beside.sides] == ["onnxruntime", "openvino"]
    assert [job["runner"] for job in child] == ["onnxruntime", "openvino", "onnxruntime"]
    assert len(alone.sides) == 1
    assert child[-1]["threads"] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing to explain"),
        ({"model": TINY}, "artifacts of timm:test_vit in the workspace"),
        ({"model": "resnet50"}, "no artifact of resnet50"),
        ({"model": TINY, "runner": "torch-export"}, "torch-export has no profiler of layers"),
        ({"model": TINY, "runner": "onnxruntime", "precision": "bf16"}, "in bf16"),
        ({"model": TINY, "runner": "onnxruntime", "against": "int8"}, "in int8"),
        ({"model": TINY, "precision": "fp3"}, "precision"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    tiny_workspace: Workspace, child: list[dict[str, object]], changes: dict[str, str], said: str
) -> None:
    with pytest.raises(DeployBenchError, match=said):
        explain(ExplainRequest(workspace=tiny_workspace.root, **changes))  # type: ignore[arg-type]
    assert not child


def test_command_prints_table_csv_and_json(
    tiny_workspace: Workspace, child: list[dict[str, object]], cli_here: Cli
) -> None:
    words = ["explain", f"{TINY}/onnx", "-w", tiny_workspace.root]

    table = cli_here(*words)
    csv = cli_here(*words, "--csv").stdout.splitlines()
    data = json.loads(cli_here(*words, "--json").stdout)
    beside = cli_here(*words, "--against", "openvino").stdout

    assert table.returncode == 0, table.stderr
    printed = " ".join(table.stdout.split())
    assert "layers 4.500 ms, un-profiled call 4.600 ms, between them 0.100 ms (2.2%)" in printed
    assert "not mapped: 0.500 ms (11.1%) in 1 layer" in printed
    assert "what bounds it is not known" in printed
    assert "most of all head (Linear: 66.7% of the time" in printed
    assert any("blocks.0.attn.qkv" in line for line in csv)
    [side] = data["sides"]
    assert [row["module"] for row in side["modules"]] == ["head", "blocks.0.attn.qkv"]
    assert len(side["layers"]) == 3
    assert "A was profiled first" in beside


def test_what_failed_in_the_child_is_said_and_is_the_exit_code(
    tiny_workspace: Workspace, cli_here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "measured_peaks", lambda host, threads: None)
    monkeypatch.setattr(
        explaining, "run_child", lambda *_, **__: ChildOutcome(None, "killed by SIGKILL", "")
    )
    done = cli_here("explain", f"{TINY}/onnx", "-w", tiny_workspace.root)

    assert done.returncode == 1
    assert "killed by SIGKILL" in done.stdout + done.stderr
