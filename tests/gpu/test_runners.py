"""Every runner on a GPU, in every precision that it has: parity, what ran, and times that other
clocks agree with."""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest

from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runners
from deploybench.hardware.host import describe_host
from deploybench.hardware.precisions import gpu_precisions
from deploybench.measure import worker
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.results.cell import ENGINE_ONLY
from deploybench.results.launch import Launch
from tests.conftest import TINY, run_cli
from tests.gpu.agreement import agree, no_longer
from tests.gpu.conftest import CONVOLUTIONAL, WRITTEN, Exported
from tests.gpu.unsupported import torch_unsupported

pytestmark = pytest.mark.gpu

CAST_WHEN_LOADED = ("pytorch", "inductor")
CASES = [
    (model, runner, form, written, asked)
    for model in (TINY, CONVOLUTIONAL)
    for runner, form in (
        ("pytorch", "pytorch"),
        ("inductor", "pytorch"),
        ("torchscript", "torchscript"),
        ("torch-export", "torch-export"),
        ("onnxruntime", "onnx"),
    )
    for written in WRITTEN[form]
    for asked in (
        ("fp32", "tf32", "fp16", "bf16")
        if runner in CAST_WHEN_LOADED
        else ("fp32", "tf32")
        if written == "fp32"
        else (written,)
    )
]


def measured(exported: Exported, case: tuple[str, str, str, str, str], **changes: object) -> Launch:
    model, runner, form, written, asked = case
    plugin = runners()[runner].require()
    unfit = plugin.check_device("cuda")
    if unfit is None and runner != "onnxruntime":
        unfit = torch_unsupported()
    if unfit is not None:
        pytest.skip(unfit)
    if asked not in gpu_precisions("cuda", describe_host()):
        pytest.skip(f"{describe_host().gpus[0].name} has no {asked} arithmetic")
    job = Job(
        artifact=str(exported(model, form, written).path),
        runner=runner,
        device="cuda",
        precision=asked,
        batch=4,
        threads=1,
        duration_s=0.2,
        min_samples=10,
        probes=False,
    ).model_copy(update=changes)
    return run_job(job)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_runner_computes_the_reference_on_the_gpu_and_says_what_ran(
    case: tuple[str, str, str, str, str], exported: Exported
) -> None:
    launch = measured(exported, case)
    assert (launch.error, launch.refused) == (None, None)
    assert launch.parity is not None
    assert launch.parity.passed, launch.parity.reason
    assert launch.facts is not None
    assert (launch.facts.precision, launch.facts.device) == (case[-1], "cuda:0")
    assert len(launch.samples_ns) >= 10
    assert launch.surroundings is not None
    assert launch.surroundings.gpu is not None
    assert launch.surroundings.hops == []


def test_tf32_is_less_exact_than_fp32_so_the_switch_works(exported: Exported) -> None:
    errors = []
    for asked in ("fp32", "tf32"):
        launch = measured(exported, (CONVOLUTIONAL, "pytorch", "pytorch", "fp32", asked))
        assert launch.parity is not None
        assert launch.parity.max_error is not None
        errors.append(launch.parity.max_error)
    assert errors[1] > 5 * errors[0]


def test_convolutional_model_in_fp16_is_channels_last_and_a_transformer_is_not(
    exported: Exported,
) -> None:
    notes = {}
    for model in (CONVOLUTIONAL, TINY):
        launch = measured(exported, (model, "pytorch", "pytorch", "fp32", "fp16"))
        assert launch.facts is not None
        notes[model] = launch.facts.notes
    assert "channels_last" in notes[CONVOLUTIONAL]
    assert "channels_last" not in notes[TINY]


def test_gpu_time_agrees_with_cuda_events_over_many_calls_and_with_pytorch_s_own_timer(
    exported: Exported, record_property: Callable[[str, object], None]
) -> None:
    import torch
    from torch.utils.benchmark import Timer

    artifact = exported(CONVOLUTIONAL, "pytorch", "fp32")
    options = RunOptions(device="cuda", threads=1, precision="fp32", batch=256)
    inputs = {"input": np.ones(artifact.batch_shape(256)["input"], np.float32)}
    with runners()["pytorch"].require().load(artifact, options) as session:
        bound = session.bind(inputs)
        assert bound.device_ms is not None
        own = []
        for _ in range(50):
            bound.run()
            own.append(bound.device_ms())
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(50):
            bound.run()
        end.record()
        end.synchronize()
        timer = Timer("run()", globals={"run": bound.run}).blocked_autorange(min_run_time=0.5)
    events_ms, timer_ms = start.elapsed_time(end) / 50, timer.median * 1e3
    record_property("own GPU ms", median(own))
    record_property("CUDA events' ms", events_ms)
    record_property("torch.utils.benchmark's ms", timer_ms)
    assert agree(median(own), events_ms)
    assert agree(median(own), timer_ms)


@pytest.mark.parametrize("runner", ["pytorch", "onnxruntime"])
def test_calls_on_bound_inputs_take_no_longer_than_those_that_copy(
    runner: str, exported: Exported
) -> None:
    form = "onnx" if runner == "onnxruntime" else "pytorch"
    case = (CONVOLUTIONAL, runner, form, "fp32", "fp32")
    whole = measured(exported, case, batch=256)
    engine = measured(exported, case, batch=256, timing=ENGINE_ONLY)
    assert no_longer(engine.median_ms, whole.median_ms)


def test_batch_that_the_memory_does_not_hold_is_out_of_memory_in_words(exported: Exported) -> None:
    import torch

    path = str(exported(CONVOLUTIONAL, "pytorch", "fp32").path)
    job = Job(
        artifact=path, runner="pytorch", device="cuda", precision="fp32", batch=512, threads=1
    )
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        launch = worker.launch(job)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert launch.error is not None
    assert launch.error.startswith("out of memory")


def test_run_shows_the_cpu_and_the_gpu_in_one_table(exported: Exported) -> None:
    artifact = exported(TINY, "pytorch", "fp32")
    done = run_cli(
        "run",
        "--artifact",
        artifact.path,
        "-w",
        artifact.path.parents[2],
        "--device",
        "cpu,cuda",
        "--rounds",
        "1",
        "--duration",
        "50ms",
        "--runner",
        "pytorch",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert [row["device"] for row in json.loads(done.stdout)] == ["cpu", "cuda"]
