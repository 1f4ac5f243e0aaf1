"""Who decides which layers stay in float: the user, the search, or parity that needs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.calibration import (
    Calibration,
    CalibrationImages,
    wanted_agreement,
)
from deploybench.artifacts.references import Array
from deploybench.contracts import ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.exporters.bias_correction import Biases, norms_of
from deploybench.exporters.float_layers import Infer, Judge, float_layers
from deploybench.exporters.quantisation import kept_layers

torch = pytest.importorskip("torch")

IMAGES = np.random.default_rng(0).normal(0.5, 1, (8, 3, 8, 8)).astype(np.float32)


def spec_of(*keep: str) -> ExportSpec:
    told = Calibration(source="synthetic", images=8, asked=8, found=8, seed=1)
    return ExportSpec(
        precision="int8", calibration=CalibrationImages(IMAGES, told), keep_fp32=tuple(keep)
    )


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(8)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(192, 5)).eval()


class Needing(Judge):
    """Agrees where so many layers are in float."""

    def agrees(self, infer: Infer) -> bool:
        (count,) = infer(IMAGES)["count"]
        return bool(count >= self.share)


def search(needed: float, *keep: str) -> tuple[tuple[str, ...], list[int]]:
    """What was found, and the number of layers in float in each attempt."""
    attempts: list[int] = []

    def attempt(layers: Sequence[str]) -> Infer:
        attempts.append(len(layers))

        def infer(batch: Array) -> Mapping[str, Array]:
            return {"count": np.array([len(layers)], np.float32)}

        return infer

    model, spec = network(), spec_of(*keep)
    biases = Biases(model, spec, norms_of(model, torch.from_numpy(IMAGES)))
    judge = Needing(spec, Path(), share=needed)
    return float_layers(biases, spec, judge, attempt), attempts


def test_artifact_that_agrees_stays_as_it_is() -> None:
    assert search(0) == ((), [0])


def test_layers_are_looked_for_where_nobody_said_any_and_it_does_not_agree() -> None:
    found, attempts = search(3)
    assert len(found) == 3
    assert len(attempts) == len(set(attempts))  # none is made twice
    assert found == search(3, "auto")[0]


def test_search_that_nobody_asked_for_leaves_the_artifact_to_parity() -> None:
    assert search(6)[0] == ()
    with pytest.raises(DeployBenchError, match="with the 4 most sensitive of 9 layers"):
        search(6, "auto")


@pytest.mark.parametrize("said", ["none", "0", "*.conv"])
def test_what_the_user_says_is_all_that_stays_in_float(said: str) -> None:
    assert search(3, said) == ((), [])


def test_patterns_and_the_search_go_together() -> None:
    assert len(search(2, "0", "auto")[0]) == 2
    names = {"first": ["0"], "second": ["1"]}
    assert kept_layers(("none",), names) == {}
    assert kept_layers(("auto:99%", "0"), names, ["1"]) == {"first": "0", "second": "1"}


def test_share_of_images_is_asked_of_the_calibration_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "deploybench.exporters.float_layers.compare_batches",
        lambda *_, **__: type("Passed", (), {"passed": True}),
    )
    monkeypatch.setattr("deploybench.exporters.float_layers.read_images", lambda folder: IMAGES)
    model = network()
    judge = Judge.of(model, spec_of("auto:99%"), Path())
    assert judge.share == 0.99
    with torch.no_grad():
        right = model(torch.from_numpy(IMAGES)).numpy()

    def answering(scores: Array) -> Infer:
        by_image = {image.tobytes(): score for image, score in zip(IMAGES, scores, strict=True)}
        return lambda batch: {"logits": np.stack([by_image[image.tobytes()] for image in batch])}

    assert judge.agrees(answering(right))
    wrong = right.copy()
    wrong[0] = -wrong[0]
    assert not judge.agrees(answering(wrong))
    assert Judge(judge.spec, Path(), judge.classes, 0.8).agrees(answering(wrong))
    # Without a share parity alone decides.
    assert Judge.of(model, spec_of("auto"), Path()).agrees(answering(wrong))


def test_share_is_read_or_refused() -> None:
    assert wanted_agreement(()) is None
    assert wanted_agreement(("auto", "layer4")) is None
    assert wanted_agreement(("layer4", "auto:99.5%")) == pytest.approx(0.995)
    for wrong in (
        "auto:",
        "auto:most",
        "auto:0%",
        "auto:101%",
        "auto:nan%",
        "auto:0.99",
        "auto:99",
    ):
        with pytest.raises(DeployBenchError, match="--keep-fp32 auto:"):
            wanted_agreement((wrong,))
