"""The weights in an exported file are the model's, or what differs is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deploybench.artifacts.weights_audit import Folded, WeightsAudit, audit_weights
from deploybench.contracts import ExportSpec
from deploybench.contracts.registry import exporter
from deploybench.errors import DeployBenchError
from deploybench.models.folding import find_folds
from deploybench.models.loading import SingleOutput


class Small(nn.Module):
    """A convolution with a norm behind it, and a linear layer: one that exporters fold, one not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.norm(self.conv(x)).relu().mean((2, 3)))
        return outputs


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    built = Small().eval().requires_grad_(False)
    for tensor in built.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.2, 1)
    return built


def tensors_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: tensor.float().numpy().copy()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("pytorch", "bf16"),
        ("onnx", "fp32"),
        ("onnx", "fp16"),
        ("torchscript", "fp32"),
        ("torchscript", "bf16"),
        ("openvino", "fp32"),
        ("openvino", "fp16"),
        ("openvino", "int8-weights"),
        ("torch-export", "fp32"),
    ],
)
def test_every_tensor_is_found_in_what_the_exporter_wrote(
    module: nn.Module, tmp_path: Path, backend: str, precision: str
) -> None:
    plugin = exporter(backend).require()
    example = torch.randn(2, 3, 8, 8)
    folds = find_folds(module, example)
    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    wrapped = SingleOutput(module, dtypes.get(precision, torch.float32)).eval()
    spec = ExportSpec(precision=precision, options=plugin.default_options())
    exported = plugin.export(wrapped, example, spec, tmp_path)
    stored = plugin.stored_tensors(tmp_path / exported.entry)
    assert stored is not None
    audit = audit_weights(tensors_of(module), stored, folds, precision)
    assert (audit.found, audit.missing, audit.wrong) == (8, (), ())


FAULTS = {
    "a sign": lambda tensors: np.negative(tensors["head.bias"], out=tensors["head.bias"]),
    "1 % of one value": lambda tensors: tensors["head.bias"].__setitem__(
        0, tensors["head.bias"][0] * np.float32(1.01)
    ),
    "a transposed matrix": lambda tensors: tensors.update(
        {"head.weight": tensors["head.weight"].T.copy()}
    ),
    "two exchanged tensors": lambda tensors: tensors.update(
        {"norm.bias": tensors["head.bias"], "head.bias": tensors["norm.bias"]}
    ),
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            marks=pytest.mark.trust(
                item=10,
                case=f"the exported file has {fault} wrong under the tensor's own name",
                before="verified where the outputs change by less than the precision's budget",
                now="refused: other values than the model under that name",
            ),
        )
        for fault in FAULTS
    ],
)
def test_tensor_under_its_name_with_other_values_is_refused(module: nn.Module, fault: str) -> None:
    source = tensors_of(module)
    stored = {f"model.{name}": tensor.copy() for name, tensor in source.items()}
    named = {name.removeprefix("model."): tensor for name, tensor in stored.items()}
    FAULTS[fault](named)
    audit = audit_weights(source, named, (), "fp32")
    assert audit.wrong
    with pytest.raises(DeployBenchError, match="other values than the model"):
        audit.check("model.onnx")


def test_what_has_no_name_of_the_models_is_not_found_and_not_refused(module: nn.Module) -> None:
    source = tensors_of(module)
    stored = {f"constant {name}": tensor * 1.5 for name, tensor in source.items()}
    audit = audit_weights(source, stored, (), "fp32")
    audit.check("model.xml")
    assert audit.found == 0
    assert audit.label.startswith("0 of 8 found, 8 not found: conv.weight, ")


def test_wrong_fold_is_not_found(module: nn.Module) -> None:
    source = tensors_of(module)
    fold = Folded("conv", "norm", 1e-5)
    scale = source["norm.weight"] / np.sqrt(source["norm.running_var"] + 1e-5)
    weight = source["conv.weight"] * scale.reshape(-1, 1, 1, 1)
    bias = (source["conv.bias"] - source["norm.running_mean"]) * scale + source["norm.bias"]
    right = {"a": weight, "b": bias, "c": source["head.weight"], "d": source["head.bias"]}
    assert audit_weights(source, right, (fold,), "fp32") == WeightsAudit(found=8, tensors=8)
    without_mean = {**right, "b": bias + source["norm.running_mean"] * scale}
    audit = audit_weights(source, without_mean, (fold,), "fp32")
    assert set(audit.missing) >= {"conv.bias", "norm.bias", "norm.running_mean"}


def test_weight_of_8_bits_is_found_within_a_step_and_a_bias_as_it_is(module: nn.Module) -> None:
    source = {name: tensors_of(module)[name] for name in ("head.weight", "head.bias")}
    stored = {name.upper(): tensor.copy() for name, tensor in source.items()}
    step = 2 * np.abs(source["head.weight"]).max() / 255

    stored["HEAD.WEIGHT"][0, 0] += step
    assert audit_weights(source, stored, (), "int8-weights").missing == ()
    assert audit_weights(source, stored, (), "fp32").missing == ("head.weight",)
    stored["HEAD.WEIGHT"][0, 0] += step
    stored["HEAD.BIAS"][0] *= np.float32(1.001)
    audit = audit_weights(source, stored, (), "int8-weights")
    assert audit.missing == ("head.weight", "head.bias")
