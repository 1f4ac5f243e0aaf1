"""TensorRT-RTX plans are built for real, without a GPU, in every precision; what cannot be built
says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import ExportSpec
from deploybench.contracts.registry import exporters
from deploybench.data.synthetic import reference_inputs
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_all, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.exporters import onnx_quantised
from deploybench.exporters.onnx_agreement import agreement
from deploybench.exporters.tensorrt_build import BatchSizes, build
from deploybench.exporters.tensorrt_plan import rtx_plan_version
from tests.conftest import TINY, run_here

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.skipif(
    not exporters()["tensorrt-rtx"].usable, reason="the TensorRT-RTX exporter is not usable"
)

CONVOLUTIONS = "timm:test_efficientnet"
ASKED: dict[str, dict[str, object]] = {
    "fp32": {},
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
    "int8": {"precision": "int8", "calibration": "synthetic"},
    "convolutions bf16": {"model": ModelRequest(name=CONVOLUTIONS), "precision": "bf16"},
    "convolutions int8 of batch 2": {
        "model": ModelRequest(name="timm:test_resnet"),
        "precision": "int8",
        "calibration": "synthetic",
        "batch": 2,
    },
    "fp32 on sm75": {"target": "sm75"},
    "int8 past its budget": {
        "model": ModelRequest(name="tests.exporters.loud_network:one_loud_channel"),
        "precision": "int8",
        "calibration": "synthetic",
    },
}
BUILT = [*ASKED][:-2]


def request_of(**changes: object) -> ExportRequest:
    base = ExportRequest(model=ModelRequest(name=TINY), backend="tensorrt-rtx", target="sm86")
    return base.model_copy(update=changes)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("rtx"))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def results(workspace: Workspace) -> dict[str, ExportResult]:
    requests = {name: request_of(**changes) for name, changes in ASKED.items()}
    found = list(export_all(list(requests.values()), workspace, ExportOptions(jobs=2)))
    return {
        name: next(one for one in found if one.request == request)
        for name, request in requests.items()
    }


@pytest.fixture(scope="module")
def plan(results: dict[str, ExportResult]) -> Callable[[str], Artifact]:
    def one(name: str) -> Artifact:
        artifact = results[name].artifact
        assert artifact is not None, results[name].error
        return artifact

    return one


@pytest.mark.parametrize("name", BUILT)
def test_plan_is_whole_for_its_target_and_says_what_was_and_was_not_checked(
    name: str, plan: Callable[[str], Artifact], results: dict[str, ExportResult]
) -> None:
    artifact = plan(name)
    manifest, facts = artifact.manifest, artifact.manifest.facts
    content = artifact.entry.read_bytes()
    assert results[name].ok
    assert content.startswith(b"vtrt")
    assert b"sm86" in content
    assert b"sm75" not in content
    assert rtx_plan_version(artifact.entry) == facts["tensorrt"] == trt.__version__
    assert (facts["sm"], facts["gpu"]) == (86, "")
    assert {file.path for file in manifest.files} == {"model.engine", "reference.npz"}
    assert (manifest.parity, manifest.parity_runner) == (None, None)
    for words in ("not run here", "sm86", "the ONNX that it was built from agrees", "max error"):
        assert words in manifest.parity_note
    assert ("in fp32, which has no bf16 kernels" in manifest.parity_note) == (
        manifest.precision == "bf16"
    )


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_weights_of_half_the_size_make_a_smaller_plan(
    precision: str, plan: Callable[[str], Artifact]
) -> None:
    assert plan(precision).manifest.size_bytes < 0.7 * plan("fp32").manifest.size_bytes


def test_free_batch_has_a_profile_and_a_fixed_one_its_size(plan: Callable[[str], Artifact]) -> None:
    def batches(name: str) -> list[object]:
        return [plan(name).manifest.facts[f"batch_{part}"] for part in ("min", "opt", "max")]

    assert batches("fp32") == [1, 8, 32]
    assert batches("convolutions int8 of batch 2") == [2, 2, 2]


def test_int8_says_what_calibrated_it(plan: Callable[[str], Artifact]) -> None:
    assert "16 synthetic" in str(plan("int8").manifest.facts["calibration"])
    assert "calibration" not in plan("fp16").manifest.facts


def test_what_the_library_refuses_is_a_failure_in_its_words(
    results: dict[str, ExportResult],
) -> None:
    error = results["fp32 on sm75"].error
    assert error is not None
    assert "FP32 GEMM is not supported" in error.found
    assert "--target sm75" in str(error.action)


def test_plan_of_a_graph_that_fails_parity_is_not_built(results: dict[str, ExportResult]) -> None:
    """A row that says so, and no artifact."""
    result = results["int8 past its budget"]
    assert (result.artifact, result.ok) == (None, False)
    assert result.error is not None
    assert (
        "the int8 ONNX to build from fails parity on ONNX Runtime's CPU: max error"
        in result.error.found
    )
    assert "8-bit weights and activations, calibrated" in str(result.error.expected)


def test_plan_is_not_built_again_where_there_is_still_no_runner(
    workspace: Workspace, plan: Callable[[str], Artifact]
) -> None:
    again = export_one(request_of(), workspace, ExportOptions())
    assert again.reused
    assert again.artifact is not None
    assert again.artifact.manifest.created == plan("fp32").manifest.created
    assert request_of().key({}, {}, {}) != request_of(target="sm89").key({}, {}, {})


def test_truncated_plan_and_another_file_are_told_by_the_header(
    plan: Callable[[str], Artifact], tmp_path: Path
) -> None:
    content = plan("fp32").entry.read_bytes()
    for name, damaged, words in (
        ("short", content[:-1], f"the {len(content)} bytes that its header names"),
        ("other", b"ftrt" + content[4:], "starts with vtrt"),
        ("empty", b"", "starts with vtrt"),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DeployBenchError) as refused:
            rtx_plan_version(tmp_path / name)
        assert words in str(refused.value)


def write_graph(
    path: Path, nodes: list[onnx.NodeProto], output_type: int = TensorProto.FLOAT
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", output_type, None)],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def for_sm86(config: object) -> None:
    config.num_compute_capabilities = 1  # type: ignore[attr-defined]
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)  # type: ignore[attr-defined]


def test_every_node_that_is_not_supported_is_named_with_its_operator(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["input"], ["a"], name="fine"),
        helper.make_node("Unique", ["a"], ["b"], name="first_odd"),
        helper.make_node("Sparkle", ["b"], ["logits"], name="second_odd", domain="nowhere"),
    ]
    source = write_graph(tmp_path / "odd.onnx", nodes)
    with pytest.raises(DeployBenchError) as refused:
        build(trt, source, "fp32", BatchSizes(1, 1, 1), (3, 8, 8), for_sm86)
    for words in (
        "node 'first_odd' (Unique): ",
        "node 'second_odd' (Sparkle): ",
        "Plugin not found",
    ):
        assert words in refused.value.found
    assert "fine" not in refused.value.found


def test_onnx_that_computes_something_else_is_refused_before_a_plan_is_built(
    plan: Callable[[str], Artifact], tmp_path: Path
) -> None:
    images, outputs = plan("fp32").reference()
    np.savez(
        tmp_path / "reference.npz",
        inputs=images[:, :, :8, :8],
        outputs=np.resize(outputs, (len(images), 3, 8, 8)),
    )
    source = write_graph(tmp_path / "relu.onnx", [helper.make_node("Relu", ["input"], ["logits"])])
    with pytest.raises(
        DeployBenchError, match=r"the fp32 ONNX to build from fails parity.*of the spread"
    ):
        agreement(source, ExportSpec("fp32", 1), tmp_path)


def test_quantised_graph_is_symmetric_by_channel_and_leaves_biases_in_float(tmp_path: Path) -> None:
    from deploybench.models.loading import load_model
    from deploybench.models.source import BuildOptions

    built, _ = load_model(CONVOLUTIONS, BuildOptions(), None, allow_partial=False)
    spec = built.preprocessing
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight", "bias"], ["logits"], name="conv")],
        "graph",
        [
            helper.make_tensor_value_info(
                "input", TensorProto.FLOAT, ["batch", 3, spec.height, spec.width]
            )
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(np.ones(4, np.float32), "bias"),
        ],
    )
    source, target = tmp_path / "conv.onnx", tmp_path / "int8.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), source
    )
    onnx_quantised.quantise(source, target, reference_inputs(spec, 16, 1), None)
    found = onnx.load(target).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in found.initializer}
    quantising = [node for node in found.node if node.op_type == "QuantizeLinear"]
    assert sorted(constants[node.input[1]].size for node in quantising) == [1, 4]
    assert all(constants[node.input[2]].dtype == np.int8 for node in quantising)
    assert not any(constants[node.input[2]].any() for node in quantising)
    (conv,) = [node for node in found.node if node.op_type == "Conv"]
    assert constants[conv.input[2]].dtype == np.float32
    assert conv.output[0] == "logits"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-b", "tensorrt-rtx"],
            ["has none to take it from", "sm75, sm80, sm86, sm89, sm120, sm121"],
        ),
        (["-b", "tensorrt-rtx", "--target", "sm37"], ["builds no plans for sm37", "sm86"]),
        (["-b", "tensorrt-rtx", "--target", "8.6"], ["target 8.6", "sm86 is 8.6"]),
        (
            ["-b", "onnx", "--target", "sm86"],
            ["onnx artifacts are for no particular GPU", "leave out --target"],
        ),
        (["--target", "sm86"], ["--backend tensorrt-rtx"]),
        (["-b", "tensorrt-rtx", "--profile", "k80"], ["builds no plans for sm37"]),
    ],
)
def test_target_that_cannot_work_is_refused_before_anything_starts(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    done = run_here("export", "-w", tmp_path / "w", "-m", "vit", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    for expected in words:
        assert expected in " ".join(done.stderr.split())
    assert not (tmp_path / "w").exists()


def test_profile_gives_the_target_and_the_row_says_that_it_was_not_run(
    workspace: Workspace, plan: Callable[[str], Artifact]
) -> None:
    asked = (
        "export",
        "-w",
        workspace.root,
        "-m",
        TINY,
        "-b",
        "tensorrt-rtx",
        "--profile",
        "rtx3090",
    )
    done = run_here(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not run here" in done.stdout
    assert "agrees on ONNX Runtime's CPU" in " ".join(done.stdout.split())
    (row,) = json.loads(run_here(*asked, "--json").stdout)
    assert (row["reused"], row["verified"], row["facts"]["sm"]) == (True, False, 86)
    assert plan("fp32").manifest.command.endswith("--target sm86")


def test_engine_for_cuda_graphs_is_another_artifact_of_the_same_outputs(
    workspace: Workspace, plan: Callable[[str], Artifact]
) -> None:
    asked = request_of(options={"cuda_graph": True})
    result = export_one(asked, workspace, ExportOptions())
    assert result.artifact is not None, result.error
    plain = plan("fp32")
    assert result.artifact.manifest.key != plain.manifest.key
    assert "--option cuda_graph=True" in result.artifact.manifest.command
    assert result.artifact.entry.read_bytes() != plain.entry.read_bytes()


def test_target_that_the_builder_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from deploybench.exporters import tensorrt_rtx

    class Deaf:
        """A configuration that takes no target."""

        num_compute_capabilities = 0

        def set_compute_capability(self, capability: object, index: int) -> bool:
            return False

    def write_engine(*arguments: object) -> None:
        configure = arguments[-1]
        assert callable(configure)
        configure(Deaf())

    monkeypatch.setattr(tensorrt_rtx, "write_engine", write_engine)
    with pytest.raises(DeployBenchError, match="took no sm86 for its target"):
        tensorrt_rtx.TensorRtRtxExporter().export(
            torch.nn.Identity(), torch.zeros(1), ExportSpec(target="sm86"), tmp_path
        )
