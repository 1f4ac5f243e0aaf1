"""A model source turns a name into a module.

Sources are found by the entry points ``deploybench.models``.

``resnet50`` asks every source for that bare name; ``timm:resnet50`` asks the source called
``timm``; any other ``package.module:factory`` goes to the source called ``python``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError, unknown_name

if TYPE_CHECKING:
    import torch

    from deploybench.models.identity import Fingerprint

GROUP = "deploybench.models"
FACTORY_SOURCE = "python"
RANDOM_WEIGHTS = "3"
"""The version of the weights that a seed stands for: it goes up whenever
:mod:`deploybench.models.initialise` or the images that it looks at change what it draws. Weights of
two versions are different weights: they have other names, and their artifacts other keys."""


@dataclass(frozen=True)
class BuildOptions:
    """What the user may change about a model; None leaves the model's own default.

    Sizes are in pixels. ``batchnorm_epsilon`` is set in what a source built, whatever the source;
    ``reparameterised`` says that an artifact's module was changed after it was built.
    """

    num_classes: int | None = None
    in_channels: int | None = None
    image_size: tuple[int, int] | None = None
    patch_size: int | None = None
    pretrained: bool = False
    batchnorm_epsilon: float | None = None
    reparameterised: bool = False


@dataclass(frozen=True)
class BuiltModel:
    """A module with what has to be known about it.

    ``head`` is the module path of the classifier, where one is known. ``labels`` are the class
    names in output order of the weights that the architecture is usually trained with.
    ``patch_size`` (pixels) and ``tokens`` are of a transformer whose attention sees all tokens.
    ``preprocessing.assumed`` names what neither the module nor its source knows of its images.
    """

    module: torch.nn.Module
    preprocessing: Preprocessing
    num_classes: int
    head: str | None = None
    labels: tuple[str, ...] | None = None
    patch_size: int | None = None
    tokens: int | None = None
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    own_weights: bool = False
    """The builder may have loaded weights by itself: they are left as they are."""
    usual_preprocessing: bool = False
    """The preprocessing is that of the weights which the makers of the architecture trained: with
    other weights all of it is assumed."""
    known_files: Mapping[str, Preprocessing] = field(default_factory=dict)
    """The preprocessing of weights that are known, by the first eight digits of the sha256 of
    their file."""
    fingerprint: Fingerprint | None = None
    """What was seen of a build that has to be looked at."""
    task: str | None = None
    """What the main output means, where the source knows: a task as ``--task`` takes it."""
    training_arguments: Mapping[str, object] = field(default_factory=dict)
    """What the checkpoint carries of the arguments of its training."""


class ModelSource(ABC):
    """Builds models by name. Must import cheaply: torch is imported inside :meth:`build` only."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names that can be listed, without a prefix.

        Empty when they cannot be known beforehand.
        """

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names that stand for several models."""
        return {}

    @abstractmethod
    def identity(self, name: str) -> dict[str, str]:
        """What decides the architecture besides its name.

        That is versions, or a hash of the user's code.
        """

    def checkpoint(self, name: str) -> Path | None:
        """The file or folder of weights that belongs to the name; None where nothing does."""
        return None

    def must_be_looked_at(self, name: str) -> bool:
        """Whether the name, the options and :meth:`identity` do not decide what is built.

        Then the module itself is part of the identity: it is built to see whether an export was
        done before, and its code is compared again wherever weights are put into it.
        """
        return False

    @abstractmethod
    def check(self, name: str) -> None:
        """Raise DeployBenchError for a name that this source cannot build. May import torch."""

    @abstractmethod
    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        """Build the model.

        Raises DeployBenchError for an unknown name or an option that it cannot take.
        """


@cache
def sources() -> dict[str, ModelSource]:
    """Every source that loads, by its entry-point name."""
    sources_by_name = {}
    for point in entry_points(group=GROUP):
        try:
            source = point.load()()
        except Exception:  # a broken third-party source must not take the others down
            continue
        if isinstance(source, ModelSource):
            sources_by_name[point.name] = source
    return sources_by_name


def find_source(name: str) -> tuple[ModelSource, str]:
    """The source that answers to a model name, and the name as that source knows it."""
    by_name = sources()
    prefix, colon, rest = name.partition(":")
    if colon and prefix in by_name:
        return by_name[prefix], rest
    if colon:
        return by_name[FACTORY_SOURCE], name
    for source in by_name.values():
        if name in source.names():
            return source, name
    raise _unknown_model(name)


def expand_groups(names: Sequence[str]) -> list[str]:
    """The names with every group replaced by its members, without repeats."""
    groups: dict[str, tuple[str, ...]] = {}
    for source in sources().values():
        groups.update(source.groups())
    expanded: list[str] = []
    for name in names:
        expanded += groups.get(name, (name,))
    return list(dict.fromkeys(expanded))


def expand_patterns(patterns: Sequence[str]) -> list[str]:
    """MODEL/RUNNER patterns; a group of models stands for its members: ``fair/inductor``."""
    expanded = []
    for pattern in patterns:
        model, slash, rest = pattern.partition("/")
        expanded += [f"{member}{slash}{rest}" for member in expand_groups([model])]
    return expanded


def _unknown_model(name: str) -> DeployBenchError:
    """The refusal of a bare name; the nearest of the short names, or the same name in timm."""
    listed: list[str] = []
    for source in sources().values():
        listed += [*source.names(), *source.groups()]
    return unknown_name(
        "model",
        name,
        listed,
        action=f"deploybench models lists them; try also timm:{name} or package.module:factory",
    )
