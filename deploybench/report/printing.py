"""One door for all commands: a report in the format that was asked for, on standard output."""

from __future__ import annotations

import sys

from deploybench.report.table import Format, Report


def print_report(report: Report, asked: Format = Format.TABLE) -> None:
    """Print ``report`` on standard output."""
    if asked is Format.JSON:
        from deploybench.report.data import report_json

        sys.stdout.write(report_json(report) + "\n")
    elif asked is Format.CSV:
        from deploybench.report.data import report_csv

        sys.stdout.write(report_csv(report))
    elif asked is Format.MARKDOWN:
        from deploybench.report.markdown import report_markdown

        sys.stdout.write(report_markdown(report) + "\n")
    else:
        from deploybench.report.console import output_console
        from deploybench.report.terminal import print_sections

        print_sections(report, output_console())
