"""The header of a TensorRT-RTX plan.

Undocumented, and read as observed: ``vtrt``, the size, the version.
"""

from __future__ import annotations

import struct
from pathlib import Path

from deploybench.errors import DeployBenchError

MAGIC = b"vtrt"
HEADER = struct.Struct("<4s12xQ4B")
"""The four letters; from byte 16 the file's size, in bytes; from byte 24 the four numbers of the
version."""


def rtx_plan_version(path: Path) -> str:
    """The version of TensorRT-RTX that wrote the plan: ``1.7.1.116``.

    Raises DeployBenchError when the file is no such plan, or not all of it.
    """
    with path.open("rb") as stream:
        start = stream.read(HEADER.size)
    size = path.stat().st_size
    if len(start) < HEADER.size or not start.startswith(MAGIC):
        raise DeployBenchError(
            f"{path} is no TensorRT-RTX plan", expected=f"a file that starts with {MAGIC.decode()}"
        )
    _, declared, *version = HEADER.unpack(start)
    if declared != size:
        raise DeployBenchError(
            f"{path} has {size} bytes", expected=f"the {declared} bytes that its header names"
        )
    return ".".join(map(str, version))
