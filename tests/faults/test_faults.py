"""Faults of every kind, tried once with real commands: ``python -m benchmarks.faults`` does more.

What each of them tries stands in ``tests/faults/workers.py`` and beside it; ``docs/reliability.md``
is the table of all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploybench.files import write_whole
from tests.faults.damage import damages
from tests.faults.faults import Fault, all_faults
from tests.faults.place import ROOT, BrokenPromiseError, NotHereError, Place, prepare
from tests.known_peaks import know_peaks

OFTEN = [fault for fault in all_faults() if fault.often]
ALONE = {"two runs in one workspace"}
"""Faults with nothing beside them: here the second run has to come while the first measures."""

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="kill -9 is POSIX's")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("prepared"))
    know_peaks(folder / "cache" / "deploybench")
    return folder


@pytest.fixture
def place(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    # A short name: the paths of the sockets in it have 107 characters at most.
    made = Place(tmp_path_factory.mktemp("f"), prepared)
    yield made
    made.close()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            id=f"{fault.kind}: {fault.name}",
            marks=[pytest.mark.measures] if fault.name in ALONE else [],
        )
        for fault in OFTEN
    ],
)
def test_nothing_is_lost_and_the_cause_is_said_when(fault: Fault, place: Place) -> None:
    try:
        sees = fault.try_it(place, 0)
    except NotHereError as reason:
        pytest.skip(str(reason))
    assert sees


def test_faults_have_names_of_their_own() -> None:
    names = [fault.name for fault in all_faults()]
    assert len(set(names)) == len(names)
    assert set(names) >= ALONE


def test_commands_hear_an_interrupt_also_where_the_harness_was_told_to_ignore_it() -> None:
    """As the shell tells a job in its background."""
    program = (
        "import signal, subprocess, sys; from tests.faults.place import hear_interrupts; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); hear_interrupts(); "
        "child = 'import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)'; "
        "subprocess.run([sys.executable, '-c', child])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_damage_is_done_at_every_class_of_offsets() -> None:
    done = dict(damages(bytes(range(1, 256)) * 10, 0))
    assert len(done) == 1 + 3 * 6
    assert b"" in done.values()
    assert all(content != bytes(range(1, 256)) * 10 for content in done.values())


def test_harness_sees_what_is_left_behind_and_what_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A harness that notices nothing would pass every fault."""
    monkeypatch.setattr("tests.faults.place.PATIENCE_S", 0.5)
    kept = place.workspace.records_folder / "run" / "x.json"
    write_whole(kept, '{"complete": true}')
    before = place.files()
    place.check(before)
    (kept.parent / ".partial-1-x.json").touch()
    with pytest.raises(BrokenPromiseError, match="partial-1"):
        place.check(before)
    (kept.parent / ".partial-1-x.json").unlink()
    kept.write_text('{"complete": true, "p50_ms": 1}')
    with pytest.raises(BrokenPromiseError, match="lost or changed"):
        place.check(before)
    kept.unlink()
    with pytest.raises(BrokenPromiseError, match="lost or changed"):
        place.check(before)
    place.run(module="tests.faults.orphans")
    with pytest.raises(BrokenPromiseError, match="process"):
        place.check({})
