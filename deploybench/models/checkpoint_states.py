"""Finds the states in a checkpoint: every tensor by its full name, and which of several is meant.

A training checkpoint holds the weights under some key, often twice (as trained, and their moving
average), and each key of a state has the names of the wrappers that the model was trained in before
it. All of it is one tree; a *prefix* of it (``model_ema.module``, ``state_dict.model.backbone``)
is where the model's own names begin. The prefix under which most of the module's tensors are found
is the state, whatever the wrappers are called.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint_keys import names_under, no_such_key, within
from deploybench.models.checkpoint_tree import Checkpoint, StateDict, listed, tensors_of

TRANSPARENT = frozenset(
    {
        "_orig_mod",  # torch.compile
        "module",  # DataParallel, DistributedDataParallel, DeepSpeed, AveragedModel
        "_forward_module",  # Lightning Fabric
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",  # activation checkpointing
    }
)
"""What wrappers call the one module in them, anywhere in a key."""
AVERAGE_WORDS = frozenset({"ema", "swa", "shadow", "averaged", "polyak"})
OPTIMIZER_WORDS = frozenset({"optimizer", "optimizers", "optim", "scaler", "grads", "gradients"})
USUAL_NAMES = frozenset(
    [
        "state_dict",
        "model_state_dict",
        "model_state",
        "state",
        "model",
        "net",
        "network",
        "weights",
        "params",
        "backbone",
        "encoder",
        "student",
    ]
)
LISTED_STATES = 12


@dataclass(frozen=True)
class State:
    """A state of a checkpoint: where in it each tensor of the module lies.

    ``places`` are the full names of tensors in the checkpoint by the module's own names; ``others``
    those of the same state that the module does not have. ``beside`` are names that stand outside
    the prefix and complete the state.
    """

    prefix: str
    places: Mapping[str, str]
    others: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)


def choose_state(
    checkpoint: Checkpoint,
    own: Mapping[str, torch.Tensor],
    parameters: Collection[str],
    key: str | None = None,
) -> State:
    """The state that is meant for a module whose tensors are ``own``.

    That is the one that ``key`` names; else, of those that fit best, a moving average (the weights
    that training code evaluates), else the one under the usual names. ``parameters`` are the names
    of ``own`` that are learnt.

    Raises DeployBenchError for a key that is not there, and where several states fit alike and
    nothing tells which is meant.
    """
    names: Collection[str] = checkpoint.tensors
    if key is not None:
        names = names_under(checkpoint, key)
        if not names:
            raise no_such_key(checkpoint, key, _sizes(checkpoint, own))
    states = _states(checkpoint, own, names)
    fits = {prefix: _fitting(checkpoint, own, places) for prefix, places in states.items()}
    candidates = [prefix for prefix in states if key is not None or not _of_optimizer(prefix)]
    if not candidates or not any(states[prefix] for prefix in candidates):
        return State("", {}, _others(checkpoint, own, names, _main_container(checkpoint, names)))
    best = max(candidates, key=lambda prefix: (len(fits[prefix]), len(states[prefix])))
    alike = []
    for prefix in candidates:
        lacking = fits[best] - fits[prefix]
        as_many_names = len(states[prefix]) == len(states[best])
        # A moving average may be of parameters alone: the buffers are then those of the model.
        averages_parameters = _averaged(prefix) and not lacking & set(parameters)
        if (not lacking and as_many_names) or (fits[prefix] and averages_parameters):
            alike.append(prefix)
    chosen = _preferred(checkpoint, own, states, alike)
    places = dict(states[chosen])
    beside = {}
    for other in (*_around(chosen), best):
        if other == chosen or other not in states:
            continue
        for name in fits[other]:
            if name not in places:
                places[name] = beside[name] = states[other][name]
    container = checkpoint.containers[next(iter(states[chosen].values()))]
    under = [
        name
        for name in names
        if checkpoint.containers[name] == container and within(_bare(name, own), chosen)
    ]
    taken = set(places.values())
    others = {}
    for name in under:
        if name not in taken:
            others[_bare(name, own)[len(chosen) :].lstrip(".")] = name
    return State(chosen, places, others, beside)


def where(checkpoint: Checkpoint, state: State) -> str:
    """The name of the state as it stands in the file: ``model_ema.module``; empty at the top."""
    prefixes: Counter[str] = Counter()
    for own_name, name in {**state.places, **state.others}.items():
        if own_name not in state.beside:
            prefixes[name.removesuffix(own_name).rstrip(".")] += 1
    if not prefixes:
        return state.prefix
    return prefixes.most_common(1)[0][0]


def left_in(checkpoint: Checkpoint, state: State) -> dict[str, int]:
    """What was not taken, by the shortest names that tell it from what was: numbers of tensors."""
    taken = {*state.places.values(), *state.others.values()}
    ancestors = set()
    for name in taken - set(state.beside.values()):
        segments = name.split(".")
        for count in range(1, len(segments)):
            ancestors.add(".".join(segments[:count]))
    left: Counter[str] = Counter()
    for name in checkpoint.tensors:
        if name in taken:
            continue
        segments = name.split(".")
        shown = name
        for count in range(1, len(segments) + 1):
            shown = ".".join(segments[:count])
            if shown not in ancestors:
                break
        left[shown] += 1
    return dict(left)


def several_states(checkpoint: Checkpoint) -> bool:
    """Whether it takes the module to tell which of the tensors are meant."""
    containers = {
        container for container in checkpoint.containers.values() if not _of_optimizer(container)
    }
    if len(containers) > 1:
        return True
    words = set()
    for name in checkpoint.tensors:
        for segment in name.split("."):
            words |= words_of(segment)
    return bool(words & (AVERAGE_WORDS | {"teacher", "student", "models"}))


def main_tensors(checkpoint: Checkpoint) -> StateDict:
    """The tensors of the only state, by the names that they have in it."""
    container = _main_container(checkpoint, checkpoint.tensors)
    names = {}
    for name in checkpoint.tensors:
        if checkpoint.containers[name] == container:
            names[name[len(container) :].lstrip(".")] = name
    return tensors_of(checkpoint, names)


def words_of(segment: str) -> set[str]:
    """The words in a name: ``modelEMA`` and ``state_dict_ema`` both have ``ema``."""
    parts = re.split(r"[^A-Za-z]+|(?<=[a-z])(?=[A-Z])", segment)
    return {part.lower() for part in parts if part}


def _prefix_words(prefix: str) -> set[str]:
    words = set()
    for segment in prefix.split("."):
        words |= words_of(segment)
    return words


def _averaged(prefix: str) -> bool:
    return bool(_prefix_words(prefix) & AVERAGE_WORDS)


def _of_optimizer(prefix: str) -> bool:
    return bool(_prefix_words(prefix) & OPTIMIZER_WORDS)


def _bare(name: str, own: Mapping[str, object]) -> str:
    """A full name without what wrappers call the module in them; a module may use such a name."""
    segments = name.split(".")
    if not TRANSPARENT & set(segments):
        return name
    used = {part for part in TRANSPARENT if any(part in name.split(".") for name in own)}
    return ".".join(part for part in segments if part not in TRANSPARENT or part in used)


def _states(
    checkpoint: Checkpoint, own: Mapping[str, torch.Tensor], names: Collection[str]
) -> dict[str, dict[str, str]]:
    """By prefix: where under it the module's tensors are found, by the module's names.

    Where the module itself has one wrapper around all that it holds, a checkpoint of what is in
    it fits as well.
    """
    bare_names = {name: _bare(name, own).split(".") for name in names}
    states: dict[str, dict[str, str]] = {}
    for inner in _inner_names(own):
        states = defaultdict(dict)
        for name, segments in bare_names.items():
            for count in range(len(segments)):
                own_name = inner.get(".".join(segments[count:]))
                if own_name is not None:
                    states[".".join(segments[:count])].setdefault(own_name, name)
        most = max((len(places) for places in states.values()), default=0)
        if most * 2 > len(own):
            return dict(states)
    return dict(states)


def _inner_names(own: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """The module's names, and those without the wrapper that all of them begin with."""
    names = {name: name for name in own}
    yield names
    while True:
        first = {name.partition(".")[0] for name in names}
        if len(first) != 1 or not all("." in name for name in names):
            break
        names = {name.partition(".")[2]: own_name for name, own_name in names.items()}
        yield names
    yield {name: name for name in own}


def _fitting(
    checkpoint: Checkpoint, own: Mapping[str, torch.Tensor], places: Mapping[str, str]
) -> set[str]:
    """The module's tensors that are found in their shape."""
    return {
        own_name
        for own_name, name in places.items()
        if tuple(checkpoint.tensors[name].shape) == tuple(own[own_name].shape)
    }


def _sizes(checkpoint: Checkpoint, own: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """How many of the module's tensors each state has, by its key; a part of a state is none."""
    states = _states(checkpoint, own, checkpoint.tensors)
    most = max((len(places) for places in states.values()), default=0)
    sizes = {}
    for prefix, places in states.items():
        # A part of the module may hold names that other parts hold, too.
        if len(places) * 2 > most:
            sizes[where(checkpoint, State(prefix, places))] = len(places)
    return sizes


def _around(prefix: str) -> list[str]:
    """The prefixes around it, from within: a head often stands beside the backbone's wrapper.

    What is beside an average, a student or a teacher belongs to another state.
    """
    segments = prefix.split(".")
    around = []
    for count in range(len(segments) - 1, -1, -1):
        if words_of(segments[count]) & (AVERAGE_WORDS | {"teacher", "student"}):
            break
        around.append(".".join(segments[:count]))
    return around


def _others(
    checkpoint: Checkpoint, own: Mapping[str, object], names: Collection[str], container: str
) -> dict[str, str]:
    """All tensors of a mapping, by their names in it without what a wrapper adds to each."""
    others = {}
    for name in names:
        if checkpoint.containers[name] == container:
            others[_bare(name, own)[len(_bare(container, own)) :].lstrip(".")] = name
    firsts = {name.partition(".")[0] for name in own}
    while True:
        first = {name.partition(".")[0] for name in others}
        if len(first) != 1 or first & firsts or not all("." in name for name in others):
            return others
        others = {inner.partition(".")[2]: name for inner, name in others.items()}


def _main_container(checkpoint: Checkpoint, names: Collection[str]) -> str:
    """The mapping that holds most tensors: averages first, optimisers' last."""
    counts = Counter(checkpoint.containers[name] for name in names)
    return max(
        counts,
        key=lambda container: (
            not _of_optimizer(container),
            _averaged(container),
            counts[container],
        ),
    )


def _preferred(
    checkpoint: Checkpoint,
    own: Mapping[str, torch.Tensor],
    states: Mapping[str, Mapping[str, str]],
    alike: Sequence[str],
) -> str:
    """The one of several states that fit alike: averages, then teachers beside students, then
    those of the usual names.

    Raises DeployBenchError where two of the same rank differ.
    """
    with_student = any("student" in _prefix_words(prefix) for prefix in alike)

    def rank(prefix: str) -> int:
        words = _prefix_words(prefix)
        if words & AVERAGE_WORDS:
            return 0
        if "teacher" in words and with_student:
            return 1
        if not prefix or set(prefix.split(".")) <= USUAL_NAMES:
            return 2
        return 3

    ordered = sorted(alike, key=rank)
    first = ordered[0]
    rivals = [prefix for prefix in ordered if rank(prefix) == rank(first)]
    for rival in rivals[1:]:
        if not _same(checkpoint, states[first], states[rival]):
            names = [
                where(checkpoint, State(prefix, states[prefix])) or "(top)" for prefix in rivals
            ]
            raise DeployBenchError(
                f"{checkpoint.path} holds {len(rivals)} states that fit alike and differ: "
                f"{listed(names, LISTED_STATES)}",
                expected="one that is meant",
                action=f"choose it: --checkpoint-key {names[0]}",
            )
    return first


def _same(checkpoint: Checkpoint, first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    one, other = tensors_of(checkpoint, first), tensors_of(checkpoint, second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
