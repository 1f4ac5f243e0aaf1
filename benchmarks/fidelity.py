"""Do we time what others time? Our p50 against three independent clocks on the same artifacts.

For each model, in rounds, in random order within a round, each in a process of its own:

    onnxruntime   a cell of ours   against   a bare loop around onnxruntime.InferenceSession.run
    openvino      a cell of ours   against   OpenVINO's benchmark_app (-hint latency -api sync, f32)
    pytorch       a cell of ours   against   torch.utils.benchmark.Timer around the eager module

The hop is probed around each process. The figure is ours / theirs of the medians, paired by round,
of the rounds whose four probes saw one state of the machine: the Hodges-Lehmann centre with its 95
% interval, for each state, and every round's ratio. Aim: a centre from 0.99 to 1.01 over at least
10 rounds.

    python -m benchmarks.fidelity WORKSPACE [--models resnet50,vit] [--rounds 20] [--seconds 1]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trials import print_host
from deploybench.analysis.states import levels_of, nearest
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.hardware.host import usable_cores
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.statistics.ratios import paired_ratio
from deploybench.statistics.samples import CONFIDENCE
from deploybench.telemetry.activity import usable_cpus
from deploybench.telemetry.probes import probe_machine

BARE_ONNXRUNTIME = """
import json, sys, time
import numpy as np, onnxruntime
path, reference, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
settings.add_free_dimension_override_by_name("batch", 1)
session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: np.load(reference)["inputs"][:1]}
def loop(seconds):
    samples, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        samples.append(time.perf_counter() - start)
    return samples
loop(0.5)
print(json.dumps(sorted(loop(seconds))))
"""
TORCH_TIMER = """
import json, sys
from pathlib import Path
import numpy as np, torch
from torch.utils.benchmark import Timer
from benchmarks.trials import print_host
from deploybench.artifacts.artifact import open_artifact
from deploybench.models.loading import rebuild
from deploybench.models.source import BuildOptions
path, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
artifact = open_artifact(path)
torch.set_num_interop_threads(1)
module = rebuild(artifact.manifest.model.name, BuildOptions(), artifact.entry, torch.float32)
x = torch.from_numpy(np.load(path / "reference.npz")["inputs"][:1])
def call():
    with torch.inference_mode():
        return module(x)
timer = Timer("call()", globals={"call": call}, num_threads=threads)
timer.blocked_autorange(min_run_time=0.5)
print(timer.blocked_autorange(min_run_time=seconds).median)
"""


@dataclass(frozen=True)
class Pair:
    """Two ways to time one artifact; each call gives a p50 in ms from a fresh process."""

    title: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


@dataclass(frozen=True)
class Round:
    """The p50 of both in ms, and the hops that the probes around them read."""

    ours: float
    theirs: float
    hops_ns: tuple[float, ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="resnet50,vit")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    artifacts = Workspace(options.workspace).artifacts()
    pairs = [
        pair
        for model in options.models.split(",")
        for pair in pairs_of(model, artifacts, options.seconds)
    ]
    if not pairs:
        sys.exit(
            f"{options.workspace} has none of {options.models}: deploybench export --model "
            f"{options.models}"
        )
    print_host()
    rounds: dict[str, list[Round]] = {pair.title: [] for pair in pairs}
    generator = random.Random(0)
    for number in range(options.rounds):
        for pair in generator.sample(pairs, len(pairs)):
            done = time_both(pair, generator)
            rounds[pair.title].append(done)
            hops = " ".join(f"{hop:.0f}" for hop in done.hops_ns)
            print(
                f"round {number + 1}  {pair.title:42} {done.ours:8.2f} ms {done.theirs:8.2f} ms  "
                f"hop {hops}",
                flush=True,
            )
    levels = levels_of([hop for found in rounds.values() for done in found for hop in done.hops_ns])
    print(f"\n{'ours / theirs':42} {'hop ns':>7} {'centre':>7} {'95 % interval':>15}  rounds")
    for title, found in rounds.items():
        print_ratios(title, found, levels)


def time_both(pair: Pair, generator: random.Random) -> Round:
    """Both clocks, in random order, with the hop probed before and after each."""
    cpus = usable_cpus()
    found, hops = {}, []
    for name in generator.sample(["ours", "theirs"], 2):
        hops.append(probe_machine(usable_cores(), cpus)["hop_ns"])
        found[name] = pair.ours() if name == "ours" else pair.theirs()
        hops.append(probe_machine(usable_cores(), cpus)["hop_ns"])
    return Round(
        found["ours"], found["theirs"], tuple(hop for hop in hops if isinstance(hop, float))
    )


def print_ratios(title: str, rounds: list[Round], levels: list[float]) -> None:
    """One line a state of the machine, the one with most rounds first."""
    by_state: dict[float | None, list[float]] = {}
    for done in rounds:
        seen = {nearest(levels, hop) for hop in done.hops_ns}
        if len(seen) <= 1:
            by_state.setdefault(next(iter(seen), None), []).append(done.ours / done.theirs)
    for level, values in sorted(by_state.items(), key=lambda item: -len(item[1])):
        ratio = paired_ratio(values)
        assert ratio is not None
        interval = (
            f"{ratio.low:7.3f}-{ratio.high:.3f}"
            if ratio.coverage >= CONFIDENCE
            else "needs 6 rounds"
        )
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"{title:42} {level or 0:7.0f} {ratio.value:7.3f} {interval:>15}  {each}")
    changed = len(rounds) - sum(map(len, by_state.values()))
    if changed:
        print(f"{'':42} in {changed} of {len(rounds)} rounds the machine changed state")


def pairs_of(model: str, artifacts: list[Artifact], seconds: float) -> list[Pair]:
    """The comparisons that the workspace has artifacts for."""
    by_backend = {
        item.manifest.backend: item for item in artifacts if item.manifest.model.name == model
    }
    threads = usable_cores()
    builders = {
        "onnx": ("onnxruntime", "a bare loop", bare_onnxruntime),
        "openvino": ("openvino", "benchmark_app", benchmark_app),
        "pytorch": ("pytorch", "torch.utils.benchmark", torch_timer),
    }
    return [
        Pair(
            f"{model} {runner} / {name}",
            lambda a=artifact, r=runner: our_p50(a, r, threads, seconds),  # type: ignore[misc]
            lambda a=artifact, c=clock: c(a, threads, seconds),  # type: ignore[misc]
        )
        for backend, (runner, name, clock) in builders.items()
        if (artifact := by_backend.get(backend)) is not None
    ]


def our_p50(artifact: Artifact, runner: str, threads: int, seconds: float) -> float:
    job = Job(
        artifact=str(artifact.path),
        runner=runner,
        device="cpu",
        precision="fp32",
        batch=1,
        threads=threads,
        duration_s=seconds,
    )
    launch = run_job(job)
    if not launch.measured:
        sys.exit(f"{runner}: {launch.error or launch.refused or launch.parity}")
    return launch.median_ms


def bare_onnxruntime(artifact: Artifact, threads: int, seconds: float) -> float:
    arguments = [
        str(artifact.entry),
        str(artifact.path / "reference.npz"),
        str(threads),
        str(seconds),
    ]
    return 1e3 * float(statistics.median(json.loads(python(BARE_ONNXRUNTIME, arguments))))


def benchmark_app(artifact: Artifact, threads: int, seconds: float) -> float:
    """benchmark_app refuses -nthreads beside -hint: it takes every core, which is our budget here
    too."""
    shape = ",".join(map(str, artifact.batch_shape(1)["input"]))
    command = [
        str(Path(sys.executable).with_name("benchmark_app")),
        "-m",
        str(artifact.entry),
        "-d",
        "CPU",
        "-hint",
        "latency",
        "-api",
        "sync",
        "-infer_precision",
        "f32",
        "-shape",
        f"[{shape}]",
        "-t",
        str(max(int(seconds), 1)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Median:\s+([\d.]+) ms", done.stdout)
    if found is None:
        sys.exit(f"benchmark_app printed no median:\n{done.stdout[-2000:]}")
    return float(found.group(1))


def torch_timer(artifact: Artifact, threads: int, seconds: float) -> float:
    return 1e3 * float(python(TORCH_TIMER, [str(artifact.path), str(threads), str(seconds)]))


def python(code: str, arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
