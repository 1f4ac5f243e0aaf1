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
from deploybench.tracebacks import where_its_traceback_is
from deploybench.versions import comparable, installed_versions

EXPORTERS = "deploybench.exporters"
RUNNERS = "deploybench.runners"
HOW_TO_LIST = "deploybench backends lists what is installed"
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
    entries = exporters()
    if name not in entries:
        raise unknown_name("backend", name, entries, action=HOW_TO_LIST)
    return entries[name]


def runner(name: str) -> Entry[Runner]:
    """The runner of that name; refuses an unknown one with the nearest names."""
    entries = runners()
    if name not in entries:
        raise unknown_name("runner", name, entries, action=HOW_TO_LIST)
    return entries[name]


def runners_of_format(name: str) -> list[Entry[Runner]]:
    """The usable runners that execute artifacts of a format.

    The runner that is named like the format comes first.
    """
    fitting = []
    for entry in runners().values():
        if entry.usable and name in entry.require().formats:
            fitting.append(entry)
    return sorted(fitting, key=lambda entry: (entry.name != name, entry.name))


def reference_runner() -> str | None:
    """The name of the runner that the others are compared with, unless the user names another."""
    for name, entry in runners().items():
        if entry.plugin is not None and entry.plugin.reference:
            return name
    return None


CUDA_LIBRARIES = tuple(
    f"nvidia-{library}{major}"
    for library in ("cudnn", "cublas", "cuda-runtime", "cufft", "curand")
    for major in ("", "-cu11", "-cu12", "-cu13")
)
"""What computes on a GPU for most runtimes, by the names of its wheels for each CUDA: torch, ONNX
Runtime and TensorRT of one version may find another one of these on another day."""


def recorded_distributions() -> tuple[str, ...]:
    """The distributions of all plug-ins and the libraries of CUDA, whose versions belong to the
    description of a host."""
    entries: list[Entry[Exporter] | Entry[Runner]] = [*exporters().values(), *runners().values()]
    names: list[str] = []
    for entry in entries:
        if entry.plugin is not None:
            names += entry.plugin.distributions
    return tuple(dict.fromkeys([*names, *CUDA_LIBRARIES]))


def options_by_backend(
    backends: Sequence[str],
    asked: Mapping[str, OptionValue],
    suggested: Mapping[str, OptionValue] | None = None,
) -> dict[str, dict[str, OptionValue]]:
    """The options that each of the exporters is given.

    These are the ones that it takes, of those that somebody ``asked`` for and of those that a
    profile ``suggested``; what was asked for prevails.

    Raises DeployBenchError for an option that was asked for and that none of them takes, or for a
    value that is not allowed.
    """
    wanted = {**(suggested or {}), **asked}
    given: dict[str, dict[str, OptionValue]] = {}
    for backend in backends:
        given[backend] = {}
        plugin = exporter(backend).plugin
        if plugin is None:
            continue
        taken = {option.name for option in plugin.options}
        fitting = {name: value for name, value in wanted.items() if name in taken}
        given[backend] = plugin.read_options(fitting)
    for name in asked:
        if any(name in options for options in given.values()):
            continue
        raise DeployBenchError(
            f"the option {name}, and {' and '.join(given) or 'no exporter'} takes no such option",
            expected="; ".join(_options_in_words()),
        )
    return given


def _options_in_words() -> list[str]:
    """Every option of every exporter."""
    words = []
    for entry in exporters().values():
        if entry.plugin is None:
            continue
        for option in entry.plugin.options:
            words.append(f"{entry.name} takes {option.described()}")
    return words


def _too_old(plugin: Plugin) -> str | None:
    """Which installed distributions are older than the plug-in needs, or None."""
    problems = []
    for name, installed in installed_versions(tuple(plugin.oldest)).items():
        oldest = plugin.oldest[name]
        if comparable(installed) < comparable(oldest):
            problems.append(f"needs {name} {oldest} or later, found {installed}")
    return ", ".join(problems) or None


def _load_group(group: str, kind: type[P]) -> dict[str, Entry[P]]:
    points = sorted(entry_points(group=group), key=lambda point: point.name)
    return {point.name: _load(point, kind) for point in points}


def _load(point: EntryPoint, kind: type[P]) -> Entry[P]:
    distribution = "unknown"
    if point.dist is not None:
        distribution = point.dist.name
    problem: str | None = None
    remedy: str | None = None
    try:
        plugin = point.load()()
        missing = [module for module in plugin.requires if importlib.util.find_spec(module) is None]
        if not missing:  # it may need them to tell what else is wrong
            problem, remedy = _check(plugin)
    except Exception as error:  # a plug-in may raise anything; it must not take the others down
        problem = f"{point.value} raised {type(error).__name__}: {error}"
        problem += where_its_traceback_is(error)
        return Entry(point.name, distribution, None, problem, f"repair or uninstall {distribution}")
    if not isinstance(plugin, kind):
        problem = f"{point.value} is a {type(plugin).__name__}, not a {kind.__name__}"
        remedy = f"subclass deploybench.contracts.{kind.__name__}"
        return Entry(point.name, distribution, None, problem, remedy)
    if missing:
        problem = f"needs {', '.join(missing)}"
        if plugin.install:
            remedy = f'pip install "{plugin.install}"'
    return Entry(point.name, distribution, plugin, problem, remedy)


def _check(plugin: Plugin) -> tuple[str | None, str | None]:
    """Why the plug-in cannot work here, and what to do about it; None twice when it can."""
    try:
        return _too_old(plugin) or plugin.check(), None
    except DeployBenchError as error:
        problem = error.found
        if error.expected:
            problem += f" (expected: {error.expected})"
        return problem, error.action
