"""The lower bound against hand-computed figures, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from deploybench.analysis.bounds import bound_of
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.work import Work, work_of
from deploybench.cli.bound import asked_or_held
from deploybench.errors import DeployBenchError
from deploybench.hardware.profile import load_profile
from deploybench.hardware.roof import MeasuredPeaks, Roof, host_roof, profile_roof, roof_of_device
from deploybench.plan.cells import Sizes
from deploybench.report.bound_table import time_text
from tests.conftest import Cli
from tests.records import gpu, host

ROOF = Roof("test", {"fp32": 1.0}, memory_gb_per_s=100.0, memory_bytes=8e9, cache_bytes=0)
PEAKS = MeasuredPeaks(
    threads=2, gflops={"fp32": 200.0}, copy_gb_per_s=20.0, read_gb_per_s=24.0, method="test"
)
CACHES = (0, 1_000_000, 64_000_000)
RESNET50 = Work(macs=4_089_184_256, parameters=25_557_032, values_per_image=3 * 224 * 224 + 1000)


@pytest.mark.parametrize(
    ("profile", "precision", "batch", "compute_ms", "memory_ms", "limited_by"),
    [
        (
            "rtx3090",
            "fp32",
            1,
            8.178368512e9 / 35.6e12 * 1e3,
            (102_834_240 - 6.3e6) / 936e9 * 1e3,
            "compute",
        ),
        (
            "rtx3090",
            "bf16",
            1,
            8.178368512e9 / 71e12 * 1e3,
            (51_417_120 - 6.3e6) / 936e9 * 1e3,
            "compute",
        ),
        (
            "rtx3090",
            "int8",
            1,
            8.178368512e9 / 284e12 * 1e3,
            (25_708_560 - 6.3e6) / 936e9 * 1e3,
            "compute",
        ),
        (
            "k80",
            "fp32",
            32,
            32 * 8.178368512e9 / 4.37e12 * 1e3,
            (121_623_712 - 1.6e6) / 240e9 * 1e3,
            "compute",
        ),
    ],
)
def test_bound_is_that_of_a_hand_count(
    profile: str, precision: str, batch: int, compute_ms: float, memory_ms: float, limited_by: str
) -> None:
    found = bound_of(
        RESNET50, profile_roof(load_profile(profile)), precision=precision, batch=batch
    )
    assert found.compute_ms == pytest.approx(compute_ms)
    assert found.memory_ms == pytest.approx(memory_ms)
    assert found.latency_ms == max(found.compute_ms, found.memory_ms)
    assert found.limited_by == limited_by
    assert found.images_per_s == pytest.approx(batch / found.latency_ms * 1e3)


def test_memory_limits_a_model_of_many_weights_and_few_macs() -> None:
    found = bound_of(Work(10**6, 10**9, 10), ROOF, precision="fp32", batch=1)
    assert found.limited_by == "memory"
    assert found.latency_ms == pytest.approx((4e9 + 40) / 100e9 * 1e3)


def test_what_the_caches_can_keep_need_not_move_and_never_counts_below_nothing() -> None:
    work = Work(10**6, 10**6, 1000)
    moved = [
        bound_of(work, replace(ROOF, cache_bytes=size), precision="fp32", batch=2).moved_bytes
        for size in CACHES
    ]
    assert moved == [4_008_000, 3_008_000, 0]


def test_unfused_time_has_what_the_layers_pass_on_as_well_and_no_cache() -> None:
    work = Work(10**6, 10**6, 1000, layer_values=5_000_000)
    found = bound_of(work, replace(ROOF, cache_bytes=1e6), precision="fp32", batch=2)
    assert found.unfused_bytes == 4_000_000 + 2 * 20_000_000
    assert found.unfused_ms == pytest.approx(44e6 / 100e9 * 1e3)
    assert bound_of(Work(1, 1, 1), ROOF, precision="fp32", batch=1).unfused_ms is None


def test_what_the_hardware_cannot_do_or_hold_has_no_bound() -> None:
    with pytest.raises(DeployBenchError, match="k80 has no peak of bf16 arithmetic"):
        bound_of(RESNET50, profile_roof(load_profile("k80")), precision="bf16", batch=1)
    with pytest.raises(DeployBenchError, match=r"40\.0 GB in fp32"):
        bound_of(
            Work(1, 10**10, 1), profile_roof(load_profile("rtx3090")), precision="fp32", batch=1
        )


def test_cpu_has_the_roof_that_was_measured_on_it_whatever_its_profile_states() -> None:
    machine = host(cache_bytes=33 << 20)
    roof = roof_of_device("cpu", load_profile("xeon"), machine, PEAKS)
    assert roof == host_roof(machine, PEAKS)
    assert roof == Roof("host", {"fp32": 0.2}, 24.0, 24 << 30, 33 << 20)
    assert roof_of_device("cpu", None, machine, None) is None


def test_gpu_has_the_roof_of_its_profile_or_of_the_built_in_one_that_fits_it() -> None:
    machine = host(gpus=(gpu("NVIDIA H200", "9.0"), gpu("NVIDIA GeForce RTX 3090", "8.6")))
    expected = profile_roof(load_profile("rtx3090"))
    assert roof_of_device("cuda", load_profile("rtx3090"), machine, PEAKS) == expected
    assert roof_of_device("cuda:1", None, machine, PEAKS) == expected
    assert roof_of_device("cuda", None, machine, PEAKS) is None
    assert roof_of_device("cuda:2", None, machine, PEAKS) is None


def test_work_of_an_artifact_is_its_manifest_s(tiny_artifact: Callable[[str], Artifact]) -> None:
    manifest = tiny_artifact("onnx").manifest
    work = work_of(manifest)
    assert work is not None
    assert (work.macs, work.parameters) == (manifest.model.macs, manifest.model.parameters)
    channels, height, width = (int(size) for size in manifest.inputs[0].shape[1:])
    assert work.values_per_image == channels * height * width + 1000
    assert work.layer_values == manifest.facts["layer_values"] > work.values_per_image
    assert (
        work_of(
            manifest.model_copy(update={"model": manifest.model.model_copy(update={"macs": None})})
        )
        is None
    )


def test_command_prints_bounds_for_hardware_that_is_not_here_and_says_that_they_are_bounds(
    cli_here: Cli,
) -> None:
    asked = (
        "bound",
        "--model",
        "resnet50",
        "--profile",
        "rtx3090,k80",
        "--precision",
        "fp32",
        "--batch",
        "1,8",
    )
    done = cli_here(*asked, "--json")
    rows = json.loads(done.stdout)
    assert [(row["profile"], row["batch"]) for row in rows] == [
        ("rtx3090", 1),
        ("rtx3090", 8),
        ("k80", 1),
        ("k80", 8),
    ]
    assert {row["kind"] for row in rows} == {"bound"}
    assert rows[0]["bound_ms"] == pytest.approx(0.2297, rel=1e-3)
    assert "Bounds, not measurements" in cli_here(*asked).stdout


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(12.3456, "12.346 ms"), (0.1, "0.100 ms"), (0.0123, "12.3 µs"), (4.2e-5, "0.042 µs")],
)
def test_time_of_a_small_model_keeps_digits(milliseconds: float, text: str) -> None:
    assert time_text(milliseconds) == text


def test_bound_is_of_the_size_that_the_workspace_holds_unless_one_is_asked_for(
    tiny_artifact: Callable[[str], Artifact],
) -> None:
    artifact = tiny_artifact("onnx")
    shape = artifact.manifest.preprocessing
    name = artifact.manifest.model.name
    assert asked_or_held(Sizes(), name, [artifact]) == [((shape.height, shape.width), None)]
    assert asked_or_held(Sizes(images=((64, 64),)), name, [artifact]) == [((64, 64), None)]
    assert asked_or_held(Sizes(), "another", [artifact]) == [(None, None)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "vit", "--profile", "host"), "deploybench profiles new"),
        (("--model", "vit", "--profile", "k81"), "did you mean"),
        (("--model", "vit", "--profile", "k80", "--precision", "bf16"), "has no bf16 arithmetic"),
        (("--model", "vitt", "--profile", "k80"), "did you mean"),
    ],
)
def test_what_has_no_bound_is_refused(
    cli_here: Cli, arguments: tuple[str, ...], words: str
) -> None:
    done = cli_here("bound", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_weights_of_8_bits_move_a_byte_each_and_are_multiplied_at_the_peak_of_fp32() -> None:
    found = bound_of(RESNET50, ROOF, precision="int8-weights", batch=2)
    assert found.precision == "fp32"
    assert found.compute_ms == bound_of(RESNET50, ROOF, precision="fp32", batch=2).compute_ms
    assert found.moved_bytes == RESNET50.parameters + 4 * 2 * RESNET50.values_per_image
    with pytest.raises(DeployBenchError, match="no peak of fp32"):
        bound_of(RESNET50, replace(ROOF, tflops={"int8": 1.0}), precision="int8-weights", batch=1)
