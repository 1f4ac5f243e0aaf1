"""Which runners can be used in another environment: what its interpreter said when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runner, runners
from deploybench.errors import DeployBenchError
from deploybench.plan.selection import runs_on, select_runners
from deploybench.stacks.stack import PRESENT, Stack, find_stack


def runners_in(
    environment: str, names: Sequence[str], devices: Sequence[str]
) -> list[Entry[Runner]]:
    """As :func:`~deploybench.plan.selection.select_runners`, in the environment of that name.

    Raises DeployBenchError for an environment that is not there, and where none of the runners can
    be used in it.
    """
    if environment == PRESENT:
        return select_runners(names, devices)
    stack = find_stack(environment)
    if names:
        chosen = [_there(runner(name), stack) for name in names]
        if not any(entry.usable for entry in chosen):
            raise DeployBenchError(
                f"{chosen[0].name} cannot be used in the environment {environment}: "
                f"{chosen[0].problem}",
                action=f"deploybench env list shows what can; it was made of {stack.source}",
            )
        return chosen
    everywhere = [_there(entry, stack) for entry in runners().values()]
    usable = [entry for entry in everywhere if entry.usable and runs_on(entry.plugin, devices)]
    if not usable:
        raise DeployBenchError(
            f"no runner works on {' or '.join(devices)} in the environment {environment}",
            action=f"deploybench env list shows what does; it was made of {stack.source}",
        )
    return sorted(usable, key=lambda entry: not (entry.plugin and entry.plugin.reference))


def _there(entry: Entry[Runner], stack: Stack) -> Entry[Runner]:
    """The entry with what the environment's own interpreter said of it."""
    known = stack.runners.get(entry.name)
    if known is None:
        return replace(entry, problem=f"it was not there when {stack.name} was made")
    return replace(entry, problem=known.problem, remedy=known.remedy)
