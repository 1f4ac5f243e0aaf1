"""Faults of the command itself, which schedules and writes: killed, stopped, interrupted."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

from tests.faults.faults import declare, fault
from tests.faults.place import Place, promise, stop_tree
from tests.faults.workers import again, went_on

KIND = "The command"


def killed_in_run(place: Place, number: int, *, phase: str) -> str:
    """The command dies while a worker is in that phase."""
    place.fault(f"{phase}:wait")
    started = place.start(*place.measured())
    place.wait_for(place.reached.exists, f"a worker in {phase}", started)
    before = place.files()
    started.kill()
    place.check(before)
    again(place, before)
    return "nothing is left; the records that were finished are there"


for phase, when in {"import": "imports", "load": "loads", "parity": "is proved"}.items():
    name = f"kill -9 of run while a worker {when}"
    declare(KIND, name, partial(killed_in_run, phase=phase))


@fault(KIND, "kill -9 of run while its workers rest, stopped", often=True)
def killed_while_they_rest(place: Place, number: int) -> str:
    started = place.start(*place.measured("--budget", "20s", "--precision-target", "0.01%"))
    place.wait_for(lambda: len(place.resting()) >= 2, "two workers rest", started)
    time.sleep(random.Random(number).uniform(0, 0.5))
    before = place.files()
    started.kill()
    place.check(before)
    again(place, before)
    return "nothing is left, no stopped process either"


@fault(KIND, "kill -9 of run at any moment")
def killed_at_any_moment(place: Place, number: int) -> str:
    started = place.start(*place.measured())
    time.sleep(random.Random(number).uniform(0, 8))
    before = place.files()
    started.kill()
    place.check(before)
    again(place, before)
    return "nothing is left; the records that were finished are there"


@fault(KIND, "all processes of run stopped for some seconds, then continued")
def suspended(place: Place, number: int) -> str:
    started = place.start(*place.measured("--budget", "3s"))
    place.wait_for(place.resting, "a worker rests", started)
    resting = {process.pid for process in place.resting()}
    running = [process for process in place.family() if process.pid not in resting]
    stop_tree(running, signal.SIGSTOP)
    time.sleep(4)
    stop_tree(running, signal.SIGCONT)
    done = started.ended()
    went_on(done)
    place.check({})
    again(place, place.files())
    return "both rows, as without"


@fault(KIND, "Ctrl-C of run while its workers rest")
def interrupted(place: Place, number: int) -> str:
    started = place.start(*place.measured("--budget", "20s", "--precision-target", "0.01%"))
    place.wait_for(lambda: len(place.resting()) >= 2, "two workers rest", started)
    started.process.send_signal(signal.SIGINT)
    done = started.ended()
    promise(done.code == 130, f"exit code {done.code}")
    place.check({})
    again(place, place.files())
    return "exit code 130, and the rows of what was seen until then"
