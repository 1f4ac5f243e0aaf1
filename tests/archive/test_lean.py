"""The part of a record that is read in bulk: checked for its types, and never an edited one."""

from __future__ import annotations

import json

import pytest

from deploybench.archive.lean import _seal_fits, read_lean
from deploybench.errors import DeployBenchError
from tests.archive.made import steady

WRITTEN = steady(10.0, "run").replaced(command="said aloud, and more ü")


def sealed() -> bytes:
    """The record with its seal, as it is written to disk."""
    return WRITTEN.sealed().model_dump_json(indent=1).encode()


def content() -> dict[str, object]:
    made: dict[str, object] = json.loads(WRITTEN.model_dump_json(exclude={"seal"}))
    return made


def test_a_record_with_its_own_seal_is_read() -> None:
    assert _seal_fits(sealed())
    assert read_lean(sealed(), "here")["run"] == "run"


def test_an_edited_record_is_refused() -> None:
    edited = sealed().replace(b'"run": "run"', b'"run": "fun"')
    assert edited != sealed()
    with pytest.raises(DeployBenchError, match="was edited"):
        read_lean(edited, "here")


@pytest.mark.parametrize("change", [{"run": 1}, {"cell": {}}, {"launches": None}, {"host": "x"}])
def test_what_is_no_record_is_refused_in_words(change: dict[str, object]) -> None:
    with pytest.raises(DeployBenchError, match="does not read as a record"):
        read_lean(json.dumps({**content(), **change}).encode(), "here")
    with pytest.raises(DeployBenchError, match="does not read as a record"):
        read_lean(b"{", "here")


@pytest.mark.parametrize("figure", [0.0, -1.0, "NaN", "Infinity"])
def test_times_of_which_there_is_no_logarithm_are_refused(figure: object) -> None:
    text = json.dumps(content())
    p50 = json.loads(text)["summary"]["states"][0]["p50_ms"]
    with pytest.raises(DeployBenchError):
        read_lean(text.replace(f'"p50_ms": {p50}', f'"p50_ms": {figure}').encode(), "here")


def test_an_edit_between_escaped_marks_does_not_fit() -> None:
    """Marks within a word make it seem that what stands between them is no word."""
    marked = WRITTEN.replaced(run='a "bc" d').sealed().model_dump_json(indent=1).encode()
    edited = marked.replace(b"bc", b"b c")
    assert edited != marked
    assert not _seal_fits(edited)
    with pytest.raises(DeployBenchError):
        read_lean(edited, "here")
    assert read_lean(marked, "here")["run"] == 'a "bc" d'
