"""``--format`` beside the older flags."""

from __future__ import annotations

import pytest

from deploybench.cli.parse import output_format
from deploybench.errors import DeployBenchError
from deploybench.report.table import Format


def test_flags_of_old_mean_their_format_and_nothing_is_a_table() -> None:
    assert output_format(None) is Format.TABLE
    assert output_format(None, json=True) is Format.JSON
    assert output_format(None, markdown=True) is Format.MARKDOWN
    assert output_format(None, csv=True) is Format.CSV
    assert output_format(Format.CSV, csv=True) is Format.CSV


def test_two_formats_at_once_are_refused() -> None:
    with pytest.raises(DeployBenchError, match="the table as json and as csv"):
        output_format(Format.CSV, json=True)
