"""What a training is asked for. The defaults are those of ``deploybench train``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deploybench.data.options import ColumnUse, Uncertain
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions
from deploybench.training.recipe import RECIPES, Recipe

TrainingDevice = Literal["auto", "cpu", "cuda"]
SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class TrainingRequest:
    """A model, the images that it is trained on, and how.

    Raises DeployBenchError for a value that no training can use.
    """

    model: str
    """A name as everywhere: ``vit``, ``timm:NAME``, ``package.module:factory``, ``hub:FOLDER``."""
    data: Path
    """A folder or a file of images: see :func:`deploybench.data.opening.open_data`."""
    out: Path
    """The folder that the training writes."""
    recipe: Recipe = RECIPES["default"]
    train_split: str | None = None
    """The split to train on; None: ``train``, or what is left of the images."""
    eval_split: str | None = None
    """The split to evaluate on; None: ``val``, else ``test``, else a fifth of the images."""
    class_names: Sequence[str] | None = None
    uncertain: Uncertain | None = None
    columns: Mapping[ColumnUse, str] = field(default_factory=dict)
    """The three as for :func:`~deploybench.data.opening.open_data`."""
    init_from: Path | None = None
    """A checkpoint to begin with, under a new classifier where its classes are others."""
    checkpoint_key: str | None = None
    """Which state of that file; None: as for an export."""
    allow_partial: bool = False
    """Whether parts of the model may be missing in it, beside the classifier."""
    new_head: bool = False
    """Whether the classifier is new also where the checkpoint has one of as many classes."""
    pretrained: bool = False
    """Whether to begin with timm's weights (network)."""
    image_size: tuple[int, int] | None = None
    """(height, width) in pixels; None: the model's."""
    in_channels: int | None = None
    """1 for grey images; None: the model's, 3. A grey image then has three equal channels."""
    patch_size: int | None = None
    batchnorm_epsilon: float | None = None
    preprocessing: PreprocessingOptions | None = None
    """What is said of the images; the rest is the model's."""
    seed: int = 0
    """Of the first weights, the order of the images, their augmentation, dropout, a made split."""
    device: TrainingDevice = "auto"
    """auto: CUDA where there is a device, else the CPU."""
    devices: int = 1
    """How many of them; over 1 each has a process of its own (DDP)."""
    threads: int | None = None
    """To compute with on the CPU; None: the usable cores."""
    workers: int | None = None
    """Processes that read images; None: none where the CPU trains, else one for each core but one.
    """
    save_every_s: float = SAVE_EVERY_S
    """Seconds between two states that a resume can begin with; one is kept after each epoch too."""
    resume: bool = False
    """Whether to go on where a training in ``out`` was ended; without one it begins."""
    force: bool = False
    """Whether what another training left in ``out`` is removed."""

    def __post_init__(self) -> None:
        numbers = {"devices": self.devices, "threads": self.threads}
        for name, number in numbers.items():
            if number is not None and number < 1:
                raise DeployBenchError(f"--{name} {number}", expected="a whole number from 1 on")
        if self.workers is not None and self.workers < 0:
            raise DeployBenchError(f"--workers {self.workers}", expected="a number from 0 on")
        if self.resume and self.force:
            raise DeployBenchError(
                "--resume with --force",
                expected="one of them: --resume goes on, --force begins anew",
            )
        if self.pretrained and self.init_from is not None:
            raise DeployBenchError(
                "--pretrained with --init-from", expected="one place to begin from"
            )

    def build_options(self, classes: int) -> BuildOptions:
        """How the model is built for so many classes."""
        return BuildOptions(
            num_classes=classes,
            in_channels=self.in_channels,
            image_size=self.image_size,
            patch_size=self.patch_size,
            pretrained=self.pretrained,
            batchnorm_epsilon=self.batchnorm_epsilon,
        )
