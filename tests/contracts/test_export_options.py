"""Exporters declare their options; the core asks them, and knows none by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from deploybench.contracts import Exporter, ExportOption, ExportSpec, OptionValue
from deploybench.contracts.registry import (
    exporters,
    options_by_backend,
    recorded_distributions,
    reference_runner,
)
from deploybench.errors import DeployBenchError

TILE = ExportOption("tile", str, "how it is cut", allowed=("wide", "narrow"), default="narrow")
DEPTH = ExportOption("depth", int, "how deep", least=2)
FUSED = ExportOption("fused", bool, "whether it is one")
SCALE = ExportOption("scale", float, "by how much")


class ToyExporter(Exporter):
    name: ClassVar[str] = "toy"
    options: ClassVar[tuple[ExportOption, ...]] = (TILE, DEPTH, FUSED, SCALE)

    def export(self, model: Any, example: Any, spec: Any, out: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"tile": "wide", "depth": "3"}, {"tile": "wide", "depth": 3}),
        ({"depth": 2, "fused": "true"}, {"depth": 2, "fused": True}),
        ({"fused": False, "scale": "0.5"}, {"fused": False, "scale": 0.5}),
        ({}, {}),
    ],
)
def test_options_are_read_as_what_they_are_declared_to_be(
    given: dict[str, OptionValue], read: dict[str, OptionValue]
) -> None:
    assert ToyExporter().read_options(given) == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tiles": "wide"}, "takes no option tiles.*tile: how it is cut; one of wide, narrow"),
        ({"tile": "round"}, "tile round.*one of wide, narrow"),
        ({"depth": "deep"}, "depth deep.*a whole number from 2"),
        ({"depth": "1"}, "depth 1.*from 2"),
        ({"depth": True}, "depth True.*a whole number"),
        ({"fused": "perhaps"}, "fused perhaps.*true or false"),
        ({"scale": "wide"}, "scale wide.*a number"),
    ],
)
def test_option_that_is_not_declared_so_is_refused_with_what_there_is(
    given: dict[str, OptionValue], words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        ToyExporter().read_options(given)


def test_only_options_with_a_default_are_given_when_nobody_says() -> None:
    assert ToyExporter().default_options() == {"tile": "narrow"}


def test_each_backend_gets_the_options_that_it_takes() -> None:
    given = options_by_backend(
        ["onnx", "openvino"], {"opset": "17"}, {"opset": 18, "ir_version": 8}
    )
    assert given == {"onnx": {"opset": 17, "ir_version": 8}, "openvino": {}}


def test_option_that_no_chosen_backend_takes_is_refused_and_a_profiles_is_left_out() -> None:
    with pytest.raises(DeployBenchError, match="the option opset, and openvino takes no such"):
        options_by_backend(["openvino"], {"opset": 17})
    assert options_by_backend(["openvino"], {}, {"opset": 17}) == {"openvino": {}}


def test_opset_that_cannot_be_written_is_refused_before_anything_starts() -> None:
    with pytest.raises(DeployBenchError, match=r"opset 16.*a whole number from 17"):
        options_by_backend(["onnx"], {"opset": 16})


def test_older_words_of_a_spec_still_say_what_they_said() -> None:
    spec = ExportSpec("fp32", 1, 17, 8)
    assert (spec.number("opset"), spec.number("ir_version")) == (17, 8)
    assert replace(ExportSpec(options={"opset": 18}), opset=17).number("opset") == 17
    assert spec.with_options(opset=18).number("opset") == 18
    assert ExportSpec().option("opset") is None


def test_every_exporter_says_what_its_processes_share() -> None:
    assert all(entry.plugin.preload for entry in exporters().values() if entry.plugin)


def test_reference_is_the_runner_that_says_so() -> None:
    assert reference_runner() == "pytorch"


def test_recorded_distributions_are_those_of_the_plug_ins() -> None:
    named = recorded_distributions()
    assert {"torch", "onnx", "onnxscript", "onnxruntime", "openvino", "tensorrt-rtx"} <= set(named)
    assert len(set(named)) == len(named)
