"""What the runners do with the options of a cell: told to the runtime, and read back from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions, Session, SessionFacts
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError
from deploybench.measure.proof import facts_of, fallback
from deploybench.runners.onnxruntime import session_settings
from deploybench.runners.onnxruntime_options import obeyed
from deploybench.runners.torch_layout import laid_out, layout_of

Artifacts = Callable[[str], Artifact]
PLAIN = RunOptions(device="cpu", threads=2, precision="fp32", batch=1)


def facts(artifact: Artifact, name: str, options: RunOptions) -> SessionFacts:
    """What a session says after a call."""
    with runner(name).require().load(artifact, options) as session:
        shapes = session.input_shapes.items()
        session.infer({name: np.zeros(shape, np.float32) for name, shape in shapes})
        return session.facts()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("spinning", "on"),
        ("spinning", "off"),
        ("arena", "off"),
        ("graph_level", "extended"),
        ("graph_level", "basic"),
        ("graph_level", "none"),
    ],
)
def test_onnx_runtime_reads_back_what_the_cell_asked_for(
    tiny_artifact: Artifacts, option: str, value: str
) -> None:
    asked: dict[str, Any] = {option: value}
    found = facts(tiny_artifact("onnx"), "onnxruntime", replace(PLAIN, **asked))
    assert found.options[option] == value


def test_onnx_runtime_of_a_plain_cell_is_as_it_was(tiny_artifact: Artifacts) -> None:
    settings = session_settings(tiny_artifact("onnx"), PLAIN)
    assert obeyed(settings) == {"arena": "on", "graph_level": "all"}
    assert settings.enable_mem_pattern


def test_onnx_runtime_s_graph_level_changes_the_graph(
    tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    import onnx

    nodes = {}
    for level in ("all", "none"):
        settings = session_settings(tiny_artifact("onnx"), replace(PLAIN, graph_level=level))
        settings.optimized_model_filepath = str(tmp_path / f"{level}.onnx")
        onnxruntime.InferenceSession(str(tiny_artifact("onnx").entry), settings)
        nodes[level] = len(onnx.load(tmp_path / f"{level}.onnx").graph.node)
    assert nodes["all"] < nodes["none"]


def test_arena_of_cpu_memory_is_refused_on_a_gpu(tiny_artifact: Artifacts) -> None:
    on_gpu = replace(PLAIN, device="cuda", arena="off")
    with pytest.raises(DeployBenchError, match="arena of CPU memory"):
        session_settings(tiny_artifact("onnx"), on_gpu)


@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_openvino_reads_back_its_hint(tiny_artifact: Artifacts, hint: str) -> None:
    found = facts(tiny_artifact("openvino"), "openvino", replace(PLAIN, openvino_hint=hint))
    assert found.options == {"openvino_hint": hint}
    assert (found.threads, found.notes) == (2, ())


def test_openvino_without_a_hint_says_which_it_took(tiny_artifact: Artifacts) -> None:
    found = facts(tiny_artifact("openvino"), "openvino", replace(PLAIN, openvino_hint="none"))
    assert found.notes[0].startswith("given no performance hint, OpenVINO took ")


@pytest.mark.parametrize(
    ("backend", "name"),
    [("pytorch", "pytorch"), ("pytorch", "inductor"), ("torchscript", "torchscript")],
)
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_weights_lie_as_the_cell_asks(
    tiny_artifact: Artifacts, backend: str, name: str, layout: str
) -> None:
    options = replace(PLAIN, memory_format=layout)
    with runner(name).require().load(tiny_artifact(backend), options) as session:
        assert session.facts().options == {"memory_format": layout}


def test_images_lie_as_the_weights_do_and_the_answer_stays(tiny_artifact: Artifacts) -> None:
    """A hook on the first convolution sees what it is given."""
    artifact = tiny_artifact("pytorch")
    image = np.random.default_rng(0).normal(size=(1, 3, 160, 160)).astype(np.float32)
    seen = []
    answers = []
    for layout in ("default", "channels_last"):
        session: Any = (
            runner("pytorch").require().load(artifact, replace(PLAIN, memory_format=layout))
        )
        image = np.zeros(session.input_shapes["input"], np.float32) + 0.5
        first = next(m for m in session.module.modules() if isinstance(m, torch.nn.Conv2d))
        first.register_forward_pre_hook(
            lambda module, given: seen.append(
                given[0].is_contiguous(memory_format=torch.channels_last)
            )
        )
        answers.append(session.infer({"input": image})["logits"].copy())
    assert seen == [False, True]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


def test_memory_format_is_refused_where_no_weight_has_another() -> None:
    """A kernel of one pixel lies the same either way."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Flatten())
    with pytest.raises(DeployBenchError, match="no convolution of the model has another layout"):
        laid_out(module, "channels_last")
    assert layout_of(module) is None


def test_constants_of_a_frozen_graph_are_laid_out_and_compute_the_same() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    image = torch.rand(1, 3, 8, 8)
    frozen = torch.jit.freeze(torch.jit.trace(module, image))
    assert layout_of(frozen) == "contiguous"
    changed = laid_out(frozen, "channels_last")
    assert layout_of(changed) == "channels_last"
    found = changed(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, module(image))


class Deaf(Session):
    """A session that does what it likes."""

    def __init__(self, **options: str) -> None:
        super().__init__({"input": (1, 3, 8, 8)})
        self._told = options

    def _infer(self, inputs: Any) -> Any:
        return inputs

    def facts(self) -> SessionFacts:
        return SessionFacts("fp32", 2, "deaf", "cpu", options=self._told)


def test_runtime_that_reads_back_another_value_is_refused() -> None:
    found = facts_of(Deaf(graph_level="all"))
    refused = fallback(replace(PLAIN, graph_level="none"), found)
    assert refused == "asked for graph level none, deaf runs graph level all"
    assert fallback(PLAIN, found) is None


def test_runtime_s_own_choice_is_what_a_default_asks_for() -> None:
    assert fallback(PLAIN, facts_of(Deaf(memory_format="channels_last"))) is None
