"""What each node of an OpenVINO model takes, by OpenVINO's performance counters.

The graph that really runs names the layers of the file that each of its nodes computes
(``originalLayersNames``); the converter from PyTorch names those after their modules
(``__module.model.conv1/aten::_convolution/Convolution``). A layer that an optimisation made has a
number for a name, and no module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Layer, LayerTimes, ProfiledSession, RunOptions
from deploybench.contracts.layers import module_name, unique

from .openvino import EIGHT_BITS, OpenVinoEngine, OpenVinoSession

COUNTERS: Mapping[str, object] = {"PERF_COUNT": True}
MODULE = "__module."
PARAMETER = "self."
WEIGHT = ".weight"
"""The converter calls a weight self.model.fc.weight."""
WEIGHTS = "names of inputs"
ORIGINAL = "originalLayersNames"
PRECISION = "runtimePrecision"
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
NOTE = "OpenVINO's counters count whole microseconds a node"


class ProfiledOpenVinoSession(OpenVinoSession, ProfiledSession):
    """A session whose counters are on."""

    def __init__(self, artifact: Artifact, engine: OpenVinoEngine, options: RunOptions) -> None:
        super().__init__(artifact, engine, options)
        self._calls: list[Sequence[Any]] = []

    def collect(self) -> None:
        self._calls.append(self._request.profiling_info)

    def layer_times(self) -> LayerTimes:
        nodes = self._engine.compiled().get_runtime_model().get_ops()
        told = {node.get_friendly_name(): _told(node) for node in nodes}
        if self._weights_alone:
            # The plug-in names what the weights are stored in; products are in float32.
            for one in told.values():
                if one.get(PRECISION) in EIGHT_BITS:
                    one[PRECISION] = "f32"
        return times_of(self._calls, told)


def modules_of(told: Mapping[str, str]) -> tuple[str, ...]:
    """The modules of a node: of the layers that it computes, or else of its weights."""
    return modules_in(told.get(ORIGINAL, "")) or modules_in(told.get(WEIGHTS, ""))


def times_of(calls: Sequence[Sequence[Any]], told: Mapping[str, Mapping[str, str]]) -> LayerTimes:
    """The layers that ran in any of the calls, and what each took.

    ``told`` is what the graph that runs says of its nodes, by their names.
    """
    layers: dict[str, Layer] = {}
    for counters in calls:
        for counter in counters:
            if _ran(counter) and counter.node_name not in layers:
                layers[counter.node_name] = _layer(counter, told.get(counter.node_name, {}))
    times = []
    for counters in calls:
        took = dict.fromkeys(layers, 0.0)
        for counter in counters:
            if counter.node_name in took:
                took[counter.node_name] += counter.real_time.total_seconds() * 1e3
        times.append(tuple(took.values()))
    return LayerTimes(tuple(layers.values()), tuple(times), NOTE)


def modules_in(names: str) -> tuple[str, ...]:
    """The modules among the names of original layers, which commas part."""
    modules: list[str | None] = []
    for name in names.split(","):
        if name.startswith(MODULE):
            path = name.removeprefix(MODULE).partition("/")[0]
            modules.append(module_name(path))
        elif name.startswith(PARAMETER) and name.endswith(WEIGHT):
            path = name.removeprefix(PARAMETER).removesuffix(WEIGHT)
            modules.append(module_name(path))
    return unique(modules)


def _ran(counter: Any) -> bool:
    return "EXECUTED" in str(counter.status)


def _told(node: Any) -> dict[str, str]:
    information = node.get_rt_info()
    told = {}
    for key in (ORIGINAL, PRECISION):
        if key in information:
            told[key] = str(_value(information[key]))
    sources = [given.get_source_output().get_node() for given in node.inputs()]
    names = [source.get_friendly_name() for source in sources]
    told[WEIGHTS] = ",".join(name for name in names if name.startswith(PARAMETER))
    return told


def _value(entry: Any) -> Any:
    """What an entry holds: older versions wrap it."""
    return getattr(entry, "value", entry)


def _layer(counter: Any, told: Mapping[str, str]) -> Layer:
    precision = told.get(PRECISION, "")
    return Layer(
        name=counter.node_name,
        kind=counter.node_type,
        modules=modules_of(told),
        kernel=counter.exec_type,
        precision=PRECISIONS.get(precision, precision),
    )
