"""One frame of a run: what it says, and that it fits into any terminal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from deploybench.report.live_view import (
    LiveFrame,
    LiveRow,
    RowState,
    duration,
    frame_lines,
    interval_bar,
    sparkline,
)

ROWS = (
    LiveRow("vit onnxruntime fp32", RowState.KNOWN, 9.1234, 0.009, 40),
    LiveRow("vit openvino fp32", RowState.MEASURING, 12.5, 0.042, 40),
    LiveRow("vit pytorch fp32"),
)
FRAME = LiveFrame(
    ROWS,
    round=40,
    gone_s=100.0,
    left_s=75.0,
    budget_s=180.0,
    ends="21:05",
    wanted=0.01,
    delivered=(0.7, 0.9, 0.97),
    skipped=2,
)


def lines(frame: LiveFrame, width: int = 100, height: int = 30) -> list[str]:
    return [line.plain for line in frame_lines(frame, width, height)]


def test_frame_says_what_is_known_the_plan_the_time_and_the_machine() -> None:
    assert lines(FRAME) == [
        "measuring round 41 · 1 of 3 rows known, 2 skipped",
        "time     1:40 gone, at most 75 s left (until 21:05)",
        "plan     until every interval is ±1%, or 3 min are spent",
        "machine  ▆▇█ 97% of its own speed now; 70% to 97% since it began",
        "",
        "row                   p50 ms     ±  interval       looks  state",
        "vit onnxruntime fp32   9.123  0.9%        ●           40  known",
        "vit openvino fp32      12.50  4.2%     ├──●──┤        40  measuring",
        "vit pytorch fp32           –     –                     –  waiting",
    ]


def test_bar_shrinks_to_its_point_as_an_interval_does() -> None:
    bars = [interval_bar(width, 0.01) for width in (2.0, 0.5, 0.2, 0.05, 0.02, 0.0101, 0.01)]
    arms = [bar.strip().count("─") // 2 for bar in bars]
    assert arms == sorted(arms, reverse=True)
    assert bars[0] == bars[1] == "├─────●─────┤"
    assert bars[-1].strip() == "●"
    assert bars[-2].strip() == "├●┤"
    assert {bar.index("●") for bar in bars} == {6}
    assert interval_bar(None, 0.01) == ""


def test_meter_has_the_height_of_the_share_and_the_colour_of_the_noise() -> None:
    assert sparkline([0.0, 0.5, 1.0, 1.3, -1.0]) == "▁▅██▁"
    for share, style in ((0.96, "green"), (0.85, "yellow"), (0.5, "red")):
        frame = LiveFrame(ROWS, delivered=(share,))
        (machine,) = [line for line in frame_lines(frame, 80, 20) if "machine" in line.plain]
        assert any(style in str(span.style) for span in machine.spans)


def test_machine_that_no_canary_reads_is_said_to_be_unknown() -> None:
    assert "no canary tells its speed" in lines(LiveFrame(ROWS, canary=False))[2]


def test_what_the_terminal_is_too_low_for_is_counted_and_known_rows_go_first() -> None:
    rows = [LiveRow(f"model {number}", RowState.KNOWN) for number in range(30)]
    rows[17] = LiveRow("model 17", RowState.MEASURING)
    rows[20] = LiveRow("model 20", RowState.FAILED)
    shown = lines(LiveFrame(rows, wanted=0.01), 80, 12)
    assert len(shown) <= 12
    assert any("model 17" in line for line in shown)
    assert any("model 20" in line for line in shown)
    assert shown[-1] == "… and 25 more rows: 25 known"


def test_names_of_others_do_nothing_in_a_terminal() -> None:
    hostile = "vit\x1b[2J\x1b]0;title\x07\u202eevil\r\n"
    shown = "\n".join(lines(LiveFrame((LiveRow(hostile),), doing=hostile)))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\\x1b" in shown


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(20, 200),
    height=st.integers(4, 60),
    names=st.lists(st.text(max_size=120), min_size=1, max_size=40),
    half_width=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_no_line_is_wider_than_the_terminal_and_no_frame_higher(
    width: int, height: int, names: list[str], half_width: float | None
) -> None:
    rows = tuple(LiveRow(name, RowState.MEASURING, 1234.5, half_width, 12345) for name in names)
    frame = LiveFrame(rows, wanted=0.01, delivered=(0.5,) * 100, doing=names[0], left_s=9e9)
    made = lines(frame, width, height)
    assert len(made) <= max(height, 10)
    if width >= 38:
        assert max(map(cell_len, made)) <= width


def test_durations_are_as_coarse_as_they_are_known() -> None:
    assert [duration(seconds) for seconds in (-1, 89, 91, 5000, 7200)] == [
        *("0 s", "89 s", "2 min", "83 min", "2 h 0 min")
    ]
