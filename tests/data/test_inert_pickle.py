"""The reader of pickles that runs nothing: data is put together, everything else holds still."""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploybench.data.inert_pickle import Inert, InertUnpickler
from deploybench.errors import DeployBenchError

PATH = Path("batch")


def read(content: bytes) -> Any:
    return InertUnpickler(io.BytesIO(content), PATH, expected="data", action="look").load()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=80)
@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_what_it_was(value: object, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


def test_containers_of_the_standard_library_are_put_together() -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    counted = collections.Counter("abca")
    assert read(pickle.dumps([ordered, counted, {1, 2}])) == [ordered, dict(counted), {1, 2}]


def test_what_a_file_names_is_neither_imported_nor_called() -> None:
    value = read(pickle.dumps({"array": np.arange(3), "path": Path("x")}, protocol=2))
    assert isinstance(value["array"], Inert)
    assert value["array"].kind.endswith("_reconstruct")
    assert isinstance(value["path"], Inert)


class Acts:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple[object, ...]:
        function, *arguments = self.call
        return function, tuple(arguments)


@pytest.mark.parametrize("call", [(eval, "1"), (exec, "1"), (__import__, "os")])
def test_file_that_names_what_acts_is_refused(call: tuple[object, ...]) -> None:
    with pytest.raises(DeployBenchError, match="acts on the machine") as refused:
        read(pickle.dumps(Acts(*call)))
    assert (refused.value.expected, refused.value.action) == ("data", "look")


def test_reference_to_what_is_not_in_the_file_is_refused() -> None:
    class Refers(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return "elsewhere" if value == "x" else None

    stream = io.BytesIO()
    Refers(stream).dump(["x"])
    with pytest.raises(pickle.UnpicklingError, match="not in the file"):
        read(stream.getvalue())
