"""Training begins with the weights of a checkpoint, under a new classifier.

All but the classifier has to fit, as at an export: half a network is refused unless it is asked
for. The checkpoint may be of another number of classes, without a classifier (of a pretraining
without labels), of another number of input channels and of another image size. What was taken, what
was left and what was adapted is told in sentences.

The images go through what the weights were trained with (mean, deviation, filter), as far as the
checkpoint or the architecture says it, unless the user says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_size import size_text
from deploybench.data.preprocessing_options import number_list
from deploybench.errors import DeployBenchError
from deploybench.models.batch_norms import (
    assumed_epsilon,
    batch_norms,
    set_epsilon,
    trained_epsilon,
)
from deploybench.models.checkpoint import (
    Checkpoint,
    LoadReport,
    held_tensors,
    load_state,
    read_checkpoint,
)
from deploybench.models.checkpoint_tree import listed
from deploybench.models.described_images import described_preprocessing
from deploybench.models.input_channels import at_own_channels
from deploybench.models.loading import reference_images
from deploybench.models.source import BuiltModel
from deploybench.models.timm_filter import as_timm_reads_it
from deploybench.models.training_arguments import training_images
from deploybench.models.weights_folder import USUAL_FILES, sha256_of_weights
from deploybench.plurals import counted
from deploybench.untrusted import read_json

CONFIG = "config.json"
OURS = "deploybench"
"""The part of a config.json that our own trainings write."""


@dataclass(frozen=True)
class Begun:
    """How a training begins: ``words`` name the checkpoint and what became of its classifier,
    ``notes`` say all that was taken, left, adapted and assumed, in sentences.

    ``spec`` is the preprocessing that the weights were trained with, in the model's channels and
    size. ``batchnorm_epsilon`` was set in the model; None: it has its own. ``sha256`` is that of
    the checkpoint, ``taken`` says which of its states it was ("" where it is all of it). ``new``
    are the tensors that did not come from it.
    """

    words: str
    notes: tuple[str, ...]
    spec: Preprocessing
    batchnorm_epsilon: float | None
    sha256: str
    taken: str
    new: tuple[str, ...]


@dataclass(frozen=True)
class _Described:
    """What lies beside a checkpoint about it, or in it; None where nothing says so."""

    labels: tuple[str, ...] | None = None
    spec: Preprocessing | None = None
    batchnorm_epsilon: float | None = None


def begin_from(
    built: BuiltModel,
    path: Path,
    *,
    labels: Sequence[str],
    name: str,
    key: str | None = None,
    allow_partial: bool = False,
    new_head: bool = False,
    batchnorm_epsilon: float | None = None,
) -> Begun:
    """Load the checkpoint at ``path`` into the model, which was built for the classes ``labels``
    from the training's seed; what does not come from the checkpoint stays as it was built.

    The classifier is new where the checkpoint has none, one of other classes, or where ``new_head``
    asks for it. ``key`` is that of the state in the file, ``batchnorm_epsilon`` what the user said,
    ``name`` the model's, for errors.

    Raises DeployBenchError for what is no checkpoint, and where more than the classifier differs
    unless ``allow_partial``.
    """
    checkpoint = read_checkpoint(path)
    described = _described(path)
    head = _Head(built, checkpoint, key)
    new, about_head = head.new(labels, described.labels, wanted=new_head)
    if head.foreign:
        about_head += f"; of the checkpoint's own is left: {listed(head.foreign)}"
    report = load_state(
        built.module,
        checkpoint,
        allow_partial=allow_partial,
        key=key,
        example=partial(reference_images, built.preprocessing),
        new=(*new, *head.foreign),
        channels=built.preprocessing.channels,
    )
    epsilon, about_epsilon = _with_epsilon(
        name, built, checkpoint, described.batchnorm_epsilon, batchnorm_epsilon
    )
    spec, about_images = _images(built, checkpoint, described.spec)
    notes = (
        _taken_words(path, report, len(built.module.state_dict())),
        about_head,
        *_random_words(report),
        *report.remarks,
        *about_epsilon,
        about_images,
    )
    words = _name_of(path)
    if report.taken:
        words += f" ({report.taken})"
    return Begun(
        words=words,
        notes=notes,
        spec=spec,
        batchnorm_epsilon=epsilon,
        sha256=sha256_of_weights(path),
        taken=report.taken,
        new=(*new, *report.random),
    )


class _Head:
    """The classifier of a model, and what a checkpoint has in its place."""

    def __init__(self, built: BuiltModel, checkpoint: Checkpoint, key: str | None) -> None:
        self._own = built.module.state_dict()
        self._classes = built.num_classes
        self._paths = _paths_of_heads(built)
        given = held_tensors(checkpoint, built.module, key)
        given, _ = at_own_channels(built.module, given, built.preprocessing.channels)
        # An older checkpoint may call its classifier otherwise.
        self._given = as_timm_reads_it(built.module, given)
        prefixes = tuple(_prefix_of_head(path) for path in self._paths)
        self.foreign = tuple(
            name for name in self._given if name not in self._own and name.startswith(prefixes)
        )
        """What else the checkpoint has where the classifier is: layers of a pretraining's."""

    def new(
        self, labels: Sequence[str], trained: tuple[str, ...] | None, *, wanted: bool
    ) -> tuple[tuple[str, ...], str]:
        """The tensors that keep their first values, and a sentence about the classifier.

        ``trained`` are the classes of the checkpoint, where it says them.
        """
        tensors = [name for name in self._own if self._is_of_head(name)]
        paths = ", ".join(self._paths) or "the last layer"
        lacking = [name for name in tensors if name not in self._given]
        classes = f"{counted(self._classes, 'class', 'classes')}"
        if lacking:
            return tuple(tensors), f"new classifier ({paths}) of {classes}: the checkpoint has none"
        before = {len(self._given[name]) for name in tensors} - {self._classes}
        if before:
            of = ", ".join(str(count) for count in sorted(before))
            return tuple(tensors), f"new classifier ({paths}): {classes} in place of {of}"
        if wanted:
            return tuple(tensors), f"new classifier ({paths}) of {classes}, as was asked for"
        if trained is None:
            return (), (
                f"the classifier ({paths}) is the checkpoint's: as many classes, and nothing says "
                "whether they are these (--new-head begins with another)"
            )
        if trained != tuple(labels):
            return tuple(tensors), f"new classifier ({paths}): the checkpoint's classes are others"
        return (), f"the classifier ({paths}) is the checkpoint's: its classes are the same"

    def _is_of_head(self, name: str) -> bool:
        if name.rpartition(".")[0] in self._paths:
            return True
        # Auxiliary classifiers: layers that differ in the number of outputs, which is the classes'.
        given, own = self._given.get(name), self._own[name]
        if given is None or not own.dim() or given.dim() != own.dim():
            return False
        if own.shape[0] != self._classes or given.shape[0] == self._classes:
            return False
        alike: bool = own.shape[1:] == given.shape[1:]
        return alike


def _prefix_of_head(path: str) -> str:
    """How the names begin of all that belongs to a classifier: ``head.`` for ``head.fc`` too."""
    around, _, _ = path.rpartition(".")
    own_name = around.rpartition(".")[2]
    if "head" in own_name or "classifier" in own_name:
        return f"{around}."
    return f"{path}."


def _paths_of_heads(built: BuiltModel) -> tuple[str, ...]:
    """The module paths of the classifier; some models have a second one for distillation."""
    paths: list[str] = []
    if built.head is not None:
        paths.append(built.head)
    config: Any = getattr(built.module, "pretrained_cfg", None) or {}
    classifiers = config.get("classifier") if hasattr(config, "get") else None
    if isinstance(classifiers, tuple | list):
        paths += [str(path) for path in classifiers if path]
    return tuple(dict.fromkeys(paths))


def _name_of(path: Path) -> str:
    """The last part of the path, also of ``.``."""
    return path.absolute().resolve().name or str(path)


def _taken_words(path: Path, report: LoadReport, tensors: int) -> str:
    taken = f"begins with {counted(len(report.loaded), 'tensor')} of {_name_of(path)}"
    if report.taken:
        taken += f" ({report.taken})"
    taken += f"; the model has {tensors}"
    if report.left:
        taken += f"; also in the file, and left: {listed(report.left)}"
    return taken


def _random_words(report: LoadReport) -> tuple[str, ...]:
    """That a part of the network was found nowhere."""
    if not report.random:
        return ()
    return (
        f"{counted(report.random_parameters, 'parameter')} were not in the checkpoint, or of "
        f"another shape, and begin at random: {listed(report.random)}",
    )


def _with_epsilon(
    name: str,
    built: BuiltModel,
    checkpoint: Checkpoint,
    described: float | None,
    asked: float | None,
) -> tuple[float | None, tuple[str, ...]]:
    """Give the batch norms the epsilon that the weights were trained with, as far as it is known:
    what the user says, what is described beside them, what their training was told."""
    if asked is not None:
        set_epsilon(name, built.module, asked)
        return asked, ()
    epsilon = described or trained_epsilon(checkpoint.arguments)
    if epsilon is None or not batch_norms(built.module):
        return None, assumed_epsilon(built)
    set_epsilon(name, built.module, epsilon)
    return epsilon, (f"batch-norm epsilon {epsilon:g}, as the checkpoint's training had it",)


def _images(
    built: BuiltModel, checkpoint: Checkpoint, described: Preprocessing | None
) -> tuple[Preprocessing, str]:
    """The preprocessing of the weights in the model's channels and size, and where it is from."""
    spec = built.preprocessing
    arguments = training_images(checkpoint.arguments)
    trained_at = arguments.image_size
    known = _of_known_file(built, checkpoint.path)
    if described is not None:
        whence = "as the checkpoint's folder says"
        trained_at = (described.height, described.width)
        settled = _in_channels(described, spec.channels)
    elif known is not None:
        whence = "as these weights of torchvision's were trained"
        settled = _in_channels(known, spec.channels)
    else:
        whence = "as is usual for this architecture: the checkpoint does not say"
        settled = spec
        if arguments.options.model_dump():
            whence = "as the arguments of the checkpoint's training say"
            try:
                settled = arguments.options.applied_to(spec)
            except DeployBenchError:  # of other channels, or another program's argument
                whence = "as is usual for this architecture: the checkpoint's arguments do not fit"
    settled = settled.replaced(height=spec.height, width=spec.width, assumed=())
    words = (
        f"images: mean {number_list(settled.mean)}, std {number_list(settled.std)}, "
        f"{settled.interpolation}, {settled.crop_mode} crop {settled.crop_fraction:.4g}, {whence}"
    )
    if trained_at is not None and trained_at != (spec.height, spec.width):
        words += (
            f"; trained at {size_text(trained_at)} pixels before, and now at "
            f"{size_text((spec.height, spec.width))} (--image-size)"
        )
    return settled, words


def _of_known_file(built: BuiltModel, path: Path) -> Preprocessing | None:
    """The preprocessing of one of the files that the architecture's source knows."""
    if not built.known_files or not path.is_file():
        return None
    digest = sha256_of_file(path)
    for digits, spec in built.known_files.items():
        if digest.startswith(digits):
            return spec
    return None


def _in_channels(spec: Preprocessing, channels: int) -> Preprocessing:
    """The preprocessing for another number of channels: each has the mean of what the others had,
    as the first convolution sums them."""
    if spec.channels == channels:
        return spec
    color = spec.color
    if channels == 1 or spec.channels == 1:
        color = "rgb"
    return spec.replaced(
        channels=channels,
        mean=(sum(spec.mean) / len(spec.mean),) * channels,
        std=(sum(spec.std) / len(spec.std),) * channels,
        color=color,
    )


def _described(path: Path) -> _Described:
    """What a config.json beside the checkpoint says of it: our own part, else timm's.

    What does not read there says nothing: the weights are what was asked for.
    """
    folder = path
    if not path.is_dir():
        if path.name not in USUAL_FILES:
            return _Described()  # another file, that happens to lie there
        folder = path.parent
    try:
        config = read_json(folder / CONFIG)
    except (OSError, ValueError):
        return _Described()
    if not isinstance(config, Mapping):
        return _Described()
    described = _Described()
    of_weights = config.get("pretrained_cfg")
    if isinstance(of_weights, Mapping):
        names = config.get("label_names") or of_weights.get("label_names")
        described = _Described(labels=_names(names), spec=_of_timm(of_weights))
    ours = config.get(OURS)
    if not isinstance(ours, Mapping):
        return described
    epsilon = ours.get("batchnorm_epsilon")
    if isinstance(epsilon, float):
        described = replace(described, batchnorm_epsilon=epsilon)
    try:
        spec = Preprocessing.model_validate_json(json.dumps(ours.get("preprocessing")))
    except ValueError:
        return described
    return replace(described, spec=spec, labels=_names(ours.get("labels")) or described.labels)


def _of_timm(config: Mapping[str, object]) -> Preprocessing | None:
    try:
        spec = described_preprocessing(config, None, None)
    except DeployBenchError:
        return None
    if spec.assumed:
        return None
    return spec


def _names(names: object) -> tuple[str, ...] | None:
    if not isinstance(names, list) or not names:
        return None
    return tuple(str(name) for name in names)
