"""Faults of the wall clock: it is stepped while a run measures, for the run's processes alone. The
monotonic clock stays as it is, as it does under a time server."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.faults.faults import declare
from tests.faults.place import LONGEST_S, PLUGINS, NotHereError, Place, promise
from tests.faults.workers import again, went_on

KIND = "The wall clock"
SOURCE = PLUGINS / "wall_clock.c"
LONGEST_LATENCY_MS = 10_000.0
DAY_S = 24 * 3600


def library(folder: Path) -> Path:
    """What moves the wall clock of a process. Raises NotHereError where it cannot be built."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        raise NotHereError("there is no C compiler to build a clock of one's own with")
    path = folder / "wall_clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHereError(f"a clock of one's own does not compile: {done.stderr[-200:]}")
    return path


def step(clock: Path, seconds: int) -> None:
    """Move the clock, in place: the processes have the file mapped."""
    with clock.open("r+b") as stream:
        stream.write(struct.pack("=q", seconds))


def wall_s(place: Place, environment: dict[str, str]) -> float:
    """What a process of the place takes for the time."""
    program = "import time; print(time.time())"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**place.environment, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(said.stdout)


def stepped(place: Place, number: int, *, seconds: int) -> str:
    """The clock is stepped while workers rest."""
    clock = place.folder / "clock"
    clock.write_bytes(bytes(8))
    environment = {"LD_PRELOAD": str(library(place.folder)), "WALL_CLOCK": str(clock)}
    before_s = wall_s(place, environment)
    started = place.start(*place.measured("--budget", "3s"), environment=environment)
    place.wait_for(place.resting, "a worker rests", started)
    step(clock, seconds)
    seen_s = wall_s(place, environment) - before_s
    promise(abs(seen_s - seconds) < LONGEST_S, f"the clock moved by {seen_s:.0f} s")
    done = started.ended()
    went_on(done)
    for row in done.rows:
        # An undisturbed time there may be none, beside others; what was met is a time by the clock.
        latency = row["experienced_p50_ms"]
        promise(0 < latency < LONGEST_LATENCY_MS, f"a latency of {latency} ms")
    place.check({})
    again(place, place.files())
    return "both rows, as without"


for seconds, words in {-DAY_S: "a day back", DAY_S: "a day forth", -2: "two seconds back"}.items():
    name = f"stepped {words} while a run measures"
    declare(KIND, name, partial(stepped, seconds=seconds))
