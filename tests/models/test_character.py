"""Models that are no function of one image are recognised, and said in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from deploybench.errors import DeployBenchError
from deploybench.models.character import check_character, explained

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.stem(images).relu().mean((2, 3)))
        return logits


class Dropping(Plain):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.dropout(super().forward(images), 0.5)


class Counting(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(images)


class Company(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5, track_running_stats=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        return logits - logits.mean(0)


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8, 4, (1, 3, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.stem(images).mean((2, 3))  # type: ignore[no-any-return]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.table(words)  # type: ignore[no-any-return]


class OneOnly(Plain):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.view(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(
            Dropping(),
            "draws random numbers",
            marks=pytest.mark.trust(
                item=9,
                case="dropout that is on in evaluation mode",
                before="parity failed: 'max error 3.15e+00 of the spread', without its cause",
                now="refused: it answers the same images otherwise at the next call",
            ),
        ),
        pytest.param(
            Counting(),
            r"changes its own state.*calls",
            marks=pytest.mark.trust(
                item=9,
                case="a buffer that counts the calls",
                before="verified (TorchScript, ONNX, eager), with the state after our own calls",
                now="refused, with the buffer's name",
            ),
        ),
        pytest.param(
            Company(),
            "influence each other",
            marks=pytest.mark.trust(
                item=9,
                case="an answer that depends on the other images of the batch",
                before="parity failed: 'max error 2.19e+00 of the spread', without its cause",
                now="refused, or exported with --batch 1",
            ),
        ),
        pytest.param(
            Volumes(),
            "takes volumes",
            marks=pytest.mark.trust(
                item=9,
                case="a network of 3-D volumes",
                before="blamed on the image size; or the images taken for one volume's channels "
                "('to have 8 channels, but got 4')",
                now="refused: its first layer is Conv3d",
            ),
        ),
    ],
)
def test_what_is_no_function_of_one_image_is_refused(model: nn.Module, words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        check_character("net", model.eval(), IMAGES, None)


def test_a_function_of_one_image_is_let_through() -> None:
    check_character("net", Plain().eval(), IMAGES, None)


def test_one_image_at_a_time_has_no_company() -> None:
    check_character("net", Company().eval(), IMAGES, 1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(
            Words(),
            "takes integers",
            marks=pytest.mark.trust(
                item=9,
                case="a model of integers",
                before="blamed on the image size: 'Expected tensor for argument #1 … Long, Int'",
                now="refused: it takes integers, its first layer is Embedding",
            ),
        ),
        (OneOnly(), "runs on one image, and not on 8"),
    ],
)
def test_an_input_that_it_was_not_made_for_is_explained(model: nn.Module, words: str) -> None:
    reason = explained("net", model.eval(), IMAGES, ValueError("shape"))
    assert reason is not None
    assert words in reason.found


def test_a_size_that_does_not_fit_is_told_as_it_is() -> None:
    assert explained("net", Plain().eval(), IMAGES[:, :2], ValueError("channels")) is None
