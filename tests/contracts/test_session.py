"""What the base classes promise, whatever the backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploybench.contracts import Arrays, Bound, Runner, RunOptions, Session, SessionFacts
from deploybench.errors import DeployBenchError

SHAPE = (2, 3, 4, 4)
INPUTS = {"input": np.zeros(SHAPE, np.float32)}


class Recorder(Session):
    """Notes what it is asked to do. Its own ``_compiled`` is none of the base's business."""

    def __init__(self) -> None:
        super().__init__({"input": SHAPE})
        self._compiled = "a name that a backend may well use"
        self.done: list[str] = []

    def _compile(self) -> None:
        self.done.append("compile")

    def _infer(self, inputs: Arrays) -> Arrays:
        self.done.append("infer")
        return {}

    def facts(self) -> SessionFacts:
        return SessionFacts("fp32", 1, "recorder", "cpu")


class BoundRecorder(Recorder):
    def _bind(self, inputs: Arrays) -> Bound:
        self.done.append("bind")
        return Bound(lambda: None, lambda: {})


def options(threads: int, streams: int) -> RunOptions:
    return RunOptions(device="cpu", threads=threads, precision="fp32", batch=1, streams=streams)


def test_session_compiles_once_when_asked_to_more_than_once() -> None:
    session = BoundRecorder()
    session.compile()
    session.compile()
    session.infer(INPUTS)
    session.bind(INPUTS)
    assert session.done == ["compile", "infer", "bind"]


@pytest.mark.parametrize("call", ["infer", "bind"])
def test_session_compiles_before_its_first_call_when_nobody_asked_it_to(call: str) -> None:
    session = BoundRecorder()
    for _ in range(2):
        getattr(session, call)(INPUTS)
    assert session.done == ["compile", call, call]


@pytest.mark.parametrize("call", ["infer", "bind"])
def test_session_names_what_differs_when_inputs_do_not_fit(call: str) -> None:
    session = BoundRecorder()
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\).*expects.*\(2, 3, 4, 4\)"):
        getattr(session, call)({"input": np.zeros((1, 3, 4, 4), np.float32)})
    assert session.done == []


def test_bind_says_so_when_a_backend_has_no_engine_only_calls() -> None:
    with pytest.raises(NotImplementedError, match="Recorder"):
        Recorder().bind(INPUTS)


@pytest.mark.parametrize(("threads", "streams"), [(2, 3), (1, 0), (1, 2), (4, -1)])
def test_streams_are_refused_when_there_is_no_thread_for_each(threads: int, streams: int) -> None:
    with pytest.raises(
        DeployBenchError,
        match=f"{streams} streams? on {threads} threads?.*fewer streams or more threads",
    ):
        options(threads, streams)


@pytest.mark.parametrize(
    ("threads", "streams", "each"), [(1, 1, 1), (8, 1, 8), (8, 4, 2), (7, 2, 3), (4, 4, 1)]
)
def test_streams_share_the_budget_and_leave_a_remainder_idle(
    threads: int, streams: int, each: int
) -> None:
    class Plain(Runner):
        """Knows nothing of streams."""

        loaded: list[RunOptions]

        def load(self, artifact: Any, options: RunOptions) -> Session:
            self.loaded.append(options)
            return Recorder()

    runner = Plain()
    runner.loaded = []
    artifact: Any = None
    sessions = runner.load_streams(artifact, options(threads, streams))
    assert len(set(sessions)) == streams
    assert runner.loaded == [options(each, 1)] * streams
    assert options(threads, streams).threads_each == each


def test_session_that_forgets_its_base_is_told_what_to_call() -> None:
    class Forgetful(Recorder):
        def __init__(self) -> None:
            self.done = []

    with pytest.raises(TypeError, match=r"Forgetful.__init__ .*batch_shape"), Forgetful():
        pass
