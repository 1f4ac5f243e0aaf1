"""A training in a process of its own tells and refuses as if it were in this one."""

from __future__ import annotations

import io
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deploybench.children.processes import ChildOutcome
from deploybench.errors import DeployBenchError
from deploybench.training import apart
from deploybench.training.apart import train_apart
from deploybench.training.curve import EpochLine
from deploybench.training.events import (
    EpochEnded,
    Evaluating,
    ImagesRead,
    Remarked,
    StepMade,
    TrainingEvent,
    TrainingInterrupted,
    TrainingPlanned,
)
from deploybench.training.folder import read_record
from deploybench.training.recipe import recipe
from deploybench.training.request import TrainingRequest
from deploybench.training.state import state_path
from tests.apart import interrupt, run_apart

EVERY_EVENT: tuple[TrainingEvent, ...] = (
    ImagesRead(3, 10),
    TrainingPlanned(2, 20, 0, ("a note",)),
    StepMade(1, 1, 0.7, 12.5),
    Evaluating(1, 4, 8),
    EpochEnded(EpochLine(epoch=1, step=10, learning_rate=0.1, train_loss=0.5, seconds=1.0)),
    Remarked("ü"),
    TrainingInterrupted(Path("out"), 2, 11),
)


def images(root: Path) -> Path:
    for split in ("train", "val"):
        for number, name in enumerate(("dark", "light")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(8):
                pixels = np.full((32, 32, 3), 60 + 100 * number + index, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def request_for(data: Path, out: Path) -> TrainingRequest:
    return TrainingRequest(
        model="timm:test_resnet",
        data=data,
        out=out,
        recipe=recipe("default").with_changes({"epochs": 50, "batch": 2}),
        image_size=(32, 32),
        threads=1,
        resume=True,
    )


def test_every_event_arrives_as_it_was_told() -> None:
    stream = io.StringIO()
    writer = apart._Writer(stream)
    for event in EVERY_EVENT:
        writer.tell(event)
    assert {type(event).__name__ for event in EVERY_EVENT} == set(apart.KINDS)
    told: list[TrainingEvent] = []
    apart._Reader(io.StringIO(stream.getvalue()), told.append).read()
    assert tuple(told) == EVERY_EVENT


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path: Path) -> None:
    path = tmp_path / "events"
    told: list[TrainingEvent] = []
    with path.open("w") as writing, path.open() as reading:
        reader = apart._Reader(reading, told.append)
        writing.write('{"kind": "Remarked", "event": ')
        writing.flush()
        reader.read()
        assert told == []
        writing.write('{"words": "now"}}\n')
        writing.flush()
        reader.read()
    assert told == [Remarked("now")]


def test_steps_that_follow_each_other_closely_are_not_all_told() -> None:
    stream = io.StringIO()
    writer = apart._Writer(stream)
    for step in range(100):
        writer.tell(StepMade(1, step, 0.5, 1.0))
    assert len(stream.getvalue().splitlines()) < 5


def test_a_refusal_of_the_training_is_one_here(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(DeployBenchError) as refused:
        train_apart(request_for(missing, tmp_path / "out"), lambda event: None)
    assert str(missing) in refused.value.found
    assert refused.value.expected is not None


def test_a_process_that_is_killed_is_an_error_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = "killed by SIGKILL (often: out of memory)"
    outcome = ChildOutcome(None, cause, "")
    monkeypatch.setattr(apart, "run_child", lambda *_, **__: outcome)
    with pytest.raises(DeployBenchError, match="out of memory"):
        train_apart(request_for(tmp_path, tmp_path / "out"), lambda event: None)


def test_an_interrupt_ends_the_training_between_two_steps_with_its_state_on_the_disk(
    tmp_path: Path,
) -> None:
    data, out = images(tmp_path / "data"), tmp_path / "out"
    run_apart(interrupted_twice, data, out)
    record = read_record(out)
    assert record is not None
    assert not record.finished
    assert state_path(out).is_file()


def interrupted_twice(data: Path, out: Path) -> None:
    """Interrupts the training at its first step as timeout(1) does: the process, and at once its
    group."""
    timers: list[threading.Timer] = []

    def interrupted(event: TrainingEvent) -> None:
        if isinstance(event, StepMade):
            main = threading.main_thread().ident
            timers.append(threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)))
            timers[-1].start()
            signal.raise_signal(signal.SIGINT)

    # A shell starts what it puts in the background with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        train_apart(request_for(data, out), interrupted)
    assert len(timers) == 1


def test_two_interrupts_at_once_are_one_and_a_later_one_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [10.0]
    # Its own clock alone: other threads of this process go on with theirs.
    monkeypatch.setattr(apart, "time", SimpleNamespace(monotonic=lambda: now[0]))
    before = signal.getsignal(signal.SIGINT)
    with apart._Interrupts():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupt()
        now[0] += 2
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before
