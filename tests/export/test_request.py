"""The request of an export: its options are the exporter's, its stored form and its key are those
of always."""

from __future__ import annotations

import json

from deploybench.export.request import ExportRequest, ModelRequest

PLAIN = ExportRequest(model=ModelRequest(name="resnet18"), backend="onnx")
OLD_ONNX = ExportRequest(
    model=ModelRequest(name="resnet18"), backend="onnx", options={"opset": 17, "ir_version": 8}
)


def test_keys_are_those_of_before_exporters_declared_their_options() -> None:
    assert PLAIN.key({}, {}, {"torch": "1"}).startswith("3ce0865fb5cae504e6ca6cab5ba5a5dd")
    assert OLD_ONNX.key({}, {}, {"torch": "1"}).startswith("7e398c5f73d59f047fd80d231c655185")


def test_options_are_stored_flat_and_read_back() -> None:
    stored = json.loads(OLD_ONNX.model_dump_json())
    assert list(stored)[-5:] == ["batch", "opset", "ir_version", "threads", "target"]
    assert (stored["opset"], stored["ir_version"]) == (17, 8)
    assert PLAIN.model_dump(mode="json")["opset"] is None
    assert ExportRequest.model_validate(stored) == OLD_ONNX
    assert ExportRequest.model_validate(PLAIN.model_dump(mode="json")) == PLAIN


def test_option_of_a_third_partys_exporter_is_part_of_the_request_its_key_and_its_command() -> None:
    tiled = ExportRequest(model=PLAIN.model, backend="toy", options={"tile": "wide"})
    assert tiled.model_dump(mode="json")["tile"] == "wide"
    assert ExportRequest.model_validate_json(tiled.model_dump_json()) == tiled
    other = ExportRequest(model=PLAIN.model, backend="toy", options={"tile": "narrow"})
    assert tiled.key({}, {}, {}) != other.key({}, {}, {})
    assert tiled.command().endswith("--option tile=wide")


def test_exporter_is_told_its_own_defaults_for_what_nobody_gave() -> None:
    tiled = ExportRequest(model=PLAIN.model, backend="toy", options={"tile": "wide"})
    spec = tiled.spec({"tile": "narrow", "depth": 3})
    assert (spec.option("tile"), spec.option("depth"), spec.option("opset")) == ("wide", 3, None)
