"""A failed export says its cause: the operator, the line of the model, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deploybench.export.causes import MOST_CHARACTERS, cause_of

X = torch.rand(2, 9)


class Missing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x.reshape(-1, 3, 3)).abs()


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x
        return -x


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Custom(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Double.apply(x)  # type: ignore[no-any-return]


def failure(export: object) -> Exception:
    try:
        with torch.no_grad():
            export()  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("it exported")


def told(case: str, before: str) -> pytest.MarkDecorator:
    return pytest.mark.trust(
        item=11, case=case, before=before, now="the cause, the line of the model, and what to do"
    )


BOILERPLATE = "'Failed to convert the exported program', ESC[96m, 'This is step 3/3': no cause"


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        pytest.param(
            Missing(), "prims.bessel_j0", marks=told("ONNX: no form of an operator", BOILERPLATE)
        ),
        pytest.param(
            Unsupported(), "aten.linalg_eig", marks=told("ONNX: complex operator", BOILERPLATE)
        ),
    ],
)
def test_onnx_names_the_operator_and_the_line(model: nn.Module, operator: str) -> None:
    pytest.importorskip("onnxscript")
    cause = cause_of(failure(lambda: torch.onnx.export(model, (X,), dynamo=True, verbose=False)))
    assert cause.found.startswith(f"ONNX has no form of the operator {operator}")
    assert "(in test_causes.py:" in cause.found
    assert "--backend torch-export" in str(cause.action)
    assert "\x1b" not in str(cause)
    assert len(cause.found) <= MOST_CHARACTERS


@told(
    "torch.export: a branch on the image",
    "GuardOnDataDependentSymNode: Eq(u0, 1), and advice to PyTorch's own developers",
)
def test_torch_export_names_the_branch() -> None:
    cause = cause_of(failure(lambda: torch.export.export(Branch(), (X,))))
    assert "a branch or a size depends on the values of the image" in cause.found
    assert "(in test_causes.py:" in cause.found
    assert "torch.where" in str(cause.action)


@told("OpenVINO: no form of an operator", "Check 'false' failed at …unconverted_ops_report.cpp")
def test_openvino_names_the_operator() -> None:
    message = (
        "Check 'false' failed at src/frontends/unconverted_ops_report.cpp:151:\n"
        "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\nSummary:\n"
        "-- No conversion rule found for operations: aten::special_bessel_j0\n"
    )
    cause = cause_of(RuntimeError(message))
    assert cause.found == "OpenVINO has no form of the operators aten::special_bessel_j0"


@told(
    "TorchScript: a custom autograd function",
    "'Could not export Python function call', and two lines of stack in its midst",
)
def test_torchscript_names_the_function() -> None:
    traced = torch.jit.trace(Custom(), X, check_trace=False)
    cause = cause_of(failure(lambda: torch.jit.freeze(traced.eval()).save("/dev/null")))
    assert cause.found.startswith("Double is a function of Python's own")


def test_innermost_cause_is_told_where_no_rule_knows_it() -> None:
    try:
        try:
            raise ValueError("\x1b[96mthe real one\x1b[0m " + "x" * 900)
        except ValueError as error:
            raise RuntimeError("see above") from error
    except RuntimeError as error:
        cause = cause_of(error)
    assert cause.found.startswith("ValueError: the real one xxx")
    assert len(cause.found) <= MOST_CHARACTERS
    assert "(in test_causes.py:" in cause.found
