"""An order becomes single exports, or is refused; results come in the order of the requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import OptionValue
from deploybench.errors import DeployBenchError
from deploybench.export import order as ordering
from deploybench.export import pipeline
from deploybench.export.order import (
    ExportEvent,
    ExportFinished,
    ExportOrder,
    ExportsPlanned,
    ExportStarted,
    export_requests,
    requests_of,
)
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest


def test_order_is_every_model_in_every_size_by_every_backend_in_every_precision() -> None:
    requests = requests_of(
        ExportOrder(
            models=["vit", "timm:test_vit"],
            backends=["pytorch", "onnx"],
            precisions=["fp32", "bf16"],
            image_sizes=[(64, 64), (96, 64)],
            patch_sizes=[8],
        )
    )
    assert len(requests) == len(set(map(str, requests))) == 2 * 2 * 2 * 2
    first = requests[0]
    assert (first.model.name, first.model.image_size, first.model.patch_size) == (
        "vit",
        (64, 64),
        8,
    )
    assert [request.backend for request in requests[:4]] == ["pytorch", "onnx", "pytorch", "onnx"]


def test_group_stands_for_its_members() -> None:
    requests = requests_of(ExportOrder(models=["fair"], backends=["pytorch"]))
    assert len(requests) > 1
    assert "fair" not in [request.model.name for request in requests]


def test_option_reaches_the_exporter_that_takes_it_and_no_other() -> None:
    order = ExportOrder(models=["vit"], backends=["pytorch", "onnx"], options={"opset": 18})
    assert [request.options for request in requests_of(order)] == [{}, {"opset": 18}]


def test_profile_decides_options_that_nobody_asked_for() -> None:
    def asked(**options: int) -> Mapping[str, OptionValue]:
        order = ExportOrder(models=["vit"], backends=["onnx"], profile="k80", options=options)
        (request,) = requests_of(order)
        return request.options

    assert asked() == {"opset": 17, "ir_version": 8}
    assert asked(opset=18) == {"opset": 18, "ir_version": 8}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": []}, "no model to export"),
        ({"models": ["vit", "xca"], "checkpoint": Path("x.pt")}, "--checkpoint with 2 models"),
        ({"checkpoint": Path("x.pt"), "pretrained": True}, "--checkpoint and --pretrained"),
        ({"precisions": ["fp31"]}, "unknown precision 'fp31'"),
        ({"options": {"opsat": 17}}, "the option opsat, and onnx takes no such option"),
        ({"batch": 0}, "a batch of 0 images"),
        ({"target": "8.6"}, "8.6"),
    ],
)
def test_order_that_contradicts_itself_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        requests_of(ExportOrder(**{"models": ["vit"], "backends": ["onnx"], **changes}))  # type: ignore[arg-type]


def test_results_are_in_the_order_of_the_requests_whichever_ends_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = (
        ExportRequest(model=ModelRequest(name="vit"), backend=name) for name in ("onnx", "pytorch")
    )
    results = {
        request.backend: ExportResult(request, None, False, 1.0) for request in (first, second)
    }

    def ending_in_reverse(
        requests: object, workspace: object, options: object, *, start: object
    ) -> Iterator[ExportResult]:
        for request in (first, second):
            start(request)  # type: ignore[operator]
        yield results["pytorch"]
        yield results["onnx"]

    monkeypatch.setattr(ordering, "export_all", ending_in_reverse)
    events: list[ExportEvent] = []
    found = export_requests([first, second], Workspace(tmp_path), ExportOptions(), events.append)
    assert found == [results["onnx"], results["pytorch"]]
    assert events == [
        ExportsPlanned((first, second)),
        ExportStarted(first),
        ExportStarted(second),
        ExportFinished(results["pytorch"]),
        ExportFinished(results["onnx"]),
    ]


def int8_mixed(*keep: str) -> ExportOrder:
    return ExportOrder(
        models=["vit"],
        backends=["onnx"],
        precisions=["int8-mixed"],
        calibration="synthetic",
        keep_fp32=keep,
    )


def test_int8_mixed_without_layers_in_float_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="int8-mixed with --keep-fp32 none"):
        requests_of(int8_mixed("none"))


@pytest.mark.parametrize(
    ("asked", "kept", "is_said"),
    [((), (), True), ((), ("stem",), False), (("stem",), ("stem",), False)],
)
def test_int8_mixed_that_takes_no_layer_in_float_is_said_to_be_int8(
    asked: tuple[str, ...],
    kept: tuple[str, ...],
    is_said: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (request,) = requests_of(int8_mixed(*asked))
    artifact = SimpleNamespace(manifest=SimpleNamespace(kept_fp32=kept, parity=None))
    monkeypatch.setattr(pipeline, "_export", lambda *_: (artifact, True, "its labels are new"))
    said = export_one(request, Workspace(tmp_path), ExportOptions()).remark
    assert said is not None
    assert said.startswith("its labels are new")
    assert ("vit onnx is int8, not int8-mixed" in said) == is_said
