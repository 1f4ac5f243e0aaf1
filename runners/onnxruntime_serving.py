"""ONNX Runtime in a program of its own: the options of a session as lines of Python.

They are read back from the options that a measurement uses, so that nothing can be forgotten here
that is set there by an attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploybench.contracts import Serving

ATTRIBUTES = (
    "intra_op_num_threads",
    "inter_op_num_threads",
    "log_severity_level",
    "enable_cpu_mem_arena",
    "enable_mem_pattern",
    "enable_mem_reuse",
    "use_deterministic_compute",
)
ENUMERATIONS = {
    "graph_optimization_level": "GraphOptimizationLevel",
    "execution_mode": "ExecutionMode",
}
ENTRIES = (
    "session.intra_op.allow_spinning",
    "session.inter_op.allow_spinning",
    "session.force_spinning_stop",
    "session.set_denormal_as_zero",
    "session.use_env_allocators",
    "session.use_device_allocator_for_initializers",
    "session.disable_prepacking",
    "session.dynamic_block_base",
    "session.intra_op_thread_affinities",
    "session.disable_quant_qdq",
    "session.enable_quant_qdq_cleanup",
    "session.qdq_matmulnbits_accuracy_level",
    "optimization.enable_gelu_approximation",
    "optimization.disable_specified_optimizers",
    "optimization.minimal_build_optimizations",
    "mlas.enable_gemm_fastmath_arm64_bfloat16",
    "mlas.disable_kleidiai",
)
"""Keys of a session's configuration that may be set: ONNX Runtime lists them nowhere."""
HELD = frozenset({"spinning", "arena", "graph_level"})
"""Options of cells that are set by one of the above."""


def serving(
    settings: Any, dimensions: Mapping[str, int], distributions: tuple[str, ...]
) -> Serving:
    """The lines for a session with these ``settings`` (onnxruntime.SessionOptions).

    ``dimensions`` are the free dimensions by name with the sizes that they were given, which the
    options do not tell.
    """
    import onnxruntime

    usual = onnxruntime.SessionOptions()
    lines = ["onnxruntime.disable_telemetry_events()", "options = onnxruntime.SessionOptions()"]
    for name in ATTRIBUTES:
        value = getattr(settings, name, None)
        if value != getattr(usual, name, None):
            lines.append(f"options.{name} = {value!r}")
    for name, kind in ENUMERATIONS.items():
        value = getattr(settings, name)
        if value != getattr(usual, name):
            lines.append(f"options.{name} = onnxruntime.{kind}.{value.name}")
    for key in ENTRIES:
        value = _entry(settings, key)
        if value is not None and value != _entry(usual, key):
            lines.append(f"options.add_session_config_entry({key!r}, {value!r})")
    for name, size in dimensions.items():
        lines.append(f"options.add_free_dimension_override_by_name({name!r}, {size!r})")
    lines += [
        "self.session = onnxruntime.InferenceSession(",
        '    MODEL, options, providers=["CPUExecutionProvider"]',
        ")",
    ]
    return Serving(
        imports=("import onnxruntime",),
        opening=tuple(lines),
        calling=("return dict(zip(OUTPUTS, self.session.run(OUTPUTS, {INPUT: images})))",),
        distributions=distributions,
        options=HELD,
    )


def _entry(settings: Any, key: str) -> str | None:
    """The value of a key, None where it was not set."""
    try:
        value = settings.get_session_config_entry(key)
    except Exception:  # its own error, whose type differs between versions
        return None
    return str(value)
