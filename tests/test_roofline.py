"""The lower bound against hand-computed figures, and its refusals."""

from __future__ import annotations

import json

import pytest

from deploybench.errors import DeployBenchError
from deploybench.profile import load_profile
from deploybench.roofline import bound_of
from tests.conftest import Cli

RESNET50 = {"macs": 4_089_184_256, "parameters": 25_557_032, "values_per_image": 3 * 224 * 224 + 1000}


@pytest.mark.parametrize(
    ("profile", "precision", "batch", "compute_ms", "memory_ms", "limited_by"),
    [
        ("rtx3090", "fp32", 1, 2 * 4.089184256e9 / 35.6e12 * 1e3, (102_228_128 + 606_112) / 936e9 * 1e3, "compute"),
        ("rtx3090", "bf16", 1, 2 * 4.089184256e9 / 71e12 * 1e3, (51_114_064 + 303_056) / 936e9 * 1e3, "compute"),
        ("rtx3090", "int8", 1, 2 * 4.089184256e9 / 284e12 * 1e3, (25_557_032 + 151_528) / 936e9 * 1e3, "compute"),
        (
            "k80",
            "fp32",
            32,
            32 * 2 * 4.089184256e9 / 4.37e12 * 1e3,
            (102_228_128 + 32 * 606_112) / 240e9 * 1e3,
            "compute",
        ),
    ],
)
def test_bound_is_that_of_a_hand_count(
    profile: str, precision: str, batch: int, compute_ms: float, memory_ms: float, limited_by: str
) -> None:
    found = bound_of(**RESNET50, profile=load_profile(profile), precision=precision, batch=batch)
    assert found.compute_ms == pytest.approx(compute_ms)
    assert found.memory_ms == pytest.approx(memory_ms)
    assert found.latency_ms == max(found.compute_ms, found.memory_ms)
    assert found.limited_by == limited_by
    assert found.images_per_s == pytest.approx(batch / found.latency_ms * 1e3)


def test_memory_limits_a_model_of_many_weights_and_few_macs() -> None:
    found = bound_of(10**6, 10**9, 10, load_profile("rtx3090"), precision="fp32", batch=1)
    assert found.limited_by == "memory"
    assert found.latency_ms == pytest.approx(4e9 / 936e9 * 1e3, rel=1e-6)


def test_what_the_hardware_cannot_do_or_hold_has_no_bound() -> None:
    with pytest.raises(DeployBenchError, match="k80 has no bf16 arithmetic"):
        bound_of(**RESNET50, profile=load_profile("k80"), precision="bf16", batch=1)
    with pytest.raises(DeployBenchError, match=r"40\.0 GB in fp32"):
        bound_of(1, 10**10, 1, load_profile("rtx3090"), precision="fp32", batch=1)


def test_command_prints_bounds_for_hardware_that_is_not_here_and_says_that_they_are_bounds(cli: Cli) -> None:
    asked = ("bound", "--model", "resnet50", "--profile", "rtx3090,k80", "--precision", "fp32", "--batch", "1,8")
    done = cli(*asked, "--json")
    rows = json.loads(done.stdout)
    assert [(row["profile"], row["batch"]) for row in rows] == [("rtx3090", 1), ("rtx3090", 8), ("k80", 1), ("k80", 8)]
    assert {row["kind"] for row in rows} == {"bound"}
    assert rows[0]["bound_ms"] == pytest.approx(0.2297, rel=1e-3)
    assert "Bounds, not measurements" in cli(*asked).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "vit", "--profile", "host"), "no figures for its memory"),
        (("--model", "vit", "--profile", "k81"), "did you mean"),
        (("--model", "vit", "--profile", "k80", "--precision", "bf16"), "has no bf16 arithmetic"),
        (("--model", "vitt", "--profile", "k80"), "did you mean"),
    ],
)
def test_what_has_no_bound_is_refused(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli("bound", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
