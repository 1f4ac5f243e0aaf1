"""Faults of a worker: the process that loads an artifact and is measured."""

from __future__ import annotations

import random
from functools import partial

from tests.faults.faults import declare, fault
from tests.faults.place import IMPATIENT, Done, Place, has, promise

KIND = "A worker"
SETUP = {
    "import": "while it imports its runtime",
    "load": "while it loads the artifact",
    "first-call": "in its first call",
    "parity": "while it is proved",
}
CAUSES = {
    "kill": ("kill -9", "killed by SIGKILL"),
    "crash": ("a segmentation fault", "killed by SIGSEGV"),
    "raise": ("an exception", "the runtime is in a bad mood"),
}


def failed(done: Done, *words: str) -> str:
    """What the faulty runner's row says; the other runner has its number."""
    promise(done.code in (0, 1), f"exit code {done.code}: {done.refusal}")
    other = done.row("onnxruntime")
    promise(other["verdict"] not in ("FAILED", "INVALID"), f"the other cell is {other}")
    row = done.row("faulty")
    promise(row["verdict"] == "FAILED", f"{row['verdict']}: {row['reason']}")
    return f"FAILED: {has(row['reason'], *words)}"


def went_on(done: Done) -> None:
    """Both rows have a number."""
    promise(done.code == 0, f"exit code {done.code}: {done.refusal}")
    for row in done.rows:
        promise(row["verdict"] not in ("FAILED", "INVALID"), f"{row['runner']}: {row['reason']}")


def again(place: Place, before: dict[str, bytes]) -> None:
    """Without the fault the same command has both numbers, and nothing is lost by it."""
    place.mended()
    went_on(place.run(*place.measured()))
    place.check(before)


def every_time(place: Place, number: int, *, phase: str, how: str) -> str:
    """Each process of the cell meets the fault: the cell is a row with the cause."""
    place.fault(f"{phase}:{how}")
    done = place.run(*place.measured())
    sees = failed(done, CAUSES[how][1])
    place.check({})
    again(place, place.files())
    return sees


for how, (words, _) in CAUSES.items():
    for phase, when in SETUP.items():
        often = (how, phase) == ("kill", "load")
        name = f"{words} {when}"
        declare(KIND, name, partial(every_time, phase=phase, how=how), often=often)


@fault(KIND, "kill -9 of one process while it loads; others load")
def one_of_them(place: Place, number: int) -> str:
    place.fault("load:kill", once=True)
    done = place.run(*place.measured())
    place.check({})
    row = done.row("faulty")
    again(place, place.files())
    return f"{row['verdict']}: {row['reason']}"


def visited(place: Place, number: int, *, how: str, first: bool) -> str:
    """From a visit on every call meets the fault."""
    place.fault(f"call:{how}", armed=False)
    module = IMPATIENT if how == "wait" else "deploybench"
    started = place.start(*place.measured("--budget", "3s"), module=module)
    place.wait_for(place.resting, "a worker rests", started)
    if not first:
        place.wait_for(lambda: len(place.resting()) >= 2, "two workers rest", started)
    place.armed.touch()
    done = started.ended()
    words = {"wait": "time limit", **{how: words for how, (_, words) in CAUSES.items()}}
    sees = failed(done, words[how])
    place.check({})
    again(place, place.files())
    return sees


declare(KIND, "kill -9 in its first visit", partial(visited, how="kill", first=True))
declare(KIND, "kill -9 in a visit", partial(visited, how="kill", first=False))
declare(KIND, "a segmentation fault in a visit", partial(visited, how="crash", first=False))
declare(KIND, "a call that never returns, in a visit", partial(visited, how="wait", first=False))


@fault(KIND, "a load that never returns")
def hangs(place: Place, number: int) -> str:
    place.fault("load:wait")
    done = place.run(*place.measured(), module=IMPATIENT)
    sees = failed(done, "time limit")
    place.check({})
    again(place, place.files())
    return sees


@fault(KIND, "kill -9 while it rests", often=True)
def resting(place: Place, number: int) -> str:
    started = place.start(*place.measured("--budget", "3s"))
    place.wait_for(lambda: len(place.resting()) >= 2, "two workers rest", started)
    chosen = random.Random(number).choice(place.resting())
    chosen.kill()
    done = started.ended()
    went_on(done)
    place.check({})
    again(place, place.files())
    return "another process takes its place: " + ", ".join(
        f"{row['runner']} {row['verdict']}" for row in done.rows
    )


@fault(KIND, "more memory than there may be (ulimit -v 16 GiB)")
def out_of_memory(place: Place, number: int) -> str:
    place.fault("load:memory")
    limited = ("prlimit", f"--as={16 << 30}")
    done = place.run(*place.measured(), before=limited)
    sees = failed(done, "out of memory")
    place.check({})
    again(place, place.files())
    return sees


@fault(KIND, "children in sessions of their own, which outlive it", often=True)
def forks(place: Place, number: int) -> str:
    place.fault("load:fork")
    done = place.run(*place.measured())
    went_on(done)
    place.check({})
    again(place, place.files())
    return "its row; its children are gone when the command ends"
