"""Several at once: commands that meet in one workspace, on one machine."""

from __future__ import annotations

from tests.faults.faults import fault
from tests.faults.place import MODEL, Place, has, promise
from tests.faults.workers import again, went_on

KIND = "Several at once"
LONG = ("--budget", "20s", "--precision-target", "0.01%")


@fault(KIND, "two runs in one workspace", often=True)
def two_runs(place: Place, number: int) -> str:
    first = place.start(*place.measured("--budget", "3s"))
    place.wait_for(place.resting, "a worker rests", first)
    second = place.start(*place.measured())
    one, other = first.ended(), second.ended()
    went_on(one)
    went_on(other)
    place.check({})
    runs = len(list(place.workspace.records_folder.iterdir()))
    promise(runs == 2, f"the records of {runs} runs")
    has(other.refusal, "measures on this machine since", "waiting until it ends")
    again(place, place.files())
    return "the second: process … measures on this machine since …: waiting until it ends"


@fault(KIND, "two runs, and kill -9 of the one that measures")
def the_first_is_killed(place: Place, number: int) -> str:
    first = place.start(*place.measured(*LONG))
    place.wait_for(place.resting, "a worker rests", first)
    second = place.start(*place.measured())
    place.wait_for(lambda: b"waiting" in second.errors.read_bytes(), "the second waits", second)
    before = place.files()
    first.kill()
    done = second.ended()
    went_on(done)
    place.check(before)
    again(place, place.files())
    return "the second goes on at once, and has its rows"


@fault(KIND, "two exports of one artifact")
def two_exports(place: Place, number: int) -> str:
    asked = ("export", "-w", place.workspace.root, "-m", MODEL, "-b", "onnx", "--force")
    both = [place.start(*asked), place.start(*asked)]
    for started in both:
        done = started.ended()
        promise(done.code == 0, f"exit code {done.code}: {done.refusal}")
        promise("Traceback" not in done.output + done.errors, "a traceback")
    place.check({})
    again(place, place.files())
    return "both are done; one whole artifact is there"
