"""What ``deploybench profiles show`` says of each precision."""

from __future__ import annotations

from deploybench.hardware.profile_of_host import new_profile
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.report.profile_table import profile_report
from tests.records import host

PEAKS = MeasuredPeaks(threads=2, gflops={"fp32": 100.0}, copy_gb_per_s=10.0, method="test")


def test_precision_that_runs_and_has_no_peak_says_what_is_missing_for_it() -> None:
    profile = new_profile("own", "cpu", host(), measure=lambda _host, _threads: PEAKS)
    (table,) = [made for made in profile_report(profile).tables if made.title == "Precisions"]
    lines = {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in table.lines}
    assert lines["fp32"] == ["yes", ""]
    assert lines["int8"] == ["yes", "its peak is not known: no bound, and no share of it"]
    assert lines["tf32"][0] == "no"
