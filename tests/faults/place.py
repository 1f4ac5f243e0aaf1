"""Where a fault happens: a workspace of its own, commands as a user types them, and what is left.

Every process that a command starts, and whatever those start, carries the place's mark in its
environment, and puts its temporary files into the place's folder: so what outlives a command is
found, also where it made a session of its own and lost its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from deploybench.artifacts.signature import sign
from deploybench.artifacts.workspace import Workspace
from deploybench.files import STAGING_PREFIX

MARK = "DEPLOYBENCH_FAULTS_PLACE"
PLUGINS = Path(__file__).parent / "plugins"
IMPATIENT = "tests.faults.impatient"
"""The command line with short time limits."""
ROOT = Path(__file__).parents[2]
MODEL = "timm:test_efficientnet"
KEPT = ROOT / "tests" / "fixtures" / "first-schema" / "artifacts"
"""A small real artifact that is there already: no try has to wait for an export."""
PATIENCE_S = 20.0
"""What a survivor gets to be gone; the machine may be busy with other tests."""
LONGEST_S = 300.0
"""A command that takes longer hangs."""
QUICK = ("--duration", "20ms", "--no-canary", "--precision-target", "50%")
"""Of a run: what is asked for here is never a number."""


class BrokenPromiseError(AssertionError):
    """A fault left something behind, or took something away."""


class NotHereError(Exception):
    """This machine cannot have the fault; the text says why."""


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of its JSON."""
        return json.loads(self.output)

    def row(self, runner: str) -> dict[str, Any]:
        """The row of a runner."""
        (found,) = [row for row in self.rows if row["runner"] == runner]
        return found

    @property
    def refusal(self) -> str:
        """What it refused with, on one line; all that it told where it refused nothing."""
        told = " ".join(self.errors.split())
        _, sign, words = told.rpartition("error: ")
        return words if sign else told


@dataclass
class Started:
    """A command that runs; what it prints goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def kill(self) -> None:
        """``kill -9``, of this process alone."""
        self.process.kill()
        self.process.wait()

    def ended(self, within_s: float = LONGEST_S) -> Done:
        """Wait for its end. Raises BrokenPromiseError where that does not come."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokenPromiseError(f"it hangs: {self.errors.read_text()[-400:]}") from None
        output = self.output.read_text("utf-8", errors="replace")
        return Done(code, output, self.errors.read_text("utf-8", errors="replace"))


@dataclass
class Place:
    """A folder for one fault. ``prepared`` holds what all of them begin with."""

    folder: Path
    prepared: Path
    environment: dict[str, str] = field(default_factory=dict)
    _commands: int = 0

    def __post_init__(self) -> None:
        self.workspace = Workspace(self.folder / "workspace")
        shutil.copytree(self.prepared / "artifacts", self.workspace.artifacts_folder)
        shutil.copytree(self.prepared / "cache", self.folder / "cache")
        self._know_peaks()
        self.armed = self.folder / "armed"
        self.reached = self.folder / "reached"
        (self.folder / "t").mkdir()
        search = [str(PLUGINS), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            MARK: str(self.folder),
            "TMPDIR": str(self.folder / "t"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PYTHONPATH": os.pathsep.join(entry for entry in search if entry),
            "DEPLOYBENCH_FAULT_ARMED": str(self.armed),
            "OMP_NUM_THREADS": "1",
        }

    def _know_peaks(self) -> None:
        """The machine's peaks are known from just now, by nobody disturbed: no command looks for
        them for seconds, however old the prepared ones are and whatever else the machine does."""
        for path in (self.folder / "cache" / "deploybench").glob("peaks-*.json"):
            *earlier, last = json.loads(path.read_bytes())
            now = datetime.now(timezone.utc).isoformat()
            path.write_text(json.dumps([*earlier, {**last, "at": now, "disturbed": None}]))

    def fault(self, fault: str, *, armed: bool = True, once: bool = False) -> None:
        """What goes wrong in the plug-ins from now on: ``PHASE:HOW``."""
        self.environment["DEPLOYBENCH_FAULT"] = fault
        self.environment["DEPLOYBENCH_FAULT_ONCE"] = "1" if once else ""
        if armed:
            self.armed.touch()

    def mended(self) -> None:
        """Nothing goes wrong any more."""
        self.armed.unlink(missing_ok=True)
        self.reached.unlink(missing_ok=True)

    # Commands

    def start(
        self,
        *arguments: str | Path,
        module: str = "deploybench",
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Started:
        """``python -m deploybench ARGUMENTS``, after the words of another command if there are."""
        self._commands += 1
        hear_interrupts()
        output = self.folder / f"output-{self._commands}"
        errors = self.folder / f"errors-{self._commands}"
        command = [*before, sys.executable, "-m", module, *map(str, arguments)]
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                command,
                env={**self.environment, **(environment or {})},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return Started(process, output, errors)

    def run(self, *arguments: str | Path, **how: Any) -> Done:
        """A command from its beginning to its end, without a traceback."""
        done = self.start(*arguments, **how).ended()
        promise("Traceback" not in done.output + done.errors, f"a traceback: {done.errors[-600:]}")
        return done

    def measured(self, *more: str, runners: str = "faulty,onnxruntime") -> tuple[str, ...]:
        """The words of a quick run of both runners on the prepared artifact."""
        here = ("run", "-w", str(self.workspace.root), "-r", runners, "--json", "--threads", "1")
        budget = () if "--budget" in more or "--rounds" in more else ("--budget", "1s")
        return (*here, *QUICK, *budget, *more)

    # What is there

    def family(self, word: str = "") -> list[psutil.Process]:
        """The living processes of this place whose command line has that word."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                marked = process.environ().get(MARK) == str(self.folder)
                if marked and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def resting(self) -> list[psutil.Process]:
        """The workers that are stopped now."""
        found = []
        for process in self.family("resident_worker"):
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_STOPPED:
                    found.append(process)
        return found

    def wait_for(self, condition: Callable[[], object], what: str, started: Started) -> None:
        """Wait until something is so; the command must not end before."""
        end = time.monotonic() + LONGEST_S
        while not condition():
            if started.process.poll() is not None:
                words = started.errors.read_text(errors="replace")[-600:]
                raise BrokenPromiseError(f"it ended before {what}: {words}")
            promise(time.monotonic() < end, f"never: {what}")
            time.sleep(0.01)

    def files(self) -> dict[str, bytes]:
        """The workspace's finished documents by path: records, manifests."""
        found = {}
        for path in sorted(self.workspace.root.rglob("*.json")):
            if path.name.startswith(".") or STAGING_PREFIX in str(path):
                continue
            content = path.read_bytes()
            if b'"complete":false' in content.replace(b" ", b""):
                continue
            found[str(path.relative_to(self.workspace.root))] = content
        return found

    def partial(self) -> list[Path]:
        """Files and folders under temporary names: in the workspace, and among temporary files."""
        left = []
        # os.walk passes over a folder that goes while it looks; rglob raises.
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                if name.startswith(STAGING_PREFIX):
                    left.append(Path(folder, name))
        return [*left, *(self.folder / "t").glob("deploybench-*")]

    def remains(self) -> list[str]:
        """What is still there once there was time for it to go."""
        end = time.monotonic() + PATIENCE_S
        while True:
            left = [f"process {words}" for words in self._processes()]
            left += [f"file {path.relative_to(self.folder)}" for path in self.partial()]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.05)

    def _processes(self) -> Iterator[str]:
        """The commands of those that still run."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                yield " ".join(process.cmdline())

    def check(self, before: Mapping[str, bytes]) -> None:
        """The promises: nothing finished is lost or changed, and nothing is left behind.

        Raises BrokenPromiseError.
        """
        left = self.remains()
        promise(not left, f"left behind: {left}")
        after = self.files()
        lost = [name for name, content in before.items() if after.get(name) != content]
        promise(not lost, f"finished files that were lost or changed: {lost}")

    def close(self) -> None:
        """End whatever is left."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()


def hear_interrupts() -> None:
    """Children hear Ctrl-C, also those of a shell's background job: such a shell has its jobs
    ignore it, and who ignores a signal hands that on. One that is handled is at its default in a
    new program."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def promise(kept: object, otherwise: str) -> None:
    """Raise BrokenPromiseError unless something is so."""
    if not kept:
        raise BrokenPromiseError(otherwise)


def has(text: str, *words: str) -> str:
    """The text, which must have all of the words."""
    for word in words:
        promise(word in text, f"{word!r} is not in {text!r}")
    return text


def prepare(folder: Path) -> Path:
    """Make what every place begins with: an artifact, and a cache in which the machine's peaks
    are."""
    (artifact,) = KEPT.glob("*/onnx-*")
    copied = folder / "artifacts" / artifact.parent.name / artifact.name
    shutil.copytree(artifact, copied)
    sign(copied, "made")
    (folder / "cache").mkdir()
    first = folder / "first"
    first.mkdir()
    place = Place(first, folder)
    try:
        done = place.run(*place.measured("--rounds", "1", runners="onnxruntime"))
        promise(done.code == 0, f"the run without a fault failed: {done.errors}")
    finally:
        place.close()
    shutil.rmtree(folder / "cache")
    shutil.copytree(first / "cache", folder / "cache")
    shutil.rmtree(first)
    return folder


def stop_tree(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to all of them."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
