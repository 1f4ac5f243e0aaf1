"""A training in a process of its own, whose events arrive here as if it were not.

What measures afterwards then stands beside no torch, no threads and no memory of a training; and a
training that is killed for want of memory is an error of that one model. The child is run as
``python -m deploybench.training.apart REPLY``. It writes its events to a file, a line of JSON each,
which the parent reads as it grows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, get_args

from pydantic import TypeAdapter

from deploybench.children.family import scratch_folder
from deploybench.children.processes import (
    ChildOutcome,
    die_with_parent,
    finish,
    run_child,
    stop_children,
)
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.training.events import StepMade, TrainingEvent
from deploybench.training.request import TrainingRequest
from deploybench.training.stopping import HeardSignals

MODULE = "deploybench.training.apart"
JOB = "DEPLOYBENCH_TRAINING"
"""The variable that names the folder of the job. A file, not standard input: where several devices
train, the processes of the others are started by the same command again, and read it too."""
REQUEST, EVENTS = "request.json", "events.jsonl"
LONGEST_S = 60 * 24 * 3600.0
"""How long a training takes nobody knows; it shows that it lives."""
LOOK_EVERY_S = 0.2
FEWEST_S_BETWEEN_STEPS = 0.2
"""Steps are told no more often than they are looked for."""
TO_SAVE_S = 60.0
"""A training that is asked to stop ends its step and writes its state in this time, or is killed:
then it goes on from an earlier state."""
ONE_INTERRUPT_S = 1.0
"""Interrupts that come together are one: timeout(1) sends its signal to a process and to its
group."""
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(TrainingEvent)}

Tell = Callable[[TrainingEvent], None]


class Reply(Document):
    """How the training ended: the three parts of a refusal, an interrupt, or neither."""

    found: str | None = None
    expected: str | None = None
    action: str | None = None
    interrupted: bool = False


def train_apart(request: TrainingRequest, tell: Tell) -> None:
    """Train in a process of its own; what comes of it is in the request's folder.

    Raises DeployBenchError as :func:`deploybench.training.job.train` does, and for a process that
    dies; KeyboardInterrupt when this process is interrupted, after the training wrote its state.
    """
    with scratch_folder() as folder:
        request_text = TypeAdapter(TrainingRequest).dump_json(request)
        (folder / REQUEST).write_bytes(request_text)
        events = folder / EVENTS
        events.touch()
        outcome = _watched(folder, events, tell)
    if outcome.reply is None:
        raise DeployBenchError(
            f"the training died: {outcome.error}",
            expected="a process that ends by itself",
            action="the same command goes on from its last state; a smaller batch takes less "
            "memory",
        )
    reply = Reply.model_validate_json(outcome.reply)
    if reply.interrupted:
        raise KeyboardInterrupt
    if reply.found is not None:
        raise DeployBenchError(reply.found, expected=reply.expected, action=reply.action)


def main() -> None:
    """Train as the job says; the reply goes to the path in the first argument."""
    die_with_parent()
    # What this process is asked to do by a signal is the training's to hear, from the start.
    from deploybench.training.devices import is_first_process
    from deploybench.training.job import train

    folder = Path(os.environ[JOB])
    request = TypeAdapter(TrainingRequest).validate_json((folder / REQUEST).read_bytes())
    if not is_first_process(request.devices):
        train(request)
        return
    with (folder / EVENTS).open("a", encoding="utf-8") as stream:
        _write_line(stream, {"process": os.getpid()})
        try:
            train(request, _Writer(stream).tell)
            reply = Reply()
        except DeployBenchError as error:
            reply = Reply(found=error.found, expected=error.expected, action=error.action)
        except KeyboardInterrupt:
            reply = Reply(interrupted=True)
    finish(reply.model_dump_json())


class _Writer:
    """Writes the events; of steps that follow each other closely not every one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._step_told = float("-inf")

    def tell(self, event: TrainingEvent) -> None:
        if isinstance(event, StepMade):
            now = time.monotonic()
            if now - self._step_told < FEWEST_S_BETWEEN_STEPS:
                return
            self._step_told = now
        content = TypeAdapter(type(event)).dump_python(event, mode="json")
        _write_line(self._stream, {"kind": type(event).__name__, "event": content})


class _Reader:
    """Reads what the child wrote since, and hands the events on."""

    def __init__(self, stream: TextIO, tell: Tell) -> None:
        self._stream = stream
        self._tell = tell
        self._begun = ""
        self.process: int | None = None

    def read(self) -> None:
        for part in iter(self._stream.readline, ""):
            # The child may be in the middle of a line.
            self._begun += part
            if self._begun.endswith("\n"):
                self._take(json.loads(self._begun))
                self._begun = ""

    def _take(self, line: dict[str, Any]) -> None:
        if "process" in line:
            self.process = line["process"]
        else:
            self._tell(TypeAdapter(KINDS[line["kind"]]).validate_python(line["event"]))


def _watched(folder: Path, events: Path, tell: Tell) -> ChildOutcome:
    """Run the child in a thread of this process, and read meanwhile what it writes."""
    outcomes: list[ChildOutcome | DeployBenchError] = []

    def work() -> None:
        try:
            outcome = run_child(MODULE, "", time_limit_s=LONGEST_S, environment={JOB: str(folder)})
            outcomes.append(outcome)
        except DeployBenchError as error:
            outcomes.append(error)

    thread = threading.Thread(target=work)
    with _Interrupts(), events.open(encoding="utf-8") as stream:
        reader = _Reader(stream, tell)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(LOOK_EVERY_S)
                reader.read()
        except BaseException:
            _end(thread, reader.process)
            raise
        reader.read()
    (outcome,) = outcomes
    if isinstance(outcome, DeployBenchError):
        raise outcome
    return outcome


def _end(thread: threading.Thread, process: int | None) -> None:
    """Ask the training to stop, and wait until its state is written; then end what is left."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)
        # A second Ctrl-C is meant: then it is not waited for.
        with contextlib.suppress(KeyboardInterrupt):
            thread.join(TO_SAVE_S)
    stop_children()
    thread.join()


class _Interrupts(HeardSignals):
    """Hears signals that come together as one."""

    def __init__(self) -> None:
        super().__init__()
        self._heard_at = float("-inf")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        together = now - self._heard_at < ONE_INTERRUPT_S
        self._heard_at = now
        if not together:
            self._before[signal.Signals(number)](number, frame)


def _write_line(stream: TextIO, content: dict[str, Any]) -> None:
    stream.write(json.dumps(content) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
    sys.exit(0)
