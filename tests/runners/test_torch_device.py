"""The GPU place of the PyTorch runners: tf32 switches, layouts, and what it refuses.

Only the device is a double.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.errors import DeployBenchError
from deploybench.exporters.torchscript import frozen_trace
from deploybench.measure.job import Job
from deploybench.measure.worker import launch
from deploybench.runners.torch_device import (
    check_cuda,
    cudnn_text,
    has_code_for,
    is_convolutional,
    set_tf32,
    tf32_is_on,
)
from deploybench.runners.torch_export import moved
from deploybench.runners.torch_session import TorchSession
from deploybench.runners.torchscript import numbers_of_sizes, read_script
from tests.runners.artifacts import unwritten
from tests.runners.torch_cuda_double import CudaOnTheCpu

Artifacts = Callable[[str], Artifact]
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this host has a CUDA device")


def options(precision: str) -> RunOptions:
    return RunOptions(device="cuda", threads=1, precision=precision, batch=1)


@pytest.fixture(autouse=True)
def _switches_as_before() -> Iterator[None]:
    benchmark = torch.backends.cudnn.benchmark
    yield
    set_tf32(torch, on=False)
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.parametrize("on", [True, False])
def test_tf32_is_read_back_as_it_was_set_and_older_names_agree(on: bool) -> None:
    set_tf32(torch, on=not on)
    set_tf32(torch, on=on)
    assert tf32_is_on(torch) is on
    assert torch.backends.cuda.matmul.allow_tf32 is on
    assert torch.backends.cudnn.allow_tf32 is on
    assert torch.backends.cudnn.fp32_precision == ("tf32" if on else "ieee")


def test_tf32_that_nvidias_variable_switches_off_is_not_on(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tf32(torch, on=True)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not tf32_is_on(torch)


def test_tf32_in_products_alone_is_not_tf32() -> None:
    set_tf32(torch, on=True)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    assert not tf32_is_on(torch)


def test_old_pytorch_is_switched_by_its_own_names() -> None:
    class Part:
        allow_tf32 = True

    class Old:
        class backends:  # noqa: N801 - PyTorch's name
            cudnn = Part()

            class cuda:  # noqa: N801
                matmul = Part()

    set_tf32(Old, on=False)
    assert not tf32_is_on(Old)
    assert not Old.backends.cudnn.allow_tf32
    assert not Old.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("asked", "benchmark", "words"),
    [
        ("searched", True, "convolution algorithms searched (cudnn.benchmark)"),
        ("heuristic", False, "convolution algorithms by cuDNN's heuristics"),
    ],
)
def test_cudnn_searches_unless_asked_not_to_as_onnx_runtime_does_and_the_facts_say_it(
    asked: str, benchmark: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not benchmark)
    place = CudaOnTheCpu(RunOptions("cuda", 1, "fp32", 1, convolutions=asked))
    assert torch.backends.cudnn.benchmark is benchmark
    session = TorchSession(unwritten(), nn.Identity(), place, options("fp32"), "eager", "fp32")
    assert session.facts().notes == (words,)
    assert RunOptions("cuda", 1, "fp32", 1).convolutions == "searched"


@pytest.mark.parametrize(
    ("asked", "weights", "capability", "effective"),
    [
        ("fp32", "fp32", (8, 6), "fp32"),
        ("tf32", "fp32", (8, 6), "tf32"),
        ("tf32", "fp32", (6, 1), "fp32"),
        ("fp16", "fp16", (8, 6), "fp16"),
        ("bf16", "bf16", (8, 6), "bf16"),
    ],
)
def test_effective_precision_is_that_of_the_weights_and_of_the_switches_on_this_gpu(
    asked: str, weights: str, capability: tuple[int, int], effective: str
) -> None:
    assert CudaOnTheCpu(options(asked), capability).arithmetic(weights) == effective


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", False), ("tf32", True), ("fp16", True), ("bf16", True)]
)
def test_convolutional_model_is_channels_last_where_tensor_cores_run_it(
    precision: str, expected: bool
) -> None:
    module, place = convolutions(), CudaOnTheCpu(options(precision))
    module.to = lambda *to, **how: nn.Module.to(module, **how) if how else module  # type: ignore[method-assign]
    place.move(module)
    weight = next(module.parameters())
    assert weight.is_contiguous(memory_format=torch.channels_last) is expected
    assert ("channels_last" in place.notes) is expected


def test_one_convolution_is_a_patch_embedding() -> None:
    assert is_convolutional(convolutions())
    assert not is_convolutional(nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.Linear(8, 8)))


def test_half_precision_says_that_it_is_the_weights_own() -> None:
    assert CudaOnTheCpu(options("fp16")).notes == ("fp16 weights, no autocast",)
    assert CudaOnTheCpu(options("fp32")).notes == ()


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 6), ["sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_86"], False),
        ((9, 0), ["sm_86", "compute_86"], True),
        ((6, 1), ["sm_75", "sm_80", "compute_90"], False),
        ((3, 7), ["sm_37", "sm_50"], True),
        ((12, 0), ["sm_100", "sm_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120a"], False),
        ((8, 6), ["gfx90a"], False),
    ],
)
def test_build_has_code_for_a_gpu_by_cuda_s_rules(
    capability: tuple[int, int], architectures: list[str], runs: bool
) -> None:
    assert has_code_for(capability, architectures) is runs


def test_gpu_that_the_build_has_no_code_for_is_refused_with_what_it_has() -> None:
    with pytest.raises(
        DeployBenchError, match=r"no code for compute capability 7\.0.*sm_37, sm_61, sm_86"
    ):
        CudaOnTheCpu(options("fp32"), (7, 0))


@WITHOUT_GPU
def test_pytorch_that_reaches_no_gpu_is_refused_in_its_own_words() -> None:
    with pytest.raises(
        DeployBenchError, match=f"PyTorch {torch.__version__.split('+')[0]}.* cannot use cuda:1: .+"
    ):
        check_cuda(torch, "cuda:1")


@WITHOUT_GPU
@pytest.mark.parametrize("runner", ["pytorch", "torchscript", "torch-export", "inductor"])
def test_launch_on_a_gpu_that_is_not_there_is_refused_and_never_measured_on_the_cpu(
    runner: str, tiny_artifact: Artifacts
) -> None:
    form = "pytorch" if runner == "inductor" else runner
    path = str(tiny_artifact(form).path)
    found = launch(
        Job(artifact=path, runner=runner, device="cuda", precision="fp32", batch=1, threads=1)
    )
    assert found.refused is not None
    assert "cannot use cuda" in found.refused
    assert not found.measured


def test_versions_of_cudnn_are_read_as_their_header_writes_them() -> None:
    assert [cudnn_text(version) for version in (8500, 8902, 90100, 91002)] == [
        "8.5.0",
        "8.9.2",
        "9.1.0",
        "9.10.2",
    ]


class MakesTensors(nn.Module):
    """Like a model that makes its positions in every call."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + torch.arange(images.shape[-1], device=images.device)


class CountsSizes(nn.Module):
    """Puts two images together."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(images.shape[0] // 2, -1)


def written(module: nn.Module, example: torch.Tensor) -> io.BytesIO:
    """The module as the exporter writes it."""
    file = io.BytesIO()
    torch.jit.save(frozen_trace(module.eval(), example), file)
    file.seek(0)
    return file


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_traced_graph_makes_its_tensors_on_the_device_it_is_read_for() -> None:
    file = written(MakesTensors(), torch.zeros(2, 3))
    assert "cpu" in str(read_script(file, "cpu").graph)
    file.seek(0)
    script = read_script(file, "meta")
    assert script(torch.zeros(2, 3, device="meta")).device.type == "meta"


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_sizes_are_counted_on_the_cpu_wherever_the_images_are() -> None:
    """On a GPU each of these numbers would be waited for, in every call."""
    file = written(CountsSizes(), torch.zeros(4, 3))
    here = read_script(file, "cpu")
    numbers = [node.t("value") for node in numbers_of_sizes(here.graph)]
    assert [int(number) for number in numbers] == [2]
    file.seek(0)
    moved_graph = read_script(file, "meta", numbers)
    with torch.jit.optimized_execution(False):
        assert moved_graph(torch.zeros(8, 5, device="meta")).shape == (4, 10)


def test_exported_program_makes_its_tensors_on_the_device_it_is_moved_to() -> None:
    program = torch.export.export(MakesTensors(), (torch.zeros(2, 3),))
    assert moved(program, "meta").module()(torch.zeros(2, 3, device="meta")).device.type == "meta"
