"""Which products of a quantised graph ONNX Runtime really multiplies in 8 bits, on a CPU.

It fuses a product with the quantisation around it where it knows the pattern, and computes it in
float otherwise, silently: the graph as it will run tells.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.hardware.devices import CPU, kind_of

KERNELS = (
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearConv",
    "QLinearMatMul",
)
"""ONNX Runtime's operators that multiply in 8 bits on the CPU."""


class OptimisedGraph:
    """Has a session write down its graph as it will run, where that has to be looked at."""

    def __init__(self, artifact: Artifact, options: RunOptions) -> None:
        self._wanted = artifact.manifest.precision == "int8" and kind_of(options.device) == CPU
        self._folder = TemporaryDirectory(prefix="deploybench-graph-")
        self._path = Path(self._folder.name) / "optimised.onnx"

    def __enter__(self) -> OptimisedGraph:
        return self

    def __exit__(self, *failure: object) -> None:
        self._folder.cleanup()

    def asked_of(self, settings: Any) -> None:
        """Set the session's options (``SessionOptions``) so that it is written."""
        if self._wanted:
            settings.optimized_model_filepath = str(self._path)

    def kernels(self) -> tuple[str, ...]:
        """The 8-bit operators of the graph that a session wrote; none where none was asked."""
        if not self._wanted:
            return ()
        return kernels_of_8_bits(self._path.read_bytes())


def kernels_of_8_bits(graph: bytes) -> tuple[str, ...]:
    """The operators of an optimised graph that multiply in 8 bits; sorted.

    Their names are looked for in the file's bytes: a target has no ``onnx`` to read it with.
    """
    return tuple(kernel for kernel in KERNELS if _as_operator(kernel) in graph)


def _as_operator(name: str) -> bytes:
    """A node's field ``op_type`` in protobuf: number 4, of that length."""
    return b"\x22" + bytes([len(name)]) + name.encode()
