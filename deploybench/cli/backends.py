"""``deploybench backends``: every exporter and runner that is registered, and whether it works
here."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def backends(table_format: parse.FormatOption = None, json: parse.JsonOption = False) -> None:
    """List exporters and runners; a broken one is a row with its cause."""
    from deploybench.report.plugin_table import plugin_report, plugin_rows
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    print_report(plugin_report(plugin_rows()), asked)
