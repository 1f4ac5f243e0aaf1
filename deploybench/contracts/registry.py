"""Finds plug-ins by entry points.

A broken or unusable plug-in is a listed, explained entry, never a crash.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from deploybench.contracts.exporter import Exporter, OptionValue
from deploybench.contracts.plugin import Plugin
from deploybench.contracts.runner import Runner
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.versions import comparable, installed_versions

EXPORTERS = "deploybench.exporters"
RUNNERS = "deploybench.runners"
P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Entry(Generic[P]):
    """One entry point: the plug-in when it loaded, and why it cannot be used when it cannot."""

    name: str
    distribution: str
    plugin: P | None
    problem: str | None = None
    remedy: str | None = None

    @property
    def usable(self) -> bool:
        return self.plugin is not None and self.problem is None

    def require(self) -> P:
        """The plug-in, or a refusal with the cause and the remedy."""
        if self.plugin is None or self.problem is not None:
            raise DeployBenchError(
                f"'{self.name}' cannot be used here: {self.problem}", action=self.remedy
            )
        return self.plugin


def unfit_for(plugin: Runner, device: str) -> str | None:
    """Why the runner cannot use the device, or None; an error that it raises is such a cause."""
    try:
        return plugin.check_device(device)
    except Exception as error:  # it may ask a runtime that is broken
        return f"{plugin.name} could not be asked about {device}: {type(error).__name__}: {error}"


@cache
def exporters() -> dict[str, Entry[Exporter]]:
    """Every registered exporter by name."""
    return _load_group(EXPORTERS, Exporter)


@cache
def runners() -> dict[str, Entry[Runner]]:
    """Every registered runner by name."""
    return _load_group(RUNNERS, Runner)


def exporter(name: str) -> Entry[Exporter]:
    """The exporter of that name; refuses an unknown one with the nearest names."""
    known = exporters()
    if name not in known:
        raise unknown_name(
            "backend", name, known, action="deploybench backends lists what is installed"
        )
    return known[name]


def runner(name: str) -> Entry[Runner]:
    """The runner of that name; refuses an unknown one with the nearest names."""
    known = runners()
    if name not in known:
        raise unknown_name(
            "runner", name, known, action="deploybench backends lists what is installed"
        )
    return known[name]


def runners_of_format(name: str) -> list[Entry[Runner]]:
    """The usable runners that execute artifacts of a format, the runner named like the format
    first."""
    fitting = [
        entry
        for entry in runners().values()
        if entry.usable and entry.plugin and name in entry.plugin.formats
    ]
    return sorted(fitting, key=lambda entry: (entry.name != name, entry.name))


def reference_runner() -> str | None:
    """The name of the runner that the others are compared with, unless the user names another."""
    names = (name for name, entry in runners().items() if entry.plugin and entry.plugin.reference)
    return next(names, None)


def recorded_distributions() -> tuple[str, ...]:
    """The distributions of all plug-ins, whose versions belong to the description of a host."""
    entries: list[Entry[Exporter] | Entry[Runner]] = [*exporters().values(), *runners().values()]
    named = (entry.plugin.distributions for entry in entries if entry.plugin is not None)
    return tuple(dict.fromkeys(name for names in named for name in names))


def options_by_backend(
    backends: Sequence[str],
    asked: Mapping[str, OptionValue],
    suggested: Mapping[str, OptionValue] | None = None,
) -> dict[str, dict[str, OptionValue]]:
    """Which options each of the exporters is given: of those that somebody ``asked`` for, and of
    those that a profile ``suggested``, the ones that it takes.

    Raises DeployBenchError for an option that was asked for and that none of them takes, or for a
    value that is not allowed.
    """
    given: dict[str, dict[str, OptionValue]] = {}
    for backend in backends:
        plugin = exporter(backend).plugin
        taken = {option.name for option in plugin.options} if plugin else set()
        wanted = {**(suggested or {}), **asked}
        fitting = {name: value for name, value in wanted.items() if name in taken}
        given[backend] = plugin.read_options(fitting) if plugin else {}
    for name in asked:
        if any(name in options for options in given.values()):
            continue
        known = [
            f"{entry.name} takes {option.described()}"
            for entry in exporters().values()
            for option in (entry.plugin.options if entry.plugin else ())
        ]
        raise DeployBenchError(
            f"the option {name}, and {' and '.join(given) or 'no exporter'} takes no such option",
            expected="; ".join(known),
        )
    return given


def _too_old(plugin: Plugin) -> str | None:
    """Which installed distribution is older than the plug-in needs, or None."""
    found = installed_versions(tuple(plugin.oldest))
    old = [
        name
        for name, version in found.items()
        if comparable(version) < comparable(plugin.oldest[name])
    ]
    return (
        ", ".join(
            f"needs {name} {plugin.oldest[name]} or later, found {found[name]}" for name in old
        )
        or None
    )


def _load_group(group: str, kind: type[P]) -> dict[str, Entry[P]]:
    points = sorted(entry_points(group=group), key=lambda point: point.name)
    return {point.name: _load(point, kind) for point in points}


def _load(point: EntryPoint, kind: type[P]) -> Entry[P]:
    distribution = point.dist.name if point.dist else "unknown"
    try:
        plugin = point.load()()
        missing = [module for module in plugin.requires if importlib.util.find_spec(module) is None]
        problem, remedy = (None, None) if missing else _check(plugin)
    except Exception as error:  # a plug-in may raise anything; it must not take the others down
        problem = f"{point.value} raised {type(error).__name__}: {error}"
        return Entry(point.name, distribution, None, problem, f"repair or uninstall {distribution}")
    if not isinstance(plugin, kind):
        problem = f"{point.value} is a {type(plugin).__name__}, not a {kind.__name__}"
        return Entry(
            point.name,
            distribution,
            None,
            problem,
            f"subclass deploybench.contracts.{kind.__name__}",
        )
    if missing:
        remedy = f'pip install "{plugin.install}"' if plugin.install else None
        return Entry(point.name, distribution, plugin, f"needs {', '.join(missing)}", remedy)
    return Entry(point.name, distribution, plugin, problem, remedy)


def _check(plugin: Plugin) -> tuple[str | None, str | None]:
    """Why the plug-in cannot work here, and what to do about it; None twice when it can."""
    try:
        return _too_old(plugin) or plugin.check(), None
    except DeployBenchError as error:
        expected = f" (expected: {error.expected})" if error.expected else ""
        return f"{error.found}{expected}", error.action
