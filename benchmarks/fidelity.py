"""Do we time what others time? Our visits against three independent clocks on the same artifacts.

For each model:

    onnxruntime   a cell of ours   against   a bare loop around onnxruntime.InferenceSession.run
    openvino      a cell of ours   against   OpenVINO's benchmark_app (-hint latency -api sync, f32)
    pytorch       a cell of ours   against   torch.utils.benchmark.Timer around the eager module

Both are paired in time: the processes rest, and are asked one right after the other, in random
order. Each side has several, which take turns: two processes of one program differ by a percent now
and then, which is no fault of a clock. benchmark_app loads its model anew for every figure, so our
cell is visited before and after it, and the mean counts. The figure is ours / theirs with its 95 %
interval under dependence. Aim: from 0.99 to 1.01.

    python -m benchmarks.fidelity WORKSPACE [--models resnet50,vit] [--rounds 60]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.trials import artifact_for, job_for, print_host
from deploybench.artifacts.artifact import Artifact
from deploybench.hardware.host import usable_cores
from deploybench.measure.residence import Residence, VisitTimes
from deploybench.resident import Resident
from deploybench.statistics.dependence import centre_of

SECONDS = 0.15
APP_SECONDS = 1
APP_ROUNDS_SHARE = 3
"""benchmark_app takes seconds for a figure: it gets a third of the rounds."""
LIMIT_S = 600.0
PROCESSES = 4
CLOCKS = {
    "onnxruntime": "bare loop",
    "openvino": "benchmark_app",
    "pytorch": "torch.utils.benchmark",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="resnet50,vit")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print_host()
    generator = random.Random(0)
    print(f"{'ours / theirs':44} {'centre':>7} {'95 % interval':>15}  pairs  ours ms  theirs ms")
    for model in options.models.split(","):
        for runner, clock in CLOCKS.items():
            artifact = artifact_for(options.workspace, model, runner)
            rounds = options.rounds
            if clock == "benchmark_app":
                rounds //= APP_ROUNDS_SHARE
            ours, theirs = _times(artifact, runner, clock, rounds, generator)
            logs = [math.log(mine / other) for mine, other in zip(ours, theirs, strict=True)]
            centre = centre_of(logs)
            interval = f"{math.exp(centre.low):.3f}-{math.exp(centre.high):.3f}"
            title = f"{model} {runner} / {clock}"
            print(
                f"{title:44} {math.exp(centre.value):7.3f} {interval:>15}  {len(logs):5d} "
                f"{sorted(ours)[len(ours) // 2]:8.2f} {sorted(theirs)[len(theirs) // 2]:10.2f}",
                flush=True,
            )


def _times(
    artifact: Artifact, runner: str, clock: str, rounds: int, generator: random.Random
) -> tuple[list[float], list[float]]:
    """What both clocks say in each round, in ms."""
    with ExitStack() as stack:
        residence = stack.enter_context(Residence(VisitTimes(SECONDS, 60.0), None))
        job = job_for(artifact, runner, 0.3)
        for number in range(PROCESSES):
            launch = residence.start(0, job, number)
            if not launch.measured:
                sys.exit(f"{runner}: {launch.error or launch.refused or launch.parity}")

        def visit() -> float:
            made = residence.visit(0, 0, 0)
            assert made is not None
            return made.median_ns / 1e6

        if clock == "benchmark_app":
            return _around_the_app(visit, artifact, rounds)
        threads = str(usable_cores())
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        # A child of ours finds installed packages only, and these programs are none.
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        wanted = {"artifact": str(artifact.path), "clock": clock, "threads": usable_cores()}
        others = []
        for _ in range(PROCESSES):
            other = stack.enter_context(Resident("benchmarks.other_clocks", environment))
            other.ask(json.dumps(wanted), LIMIT_S)
            others.append(other)
        turns = itertools.cycle(others)
        clocks: list[Callable[[], float]] = [
            visit,
            lambda: float(next(turns).ask(str(SECONDS), LIMIT_S)),
        ]
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for index in generator.sample([0, 1], 2):
                found[index].append(clocks[index]())
        return found


def _around_the_app(
    visit: Callable[[], float], artifact: Artifact, rounds: int
) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    for _ in range(rounds):
        before = visit()
        theirs.append(_benchmark_app(artifact))
        ours.append(math.sqrt(before * visit()))
    return ours, theirs


def _benchmark_app(artifact: Artifact) -> float:
    """It refuses -nthreads beside -hint: it takes every core, which is our budget here too."""
    shape = ",".join(map(str, artifact.batch_shape(1)["input"]))
    command = [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-m", str(artifact.entry)),
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
