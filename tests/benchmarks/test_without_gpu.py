"""A GPU that is not there finds what would stay on the CPU, in each form of a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.without_gpu import FORMS, document, problem_of, problems_of, row, rows_in
from tests.conftest import TINY

NEEDS_CUDA_BUILD = pytest.mark.skipif(
    torch.version.cuda is None, reason="this PyTorch is a build for the CPU"
)
IMAGES = torch.zeros(2, 3, 8, 8)


class KeepsATensor(nn.Module):
    """Its constant is neither a parameter nor a buffer, so ``module.to`` leaves it where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.constant = torch.ones(4, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) + self.constant


class AsksForTheCpu(nn.Module):
    """Moves its input to the CPU whatever it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) + torch.arange(6.0, device="cpu")


@NEEDS_CUDA_BUILD
@pytest.mark.parametrize("name", [TINY, "timm:test_resnet", "timm:test_efficientnet"])
def test_every_form_of_a_small_model_runs_on_a_gpu_that_is_not_there(name: str) -> None:
    assert problems_of(name) == dict.fromkeys(FORMS)


@NEEDS_CUDA_BUILD
@pytest.mark.parametrize("kind", [KeepsATensor, AsksForTheCpu])
def test_tensor_that_stays_on_the_cpu_is_found_in_the_module(kind: type[nn.Module]) -> None:
    with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
        FORMS["module"](kind().eval(), IMAGES)


@NEEDS_CUDA_BUILD
@pytest.mark.parametrize("form", ["torch-export", "torchscript"])
@pytest.mark.parametrize("kind", [KeepsATensor, AsksForTheCpu])
def test_runners_move_such_tensors_with_their_graphs(form: str, kind: type[nn.Module]) -> None:
    FORMS[form](kind().eval(), IMAGES)


@NEEDS_CUDA_BUILD
def test_program_that_is_moved_without_its_constants_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.without_gpu.moved", lambda program, device: program)
    with pytest.raises(RuntimeError, match="cuda:0"):
        FORMS["torch-export"](KeepsATensor().eval(), IMAGES)


@torch.jit.script
def _unless_equal(values: torch.Tensor) -> torch.Tensor:
    """Needs to know numbers, which the device meta does not have."""
    if torch.equal(values, torch.zeros_like(values)):
        return values
    return -values


class ComparesNumbers(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return _unless_equal(images)


@pytest.mark.filterwarnings("ignore")
def test_operator_that_the_device_meta_lacks_is_no_failure_of_the_model() -> None:
    problem = problem_of(FORMS["torchscript"], ComparesNumbers().eval(), IMAGES)
    assert problem == "not tried: aten::equal has no form for the device meta"


def test_rows_of_models_that_were_not_asked_for_stay(tmp_path: Path) -> None:
    kept = row("vit", dict.fromkeys(FORMS))
    failed = row("swin", {**dict.fromkeys(FORMS), "module": "RuntimeError: a | b"})
    text = document({"vit": kept, "swin": failed})
    assert rows_in(text) == {"vit": kept, "swin": failed}
    assert f"{2 * len(FORMS) - 1} of {2 * len(FORMS)} forms of 2 models ran" in text
    assert "Not tried: linformer, " in text
