"""Faults of an export: the process in which an exporter works, and the command above it."""

from __future__ import annotations

from functools import partial

from tests.faults.faults import declare, fault
from tests.faults.place import MODEL, Place, has, promise

KIND = "An export"
CAUSES = {
    "export:kill": ("kill -9 of the exporter", "killed by SIGKILL"),
    "export:crash": ("a segmentation fault in the exporter", "killed by SIGSEGV"),
    "exported:kill": ("kill -9 of the exporter after it wrote its files", "killed by SIGKILL"),
    "export:memory": ("more memory than there may be, in the exporter", "memory"),
    "export:print-and-raise": ("an exporter that prints 100 MB and raises", "printed 100 MB"),
}


def asked(place: Place, *more: str) -> tuple[str, ...]:
    """Two backends; the artifact of one of them is there."""
    root = str(place.workspace.root)
    return ("export", "-w", root, "-m", MODEL, "-b", "onnx,faulty", "--json", *more)


def again(place: Place, before: dict[str, bytes]) -> None:
    """Without the fault the same command exports what is missing, and nothing else."""
    place.mended()
    done = place.run(*asked(place))
    promise(done.code == 0, f"exit code {done.code}: {done.output} {done.refusal}")
    by_backend = {row["backend"]: row for row in done.rows}
    promise(by_backend["faulty"]["verified"], f"{by_backend['faulty']}")
    place.check(before)


def broken(place: Place, number: int, *, how: str) -> str:
    place.fault(how)
    before = place.files()
    limited = ("prlimit", f"--as={32 << 30}") if how.endswith("memory") else ()
    done = place.run(*asked(place), before=limited)
    promise(done.code == 1, f"exit code {done.code}")
    (row,) = [row for row in done.rows if row["backend"] == "faulty"]
    sees = has(str(row["error"]), CAUSES[how][1])
    promise(len(done.output) < 100_000, "what the exporter printed is in the row")
    place.check(before)
    again(place, before)
    return sees[:300]


for how, (words, _) in CAUSES.items():
    declare(KIND, words, partial(broken, how=how))


@fault(KIND, "an exporter that never returns")
def hangs(place: Place, number: int) -> str:
    place.fault("export:wait")
    before = place.files()
    done = place.run(*asked(place, "--time-limit", "10s"))
    (row,) = [row for row in done.rows if row["backend"] == "faulty"]
    sees = has(str(row["error"]), "stopped after the time limit of 10 s")
    place.check(before)
    again(place, before)
    return sees


@fault(KIND, "an exporter that prints 100 MB, and works")
def prints(place: Place, number: int) -> str:
    place.fault("export:print")
    before = place.files()
    done = place.run(*asked(place))
    promise(done.code == 0, done.refusal)
    promise(len(done.output + done.errors) < 100_000, "what the exporter printed is shown")
    place.check(before)
    again(place, before)
    return "its row; what it printed is not shown"


@fault(KIND, "an exporter whose children outlive it")
def forks(place: Place, number: int) -> str:
    place.fault("export:fork")
    before = place.files()
    done = place.run(*asked(place))
    promise(done.code == 0, done.refusal)
    place.check(before)
    again(place, before)
    return "its row; its children are gone when the command ends"


def killed(place: Place, number: int, *, phase: str) -> str:
    place.fault(f"{phase}:wait")
    before = place.files()
    started = place.start(*asked(place))
    place.wait_for(place.reached.exists, f"the exporter is at {phase}", started)
    started.kill()
    place.check(before)
    again(place, before)
    return "nothing is left; the artifacts that were finished are there"


for phase, when in {"export": "before the files", "exported": "after the files"}.items():
    name = f"kill -9 of the command in an export, {when}"
    declare(KIND, name, partial(killed, phase=phase), often=phase == "exported")
