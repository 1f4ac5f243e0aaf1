"""The options of a cell that ONNX Runtime obeys, told to a session and read back from it."""

from __future__ import annotations

from typing import Any

from deploybench.contracts import RunOptions
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU, kind_of

ALLOW_SPINNING = "session.intra_op.allow_spinning"
LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""The names of ``onnxruntime.GraphOptimizationLevel``, by our own."""


def obey(settings: Any, options: RunOptions) -> None:
    """Tell the settings of a session what a cell asks for; what it does not ask for stays.

    Raises DeployBenchError for an arena of CPU memory on a GPU.
    """
    import onnxruntime

    if options.spinning != "default":
        spins = "1" if options.spinning == "on" else "0"
        settings.add_session_config_entry(ALLOW_SPINNING, spins)
    if options.arena == "off":
        if kind_of(options.device) != CPU:
            raise DeployBenchError(
                f"--arena off on {options.device}",
                expected="--device cpu: it is the arena of CPU memory",
                action="leave out --arena",
            )
        settings.enable_cpu_mem_arena = False
        settings.enable_mem_pattern = False  # a pattern is laid out in the arena
    level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[options.graph_level])
    settings.graph_optimization_level = level


def obeyed(settings: Any) -> dict[str, str]:
    """What a session reads back of its settings, by the names of a cell's options.

    Whether threads spin is left out where nobody said so: the default is the runtime's.
    """
    read = {"arena": "on" if settings.enable_cpu_mem_arena else "off"}
    for name, level in LEVELS.items():
        if settings.graph_optimization_level.name == level:
            read["graph_level"] = name
    try:
        spins = settings.get_session_config_entry(ALLOW_SPINNING)
    except RuntimeError:  # there is no such entry
        return read
    read["spinning"] = "on" if spins == "1" else "off"
    return read
