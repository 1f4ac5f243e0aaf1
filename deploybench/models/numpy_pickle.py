"""Arrays of NumPy's in a pickle, put together without NumPy's own functions for it."""

from __future__ import annotations

from typing import Any

import torch

from deploybench.data.inert_pickle import Inert

DTYPES = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}


def array_of(inert: Inert) -> torch.Tensor | None:
    """The tensor that a pickled array holds; None for any other object.

    The state of an array is a version, its shape, its dtype, whether its order is Fortran's, and
    its bytes.
    """
    state: Any = inert.state
    if not inert.kind.startswith("numpy") or not inert.kind.endswith("_reconstruct"):
        return None
    if not isinstance(state, tuple) or len(state) != 5:
        return None
    _, shape, dtype, fortran, content = state
    content = _bytes_of(content)
    if not isinstance(dtype, Inert) or not dtype.arguments or content is None:
        return None
    of_torch = DTYPES.get(str(dtype.arguments[0]).lstrip("<|"))
    big_endian = isinstance(dtype.state, tuple) and ">" in dtype.state
    if of_torch is None or big_endian:
        return None
    count = 1
    for size in shape:
        count *= size
    if len(content) != count * of_torch.itemsize:
        return None
    if not count:
        return torch.empty(shape, dtype=of_torch)
    flat = torch.frombuffer(bytearray(content), dtype=of_torch)
    if fortran:
        reversed_axes = tuple(reversed(range(len(shape))))
        return flat.view(tuple(reversed(shape))).permute(reversed_axes)
    return flat.view(tuple(shape))


def _bytes_of(content: object) -> bytes | None:
    """Bytes as protocol 2 writes them: text in Latin-1, and the call that would encode it."""
    if isinstance(content, Inert) and content.kind == "_codecs.encode":
        text = content.arguments[0]
        if isinstance(text, str):
            return text.encode("latin1")
    if isinstance(content, bytes):
        return content
    return None
