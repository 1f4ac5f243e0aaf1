"""What each operator of a PyTorch module takes, by torch.profiler.

A layer is an operator as the model's code calls it (``conv2d``), with all that it calls in turn;
Python's own time between the operators belongs to none. In eager mode the module that calls an
operator is known from hooks around every module's call, which are there in profiled windows only.
Within TorchScript no hook is called; its operators name no module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from deploybench.contracts import Arrays, Layer, LayerTimes, ProfiledSession, SessionFacts
from deploybench.contracts.layers import module_name

from .torch_session import TorchSession

CALL = "deploybench call"
MODULE = "deploybench module "
OPERATORS = "aten::"
US_PER_MS = 1e3
TIMES_ON_GPU = ("device_time_total", "cuda_time_total")
"""What the profiler calls the time of kernels: since torch 2.4, and before."""
Took = tuple[str | None, str, str, float]
"""A module (None: of none), an operator, its innermost operator, and ms."""


class EagerModules:
    """Notes for the profiler which module is called."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.note = "Python's own time between operators is in no layer"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Within the body every call of a module is an event that bears its name."""
        import torch

        running: list[Any] = []

        def begin(name: str) -> Any:
            label = f"{MODULE}{module_name(name) or ''}"

            def hook(*_: Any) -> None:
                event = torch.profiler.record_function(label)
                event.__enter__()
                running.append(event)

            return hook

        def end(*_: Any) -> None:
            running.pop().__exit__(None, None, None)

        with ExitStack() as hooks:
            for name, part in self._module.named_modules():
                if not name:
                    continue  # what stands around the user's model
                hooks.callback(part.register_forward_pre_hook(begin(name)).remove)
                hooks.callback(part.register_forward_hook(end).remove)
            yield


class ScriptedModules:
    """TorchScript tells nothing of its modules while it runs."""

    note = "TorchScript's operators name no module: layers are told by operator alone"

    @contextmanager
    def named(self) -> Iterator[None]:
        yield


class ProfiledTorchSession(ProfiledSession):
    """A session whose windows run under torch.profiler."""

    def __init__(self, session: TorchSession, modules: EagerModules | ScriptedModules) -> None:
        super().__init__(session.input_shapes)
        self._session = session
        self._modules = modules
        self._calls: list[list[Took]] = []

    def prepare_thread(self) -> None:
        self._session.prepare_thread()

    def _compile(self) -> None:
        self._session.compile()

    def _infer(self, inputs: Arrays) -> Arrays:
        import torch

        with torch.profiler.record_function(CALL):
            return self._session.infer(inputs)

    def facts(self) -> SessionFacts:
        return self._session.facts()

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def window(self) -> Iterator[None]:
        import torch

        activities = [torch.profiler.ProfilerActivity.CPU]
        on_gpu = self._session.facts().device != "cpu"
        if on_gpu:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with self._modules.named(), torch.profiler.profile(activities=activities) as profiler:
            yield
        for event in profiler.events() or ():
            if event.name == CALL and event.cpu_parent is None:
                self._calls.append(list(_operators(event, None, on_gpu)))

    def layer_times(self) -> LayerTimes:
        return times_of(self._calls, self._modules.note)


def times_of(calls: list[list[Took]], note: str = "") -> LayerTimes:
    """The operators of all calls, and what each took.

    Operators that one module calls several times are told apart by their number.
    """
    layers: dict[str, Layer] = {}
    named: list[dict[str, float]] = []
    for operators in calls:
        took: dict[str, float] = {}
        for module, operator, kernel, ms in operators:
            stem = operator if module is None else f"{module}/{operator}"
            name = stem
            number = 2
            while name in took:
                name = f"{stem} {number}"
                number += 1
            took[name] = ms
            if name not in layers:
                modules = () if module is None else (module,)
                layers[name] = Layer(name, operator, modules, "" if kernel == operator else kernel)
        named.append(took)
    times = [tuple(took.get(name, 0.0) for name in layers) for took in named]
    return LayerTimes(tuple(layers.values()), tuple(times), note)


def _operators(event: Any, module: str | None, on_gpu: bool) -> Iterator[Took]:
    """The operators below an event, in the order of the call, with the module that calls each."""
    for child in sorted(event.cpu_children, key=lambda child: child.time_range.start):
        if child.name.startswith(MODULE):
            yield from _operators(child, child.name.removeprefix(MODULE), on_gpu)
        elif child.name.startswith(OPERATORS):
            yield module, _plain(child.name), _plain(_innermost(child).name), _ms(child, on_gpu)
        else:
            yield from _operators(child, module, on_gpu)


def _innermost(event: Any) -> Any:
    """The operator that does the work: down the child that takes most, while that is nearly all."""
    while event.cpu_children:
        longest = max(event.cpu_children, key=lambda child: child.cpu_time_total)
        most_of_it = longest.cpu_time_total >= event.cpu_time_total / 2
        if not longest.name.startswith(OPERATORS) or not most_of_it:
            break
        event = longest
    return event


def _ms(event: Any, on_gpu: bool) -> float:
    if not on_gpu:
        return float(event.cpu_time_total) / US_PER_MS
    for name in TIMES_ON_GPU:
        if hasattr(event, name):
            return float(getattr(event, name)) / US_PER_MS
    return 0.0


def _plain(name: str) -> str:
    return name.removeprefix(OPERATORS)
