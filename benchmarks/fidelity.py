"""Do we time what others time? Our visits against three independent clocks on the same artifacts.

For each model:

    onnxruntime   a cell of ours   against   a bare loop around onnxruntime.InferenceSession.run
    openvino      a cell of ours   against   OpenVINO's benchmark_app (-hint latency -api sync, f32)
    pytorch       a cell of ours   against   torch.utils.benchmark.Timer around the eager module

The cell times what the other clock times: the loop hands arrays over from host to host; the other
two call an engine that has its input already, and leave the output there (engine-only). For
ResNet-50 in OpenVINO handing over takes 2 % of a call.

Both are paired in time: the processes rest, and are asked one right after the other, in random
order. Each side has several, which take turns: two processes of one program differ by a percent now
and then, which is no fault of a clock. benchmark_app loads its model anew for every figure, so our
cell is visited before and after it. The figure is ours / theirs: of each process of ours the median
of its log ratios, and of these the mean with Student's 95 % interval, so that it spans what another
few processes would give. Aim: from 0.99 to 1.01.

    python -m benchmarks.fidelity WORKSPACE [--models resnet50,vit] [--rounds 60] [--processes 6]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from benchmarks.trials import artifact_for, job_for, print_host
from deploybench.artifacts.artifact import Artifact
from deploybench.children.resident import Resident
from deploybench.hardware.host import usable_cores
from deploybench.measure.job import Job
from deploybench.measure.residence import Residence, VisitTimes
from deploybench.results.cell import ENGINE_ONLY, HOST_TO_HOST
from deploybench.results.visit import Visit
from deploybench.statistics.samples import CONFIDENCE, median

SECONDS = 0.15
APP_SECONDS = 1
APP_ROUNDS_SHARE = 3
"""benchmark_app takes seconds for a figure: it gets a third of the rounds."""
LIMIT_S = 600.0
NS_PER_MS = 1e6
CLOCKS = {
    "onnxruntime": ("bare loop", HOST_TO_HOST),
    "openvino": ("benchmark_app", ENGINE_ONLY),
    "pytorch": ("torch.utils.benchmark", ENGINE_ONLY),
}
"""For each runner of ours the other clock, and what of a call that one times."""


@dataclass(frozen=True)
class Pair:
    """What both clocks said one after the other, and by which process of ours."""

    process: int
    ours_ms: float
    theirs_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="resnet50,vit")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--processes", type=int, default=6, help="of either side")
    options = parser.parse_args()
    print_host()
    generator = random.Random(0)
    print(f"{'ours / theirs':44} {'centre':>7} {'95 % interval':>15}  pairs  ours ms  theirs ms")
    for model in options.models.split(","):
        for runner, (clock, timing) in CLOCKS.items():
            artifact = artifact_for(options.workspace, model, runner)
            rounds = options.rounds
            if clock == "benchmark_app":
                rounds //= APP_ROUNDS_SHARE
            job = job_for(artifact, runner, 0.3).replaced(timing=timing)
            found = _times(artifact, job, clock, rounds, options.processes, generator)
            centre, half = _over_processes(found)
            interval = f"{math.exp(centre - half):.3f}-{math.exp(centre + half):.3f}"
            title = f"{model} {runner} / {clock}"
            print(
                f"{title:44} {math.exp(centre):7.3f} {interval:>15}  {len(found):5d} "
                f"{median([one.ours_ms for one in found]):8.2f} "
                f"{median([one.theirs_ms for one in found]):10.2f}",
                flush=True,
            )


def _over_processes(found: Sequence[Pair]) -> tuple[float, float]:
    """The mean of the processes' median log ratios, and its half width with 95 %."""
    logs: dict[int, list[float]] = {}
    for one in found:
        logs.setdefault(one.process, []).append(math.log(one.ours_ms / one.theirs_ms))
    medians = np.array([median(some) for some in logs.values()])
    if len(medians) < 2:
        return float(medians[0]), math.inf
    quantile = float(student.ppf(0.5 + CONFIDENCE / 2, len(medians) - 1))
    return float(medians.mean()), quantile * float(medians.std(ddof=1)) / math.sqrt(len(medians))


def _times(
    artifact: Artifact,
    job: Job,
    clock: str,
    rounds: int,
    processes: int,
    generator: random.Random,
) -> list[Pair]:
    """What both clocks say in each round."""
    with ExitStack() as stack:
        residence = stack.enter_context(Residence(VisitTimes(SECONDS, 60.0), None))
        for number in range(processes):
            launch = residence.start(0, job, number)
            if not launch.measured:
                sys.exit(f"{job.runner}: {launch.error or launch.refused or launch.parity}")

        def visit() -> Visit:
            made = residence.visit(0, 0, 0)
            assert made is not None
            return made

        if clock == "benchmark_app":
            return _around_the_app(visit, artifact, rounds)
        threads = str(usable_cores())
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        # A child of ours finds installed packages only, and these programs are none.
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        wanted = {"artifact": str(artifact.path), "clock": clock, "threads": usable_cores()}
        others = []
        for _ in range(processes):
            other = stack.enter_context(Resident("benchmarks.other_clocks", environment))
            other.ask(json.dumps(wanted), LIMIT_S)
            others.append(other)
        found = []
        for number in range(rounds):
            # Ours take their turns in the same order: a process always meets the same other one.
            other = others[number % processes]
            if generator.random() < 0.5:
                ours, theirs_ms = visit(), float(other.ask(str(SECONDS), LIMIT_S))
            else:
                theirs_ms, ours = float(other.ask(str(SECONDS), LIMIT_S)), visit()
            found.append(Pair(ours.process, ours.median_ns / NS_PER_MS, theirs_ms))
        return found


def _around_the_app(visit: Callable[[], Visit], artifact: Artifact, rounds: int) -> list[Pair]:
    found = []
    for _ in range(rounds):
        before = visit()
        theirs_ms = _benchmark_app(artifact)
        for ours in (before, visit()):
            found.append(Pair(ours.process, ours.median_ns / NS_PER_MS, theirs_ms))
    return found


def _benchmark_app(artifact: Artifact) -> float:
    """It refuses -nthreads beside -hint: it takes every core, which is our budget here too."""
    shape = ",".join(map(str, artifact.batch_shape(1)["input"]))
    program = Path(sys.executable).with_name("benchmark_app")
    if not program.is_file():
        sys.exit(f"there is no {program}: pip install openvino")
    command = [
        *(str(program), "-m", str(artifact.entry)),
        *("-d", "CPU", "-hint", "latency", "-api", "sync", "-infer_precision", "f32"),
        *("-shape", f"[{shape}]", "-t", str(APP_SECONDS)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Median:\s+([\d.]+) ms", done.stdout)
    if found is None:
        sys.exit(f"benchmark_app printed no median:\n{done.stdout}")
    return float(found[1])


if __name__ == "__main__":
    main()
