"""Fits a state of a checkpoint to a module: what is loaded, what is missing, what is ignored.

Everything that eval reads has to come from the checkpoint, and everything in the state has to have
its place: what differs is refused, unless only training reads it. Half a fit is loaded where that
is asked for (``allow_partial``), and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint_states import State, choose_state, left_in, where, words_of
from deploybench.models.checkpoint_tree import Checkpoint, StateDict, listed, tensors_of
from deploybench.models.input_channels import at_own_channels
from deploybench.models.position_embeddings import at_own_size
from deploybench.models.timm_filter import as_timm_reads_it, changes_in_words
from deploybench.models.torch_pickle import StoredTensor
from deploybench.models.unused_weights import unused_in_eval
from deploybench.plurals import counted

COUNTERS = frozenset({"num_batches_tracked", "n_averaged", "total_ops", "total_params", "initted"})
"""Last names of what training and profiling count: eval reads none of them."""
TRAINING_WORDS = frozenset(
    [
        "criterion",
        "criteria",
        "loss",
        "losses",
        "aux",
        "auxlogits",
        "auxiliary",
        "metric",
        "metrics",
        "accuracy",
        "confmat",
        "optimizer",
        "optimizers",
        "scheduler",
        "scaler",
    ]
)
"""In the first name of what a training wrapper or a network keeps for training alone: the loss,
metrics, auxiliary heads."""
TRAINING_NAME = ("aux",)
PLAIN_KINDS = (
    "argparse.",
    "collections.",
    "copyreg.",
    "datetime.",
    "_codecs.",
    "decimal.",
    "enum.",
    "numpy.",
    "pathlib.",
    "types.",
    "uuid.",
    "torch.",
)
"""Modules of plain data, and torch's own: not worth a word where they were not built."""


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor. Names are the module's own; ``ignored`` those of the checkpoint.

    ``taken`` says which state it was ("" where it is the whole file), ``left`` what else is there.
    ``random`` are the missing tensors that eval reads; ``random_parameters`` their scalars.
    """

    taken: str
    left: tuple[str, ...]
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    random: tuple[str, ...]
    random_parameters: int
    remarks: tuple[str, ...]


def classes_in(
    checkpoint: Checkpoint, module: nn.Module, head: str | None, key: str | None = None
) -> int | None:
    """How many classes the checkpoint's classifier has; None where it lacks the module's."""
    if head is None:
        return None
    state = _chosen(checkpoint, module, key)
    place = state.places.get(f"{head}.weight")
    if place is None:
        return None
    return int(checkpoint.tensors[place].shape[0])


def taken_tensors(checkpoint: Checkpoint, module: nn.Module, key: str | None) -> StateDict:
    """The tensors that would be loaded into the module, by its own names."""
    state = _chosen(checkpoint, module, key)
    return tensors_of(checkpoint, state.places or state.others)


def held_tensors(checkpoint: Checkpoint, module: nn.Module, key: str | None) -> StateDict:
    """All tensors of the state that would be loaded, also those that the module does not have."""
    state = _chosen(checkpoint, module, key)
    return tensors_of(checkpoint, {**state.others, **state.places})


def load_state(
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    allow_partial: bool,
    key: str | None = None,
    example: Callable[[], torch.Tensor] | None = None,
    new: Collection[str] = (),
    channels: int | None = None,
) -> LoadReport:
    """Load the checkpoint into ``module``, which becomes float32.

    ``example`` gives an input (images x channels x height x width) on which it is tried whether
    eval uses what is missing. Where training goes on from the checkpoint, ``new`` names tensors of
    the module that keep what they hold, and a first convolution of other input channels is adapted
    to ``channels``. Raises DeployBenchError with the differing keys unless
    ``allow_partial``, and for tensors that cannot be weights: integers and complex or quantised
    numbers in the place of real ones, NaN.
    """
    module.float()
    own = module.state_dict()
    state = _chosen(checkpoint, module, key)
    given = tensors_of(checkpoint, {**state.others, **state.places})
    remarks = _remarks(checkpoint, state)
    if channels is not None:
        given, adapted = at_own_channels(module, given, channels)
        remarks += adapted
    as_read = as_timm_reads_it(module, given)
    remarks += changes_in_words(given, as_read)
    fitted = _without(as_read, new)
    resized = at_own_size(module, fitted)
    if resized is not fitted:
        remarks.append(
            f"position embeddings resampled from {_shape(fitted['pos_embed'])} to "
            f"{_shape(resized['pos_embed'])}"
        )
    sorted_out = _sorted_out(_without(own, new), resized)
    _refuse_wrong_numbers(checkpoint, state, own, sorted_out.usable)
    needed = [name for name in sorted_out.missing if not _only_counts(name)]
    idle: list[str] = []
    if needed and sorted_out.usable and example is not None:
        module.load_state_dict(sorted_out.usable, strict=False)
        idle = unused_in_eval(module, needed, example)
        needed = [name for name in needed if name not in idle]
    unexpected = [name for name in sorted_out.unexpected if not only_trains(name)]
    if not sorted_out.usable:
        raise DeployBenchError(
            f"no tensor of {checkpoint.path} fits this architecture: it has "
            f"{listed(list(resized))}",
            expected=listed(list(own)),
            action="choose the model that the checkpoint was trained with",
        )
    if (needed or unexpected or sorted_out.misshaped) and not allow_partial:
        raise _other_architecture(checkpoint, own, resized, needed, unexpected, sorted_out)
    random = [*needed, *sorted_out.misshaped]
    if idle:
        remarks.append(f"not in the checkpoint, and not used in eval (tried): {_grouped(idle)}")
    counters = [name for name in sorted_out.missing if _only_counts(name)]
    if counters:
        remarks.append(f"missing, of training alone: {_grouped(counters)}")
    trained_only = [name for name in sorted_out.unexpected if only_trains(name)]
    if trained_only:
        remarks.append(f"ignored, of training alone: {_grouped(trained_only)}")
    module.load_state_dict(sorted_out.usable, strict=False)
    learnt = dict(module.named_parameters())
    return LoadReport(
        taken=where(checkpoint, state),
        left=tuple(
            f"{name} ({counted(count, 'tensor')})"
            for name, count in left_in(checkpoint, state).items()
        ),
        loaded=tuple(sorted_out.usable),
        missing=tuple(sorted_out.missing),
        ignored=(*sorted_out.unexpected, *sorted_out.misshaped),
        random=tuple(random),
        random_parameters=sum(learnt[name].numel() for name in random if name in learnt),
        remarks=tuple(remarks),
    )


def _without(state: StateDict, names: Collection[str]) -> StateDict:
    return {name: tensor for name, tensor in state.items() if name not in names}


def only_trains(name: str) -> bool:
    """Whether nothing but training (or a profiler) reads a tensor of that name in a state."""
    if _only_counts(name):
        return True
    first = name.partition(".")[0]
    if "." not in name:
        return False
    return bool(words_of(first) & TRAINING_WORDS) or first.lower().startswith(TRAINING_NAME)


def _only_counts(name: str) -> bool:
    return name.rpartition(".")[2] in COUNTERS


@dataclass(frozen=True)
class _SortedOut:
    usable: StateDict
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshaped: Sequence[str]


def _sorted_out(own: StateDict, given: StateDict) -> _SortedOut:
    usable = {}
    unexpected = []
    misshaped = []
    for name, tensor in given.items():
        if name not in own:
            unexpected.append(name)
        elif tensor.shape != own[name].shape:
            misshaped.append(name)
        else:
            usable[name] = tensor
    missing = [name for name in own if name not in given]
    return _SortedOut(usable, missing, unexpected, misshaped)


def _chosen(checkpoint: Checkpoint, module: nn.Module, key: str | None) -> State:
    parameters = {name for name, _ in module.named_parameters()}
    return choose_state(checkpoint, module.state_dict(), parameters, key)


def _other_architecture(
    checkpoint: Checkpoint,
    own: StateDict,
    given: StateDict,
    missing: Sequence[str],
    unexpected: Sequence[str],
    sorted_out: _SortedOut,
) -> DeployBenchError:
    shapes = [
        f"{name} {_shape(given[name])} against {_shape(own[name])}" for name in sorted_out.misshaped
    ]
    return DeployBenchError(
        f"{checkpoint.path} is of another architecture: {counted(len(missing), 'key')} missing "
        f"({listed(missing)}), {len(unexpected)} unexpected ({listed(unexpected)}), {len(shapes)} "
        f"mis-shaped ({listed(shapes)})",
        expected=f"the {counted(len(own), 'key')} of the model",
        action="choose the model that it was trained with, or pass --allow-partial to load "
        "what fits",
    )


def _refuse_wrong_numbers(
    checkpoint: Checkpoint, state: State, own: StateDict, usable: StateDict
) -> None:
    """Raise DeployBenchError where numbers are not of the kind that the module holds, or none."""
    wrong = []
    not_finite = []
    for name, tensor in usable.items():
        if _only_counts(name):
            continue
        entry = None
        if name in state.places:
            entry = checkpoint.tensors[state.places[name]]
        given_kind = _kind_of(tensor.dtype)
        if isinstance(entry, StoredTensor) and entry.quantised:
            given_kind = "quantised"
        kind = _kind_of(own[name].dtype)
        if given_kind != kind:
            wrong.append(f"{name} ({given_kind} numbers for {kind} ones)")
        elif kind == "real" and _holds_nan(name, tensor.float()):
            not_finite.append(name)
    if wrong:
        raise DeployBenchError(
            f"{checkpoint.path} holds {counted(len(wrong), 'tensor')} of another kind of number: "
            f"{listed(wrong)}",
            expected="real numbers (fp32, fp16, bf16 or fp64) for weights",
            action="pass the checkpoint from before quantisation; deploybench quantises by itself "
            "(--precision int8)",
        )
    if not_finite:
        raise DeployBenchError(
            f"{checkpoint.path} holds NaN or Inf in {counted(len(not_finite), 'tensor')}: "
            f"{listed(not_finite)}",
            expected="finite weights",
            action="the training diverged, or a cast overflowed: choose an earlier checkpoint",
        )


def _kind_of(dtype: torch.dtype) -> str:
    """Of a number; an 8-bit float is worth nothing without its scale, which lies elsewhere."""
    if dtype.is_complex:
        return "complex"
    if not dtype.is_floating_point:
        return "integer"
    if dtype.itemsize == 1:
        return "8-bit floating"
    return "real"


def _holds_nan(name: str, tensor: torch.Tensor) -> bool:
    """Whether there is a NaN, or an infinity where it is no mask."""
    if "mask" in name:
        return bool(tensor.isnan().any())
    return not bool(tensor.isfinite().all())


def _remarks(checkpoint: Checkpoint, state: State) -> list[str]:
    """What was assumed, in words, before anything is fitted."""
    remarks = []
    dtypes = {str(checkpoint.tensors[name].dtype) for name in state.places.values()}
    narrow = sorted(dtypes & {"torch.float16", "torch.bfloat16", "torch.float64"})
    if narrow:
        names = " and ".join(name.removeprefix("torch.") for name in narrow)
        remarks.append(f"the checkpoint is in {names}, read as float32")
    if state.beside:
        remarks.append(
            f"{counted(len(state.beside), 'tensor')} from beside it: "
            f"{listed(list(state.beside.values()))}"
        )
    foreign = [kind for kind in checkpoint.kinds if not kind.startswith(PLAIN_KINDS)]
    if foreign:
        remarks.append(f"objects in it were not built: {listed(foreign, 4)}")
    if checkpoint.unnamed:
        remarks.append(f"lists of tensors without names were left: {listed(checkpoint.unnamed)}")
    return remarks


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))


def _grouped(names: Collection[str]) -> str:
    """Names by their first part: ``aux1.*, aux2.*``, counters by their last."""
    groups: dict[str, int] = {}
    for name in names:
        group = f"{name.partition('.')[0]}.*"
        if _only_counts(name):
            group = f"*.{name.rpartition('.')[2]}"
        groups[group] = groups.get(group, 0) + 1
    return listed([f"{group} ({count})" for group, count in groups.items()])
