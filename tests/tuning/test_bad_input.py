"""What no tuning can do is refused before anything is exported, with what would do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.analysis.amounts import Quantity
from deploybench.errors import DeployBenchError
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.tune import tune


def write_set(root: Path, each: dict[str, int], *, labelled: bool = True) -> Path:
    """Grey images of two levels, in folders of splits and classes where they have labels."""
    generator = np.random.default_rng(0)
    for split, count in each.items():
        for name, level in {"dark": 60, "light": 190}.items():
            folder = root / split / name if labelled else root
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.normal(level, 30, (32, 32)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert("RGB").save(folder / f"{name}{number}.png")
    return root


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ""}, "a tuning of nothing"),
        ({"artifacts": [Path("a")]}, "a model and of artifacts"),
        ({"precisions": ["fp31"]}, "fp31"),
        ({"objective": Quantity.DROP}, "accuracy drop"),
        ({"max_accuracy_drop": 1.5}, "a drop of accuracy of 1.5"),
        ({"batch": 0}, "a batch of 0"),
        ({"budget_s": 0.0}, "a budget of 0 s"),
        ({"memory_limit_bytes": -1.0}, "a memory limit"),
        ({"checkpoint": Path("a"), "pretrained": True}, "--checkpoint and --pretrained"),
    ],
)
def test_request_of_what_no_tuning_can_do_is_refused(
    changes: dict[str, object], words: str
) -> None:
    asked: dict[str, object] = {"data": Path("data"), "model": "vit", **changes}
    with pytest.raises(DeployBenchError) as refused:
        TuneRequest(**asked)  # type: ignore[arg-type]
    assert words in refused.value.found


def test_budget_too_short_for_one_round_is_refused_at_once_with_one_that_leaves_it_its_time(
    tmp_path: Path,
) -> None:
    request = TuneRequest(
        data=tmp_path / "not even looked at",
        model="timm:test_efficientnet",
        runners=["onnxruntime", "pytorch"],
        precisions=["fp32"],
        budget_s=5.0,
        workspace=tmp_path / "workspace",
    )
    with pytest.raises(DeployBenchError) as refused:
        tune(request)
    assert "--budget 5s for one round of 2 configurations" in refused.value.found
    assert str(refused.value.expected).startswith("8s for the round")
    # Exports may take half of it, and first images half of the rest.
    assert "--budget 40s" in str(refused.value.action)
    assert not list((tmp_path / "workspace" / "artifacts").iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backends": ["onx"]}, "unknown backend 'onx'"),
        ({"backends": ["onnx"], "runners": ["openvino"]}, "nothing to tune"),
        ({"data": Path("nowhere")}, "nowhere"),
        ({"split": "test"}, "no splits"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_exported(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    asked: dict[str, object] = {
        "data": write_set(tmp_path / "data", {".": 2}),
        "model": "timm:test_efficientnet",
        "workspace": tmp_path / "workspace",
        **changes,
    }
    with pytest.raises(DeployBenchError) as refused:
        tune(TuneRequest(**asked))  # type: ignore[arg-type]
    assert words in str(refused.value)
    assert not list((tmp_path / "workspace" / "artifacts").iterdir())
