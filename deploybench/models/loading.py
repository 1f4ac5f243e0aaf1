"""From a model name and its weights to a module in eval mode, ready to export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from deploybench.artifacts.artifact import PathStep
from deploybench.artifacts.built import Built
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.weights import Weights
from deploybench.data.references import telling_inputs
from deploybench.errors import DeployBenchError
from deploybench.models.batch_norms import (
    EPSILON,
    assumed_epsilon,
    batch_norms,
    set_epsilon,
    trained_epsilon,
)
from deploybench.models.character import explained
from deploybench.models.checkpoint import (
    Checkpoint,
    LoadReport,
    classes_in,
    load_state,
    read_checkpoint,
    taken_tensors,
)
from deploybench.models.identity import SEED, build, check_same_build
from deploybench.models.initialise import spread_random_weights
from deploybench.models.outputs import NamedOutputs, find_outputs
from deploybench.models.partial_weights import fill_missing
from deploybench.models.reparameterised import reparameterised
from deploybench.models.source import (
    RANDOM_WEIGHTS,
    BuildOptions,
    BuiltModel,
    ModelSource,
    find_source,
)
from deploybench.models.trained import TrainedModel, trained_model
from deploybench.models.training_arguments import training_images

SingleOutput = NamedOutputs
"""Its name when a model had one output; without paths it hands out one tensor."""


def load_model(
    name: str,
    options: BuildOptions,
    checkpoint: Path | None,
    *,
    allow_partial: bool,
    checkpoint_key: str | None = None,
    one_image: bool = False,
) -> tuple[BuiltModel, Weights]:
    """Build ``name`` with its weights, in eval mode, float32, without gradients.

    The checkpoint is the one given, or the one that belongs to the name (``hub:FOLDER``);
    ``checkpoint_key`` says which state in it is meant. Without a checkpoint and without
    ``options.pretrained`` the weights are random from a fixed seed and rescaled so that the logits
    have spread; those of a user's factory stay as they are, loaded or not. What the folder of a
    checkpoint says of it (:mod:`deploybench.models.trained`) holds where ``options`` say nothing.
    ``one_image``: the model has to take no more than one at a time.
    """
    source, own_name = find_source(name)
    if checkpoint is None:
        checkpoint = source.checkpoint(own_name)
    state = None
    trained = None
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
        trained = _trained(name, checkpoint)
    if trained is not None:
        options = trained.options(options)
    built = build(source, own_name, options)
    if trained is not None:
        built = trained.described(built, options)
    report = None
    if state is not None:
        built, options = _at_trained_size(source, own_name, built, options, state)
        classes = classes_in(state, built.module, built.head, checkpoint_key)
        if classes and classes != built.num_classes and options.num_classes is None:
            built = build(source, own_name, replace(options, num_classes=classes))
        images = partial(reference_images, built.preprocessing)
        report = load_state(
            built.module, state, allow_partial=allow_partial, key=checkpoint_key, example=images
        )
        built = replace(built, training_arguments=state.arguments)
    built, epsilon_remark = _with_epsilon(name, built, options)
    module = built.module.float().eval().requires_grad_(False)
    unknown = state is None and not options.pretrained
    _first_run(name, module, built, one_image=one_image)
    # Only what is initialised here may be rescaled: a factory's weights are the user's, however
    # little the outputs differ with them.
    if unknown and not built.own_weights:
        spread_random_weights(module, reference_images(built.preprocessing), SEED)
        kind, where = "random", f"seed {SEED}, version {RANDOM_WEIGHTS}"
    elif unknown:
        kind, where = "factory", name
    elif state is not None:
        kind, where = "checkpoint", str(checkpoint)
    else:
        kind, where = (
            "pretrained",
            str(getattr(module, "pretrained_cfg", {}).get("hf_hub_id") or name),
        )
    if report is not None:
        remarks = (*report.remarks, *epsilon_remark)
        if trained is not None:
            remarks += trained.remarks
        report = replace(report, remarks=remarks)
    if report is not None and report.random:
        fill_missing(module, report.random, reference_images(built.preprocessing), SEED)
    weights = Weights.model_validate(
        {"kind": kind, "source": where, "sha256": weights_hash(module), **_told(report, module)}
    )
    return built, weights


def _trained(name: str, checkpoint: Path) -> TrainedModel | None:
    """What a training of ours wrote of the checkpoint, for the model that it trained."""
    trained = trained_model(checkpoint)
    if trained is not None:
        trained.check_model(name, checkpoint)
    return trained


def tensors_taken(
    name: str, options: BuildOptions, checkpoint: Checkpoint, key: str | None
) -> Mapping[str, torch.Tensor]:
    """The tensors that the model takes from a checkpoint, by the model's own names."""
    source, own_name = find_source(name)
    options = replace(options, pretrained=False)
    built = source.build(own_name, options)
    built, _ = _at_trained_size(source, own_name, built, options, checkpoint)
    return taken_tensors(checkpoint, built.module, key)


def _at_trained_size(
    source: ModelSource,
    own_name: str,
    built: BuiltModel,
    options: BuildOptions,
    checkpoint: Checkpoint,
) -> tuple[BuiltModel, BuildOptions]:
    """The model for images of the size that it was trained at, and the options that built it.

    It stays as it is where somebody said the size, where the checkpoint carries none, and where the
    architecture does not take it: then the size is assumed, and said to be.
    """
    size = training_images(checkpoint.arguments).image_size
    spec = built.preprocessing
    open_size = built.usual_preprocessing or "image_size" in spec.assumed
    if size is None or options.image_size is not None or not open_size:
        return built, options
    if size == (spec.height, spec.width):
        return built, options
    asked = replace(options, image_size=size)
    try:
        trained = build(source, own_name, asked)
        with torch.no_grad():
            trained.module.eval()(torch.zeros(1, spec.channels, *size))
    except Exception:  # the arguments may be of something else by the same name
        return built, options
    return trained, asked


def _with_epsilon(
    name: str, built: BuiltModel, options: BuildOptions
) -> tuple[BuiltModel, tuple[str, ...]]:
    """The model with the epsilon of batch norms that was asked for, or that its weights were
    trained with as far as the checkpoint says; and what is said of one that nobody asked for.

    It is among the arguments that the model is built with again.
    """
    epsilon = options.batchnorm_epsilon
    remarks: tuple[str, ...] = ()
    if epsilon is None:
        epsilon = trained_epsilon(built.training_arguments)
        if epsilon is None or not batch_norms(built.module):
            return built, assumed_epsilon(built)
        remarks = (f"batch-norm epsilon {epsilon:g}, as the checkpoint's training had it",)
    set_epsilon(name, built.module, epsilon)
    return replace(built, arguments={**built.arguments, EPSILON: epsilon}), remarks


def reference_images(spec: Preprocessing) -> torch.Tensor:
    """The reference images, float32, images x channels x height x width."""
    return torch.from_numpy(telling_inputs(spec))


def _told(report: LoadReport | None, module: nn.Module) -> dict[str, object]:
    """What a manifest tells of how a checkpoint was loaded; nothing without one."""
    if report is None:
        return {}
    return {
        "taken": report.taken,
        "left": report.left,
        "loaded": len(report.loaded),
        "missing": len(report.missing),
        "ignored": len(report.ignored),
        "random_parameters": report.random_parameters,
        "parameters": count_parameters(module),
        "remarks": report.remarks,
    }


def _first_run(name: str, module: nn.Module, built: BuiltModel, *, one_image: bool) -> None:
    """Refuse a module that does not run on its own input, or returns nothing to hand out."""
    spec = built.preprocessing
    images = reference_images(spec)
    if one_image:
        images = images[:1]
    try:
        with torch.no_grad():
            returned = module(images)
    except DeployBenchError:
        raise
    except Exception as error:  # a model may raise anything on an input that it was not made for
        kind = explained(name, module, images, error)
        if kind is not None:
            raise kind from error
        raise DeployBenchError(
            f"'{name}' does not run on images of {spec.channels} x {spec.height} x {spec.width}: "
            f"{error}",
            expected="an image size and channels that the architecture takes",
            action="choose another --image-size or --in-channels",
        ) from error
    find_outputs(returned, len(images), classes=built.num_classes)


def rebuild(
    name: str,
    arguments: BuildOptions,
    state_file: Path,
    dtype: torch.dtype,
    paths: Sequence[Sequence[PathStep]] = (),
    built: Built | None = None,
) -> nn.Module:
    """The module of a ``pytorch`` artifact: the architecture by name, every weight from
    ``state_file``, the outputs at ``paths``.

    ``built`` is what was exported, where that had to be looked at. Raises DeployBenchError where
    the code of today is another.
    """
    from safetensors.torch import load_file

    source, own_name = find_source(name)
    rebuilt = build(source, own_name, replace(arguments, pretrained=False))
    if built is not None:
        check_same_build(name, rebuilt, built)
    if arguments.batchnorm_epsilon is not None:
        set_epsilon(name, rebuilt.module, arguments.batchnorm_epsilon)
    module = rebuilt.module.eval().requires_grad_(False)
    if arguments.reparameterised:
        module = reparameterised(name, module)
    wrapped = NamedOutputs(module, dtype, paths)
    result = wrapped.load_state_dict(load_file(state_file), strict=False)
    if result.missing_keys or result.unexpected_keys:
        raise DeployBenchError(
            f"the model '{name}' of this environment has other weights than {state_file}: "
            f"missing {result.missing_keys[:4]}, unexpected {result.unexpected_keys[:4]}",
            action="install the versions that the manifest names, or export again",
        )
    return wrapped


def count_parameters(module: nn.Module) -> int:
    """The number of trainable scalars; buffers such as running means are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def weights_hash(module: nn.Module) -> str:
    """sha256 over the name, dtype, shape and bytes of every parameter and buffer, in the order of
    names."""
    return tensors_hash(module.state_dict())


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the name, dtype, shape and bytes of every tensor, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
