"""From a request to what is trained: the images, the model with its first weights, the plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.references import telling_inputs
from deploybench.errors import DeployBenchError
from deploybench.models.batch_norms import set_epsilon
from deploybench.models.identity import build
from deploybench.models.source import BuiltModel, find_source
from deploybench.models.trained import TrainedModel, config_text
from deploybench.models.zoo import ZOO
from deploybench.plurals import counted
from deploybench.training.folder import DataUsed, TrainingPlan
from deploybench.training.request import TrainingRequest
from deploybench.training.sets import TrainingSets, training_sets
from deploybench.training.transfer import begin_from

TIMM = "timm:"
RANDOM = "random weights"
PRETRAINED = "timm's pretrained weights"
PROBABILITIES = ("Softmax", "Sigmoid")
"""How autograd calls the last operation of a model that does not return logits. (Of the logarithms
of probabilities the loss makes the same.)"""
OWN = "the factory's own weights"


@dataclass(frozen=True)
class FirstWeights:
    """What a training begins with, in words for people; ``identity`` is the same for the same
    weights, ``spec`` how their images were prepared."""

    words: str
    identity: str
    spec: Preprocessing
    batchnorm_epsilon: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """All that is settled before the first step. ``first`` are the weights that the module holds,
    ``uses_all`` says whether every one of its parameters takes part in a step, ``notes`` what was
    decided and assumed, in sentences."""

    sets: TrainingSets
    built: BuiltModel
    spec: Preprocessing
    first: FirstWeights
    identity: dict[str, str]
    uses_all: bool
    notes: tuple[str, ...]

    @property
    def module(self) -> nn.Module:
        return self.built.module

    @property
    def classes(self) -> int:
        return len(self.sets.training.class_names)


def prepared(request: TrainingRequest) -> Prepared:
    """Open the data, build the model for its classes, and put its first weights in.

    Raises DeployBenchError for data, a model or weights that no training can be made of.
    """
    sets = training_sets(request)
    classes = len(sets.training.class_names)
    source, own_name = find_source(request.model)
    source.check(own_name)
    built = build(source, own_name, request.build_options(classes), request.seed)
    # A folder of a model hub is its weights, too.
    init_from = request.init_from or source.checkpoint(own_name)
    first = _first_weights(request, built, init_from, sets)
    spec = first.spec
    if request.preprocessing is not None:
        spec = request.preprocessing.applied_to(spec)
    about_frozen = _about_frozen(built.module, request.model)
    images = torch.from_numpy(telling_inputs(spec))[:2]
    uses_all = check_logits(built.module, images, classes, request.model)
    return Prepared(
        sets=sets,
        built=built,
        spec=spec,
        first=first,
        identity=source.identity(own_name),
        uses_all=uses_all,
        notes=(*sets.notes, *first.notes, *about_frozen),
    )


def _first_weights(
    request: TrainingRequest, built: BuiltModel, init_from: Path | None, sets: TrainingSets
) -> FirstWeights:
    """Which weights the module begins with; those of a checkpoint are loaded into it."""
    if init_from is not None:
        begun = begin_from(
            built,
            init_from,
            labels=sets.training.class_names,
            name=request.model,
            key=request.checkpoint_key,
            allow_partial=request.allow_partial,
            new_head=request.new_head,
            batchnorm_epsilon=request.batchnorm_epsilon,
        )
        # The file may be called otherwise when a training is gone on with.
        identity = f"{begun.taken or 'the weights'} of the checkpoint {begun.sha256}"
        return FirstWeights(
            begun.words,
            identity,
            begun.spec,
            begun.batchnorm_epsilon,
            begun.notes,
        )
    if request.batchnorm_epsilon is not None:
        set_epsilon(request.model, built.module, request.batchnorm_epsilon)
    # What the images were of the weights that others trained is what they are here: nothing of it
    # is assumed.
    spec = built.preprocessing.replaced(assumed=())
    words = RANDOM
    if request.pretrained:
        words = PRETRAINED
    elif built.own_weights:
        words = OWN
    return FirstWeights(words, words, spec, request.batchnorm_epsilon)


def _about_frozen(module: nn.Module, name: str) -> tuple[str, ...]:
    """A sentence about the tensors that the model's own code does not want trained.

    Raises DeployBenchError where those are all.
    """
    parameters = list(module.parameters())
    frozen = sum(not parameter.requires_grad for parameter in parameters)
    if frozen == len(parameters):
        raise DeployBenchError(
            f"'{name}' has nothing to train: its code froze {counted(frozen, 'tensor')} of "
            f"{len(parameters)}",
            expected="a model of which some parameters have requires_grad",
            action="a factory that freezes less: the classifier at least has to learn",
        )
    if not frozen:
        return ()
    stay = counted(frozen, "tensor stays as it is", "tensors stay as they are")
    return (f"{stay}, of {len(parameters)}: the code of {name} froze them (requires_grad)",)


def plan_of(request: TrainingRequest, ready: Prepared, hashes: tuple[str, str]) -> TrainingPlan:
    """All that decides the weights that come out; ``hashes`` are those of the two sets."""
    sets = ready.sets
    return TrainingPlan(
        model=request.model,
        identity=ready.identity,
        recipe=request.recipe,
        seed=request.seed,
        data=DataUsed(
            name=sets.training.name,
            form=sets.training.form,
            task=sets.training.task,
            training_sha256=hashes[0],
            evaluation_sha256=hashes[1],
            training_split=sets.training_name,
            evaluation_split=sets.evaluation_name,
            training_images=len(sets.training),
            evaluation_images=len(sets.evaluation),
            classes=sets.training.class_names,
            training_counts=sets.training.counts(),
            evaluation_counts=sets.evaluation.counts(),
            synthetic=sets.training.synthetic,
        ),
        preprocessing=ready.spec,
        patch_size=request.patch_size,
        batchnorm_epsilon=ready.first.batchnorm_epsilon,
        begun_from=ready.first.identity,
        new_head=request.new_head,
        allow_partial=request.allow_partial,
        devices=request.devices,
    )


def trained_as(plan: TrainingPlan, *, epoch: int, finished: bool) -> TrainedModel:
    """What the weights of an epoch are weights of, for whoever exports them."""
    spec = plan.preprocessing
    task: Literal["multi_class:logits", "multi_label:logits"] = "multi_class:logits"
    if plan.data.task == "multi-label":
        task = "multi_label:logits"
    return TrainedModel(
        model=plan.model,
        num_classes=len(plan.data.classes),
        in_channels=spec.channels,
        image_size=(spec.height, spec.width),
        patch_size=plan.patch_size,
        batchnorm_epsilon=plan.batchnorm_epsilon,
        preprocessing=spec,
        labels=plan.data.classes,
        task=task,
        epoch=epoch,
        epochs=plan.recipe.epochs,
        finished=finished,
    )


def config_of(trained: TrainedModel, built: BuiltModel) -> str:
    """The text of config.json; timm's architecture is in it where timm can build the model."""
    name = trained.model
    entry = ZOO.get(name)
    arguments: dict[str, Any] = {}
    if name.startswith(TIMM):
        architecture = name.removeprefix(TIMM)
    elif entry is not None and not entry.ours and entry.attention is None:
        architecture = entry.architecture
        arguments = dict(entry.arguments)
    else:
        return config_text(trained, None, {})
    if "img_size" in built.arguments:
        arguments["img_size"] = list(trained.image_size)
    if "patch_size" in built.arguments:
        arguments["patch_size"] = built.arguments["patch_size"]
    if "in_chans" in built.arguments:
        arguments["in_chans"] = trained.in_channels
    return config_text(trained, architecture, arguments)


def check_logits(module: nn.Module, images: torch.Tensor, classes: int, name: str) -> bool:
    """Refuse a model that cannot be trained as it is: what it returns for ``images`` (images x
    channels x height x width) in training has to be logits, images x classes. It is left as it was.

    Whether every parameter that is trained has a part in them.
    """
    before = {key: tensor.detach().clone() for key, tensor in module.state_dict().items()}
    module.train()
    try:
        returned = module(images)
    except Exception as error:  # a model may raise anything on images that it was not made for
        channels, height, width = images.shape[1:]
        raise DeployBenchError(
            f"'{name}' does not run on images of {channels} x {height} x {width}: {error}",
            expected="an image size and channels that the architecture takes",
            action="another --image-size or --in-channels",
        ) from error
    if isinstance(returned, torch.Tensor) and returned.shape == (len(images), classes):
        last = "" if returned.grad_fn is None else returned.grad_fn.name()
        if last.startswith(PROBABILITIES):
            raise DeployBenchError(
                f"'{name}' ends in {last.removesuffix('Backward0')}: it returns probabilities",
                expected="logits, of which the loss makes the probabilities",
                action="a factory that leaves the last operation out",
            )
        if not returned.requires_grad:
            raise DeployBenchError(
                f"the logits of '{name}' depend on no parameter that is trained",
                expected="a model that can learn",
                action="a factory that freezes less, and computes its logits with gradients",
            )
        returned.sum().backward()
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        uses_all = all(parameter.grad is not None for parameter in trained)
        module.zero_grad(set_to_none=True)
        module.load_state_dict(before)  # in training the averages of norms move
        return uses_all
    found = f"a {type(returned).__name__}"
    if isinstance(returned, torch.Tensor):
        found = f"a tensor of {' x '.join(map(str, returned.shape))}"
    raise DeployBenchError(
        f"'{name}' returns {found} for {counted(len(images), 'image')} in training",
        expected=f"logits alone: a tensor of {len(images)} x {classes} classes",
        action="a factory that takes num_classes and returns the logits, without auxiliary outputs",
    )
