"""Simulated machines: launches whose truth is known, in the time that it takes to draw random
numbers.

A machine has a speed that every cell shares and that changes with time; a cell's true time is
divided by it. Launches are real :class:`~deploybench.results.launch.Launch` documents, so the
engine that judges real ones judges these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from benchmarks.trials import experiment
from deploybench.measure.job import Job
from deploybench.measure.steady import find_steady
from deploybench.measure.stopping import ExperimentRule
from deploybench.results.launch import Launch, MemoryPhases, Probes, Surroundings

SAMPLES = 40
LAUNCH_SECONDS = 2.0
BASE_NS = 10e6
SAMPLE_NOISE = 0.02
LAUNCH_NOISE = 0.007
FAR = 1.3
MEMORY = MemoryPhases(
    baseline_bytes=1,
    imported_bytes=1,
    loaded_bytes=1,
    compiled_bytes=1,
    first_inference_bytes=1,
    setup_peak_bytes=1,
    peak_bytes=1,
)


@dataclass
class Machine:
    """One kind of trouble.

    ``moment`` is the time in s; ``far`` whether the machine is in its slower state.
    """

    generator: np.random.Generator
    kind: str
    moment: float = 0.0
    far: bool = False
    walk: float = 0.0
    phase: float = field(init=False)

    def __post_init__(self) -> None:
        self.phase = float(self.generator.uniform(0, 2 * math.pi))

    def launch(self, true_factor: float) -> Launch:
        """One launch of a cell that takes ``true_factor`` x 10 ms on the undisturbed machine."""
        draw = self.generator
        factor = true_factor * math.exp(draw.normal(0, LAUNCH_NOISE))
        noise = np.exp(draw.normal(0, SAMPLE_NOISE, SAMPLES))
        if self.kind == "drifting":
            self.walk += draw.normal(0, 0.01)
            factor *= math.exp(self.walk + 0.1 * math.sin(self.moment / 20 + self.phase))
        if self.kind in ("bimodal", "bimodal, seen by the probe"):
            self.far ^= bool(draw.random() < 0.2)
            factor *= FAR if self.far else 1.0
        if self.kind == "bursts":
            start, length = draw.integers(0, SAMPLES), draw.integers(0, SAMPLES // 3)
            noise[start : start + length] *= draw.uniform(1.2, 3.0)
            factor *= 1.15 if draw.random() < 0.1 else 1.0
        self.moment += LAUNCH_SECONDS
        samples = tuple(int(value) for value in BASE_NS * factor * noise)
        steady = find_steady(samples)
        hop = (
            (200.0 if self.far else 100.0) * math.exp(draw.normal(0, 0.03))
            if "probe" in self.kind
            else None
        )
        return Launch(
            seconds=LAUNCH_SECONDS,
            samples_ns=samples,
            warm_up=steady.cut,
            memory=MEMORY,
            unsettled=None if steady.settled else steady.reason,
            window_ns=sum(samples),
            surroundings=Surroundings(
                before=Probes(hop_ns=hop), after=Probes(hop_ns=hop), foreign_cpu_share=0.0
            ),
        )


KINDS = ("stable", "drifting", "bimodal", "bimodal, seen by the probe", "bursts")


def compare(
    machine: Machine, factor: float, rule: ExperimentRule, seed: int
) -> tuple[list[Launch], list[Launch]]:
    """A baseline of factor 1 and a candidate of ``factor``, launched in rounds until the rule ends
    both."""
    factors = {"baseline": 1.0, "candidate": factor}
    jobs = [
        Job(artifact="", runner=name, device="cpu", precision="fp32", batch=1, threads=2)
        for name in factors
    ]
    trial = experiment(
        jobs,
        list(factors),
        rule,
        seed,
        baseline="baseline",
        launch=lambda job: machine.launch(factors[job.runner]),
    )
    return trial.launches[0], trial.launches[1]
