"""Keys of a checkpoint, as ``--checkpoint-key`` names them: what is under one, and which there are.

A key is the beginning of a tensor's full name, up to a dot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint_tree import Checkpoint, listed
from deploybench.plurals import counted

LISTED_KEYS = 4


def names_under(checkpoint: Checkpoint, key: str) -> list[str]:
    """The full names under a key, which is a full name's beginning, or the beginning of a name
    within a mapping (``teacher`` for ``state_dict.teacher.conv.weight``)."""
    wanted = key.strip(".")
    names = [name for name in checkpoint.tensors if within(name, wanted)]
    if names:
        return names
    for name in checkpoint.tensors:
        container = checkpoint.containers[name]
        if within(name[len(container) :].lstrip("."), wanted):
            names.append(name)
    return names


def no_such_key(checkpoint: Checkpoint, key: str, states: Mapping[str, int]) -> DeployBenchError:
    """The refusal of a key with no tensor under it.

    ``states`` are the numbers of tensors of what may be meant, by key; the key of a file that is
    itself the state is empty. Where there are none, all mappings that hold tensors are listed.
    """
    found = f"{checkpoint.path} holds no tensor under '{key}'"
    sizes = Counter(states)
    if not sizes:
        sizes.update(checkpoint.containers.values())
    keys = sorted(filter(None, sizes), key=lambda name: (-sizes[name], name))
    if not keys:
        return DeployBenchError(
            found,
            expected="no key: the file itself is the state",
            action="leave --checkpoint-key out",
        )
    described = [f"{_shortest(name, keys)} ({counted(sizes[name], 'tensor')})" for name in keys]
    return DeployBenchError(
        found,
        expected=f"the key of a state: {listed(described, LISTED_KEYS)}",
        action="name one with --checkpoint-key, or leave it out",
    )


def within(name: str, prefix: str) -> bool:
    """Whether a name lies under a prefix; under the empty one all do."""
    return not prefix or name.startswith(f"{prefix}.")


def _shortest(key: str, keys: Collection[str]) -> str:
    """The beginning of a key that no other of the keys has."""
    segments = key.split(".")
    for count in range(1, len(segments)):
        beginning = ".".join(segments[:count])
        if not any(within(f"{other}.", beginning) for other in keys if other != key):
            return beginning
    return key
