"""Rows of an evaluation that look the same say in what they differ."""

from __future__ import annotations

import numpy as np

from deploybench.report.quality_table import quality_report
from deploybench.report.table import Table
from deploybench.results.cell import Cell, precision_name
from deploybench.results.record import Record
from tests.qualities import evaluation, quality

RIGHT = np.arange(100) % 7 != 0


def evaluated(**changes: object) -> Record:
    record = evaluation(quality(RIGHT, eager=RIGHT), "run")
    cell: Cell = record.cell.replaced(**changes)
    return record.replaced(cell=cell)


def columns(*records: Record) -> dict[str, list[str]]:
    """What stands in each column of the table, by its heading."""
    (table,) = [part for part in quality_report(records).sections if isinstance(part, Table)]
    found: dict[str, list[str]] = {}
    for position, column in enumerate(table.columns):
        found[column.title] = [str(line.cells[position].text) for line in table.lines]
    return found


def test_artifacts_that_differ_in_their_graph_are_told_apart_by_their_form() -> None:
    plain = evaluated(form="fp32-dynamic-opset20", artifact_key="a" * 64)
    slim = evaluated(form="fp32-dynamic-opset20-slim", artifact_key="b" * 64)
    shown = columns(plain, slim)
    assert shown["form"] == ["fp32-dynamic-opset20", "fp32-dynamic-opset20-slim"]
    assert "artifact" not in shown


def test_artifacts_of_one_form_are_told_apart_by_their_key() -> None:
    shown = columns(evaluated(artifact_key="a" * 64), evaluated(artifact_key="b" * 64))
    assert shown["artifact"] == ["a" * 8, "b" * 8]
    assert "form" not in shown


def test_options_stand_in_the_row_where_there_are_any() -> None:
    shown = columns(evaluated(), evaluated(memory_format="channels_last"))
    assert shown["options"][1] == "memory format channels_last"


def test_row_that_has_no_twin_says_no_more_than_it_has_to() -> None:
    shown = columns(evaluated(), evaluated(runner="openvino", form="fp32-dynamic"))
    assert not {"form", "artifact", "options"} & shown.keys()


def test_int8_with_layers_in_float_is_called_mixed() -> None:
    mixed = evaluated(precision="int8", form="int8-dynamic-mixed3")
    shown = columns(mixed, evaluated(precision="int8", form="int8-dynamic"))
    assert shown["prec"] == ["int8-mixed", "int8"]
    assert "form" not in shown  # they do not look the same
    assert mixed.cell.title().split()[2] == "int8-mixed"
    assert precision_name("int8", "int8-dynamic-opset20") == "int8"


def test_weights_of_8_bits_are_called_so_and_are_another_cell_than_fp32() -> None:
    small = evaluated(precision="int8-weights", form="int8-weights-dynamic")
    plain = evaluated(precision="fp32", form="fp32-dynamic")
    shown = columns(plain, small)
    assert shown["prec"] == ["fp32", "int8-weights"]
    assert small.cell.title().split()[2] == "int8-weights"
    assert small.cell.work != plain.cell.work
