"""``deploybench backends``: every exporter and runner that is registered, and whether it works
here."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def backends(json: parse.JsonOption = False) -> None:
    """List exporters and runners; a broken one is a row with its cause."""
    from deploybench.report.console import output_console
    from deploybench.report.plugin_table import plugin_rows, print_plugin_table
    from deploybench.report.tables import print_json

    rows = plugin_rows()
    if json:
        print_json(rows)
    else:
        print_plugin_table(rows, output_console())
