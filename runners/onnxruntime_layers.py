"""What each node of an ONNX Runtime session takes, by ONNX Runtime's own profile.

The profile is a list of events in the order in which they ended: those of the nodes of a call, then
that of the call. Times are whole microseconds, cut off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Layer, LayerTimes, ProfiledSession, RunOptions

from .onnx_names import BLOCKED, modules_by_node
from .onnxruntime import OnnxRuntimeSession, Providers, open_session, session_settings
from .onnxruntime_int8 import kernels_of_8_bits

KERNEL = "_kernel_time"
CALL = "model_run"
PRECISIONS = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "int8": "int8",
    "uint8": "int8",
}
US_PER_MS = 1e3
NO_NAMES = "without the onnx package the file's names of modules cannot be read"


class ProfiledOnnxRuntimeSession(OnnxRuntimeSession, ProfiledSession):
    """A session that writes its profile into ``folder``, which goes with it."""

    note: ClassVar[str] = "ONNX Runtime's profile counts whole microseconds a node"

    def __init__(
        self,
        artifact: Artifact,
        session: Any,
        options: RunOptions,
        folder: TemporaryDirectory[str],
        optimised: Path | None,
        kernels: Sequence[str],
    ) -> None:
        super().__init__(artifact, session, options, kernels)
        self._entry = artifact.entry
        self._folder = folder
        self._optimised = optimised
        self._calls = 0
        self._collected: list[int] = []

    def _infer(self, inputs: Any) -> Any:
        self._calls += 1
        return super()._infer(inputs)

    def collect(self) -> None:
        self._collected.append(self._calls - 1)

    def layer_times(self) -> LayerTimes:
        path = Path(self._session.end_profiling())
        calls = calls_of(json.loads(path.read_text("utf-8")))
        modules, note = self._modules()
        return times_of([calls[index] for index in self._collected], modules, note)

    def _modules(self) -> tuple[Mapping[str, tuple[str, ...]], str]:
        """The modules by node, and what is to be said of them."""
        try:
            return modules_by_node(self._entry, self._optimised), self.note
        except ImportError:
            return {}, f"{self.note}; {NO_NAMES}"

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


def load_profiled(
    artifact: Artifact, options: RunOptions, providers: Providers
) -> ProfiledOnnxRuntimeSession:
    """A session with ONNX Runtime's profile on.

    Another one, which is not kept, writes down the optimised graph first: the one that is profiled
    does nothing but what it does elsewhere.
    """
    folder = TemporaryDirectory(prefix="deploybench-layers-")
    optimised: Path | None = Path(folder.name) / "optimised.onnx"
    writing = session_settings(artifact, options)
    writing.optimized_model_filepath = str(optimised)
    try:
        open_session(str(artifact.entry), writing, providers)
    except Exception:  # a graph that is too large for one file, say: names alone are known then
        optimised = None
    kernels: tuple[str, ...] = ()
    if optimised is not None:
        kernels = kernels_of_8_bits(optimised.read_bytes())
    settings = session_settings(artifact, options)
    settings.enable_profiling = True
    settings.profile_file_prefix = str(Path(folder.name) / "profile")
    session = open_session(str(artifact.entry), settings, providers)
    return ProfiledOnnxRuntimeSession(artifact, session, options, folder, optimised, kernels)


def calls_of(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events of the nodes, call by call."""
    calls: list[list[Mapping[str, Any]]] = []
    nodes: list[Mapping[str, Any]] = []
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(KERNEL):
            nodes.append(event)
        elif name == CALL:
            calls.append(nodes)
            nodes = []
    return calls


def times_of(
    calls: Sequence[Sequence[Mapping[str, Any]]],
    modules: Mapping[str, tuple[str, ...]],
    note: str = "",
) -> LayerTimes:
    """The layers of all calls, and what each took: nothing in a call that left it out."""
    layers: dict[str, Layer] = {}
    for events in calls:
        for event in events:
            name = _node(event)
            if name not in layers:
                layers[name] = _layer(event, modules.get(name, ()))
    times = []
    for events in calls:
        took = dict.fromkeys(layers, 0.0)
        for event in events:
            took[_node(event)] += event["dur"] / US_PER_MS
        times.append(tuple(took.values()))
    return LayerTimes(tuple(layers.values()), tuple(times), note)


def _node(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix(KERNEL)


def _layer(event: Mapping[str, Any], modules: tuple[str, ...]) -> Layer:
    name = _node(event)
    arguments = event.get("args", {})
    kind = str(arguments.get("op_name", ""))
    kernel = str(arguments.get("provider", "")).removesuffix("ExecutionProvider")
    if kernel == "CPU":
        kernel = ""  # as everywhere, where nothing else was asked for
    if name.endswith(BLOCKED):
        kernel = f"{kind} in blocks of channels"
    return Layer(name, kind, modules, kernel, _precision(arguments))


def _precision(arguments: Mapping[str, Any]) -> str:
    """What the first input is in, as far as that is a precision to compute in."""
    for shape in arguments.get("input_type_shape") or ():
        for element in shape:
            return PRECISIONS.get(str(element), str(element))
    return ""
