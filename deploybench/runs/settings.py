"""What one run is asked to do, and what it knows of its surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import reference_runner
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import Host
from deploybench.hardware.profile import Profile
from deploybench.hardware.roof import MeasuredPeaks, Roof, roof_of_device
from deploybench.measure.stopping import ExperimentRule
from deploybench.results.cell import DEFAULT_BASELINE
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

if TYPE_CHECKING:
    from deploybench.runs.request import RunRequest


@dataclass(frozen=True)
class RunSettings:
    """How long to look: launches with windows of ``duration_s``, until ``rule`` ends each cell.

    ``baseline`` names the runner that the others are compared with; when ``compare`` is set, the
    launches go on until these speed-ups are as precise as the cells. ``raw`` keeps every sample.
    """

    rule: ExperimentRule
    duration_s: float = 1.0
    min_samples: int = 20
    seed: int = 0
    baseline: str = DEFAULT_BASELINE
    compare: bool = False
    image: str | None = None
    raw: bool = False


@dataclass(frozen=True)
class RunContext:
    """Where the run happens and under which name its records go."""

    run: str
    profile: str
    workspace: Workspace
    host: Host
    peaks: MeasuredPeaks | None
    threads: int
    devices: tuple[str, ...] = (CPU,)
    hardware: Profile | None = None
    """What ``profile`` names; None is the host itself."""
    profile_file: str | None = None
    """Where the profile was read, if it is not a built-in one."""

    def roof(self, device: str) -> Roof | None:
        """What bounds a cell on the device and what its share of the peak refers to.

        None where it is not known.
        """
        return roof_of_device(device, self.hardware, self.host, self.peaks)


def settings_of(request: RunRequest, image: Path | None) -> RunSettings:
    """How long to look. A number of rounds takes the place of both the target and the budget."""
    half_width: float | None = request.precision_target
    budget_s = request.budget_s
    if request.rounds is not None:
        half_width = None
        budget_s = math.inf
    rule = ExperimentRule(
        half_width=half_width,
        budget_s=budget_s,
        min_rounds=FEWEST_FOR_INTERVAL,
        max_rounds=request.rounds,
    )
    return RunSettings(
        rule=rule,
        duration_s=request.duration_s,
        min_samples=request.min_samples,
        seed=request.seed,
        baseline=request.baseline or reference_runner() or DEFAULT_BASELINE,
        compare=request.baseline is not None,
        image=None if image is None else str(image),
        raw=request.raw,
    )
