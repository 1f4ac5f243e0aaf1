"""The document of ``explain``: what was written is read, and anything else refused in words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from deploybench.errors import DeployBenchError
from deploybench.results.explanation import (
    Explanation,
    explanations_below,
    file_name,
    read_explanation,
    write_explanation,
)
from deploybench.results.store import read_records, runs_in, write_record
from tests.explanations import explained, explanation, profile
from tests.pages import made


def written(folder: Path, found: Explanation) -> Path:
    path = folder / file_name(found)
    write_explanation(found, path)
    return path


def test_document_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    two = explanation(explained(), explained("openvino", 0.5))
    path = written(tmp_path, two)
    assert path.name.endswith(".layers.json")
    assert read_explanation(path) == two
    assert explanations_below(tmp_path) == [two]


def test_document_among_records_is_taken_for_none_of_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    path = written(run, explanation())
    assert runs_in(tmp_path) == []
    record = made.one_run()[0]
    write_record(record, run)
    assert path.exists()
    assert [one.cell for one in read_records(run)] == [record.cell]


def edited(content: dict[str, Any]) -> None:
    content["sides"][0]["profile"]["layers"][0]["ms"] = 0.1


def of_a_later_version(content: dict[str, Any]) -> None:
    content["schema_version"] = 2


def without_sides(content: dict[str, Any]) -> None:
    content["sides"] = []


def with_another_field(content: dict[str, Any]) -> None:
    content["surprise"] = 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edited, "was edited after it was written"),
        (of_a_later_version, "schema_version"),
        (without_sides, "sides"),
        (with_another_field, "surprise"),
    ],
)
def test_document_that_is_not_as_it_was_written_is_refused(
    tmp_path: Path, change: Any, said: str
) -> None:
    path = written(tmp_path, explanation())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DeployBenchError, match=said) as raised:
        read_explanation(path)
    assert raised.value.action is not None
    assert "deploybench explain" in raised.value.action


IMPOSSIBLE = {
    "no time of a call": explained(profile=profile(plain_ms=0.0)),
    "negative layers": explained(profile=profile(-1.0, plain_ms=1.0, layers_ms=1.0)),
    "no layers": explained(profile=profile(layers=())),
    "no windows": explained(profile=profile(gaps_ms=())),
}


@pytest.mark.parametrize("side", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_document_that_no_profiler_gives_is_refused_though_its_seal_is_right(
    tmp_path: Path, side: Any
) -> None:
    path = written(tmp_path, explanation(side))
    with pytest.raises(DeployBenchError, match="does not read as what explain writes"):
        read_explanation(path)


def test_sides_of_two_models_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, explanation(explained(), explained(model="another")))
    with pytest.raises(DeployBenchError, match="2 models"):
        read_explanation(path)


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.layers.json"
    os.mkfifo(path)
    with pytest.raises(DeployBenchError, match="a pipe"):
        read_explanation(path)


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(["sides", "profile", "layers", "work", "host", "schema_version"])
            | some.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(content=JSON.map(json.dumps).map(str.encode) | some.binary(max_size=60))
def test_whatever_lies_there_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.layers.json"
    path.write_bytes(content)
    with pytest.raises(DeployBenchError):
        read_explanation(path)


PLACES = ("plain_ms", "profiled_ms", "layers_ms")


@given(
    field=some.sampled_from(PLACES),
    value=some.floats(allow_nan=True, allow_infinity=True),
)
def test_whatever_number_is_in_it_the_document_is_drawn_or_refused(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: float
) -> None:
    from deploybench.pages.layers_chart import layers_section

    path = tmp_path_factory.mktemp("any") / "any.layers.json"
    found = explanation(explained(profile=profile().model_copy(update={field: value})))
    path.write_text(json.dumps(json.loads(found.model_dump_json())))
    try:
        read = read_explanation(path)
    except DeployBenchError:
        return
    layers_section([read])
