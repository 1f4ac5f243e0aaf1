"""What a tuning is asked for: a model, images, what may be lost, and what is looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploybench.analysis.amounts import Quantity
from deploybench.analysis.constraints import Constraint
from deploybench.artifacts.acceptance import DEFAULT_DROP, check_drop
from deploybench.data.options import ColumnUse, Uncertain
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.evaluate.job import DataRequest
from deploybench.hardware.pinning import AUTO as PIN_AUTO
from deploybench.hardware.pinning import Pin, check_pin
from deploybench.hardware.precisions import check_precision
from deploybench.hardware.profile import HOST
from deploybench.statistics.ratios import DEFAULT_MARGIN

OBJECTIVES = (
    Quantity.P50,
    Quantity.P99,
    Quantity.THROUGHPUT,
    Quantity.MEMORY,
    Quantity.SIZE,
)
DEFAULT_BUDGET_S = 1200.0
SYNTHETIC = "synthetic"
"""Noise in the place of images to calibrate on: only where the user says so."""


@dataclass(frozen=True)
class TuneRequest:
    """Which configuration of which model is looked for. The defaults are those of ``deploybench
    tune``.

    Raises DeployBenchError for a tuning that cannot be.
    """

    data: Path
    """A folder or a file of images: see :func:`deploybench.data.opening.open_data`."""
    model: str = ""
    """As ``deploybench models`` lists them, ``timm:NAME`` or ``package.module:factory``."""
    checkpoint: Path | None = None
    """The weights; None: random ones, whose accuracy means nothing."""
    checkpoint_key: str | None = None
    """Which of several states in the checkpoint."""
    pretrained: bool = False
    """timm's pretrained weights, over the network, instead of a checkpoint."""
    num_classes: int | None = None
    """Outputs of the classifier; None: the model's own."""
    in_channels: int | None = None
    """Channels of the input; None: the model's own."""
    image_size: tuple[int, int] | None = None
    """(height, width) in pixels; None: the model's own."""
    patch_size: int | None = None
    """Of a transformer, in pixels; None: the model's own."""
    labels: Path | None = None
    """A text file of class names, one line a class."""
    task: str | None = None
    """What the main output means, instead of what the artifact says."""
    artifacts: Sequence[Path] = ()
    """Artifact folders or short names instead of a model: nothing is exported then."""
    backends: Sequence[str] = ()
    """Exporters by name; empty: all that work here and that something runs."""
    runners: Sequence[str] = ()
    """By name; empty: all that work on the device."""
    precisions: Sequence[str] = ()
    """To compute in; empty: all that the device has arithmetic for."""
    max_accuracy_drop: float = DEFAULT_DROP
    """What may be lost of the accuracy beside fp32 eager on the same images (0.01: a percentage
    point). Of images without labels: the share whose class may be another one than eager's."""
    objective: Quantity = Quantity.P50
    """What the best is the best by."""
    memory_limit_bytes: float | None = None
    """Peak memory above the interpreter at most; None: any."""
    budget_s: float = DEFAULT_BUDGET_S
    """Seconds for exporting, evaluating and measuring together: what does not fit is not tried."""
    batch: int = 1
    """Images a call."""
    profile: str = HOST
    """The hardware that this host has to be, by name or TOML file."""
    devices: Sequence[str] = ()
    """``cpu``, ``cuda``, ``cuda:1``; empty: the profile's, else the CPU."""
    threads: int | None = None
    """The CPU threads that any configuration may use; None: the usable cores, or those of
    ``pin``."""
    pin: Pin = PIN_AUTO
    """The CPUs that the processes are kept on."""
    runtime_options: bool = True
    """Whether options of the runtimes are tried on the finalists."""
    export_options: bool = True
    """Whether finalists are written in other ways too: options of their exporters, and int8 that
    loses too much with layers in float."""
    split: str | None = None
    """The split that is evaluated on; None: ``test``, else ``val``, else all images."""
    class_names: Sequence[str] | None = None
    """The classes of the data in the order of the model's outputs."""
    uncertain: Uncertain | None = None
    """What a label that says *uncertain* counts as."""
    columns: Mapping[ColumnUse, str] = field(default_factory=dict)
    """Which column of a table is which, where its name does not say so."""
    unlabelled: bool = False
    """Whether labels are left aside: the agreement with fp32 eager is the accuracy then."""
    calibration: str | None = None
    """The images that int8 is calibrated on: a folder or a file; ``synthetic`` for noise. None:
    some of ``data`` that are not evaluated."""
    margin: float = DEFAULT_MARGIN
    """Speeds within this are the SAME."""
    seed: int = 0
    """Of the random order within a round, and of which images come first."""
    fresh: bool = False
    """Whether what an earlier call of this tuning measured is measured again."""
    bundle: Path | None = None
    """Where the winner's deployment bundle is written; None: into the workspace."""
    trust: bool = False
    """Whether the user answers for artifacts that were not made here."""
    typed_with_trust: str | None = None
    """The command line with ``--trust``, which a refusal for want of it shows; None: a short one.
    """
    workspace: Path | None = None
    """The folder of everything; None: $DEPLOYBENCH_WORKSPACE, else ./deploybench-workspace."""

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.artifacts):
            found = "a tuning of nothing"
            if self.model:
                found = "a tuning of a model and of artifacts together"
            raise DeployBenchError(
                found,
                expected="a model, or artifacts",
                action="--model NAME; deploybench models lists them",
            )
        if self.checkpoint is not None and self.pretrained:
            raise DeployBenchError(
                "--checkpoint and --pretrained together", expected="one source of weights"
            )
        for precision in self.precisions:
            check_precision(precision)
        if self.objective not in OBJECTIVES:
            names = [quantity.value for quantity in OBJECTIVES]
            raise unknown_name("objective", str(self.objective.value), names)
        check_drop(self.max_accuracy_drop)
        check_pin(self.pin)
        if self.batch < 1 or (self.threads is not None and self.threads < 1):
            raise DeployBenchError(
                f"a batch of {self.batch} with {self.threads} threads",
                expected="whole numbers from 1 on",
            )
        if not 0 < self.budget_s < math.inf:
            raise DeployBenchError(f"a budget of {self.budget_s:g} s", expected="more than 0 s")
        limit = self.memory_limit_bytes
        if limit is not None and not 0 < limit < math.inf:
            raise DeployBenchError(
                f"a memory limit of {limit:g} bytes", expected="more than 0: 200MB"
            )

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What a configuration has to keep to, the drop of accuracy first."""
        limits = [Constraint(Quantity.DROP, self.max_accuracy_drop)]
        if self.memory_limit_bytes is not None:
            limits.append(Constraint(Quantity.MEMORY, self.memory_limit_bytes))
        return tuple(limits)

    @property
    def data_request(self) -> DataRequest:
        """The images as they are opened, all splits."""
        names = None if self.class_names is None else tuple(self.class_names)
        return DataRequest(
            path=str(self.data.absolute()),
            class_names=names,
            uncertain=self.uncertain,
            unlabelled=self.unlabelled,
            columns=dict(self.columns),
        )
