"""The curve of a training: kept as lines, read by TensorBoard, drawn."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from deploybench.errors import DeployBenchError
from deploybench.training.curve import (
    CURVE_FILE,
    NO_BOARD,
    NO_DRAWING,
    BoardLog,
    EpochLine,
    curve_in_characters,
    cut_curve,
    draw_curve,
    read_curve,
    write_line,
)


def line(epoch: int, **figures: float) -> EpochLine:
    return EpochLine(
        epoch=epoch,
        step=10 * epoch,
        learning_rate=0.1 / epoch,
        train_loss=figures.get("train_loss", 2.0 / epoch),
        eval_loss=2.5 / epoch,
        top1=1 - 0.5 / epoch,
        balanced_accuracy=0.9 - 0.5 / epoch,
        seconds=1.5,
        best=epoch == 3,
    )


def test_a_curve_reads_back_what_was_written(tmp_path: Path) -> None:
    assert read_curve(tmp_path) == ()
    lines = [line(1), line(2), line(3)]
    for each in lines:
        write_line(tmp_path, each)
    assert read_curve(tmp_path) == tuple(lines)


def test_a_loss_that_is_no_number_reads_back(tmp_path: Path) -> None:
    write_line(tmp_path, line(1, train_loss=math.nan))
    write_line(tmp_path, line(2, train_loss=math.inf))
    first, second = read_curve(tmp_path)
    assert math.isnan(first.train_loss)
    assert second.train_loss == math.inf


@pytest.mark.parametrize("left", [b'{"epoch": 3, "st', b"{", b"\0\0\0"])
def test_a_line_that_a_kill_cut_short_is_left_out_and_written_over(
    tmp_path: Path, left: bytes
) -> None:
    write_line(tmp_path, line(1))
    write_line(tmp_path, line(2))
    with (tmp_path / CURVE_FILE).open("ab") as stream:
        stream.write(left)
    assert [each.epoch for each in read_curve(tmp_path)] == [1, 2]
    write_line(tmp_path, line(3))
    assert [each.epoch for each in read_curve(tmp_path)] == [1, 2, 3]


def test_a_resumed_training_drops_what_came_after_its_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        write_line(tmp_path, line(epoch))
    assert [each.epoch for each in cut_curve(tmp_path, 1)] == [1]
    write_line(tmp_path, line(2))
    assert [each.epoch for each in read_curve(tmp_path)] == [1, 2]


def test_a_line_that_does_not_read_is_named(tmp_path: Path) -> None:
    write_line(tmp_path, line(1))
    content = (tmp_path / CURVE_FILE).read_text()
    (tmp_path / CURVE_FILE).write_text(content + '{"epoch": "two"}\n' + content)
    with pytest.raises(DeployBenchError, match=r"epochs\.jsonl, line 2 is no line"):
        read_curve(tmp_path)


def test_epochs_out_of_order_are_refused(tmp_path: Path) -> None:
    for epoch in (2, 1):
        write_line(tmp_path, line(epoch))
    with pytest.raises(DeployBenchError, match="epoch 1 after epoch 2"):
        read_curve(tmp_path)


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(folder))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def test_tensorboard_reads_the_log(tmp_path: Path) -> None:
    with BoardLog(tmp_path) as log:
        assert log.note is None
        for epoch in (1, 2, 3):
            log.write(line(epoch))
    assert scalars(tmp_path, "accuracy/top1") == [
        (epoch, pytest.approx(1 - 0.5 / epoch)) for epoch in (1, 2, 3)
    ]
    assert scalars(tmp_path, "loss/train")[1] == (2, pytest.approx(1.0))
    assert scalars(tmp_path, "training/learning_rate")[0] == (1, pytest.approx(0.1))


def test_tensorboard_forgets_what_a_resumed_training_does_again(tmp_path: Path) -> None:
    with BoardLog(tmp_path) as log:
        for epoch in (1, 2, 3):
            log.write(line(epoch))
    with BoardLog(tmp_path, done=1) as log:
        log.write(line(2, train_loss=7.0))
    assert scalars(tmp_path, "loss/train") == [(1, 2.0), (2, 7.0)]


def test_without_tensorboard_there_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with BoardLog(tmp_path) as log:
        log.write(line(1))
    assert log.note == NO_BOARD
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lines", [(), (1,), (1, 2, 3)])
def test_a_drawing_is_made_of_any_number_of_epochs(tmp_path: Path, lines: tuple[int, ...]) -> None:
    from PIL import Image

    path = tmp_path / "curve.png"
    assert draw_curve([line(epoch) for epoch in lines], path) is None
    with Image.open(path) as image:
        assert image.size == (1000, 400)


def test_a_drawing_touches_nothing_global(tmp_path: Path) -> None:
    had_pyplot = "matplotlib.pyplot" in sys.modules
    draw_curve([line(1), line(2)], tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_without_matplotlib_there_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert draw_curve([line(1)], tmp_path / "curve.png") == NO_DRAWING


def test_a_terminal_gets_a_row_for_each_figure() -> None:
    rows = curve_in_characters([line(epoch) for epoch in (1, 2, 3)])
    assert rows[0] == "train loss              2 █▃▁ 0.6667"
    assert rows[2] == "top-1              50.0 % ▁▆█ 83.3 %"
    # Top-5 and AUC were not measured.
    assert len(rows) == 4


def test_many_epochs_fit_into_few_characters() -> None:
    rows = curve_in_characters([line(epoch) for epoch in range(1, 301)], columns=20)
    course = rows[0].split()[3]
    assert len(course) == 20
    # The last character is the last epoch.
    assert course[-1] == "▁"


def test_one_epoch_is_no_course_and_a_loss_that_is_no_number_is_left_out() -> None:
    assert curve_in_characters([line(1)]) == ()
    rows = curve_in_characters([line(1), line(2, train_loss=math.nan), line(3)])
    assert rows[0].split()[3] == "█▁"
