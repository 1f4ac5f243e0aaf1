"""Which other forms of a configuration a tuning writes, and what becomes of one that is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.plan.cells import Planned
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.rewriting import Rewriting, words_of_writing
from deploybench.tuning.space import Form, Space
from tests import advised

NOTHING = DeployBenchError("fuse=transformer found nothing to fuse in this graph")


def planned(backend: str, precision: str, **changes: Any) -> Planned:
    """A configuration whose artifact was exported by such a request."""
    request = ExportRequest(
        model=ModelRequest(name="resnet18"), backend=backend, precision=precision, **changes
    )
    cell = advised.candidate(10.0, "onnxruntime", precision=precision).cell
    manifest = SimpleNamespace(
        request=request.model_dump(mode="json"), precision=precision, key="a" * 64
    )
    artifact: Any = SimpleNamespace(path=Path("/w/a"), manifest=manifest)
    return Planned(cell.replaced(backend=backend), artifact, None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ExportRequest]:
    """The exports that were asked for; none of them can be done."""
    seen: list[ExportRequest] = []

    def export_requests(requests: Sequence[ExportRequest], *_: object) -> list[ExportResult]:
        seen.extend(requests)
        return [ExportResult(one, None, False, 1.0, NOTHING) for one in requests]

    monkeypatch.setattr("deploybench.tuning.rewriting.export_requests", export_requests)
    return seen


def rewriting(**changes: Any) -> Rewriting:
    request = TuneRequest(data=Path("data"), model="resnet18", **changes)
    surroundings: Any = SimpleNamespace(request=request, workspace=None)
    return Rewriting(surroundings, Space((Form("onnx", "fp32"),), {}), lambda event: None)


def test_each_option_of_the_exporter_that_is_worth_it_is_one_more_artifact(
    asked: list[ExportRequest],
) -> None:
    made = rewriting().of([planned("onnx", "fp32")], [])
    assert [one.options for one in asked] == [
        {"simplify": "onnxslim"},
        {"fuse": "transformer"},
        {"reparameterise": True},
    ]
    assert made.planned == ()
    assert [one.title for one in made.not_tried][:2] == [
        "onnx fp32 simplify=onnxslim",
        "onnx fp32 fuse=transformer",
    ]
    assert all("nothing to fuse" in one.reason for one in made.not_tried)
    # What is said before names every one of them.
    assert all(word in words_of_writing() for word in ("onnxslim", "transformer", "reparameterise"))


def test_one_artifact_of_two_leaders_is_written_once_and_options_are_not_given_twice(
    asked: list[ExportRequest],
) -> None:
    plan = planned("onnx", "fp32", options={"simplify": "onnxslim"})
    rewriting().of([plan, plan], [])
    assert [sorted(one.options) for one in asked] == [
        ["fuse", "simplify"],
        ["reparameterise", "simplify"],
    ]


def test_int8_over_the_drop_is_asked_for_as_many_images_as_may_not_be_lost(
    asked: list[ExportRequest],
) -> None:
    over = planned("openvino", "int8", calibration="photos")
    rewriting(max_accuracy_drop=0.02).of([], [over])
    assert [one.keep_fp32 for one in asked] == [("auto:98%",)]
    assert asked[0].calibration == "photos"


def test_layers_that_the_user_named_stay_as_they_are(asked: list[ExportRequest]) -> None:
    rewriting().of([], [planned("openvino", "int8", calibration="photos", keep_fp32=("layer4",))])
    assert asked == []
