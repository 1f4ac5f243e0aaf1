"""Time by layer on every runtime that has a profiler here, of one tiny ViT."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Layer, LayerTimes, RunOptions
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError
from deploybench.measure.layers import LayersJob, Windows, profile, summarised
from deploybench.results.layers import LayerProfile
from deploybench.runners import onnxruntime_layers, openvino_layers, torch_layers
from deploybench.runners.onnx_names import modules_of_optimised

Artifacts = Callable[[str], Artifact]
ATTENTION = "blocks.0.attn"


def profiled(artifact: Artifact, name: str) -> LayerProfile:
    found = profile(
        LayersJob(
            artifact=str(artifact.path),
            runner=name,
            device="cpu",
            precision="fp32",
            batch=1,
            threads=1,
            seconds=0.1,
        )
    )
    assert found.failed is None
    return found


@pytest.mark.parametrize(
    ("backend", "name"),
    [("onnx", "onnxruntime"), ("openvino", "openvino"), ("pytorch", "pytorch")],
)
def test_layers_name_the_modules_of_the_model(
    tiny_artifact: Artifacts, backend: str, name: str
) -> None:
    found = profiled(tiny_artifact(backend), name)

    modules = {module for layer in found.layers for module in layer.modules}
    assert {"patch_embed.proj", f"{ATTENTION}.qkv", f"{ATTENTION}.proj", "head"} <= modules
    assert not any(module.startswith(("model.", "model/")) for module in modules)
    assert "" in modules, "the model adds its position embedding itself"
    assert found.calls >= 15
    assert 0 < found.layers_ms < 2 * found.profiled_ms
    assert len(found.gaps_ms) == found.windows >= 5
    assert all(layer.low_ms <= layer.ms <= layer.high_ms for layer in found.layers)


def test_torchscript_tells_operators_and_no_modules(tiny_artifact: Artifacts) -> None:
    found = profiled(tiny_artifact("torchscript"), "torchscript")

    assert found.layers
    assert "name no module" in found.note


def test_a_runner_without_a_profiler_says_so(tiny_artifact: Artifacts) -> None:
    artifact = tiny_artifact("torch-export")
    plugin = runner("torch-export").require()
    assert not plugin.profiles_layers
    with pytest.raises(DeployBenchError, match="torch-export has no profiler of layers"):
        plugin.load_profiled(artifact, RunOptions("cpu", 1, "fp32", 1))


def node(name: str, operator: str, inputs: str, output: str, scope: str = "") -> SimpleNamespace:
    properties = []
    if scope:
        scopes = str(["", "model", f"model.{scope}", operator.lower()])
        properties.append(SimpleNamespace(key="pkg.torch.onnx.name_scopes", value=scopes))
    return SimpleNamespace(
        name=name,
        op_type=operator,
        input=inputs.split(),
        output=[output],
        metadata_props=properties,
    )


def test_a_fused_node_stands_for_all_between_its_ends() -> None:
    graph = SimpleNamespace(
        node=[
            node("conv", "Conv", "input model.stem.weight", "normed", "norm"),
            node("relu", "Relu", "normed", "active", "act"),
            node("pool", "MaxPool", "active", "pooled", "pool"),
            node("sizes", "Shape", "active", "sizes", "elsewhere"),
            node("reshape", "Reshape", "pooled sizes", "flat", "flatten"),
        ],
        initializer=[SimpleNamespace(name="model.stem.weight")],
    )
    optimised = [
        node("reorder", "ReorderInput", "input", "reorder_1"),
        node("active_nchwc", "Conv", "reorder_1 reordered_weight", "reorder_2"),
        node("pool", "MaxPool", "reorder_2", "reorder_3"),
        node("fused_reshape", "Reshape", "reorder_3", "flat"),
    ]

    modules = modules_of_optimised(graph, optimised)

    assert modules == {
        "reorder": (),
        "active_nchwc": ("stem", "act", "norm"),
        "pool": ("pool",),
        "fused_reshape": ("flatten",),
    }


def test_events_of_onnx_runtime_are_told_apart_by_call() -> None:
    def event(name: str, us: int) -> dict[str, object]:
        arguments = {
            "op_name": "Conv",
            "provider": "CPUExecutionProvider",
            "input_type_shape": [{"float16": [1, 3]}],
        }
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": arguments}

    call = {"cat": "Session", "name": "model_run", "dur": 99}
    events = [event("a", 10), event("b", 5), call, event("a", 30), call]

    times = onnxruntime_layers.times_of(onnxruntime_layers.calls_of(events), {"a": ("stem",)})

    assert [layer.name for layer in times.layers] == ["a", "b"]
    assert times.layers[0].modules == ("stem",)
    assert times.layers[0].precision == "fp16"
    assert times.calls_ms == ((0.010, 0.005), (0.030, 0.0))


def test_counters_of_openvino_leave_out_what_did_not_run() -> None:
    def counter(name: str, us: int, status: str = "Status.EXECUTED") -> SimpleNamespace:
        took = timedelta(microseconds=us)
        return SimpleNamespace(
            node_name=name, node_type="Add", exec_type="jit", status=status, real_time=took
        )

    told = {"add": {"originalLayersNames": "Multiply_9,__module.model.a.bn/aten::add,b"}}
    calls = [[counter("add", 7), counter("const", 0, "Status.NOT_RUN")]]
    times = openvino_layers.times_of(calls, told)

    assert [layer.name for layer in times.layers] == ["add"]
    assert times.layers[0].modules == ("a.bn",)
    assert times.calls_ms == ((0.007,),)


def test_operators_that_a_module_calls_twice_are_two_layers() -> None:
    took = [
        ("a", "add", "add", 1.0),
        ("a", "add", "add", 2.0),
        (None, "to", "copy_", 0.5),
        ("", "add", "add", 0.1),
    ]
    times = torch_layers.times_of([took])

    assert [layer.name for layer in times.layers] == ["a/add", "a/add 2", "to", "/add"]
    assert times.layers[2].modules == ()
    assert times.layers[2].kernel == "copy_"
    assert times.layers[3].modules == ("",), "the model's own code"


def test_the_faster_half_of_the_calls_is_looked_at_and_gaps_are_those_of_a_window() -> None:
    windows = Windows(plain_ms=[[3.0, 3.0], [5.0, 9.0]], profiled_ms=[[4.0, 4.0], [6.0, 6.0]])
    # In the last two calls others hit one layer each.
    calls = ((1.0, 1.5), (1.0, 1.5), (9.0, 1.5), (1.0, 9.5))
    layers = tuple(Layer(name, "op") for name in "ab")

    found = summarised(LayerProfile(), windows, LayerTimes(layers, calls))

    assert found.gaps_ms == (0.5, 7.0 - 10.5)
    assert [layer.ms for layer in found.layers] == [1.0, 1.5]
    assert (found.plain_ms, found.profiled_ms, found.layers_ms) == (3.0, 4.0, 2.5)
