"""The curve of a training: a line an epoch, kept as text, for TensorBoard, and drawn.

``epochs.jsonl`` is what counts: the other two are made from it. A kill in the middle of a line
costs that line, and a resumed training drops what comes after the epoch that it goes on from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError

from deploybench.documents import Document, first_error
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole, writing_whole
from deploybench.untrusted import read_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_FILE = "epochs.jsonl"
DRAWING_FILE = "curve.png"
NO_BOARD = 'no log for TensorBoard: it is not installed (pip install "deploybench[training]")'
NO_DRAWING = "no drawing of the curve: matplotlib is not installed (pip install matplotlib)"
LEVELS = "▁▂▃▄▅▆▇█"
"""From the least to the most of a figure, in a terminal."""
USUAL_COLUMNS = 40
"""With what stands beside them they fit into a line of 80."""


class EpochLine(Document):
    """What is known after an epoch. Shares are from 0 to 1; None where one is not defined."""

    # A loss that is no number any more is written as such, and reads back.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    epoch: int = Field(ge=1, description="epochs that are done")
    step: int = Field(ge=0, description="steps that are done, of all epochs")
    learning_rate: float = Field(description="that of the epoch's last step")
    train_loss: float = Field(description="mean over the epoch's steps, as it was minimised")
    eval_loss: float | None = None
    top1: float | None = None
    top5: float | None = None
    balanced_accuracy: float | None = None
    area: float | None = Field(
        default=None, description="macro mean of the areas under the ROC curves"
    )
    exact_match: float | None = Field(
        default=None, description="multi-label: images of which every label is right"
    )
    seconds: float = Field(ge=0, description="of the epoch, its evaluation included")
    best: bool = Field(default=False, description="better than every epoch before")


@dataclass(frozen=True)
class Series:
    """A figure by epoch: what it is called, in TensorBoard and in a drawing, and where it is."""

    tag: str
    name: str
    value: Callable[[EpochLine], float | None]
    share: bool = True


SERIES = (
    Series("loss/train", "train loss", lambda line: line.train_loss, share=False),
    Series("loss/eval", "eval loss", lambda line: line.eval_loss, share=False),
    Series("accuracy/top1", "top-1", lambda line: line.top1),
    Series("accuracy/top5", "top-5", lambda line: line.top5),
    Series("accuracy/balanced", "balanced accuracy", lambda line: line.balanced_accuracy),
    Series("accuracy/area", "AUC", lambda line: line.area),
    Series("accuracy/exact_match", "all labels right", lambda line: line.exact_match),
)
"""In the order in which they are shown."""
BESIDE = (
    Series("training/learning_rate", "learning rate", lambda line: line.learning_rate, share=False),
    Series("training/seconds", "seconds", lambda line: line.seconds, share=False),
)
"""For TensorBoard alone."""


def write_line(folder: Path, line: EpochLine) -> None:
    """Append a line to the folder's curve; it is on the disk when this returns.

    Raises DeployBenchError where it cannot be written.
    """
    path = folder / CURVE_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            # What a kill left of a line goes: a line behind it would be lost as well.
            stream.truncate(len(_whole(path)))
            stream.write(f"{line.model_dump_json()}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be written: {error.strerror or error}",
            action="free some space, or train into another folder with --out",
        ) from None


def read_curve(folder: Path) -> tuple[EpochLine, ...]:
    """The lines of the folder's curve; none where nothing is there yet.

    A last line that was cut short is left out. Raises DeployBenchError for any other that does not
    read, and for epochs that are not in order.
    """
    path = folder / CURVE_FILE
    lines: list[EpochLine] = []
    for number, text in enumerate(_whole_lines(folder), start=1):
        try:
            line = EpochLine.model_validate_json(text)
        except ValidationError as error:
            raise _damaged(path, number, first_error(error)) from None
        if lines and line.epoch <= lines[-1].epoch:
            raise _damaged(path, number, f"epoch {line.epoch} after epoch {lines[-1].epoch}")
        lines.append(line)
    return tuple(lines)


def cut_curve(folder: Path, epochs: int) -> tuple[EpochLine, ...]:
    """Drop the lines after so many epochs: the training goes on from there. What is left."""
    lines = read_curve(folder)
    kept = tuple(line for line in lines if line.epoch <= epochs)
    if kept != lines:
        text = "".join(f"{line.model_dump_json()}\n" for line in kept)
        write_whole(folder / CURVE_FILE, text)
    return kept


def _whole_lines(folder: Path) -> list[str]:
    """The lines that end as lines do."""
    return _whole(folder / CURVE_FILE).decode(errors="replace").splitlines()


def _whole(path: Path) -> bytes:
    """The file up to the end of its last whole line; nothing where it is not there."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror}", action="check the permissions"
        ) from None
    return content[: content.rfind(b"\n") + 1]


def _damaged(path: Path, number: int, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path}, line {number} is no line of a training's curve: {why}",
        expected="a line for each epoch, as deploybench train writes them",
        action="train into another folder, or remove this one",
    )


class BoardLog:
    """The curve for TensorBoard: event files in the training's folder, readable at any time.

    ``note`` says why there is none where the package is missing: nothing else depends on it. A
    resumed training says after how many epochs it goes on: TensorBoard forgets what came later.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        self.note: str | None = None
        self._writer: Any = None
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            self.note = NO_BOARD
            return
        purge = None
        if done:
            purge = done + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge)

    def write(self, line: EpochLine) -> None:
        """The figures of an epoch; its number is TensorBoard's step."""
        if self._writer is None:
            return
        for series in (*SERIES, *BESIDE):
            value = series.value(line)
            if value is not None:
                self._writer.add_scalar(series.tag, value, line.epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> BoardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def draw_curve(lines: Sequence[EpochLine], path: Path) -> str | None:
    """Draw the losses and the shares by epoch, as a PNG or whatever the path's suffix says.

    What it returns says why there is no drawing where matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return NO_DRAWING
    # Of its own, without pyplot: nothing global is touched, and no window is opened.
    figure = Figure(figsize=(10, 4), dpi=100, layout="constrained")
    losses, shares = figure.subplots(1, 2)
    for series in SERIES:
        axes = shares if series.share else losses
        _draw(axes, lines, series)
    losses.set_ylabel("loss")
    shares.set_ylabel("share")
    shares.set_ylim(0, 1)
    best = [line.epoch for line in lines if line.best]
    for axes in (losses, shares):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if best:
            axes.axvline(best[-1], color="black", linestyle=":", label=f"best, {best[-1]}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    with writing_whole(path, "folder with --out") as partial:
        figure.savefig(partial)
    return None


def _draw(axes: Axes, lines: Sequence[EpochLine], series: Series) -> None:
    points = _points(lines, series)
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    # A curve of one epoch is a point.
    marker = "o" if len(points) == 1 else None
    axes.plot(epochs, values, label=series.name, marker=marker)


def curve_in_characters(
    lines: Sequence[EpochLine], columns: int = USUAL_COLUMNS
) -> tuple[str, ...]:
    """The curve for a terminal, a row for each figure: its first value, its course in at most so
    many characters, its last value, each row from its least to its most.

    Where there are more epochs than characters, each stands for the last of its epochs.
    """
    rows = []
    for series in SERIES:
        values = [value for _, value in _points(lines, series)]
        if len(values) < 2:
            continue
        first, last = (_written(value, series) for value in (values[0], values[-1]))
        rows.append(f"{series.name:<17} {first:>7} {_course(values, columns)} {last}")
    return tuple(rows)


def _course(values: Sequence[float], columns: int) -> str:
    """The values as blocks of different heights."""
    width = min(columns, len(values))
    shown = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    least, most = min(shown), max(shown)
    if least == most:
        return LEVELS[0] * width
    highest = len(LEVELS) - 1
    return "".join(LEVELS[round((value - least) / (most - least) * highest)] for value in shown)


def _written(value: float, series: Series) -> str:
    if series.share:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}"


def _points(lines: Sequence[EpochLine], series: Series) -> list[tuple[int, float]]:
    """(epoch, value) where there is a value that can be drawn."""
    points = []
    for line in lines:
        value = series.value(line)
        if value is not None and abs(value) < float("inf"):
            points.append((line.epoch, value))
    return points
