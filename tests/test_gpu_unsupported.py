"""Tests of a GPU are skipped, with the reason, on a card that NVIDIA made nothing for."""

from __future__ import annotations

import pytest

from deploybench.exporters import tensorrt_rtx
from deploybench.hardware.gpus import Gpu, find_gpus
from tests.gpu import unsupported
from tests.records import gpu, host

H100, TURING, AMPERE = gpu("NVIDIA H100", "9.0"), gpu("GeForce RTX 2080", "7.5"), gpu("3090", "8.6")


class Usable:
    """A runner's entry on a host that has the card."""

    usable, problem = True, None


@pytest.mark.parametrize(
    ("card", "precision", "words"),
    [
        (H100, "fp32", "NVIDIA H100: TensorRT-RTX builds no plans for sm90"),
        (TURING, "tf32", "GeForce RTX 2080 has no tf32 arithmetic"),
        (TURING, "bf16", "GeForce RTX 2080 has no bf16 arithmetic"),
        (AMPERE, "fp64", "the tensorrt-rtx exporter writes no fp64"),
        (AMPERE, "bf16", None),
        (TURING, "fp16", None),
    ],
)
def test_card_that_an_engine_is_not_for_is_a_reason_to_skip(
    card: Gpu, precision: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsupported, "runners", lambda: {"tensorrt-rtx": Usable()})
    monkeypatch.setattr(tensorrt_rtx, "first_gpu", lambda: card)
    found = unsupported.engines_unsupported("tensorrt-rtx", precision, host(gpus=(card,)))
    if words is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(words)


def test_backend_that_is_not_there_is_a_reason_to_skip() -> None:
    found = unsupported.engines_unsupported("tensorrt-of-tomorrow", "fp32", host())
    assert found == "no tensorrt-of-tomorrow exporter: not installed"


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
def test_pytorch_that_does_not_run_on_the_card_is_a_reason_to_skip() -> None:
    found = unsupported.torch_unsupported()
    assert found is not None
    assert "cannot use cuda" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "error: built no engine\nCannot compile operation 'y' for Turing (SM75): "
            "FP32 GEMM is not supported",
            "Cannot compile operation 'y' for Turing (SM75): FP32 GEMM is not supported",
        ),
        ("model contains HW-specific datatypes: b16", "model contains HW-specific datatypes: b16"),
        ("out of memory", None),
        ("None", None),
    ],
)
def test_only_a_builder_that_has_no_kernels_for_the_card_is_a_reason_to_skip(
    text: str, words: str | None
) -> None:
    assert unsupported.compiler_says_no(text) == words
