"""Which forms a tuning writes and tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploybench.analysis.candidates import Quantity
from deploybench.contracts.registry import runners
from deploybench.hardware.host import describe_host
from deploybench.plan.cells import Selection
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.space import Form, exports_of, space_of

SMALL = Form("openvino", "int8-weights")


def forms_of(**asked: Any) -> tuple[Form, ...]:
    request = TuneRequest(data=Path("data"), model="vit", backends=["openvino"], **asked)
    selection = Selection([runners()["openvino"]], [1], (), 2, devices=["cpu"])
    return space_of(request, selection, describe_host()).forms


@pytest.mark.parametrize(
    "asked",
    [
        {"objective": Quantity.SIZE},
        {"objective": Quantity.MEMORY},
        {"memory_limit_bytes": 1e9},
        {"precisions": ["fp32", "int8-weights"]},
    ],
)
def test_weights_of_8_bits_are_tried_where_room_counts_or_by_name(asked: dict[str, Any]) -> None:
    assert SMALL in forms_of(**asked)


@pytest.mark.parametrize(
    "asked", [{}, {"objective": Quantity.THROUGHPUT}, {"precisions": ["fp32"]}]
)
def test_weights_of_8_bits_are_not_tried_for_speed(asked: dict[str, Any]) -> None:
    found = forms_of(**asked)
    assert Form("openvino", "fp32") in found
    assert SMALL not in found


@pytest.mark.parametrize("runner_names", [["openvino"], ["aotinductor", "pytorch"]])
def test_what_all_are_held_against_is_exported_first_and_once(runner_names: list[str]) -> None:
    """Otherwise a slow compiler could take the time of all exports, and nothing be judged."""
    request = TuneRequest(data=Path("data"), model="vit", precisions=["fp32"])
    chosen = [runners()[name] for name in runner_names]
    space = space_of(request, Selection(chosen, [1], (), 2, devices=["cpu"]), describe_host())
    backends = [wanted.backend for wanted in exports_of(request, space, None)]
    assert backends[0] == "pytorch"
    assert backends.count("pytorch") == 1
    assert len(backends) > 1
