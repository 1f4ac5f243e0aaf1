"""The precisions, the bytes of a number in each, and which CPU or GPU computes in which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.host import gpu_of

if TYPE_CHECKING:
    from deploybench.hardware.gpus import Gpu
    from deploybench.hardware.host import Host

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
INT8_MIXED = "int8-mixed"
"""How an artifact is written, and then runs as int8: with the layers in float that it takes."""
INT8_WEIGHTS = "int8-weights"
"""Weights that are stored in 8 bits, around products in float32: no arithmetic of its own. What is
written and run so bears this name everywhere, so that it is taken for neither int8 nor fp32."""
RUN = (*PRECISIONS, INT8_WEIGHTS)
"""What a cell can be."""
WRITTEN = (*RUN, INT8_MIXED)
"""What an export can be asked for."""
BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1, INT8_WEIGHTS: 1}
"""Of one stored weight; tf32 is how fp32 is multiplied. The other numbers of a cell are stored as
:func:`arithmetic` says."""

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Without one of these a bf16 product is emulated and takes a thousand times as long."""
CPU_FLAGS = {
    "bf16": BF16_FLAGS,
    "fp16": frozenset({"avx512_fp16", "amx_fp16", "fphp"}),
    "int8": frozenset({"avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "i8mm"}),
}
"""The instructions of which a CPU needs one to have arithmetic in the precision."""
NO_TF32 = "tf32 is a format of NVIDIA's tensor cores"

FIRST_CAPABILITIES = {"int8": (6, 1), "fp16": (5, 3), "bf16": (8, 0), "tf32": (8, 0)}
"""The compute capability that first has arithmetic in each precision (CUDA programming guide,
arithmetic instructions, dp4a and tensor cores); below it a runtime stores the format and computes
in fp32."""
TOKEN_FP16 = (6, 1)
"""Consumer Pascal computes fp16 at 1/64 of its fp32 rate (CUDA programming guide: 2 against 128 a
cycle and SM)."""


def arithmetic(precision: str) -> str:
    """What the products of a cell of that precision are computed in: its peak is this one's."""
    return "fp32" if precision == INT8_WEIGHTS else precision


def check_precision(name: str, *, written: bool = False) -> None:
    """Raise DeployBenchError for a name that is no precision to run in.

    ``written``: what an artifact is written in is asked for, which has more names.
    """
    if name in (WRITTEN if written else RUN):
        return
    if name == INT8_MIXED:
        raise DeployBenchError(
            f"--precision {INT8_MIXED} of something that is run",
            expected="a precision to compute in: the products that are not in float are in int8",
            action=f"--precision int8 runs it; export --precision {INT8_MIXED} writes it",
        )
    raise unknown_name("precision", name, WRITTEN if written else RUN)


def cpu_lacking(isa: Iterable[str]) -> dict[str, str]:
    """The precisions that a CPU with these instructions has no arithmetic in, with the reasons."""
    lacking = {"tf32": NO_TF32}
    for precision, flags in CPU_FLAGS.items():
        if flags.isdisjoint(isa):
            names = ", ".join(sorted(flags))
            lacking[precision] = f"none of {names} is among this CPU's instructions"
    return lacking


def gpu_lacking(gpu: Gpu) -> dict[str, str]:
    """The precisions that the GPU does not compute in at a useful rate, with the reasons."""
    lacking = {}
    for precision, first in FIRST_CAPABILITIES.items():
        if gpu.capability < first:
            major, minor = first
            lacking[precision] = (
                f"compute capability {gpu.compute_capability}, it begins at {major}.{minor}"
            )
    if gpu.capability == TOKEN_FP16:
        lacking["fp16"] = "1/64 of the fp32 rate"
    return lacking


def gpu_precisions(device: str, host: Host) -> frozenset[str]:
    """What the GPU computes in; every precision where the host has no figures of it."""
    everything = frozenset({"fp32", *FIRST_CAPABILITIES})
    gpu = gpu_of(device, host)
    if gpu is None:
        return everything
    return everything - gpu_lacking(gpu).keys()
