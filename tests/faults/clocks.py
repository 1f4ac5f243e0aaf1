"""Faults of the wall clock: it is stepped while a run measures. libfaketime steps it for the run's
processes alone, and leaves the monotonic clock as it is: as a time server does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.faults.faults import declare
from tests.faults.place import NotHereError, Place, promise
from tests.faults.workers import again, went_on

KIND = "The wall clock"
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
LONGEST_LATENCY_MS = 10_000.0


def library() -> Path:
    """libfaketime. Raises NotHereError where it is not installed."""
    for pattern in LIBRARIES:
        for path in Path("/").glob(pattern[1:]):
            return path
    raise NotHereError("libfaketime is not installed (Debian: apt-get install libfaketime)")


def stepped(place: Place, number: int, *, step: str) -> str:
    """The clock is stepped while workers rest."""
    clock = place.folder / "clock"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    started = place.start(*place.measured("--budget", "3s"), environment=environment)
    place.wait_for(place.resting, "a worker rests", started)
    clock.write_text(f"{step}\n")
    done = started.ended()
    went_on(done)
    for row in done.rows:
        latency = row["p50_ms"]
        promise(0 < latency < LONGEST_LATENCY_MS, f"a latency of {latency} ms")
    place.check({})
    again(place, place.files())
    return "both rows, as without"


for step, words in {"-1d": "a day back", "+1d": "a day forth", "-2s": "two seconds back"}.items():
    name = f"stepped {words} while a run measures"
    declare(KIND, name, partial(stepped, step=step), often=step == "-1d")
