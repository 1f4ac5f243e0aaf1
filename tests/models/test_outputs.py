"""What a model returns becomes named tensors, or is refused by what it is."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.outputs import (
    NamedOutputs,
    check_integers,
    check_same,
    find_outputs,
)

IMAGES = 4
Pair = namedtuple("Pair", ["logits", "aux_logits"])


@dataclass
class Answer:
    hidden: torch.Tensor
    logits: torch.Tensor


def scores(*shape: int) -> torch.Tensor:
    return torch.ones(IMAGES, *(shape or (10,)))


@pytest.mark.parametrize(
    ("returned", "names", "assumed"),
    [
        (scores(), ("logits",), False),
        ({"only": scores()}, ("logits",), False),
        pytest.param(
            {"aux": scores(), "out": scores()},
            ("out", "aux"),
            False,
            marks=pytest.mark.trust(
                item=8,
                case="a dict with the auxiliary output first",
                before="verified: aux alone, under the name logits",
                now="both exported by name and checked, out is the main one",
            ),
        ),
        pytest.param(
            (scores(), scores()),
            ("output_0", "output_1"),
            True,
            marks=pytest.mark.trust(
                item=8,
                case="a tuple of two outputs of N x 10",
                before="verified: the first alone, under the name logits",
                now="both exported and checked; that the first is the main one is said",
            ),
        ),
        ((scores(512), scores()), ("output_1", "output_0"), False),
        (Pair(scores(), scores()), ("logits", "aux_logits"), False),
        (Answer(scores(7), scores()), ("logits", "hidden"), False),
        ({"logits": scores(), "deep": [{"a": scores(3)}]}, ("logits", "deep.0.a"), False),
        ({"logits": scores(), "input": scores()}, ("logits", "input_2"), False),
        ((scores(), None, "text"), ("logits",), True),
        ({"logits": scores(), "loss": torch.tensor(1.0)}, ("logits",), True),
    ],
)
def test_every_tensor_is_an_output_by_name_and_the_main_one_comes_first(
    returned: Any, names: tuple[str, ...], assumed: bool
) -> None:
    found = find_outputs(returned, IMAGES, classes=10)
    assert found.names == names
    assert bool(found.assumed) == assumed


def refused(case: str, before: str) -> pytest.MarkDecorator:
    return pytest.mark.trust(
        item=8, case=case, before=before, now="refused, naming what the model returns"
    )


BLAMED = "blamed on the image size: 'dict' object has no attribute 'float'"
DETECTIONS = [{"boxes": torch.ones(2, 4), "labels": torch.ones(2), "scores": torch.ones(2)}]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        pytest.param(
            DETECTIONS * IMAGES,
            "a list of dicts with boxes, labels, scores: a detector",
            marks=refused("a detector's list of dicts", BLAMED),
        ),
        pytest.param(
            None,
            "returns None",
            marks=refused("a model that returns None", BLAMED.replace("dict", "NoneType")),
        ),
        pytest.param(
            "cat",
            "a text",
            marks=refused("a model that returns a text", BLAMED.replace("dict", "str")),
        ),
        (3, "a Python int"),
        pytest.param(
            [torch.ones(2), torch.ones(3)],
            r"2 tensors without a dimension of images: \(2\), \(3\)",
            marks=refused(
                "a list of tensors of different sizes",
                "the first alone exported; parity failed by a number, without the cause",
            ),
        ),
        (torch.ones(2, 10), r"a tensor of shape \(2, 10\) for 4 images"),
        pytest.param(
            torch.eye(IMAGES).to_sparse(),
            "a sparse coo tensor",
            marks=refused(
                "a sparse tensor", "NotImplementedError: Could not run 'aten::std.correction'"
            ),
        ),
    ],
)
def test_what_cannot_be_handed_out_is_refused_by_what_it_is(returned: Any, words: str) -> None:
    with pytest.raises(DeployBenchError, match=words) as refusal:
        find_outputs(returned, IMAGES)
    assert "image-size" not in str(refusal.value)


@pytest.mark.trust(
    item=9,
    case="a complex output",
    before="ONNX failed with boilerplate; TorchScript verified, the real part alone",
    now="exported as NAME.real and NAME.imag, both checked",
)
def test_complex_output_is_two() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft(x)

    x = torch.rand(IMAGES, 8)
    found = find_outputs(Spectrum()(x), IMAGES)
    assert found.names == ("logits.real", "logits.imag")
    real, imag = NamedOutputs(Spectrum(), torch.float32, found.paths)(x)
    assert torch.equal(torch.complex(real, imag), torch.fft.fft(x))


@pytest.mark.trust(
    item=9,
    case="complex weights",
    before="cast to their real parts (here 0): failed parity, outputs without spread",
    now="left as they are",
)
def test_complex_weights_keep_their_imaginary_part() -> None:
    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.complex(torch.zeros(8), torch.ones(8)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.weight).abs()

    x = torch.rand(IMAGES, 8)
    assert torch.equal(NamedOutputs(Filter(), torch.float32)(x), x)


def test_chosen_outputs_are_those_alone_in_that_order() -> None:
    returned = {"a": scores(), "b": scores(), "c": scores()}
    assert find_outputs(returned, IMAGES, chosen=("c", "a")).names == ("c", "a")
    with pytest.raises(DeployBenchError, match="unknown output 'd'"):
        find_outputs(returned, IMAGES, chosen=("d",))


def test_outputs_whose_size_follows_the_image_are_refused() -> None:
    first = find_outputs({"out": scores(5), "aux": scores(2)}, IMAGES)
    again = find_outputs({"out": scores(4), "aux": scores(2)}, IMAGES)
    with pytest.raises(DeployBenchError, match=r"out has the shape \(5\) an image, then \(4\)"):
        check_same(first, again)


def test_whole_numbers_that_float32_does_not_hold_are_refused() -> None:
    output = find_outputs(torch.full((IMAGES,), 1 << 25), IMAGES).main
    assert output.is_integer
    with pytest.raises(DeployBenchError, match="33,554,432"):
        check_integers(output, torch.full((IMAGES,), 1 << 25))
    check_integers(output, torch.full((IMAGES,), 1 << 24))
