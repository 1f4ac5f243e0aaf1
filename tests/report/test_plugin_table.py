"""What ``deploybench backends`` prints of plug-ins."""

from __future__ import annotations

from dataclasses import replace

from deploybench.report.plugin_table import PluginRow, plugin_report, plugin_rows
from deploybench.report.table import Prose

ROW = PluginRow("exporter", "own", ["fp32"], "package", True, "own 1.0", None, None)


def test_options_of_an_exporter_are_told_below_the_table_and_as_data() -> None:
    rows = plugin_rows()
    report = plugin_report(rows)
    (onnx,) = [row for row in rows if row.kind == "exporter" and row.name == "onnx"]
    assert onnx.options[0] == "opset: the operators' version; a whole number from 17"
    prose = report.sections[1]
    assert isinstance(prose, Prose)
    assert "--option NAME=VALUE" in prose.title
    assert "  onnx: opset: the operators' version; a whole number from 17" in prose.lines
    assert isinstance(report.data, list)
    assert {"name": "onnx", "options": onnx.options}.items() <= report.data[
        rows.index(onnx)
    ].items()


def test_nothing_stands_below_the_table_where_no_exporter_takes_an_option() -> None:
    assert len(plugin_report([ROW, replace(ROW, name="other")]).sections) == 1
