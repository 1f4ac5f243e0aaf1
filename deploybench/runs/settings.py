"""What one run is asked to do, and what it knows of its surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deploybench.artifacts.workspace import Workspace
from deploybench.children.resident import CAN_REST
from deploybench.contracts.registry import reference_runner
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import Host
from deploybench.hardware.pinning import UNPINNED, Pinning, pinning_of, thread_budget
from deploybench.hardware.profile import Profile
from deploybench.hardware.roof import MeasuredPeaks, Roof, roof_of_device
from deploybench.measure.stopping import ExperimentRule
from deploybench.results.cell import DEFAULT_BASELINE
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

if TYPE_CHECKING:
    from deploybench.runs.request import RunRequest


Launches = Literal["auto", "resident", "fresh"]
AUTO: Literal["auto"] = "auto"
RESIDENT: Literal["resident"] = "resident"
FRESH: Literal["fresh"] = "fresh"
LAUNCHES = (AUTO, RESIDENT, FRESH)
LAUNCH_S = 1.0
VISIT_S = 0.075
"""Short, so that the two sides of a pair are close in time, and some visits find a calm moment."""


@dataclass(frozen=True)
class RunSettings:
    """How long to look: visits or launches, until ``rule`` ends each cell.

    ``baseline`` names the runner that the others are compared with; when ``compare`` is set, the
    launches go on until these speed-ups are as precise as the cells. ``raw`` keeps every sample.

    ``launches``: ``fresh`` starts a process for every look of ``duration_s``, ``resident`` visits
    processes that rest for ``visit_s`` each, with readings of the canary between them unless
    ``canary`` is off. ``pinning`` says on which CPUs their processes are kept.
    ``max_accuracy_drop`` is that of the request.
    """

    rule: ExperimentRule
    duration_s: float = 1.0
    min_samples: int = 20
    seed: int = 0
    baseline: str = DEFAULT_BASELINE
    compare: bool = False
    image: str | None = None
    raw: bool = False
    launches: Launches = AUTO
    visit_s: float = VISIT_S
    canary: bool = True
    pinning: Pinning = UNPINNED
    max_accuracy_drop: float | None = None

    def visits(self, device: str) -> bool:
        """Whether cells on the device are measured by visits to processes that rest."""
        if not CAN_REST or self.launches == FRESH:
            return False
        if self.launches == RESIDENT:
            return True
        # A GPU is visited where that is asked for: no card was at hand to prove it on.
        return device == CPU and self.rule.max_rounds is None


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
    measures: Literal["time", "quality"] = "time"
    """What its cells are run for."""
    artifact_of_name: dict[str, str] = field(default_factory=dict, compare=False)
    """Whose record was the first to be written by each name."""

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
        duration_s=request.duration_s or LAUNCH_S,
        visit_s=request.duration_s or VISIT_S,
        launches=request.launches,
        canary=request.canary,
        min_samples=request.min_samples,
        seed=request.seed,
        baseline=request.baseline or reference_runner() or DEFAULT_BASELINE,
        compare=request.baseline is not None,
        image=None if image is None else str(image),
        raw=request.raw,
        max_accuracy_drop=request.max_accuracy_drop,
        pinning=pinning_of(request.pin, thread_budget(request.threads, request.pin)),
    )
