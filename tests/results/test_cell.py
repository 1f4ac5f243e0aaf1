"""The options of a cell are declared once; everything else follows from the declaration."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ValidationError

from deploybench.cli.cell_options import read
from deploybench.contracts import RunOptions
from deploybench.errors import DeployBenchError
from deploybench.measure.job import Job
from deploybench.results.cell import Cell, CellOption, CellOptions
from deploybench.results.store import write_record
from deploybench.rows.row import field_names, to_json
from deploybench.rows.rows import rows_of
from tests.records import cell, launch, record


class WiderCell(Cell):
    """A cell with two options more, which have values."""

    heap: Annotated[str, CellOption("--heap", "heap", "heap")] = "system"
    pause: Annotated[int, CellOption("--pause", "pause", "pause in ms", same_means=True)] = 0


def wider(**changes: object) -> WiderCell:
    return WiderCell.model_validate({**dict(cell()), **changes})


def test_every_option_reaches_the_runner_and_every_field_of_a_runner_s_options_is_asked() -> None:
    seen_by_runners = {field.name for field in fields(RunOptions)}
    assert set(CellOptions.declared()) <= seen_by_runners
    assert seen_by_runners <= set(Job.model_fields)
    asked = Job(
        artifact="/a",
        runner="tensorrt",
        device="cuda",
        precision="fp16",
        batch=4,
        threads=6,
        streams=2,
        cuda_graph=True,
    )
    assert asked.run_options == RunOptions("cuda", 6, "fp16", 4, 2, cuda_graph=True)


def test_option_of_a_cell_is_a_field_of_its_json_and_of_its_row() -> None:
    assert json.loads(cell(cuda_graph=True).model_dump_json())["cuda_graph"] is True
    (row,) = json.loads(to_json(rows_of([record([launch([1.0] * 8)], cuda_graph=True)])))
    assert row["cuda_graph"] is True
    assert list(row) == field_names()


def test_option_at_its_default_is_shown_nowhere() -> None:
    plain = wider()
    assert plain.chosen_options == {}
    assert plain.option_marks == plain.option_titles == plain.option_arguments == []
    assert plain.title() == cell().title()


def test_option_with_a_value_is_typed_and_shown_with_it() -> None:
    chosen = wider(heap="jemalloc", cuda_graph=True)
    assert chosen.option_arguments == ["--cuda-graph", "--heap", "jemalloc"]
    assert chosen.option_marks == ["graph", "heap jemalloc"]
    assert chosen.title().endswith("CUDA graph heap jemalloc")


def test_record_of_a_cell_is_named_after_its_options(tmp_path: Path) -> None:
    made = record([launch([1.0] * 8)]).model_copy(update={"cell": wider(heap="jemalloc")})
    assert "-heap-jemalloc-" in write_record(made, tmp_path).name


def test_cells_with_different_options_are_different_cells() -> None:
    assert wider(heap="jemalloc").identity != wider().identity
    assert wider(heap="jemalloc").same_job(wider())


def test_cells_are_no_comparison_where_an_option_belongs_to_the_means() -> None:
    assert not wider(pause=5).same_job(wider())


def test_value_that_an_option_does_not_have_is_refused_and_the_values_are_told() -> None:
    assert CellOptions.values_of("arena") == ("on", "off")
    assert CellOptions.values_of("cuda_graph") == ()
    with pytest.raises(ValidationError):
        CellOptions.model_validate({"arena": "perhaps"})
    with pytest.raises(DeployBenchError, match="--arena perhaps; expected: one of on, off"):
        read(arena="perhaps")
    assert read(arena="off", cuda_graph=False) == CellOptions(arena="off")


def test_options_of_the_process_are_asked_of_every_runner() -> None:
    assert CellOptions.of_process() == {"allocator", "huge_pages", "stack"}


def test_only_what_a_runner_obeys_is_asked_of_it() -> None:
    asked = CellOptions(cuda_graph=True)
    assert asked.obeyed({"cuda_graph"}) == asked
    assert asked.obeyed(frozenset()) == CellOptions()
