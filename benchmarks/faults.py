"""Makes every fault of tests/faults with real commands, and writes the table of them.

Each is tried in a workspace of its own with a small real artifact: what a process, a disk, a clock
or a file may do while a command works. After each try it is looked for what was lost (finished
records and artifacts), what stayed (processes, partial files, temporary folders), whether the cause
was said, and whether the same command then did what was missing. A fault that breaks one of these
promises is written as BROKEN with what it broke, and the exit code is 1.

    python -m benchmarks.faults [--out docs/reliability.md] [--times 3] [--only TEXT] [--anew]

Tries of several calls add up, so that a long table can be made piece by piece: the rows of faults
that a call leaves out stay as they are, and those of faults that it tries again count both. A
BROKEN row stays so, however often it holds later: ``--anew``, for what was mended, forgets the
earlier tries of the faults that are tried.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from benchmarks.trust import cell, written_between
from deploybench.files import write_whole
from deploybench.plurals import counted
from tests.faults.faults import Fault, all_faults
from tests.faults.place import BrokenPromiseError, NotHereError, Place, prepare

PAGE = Path("docs/reliability.md")
BEGIN = "<!-- faults: written by python -m benchmarks.faults -->"
END = "<!-- end of the faults -->"
MOST_LETTERS = 200
BROKEN = "**BROKEN**"
ROW = re.compile(r"\| (?P<name>.+?) \| (?P<times>\d+) \| (?P<lost>.+?) \| .+ \|")


@dataclass
class Tried:
    """What came of one fault: how often it was tried, what a user saw, what was broken."""

    fault: Fault
    times: int = 0
    sees: str = ""
    broken: list[str] = field(default_factory=list)
    not_here: str | None = None

    @property
    def row(self) -> str:
        """The fault as a row of Markdown's table."""
        lost = "nothing"
        if self.broken:
            lost = f"{BROKEN} {counted(len(self.broken), 'time')}: {self.broken[0]}"
        if self.not_here is not None:
            lost = "not tried"
        words = (self.fault.name, str(self.times), lost, self.sees or self.not_here or "–")
        return "| " + " | ".join(cell(word) for word in words) + " |"


def try_fault(fault: Fault, prepared: Path, times: int) -> Tried:
    """Try a fault so many times, each in a place of its own."""
    tried = Tried(fault)
    for number in range(times):
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        place = Place(folder, prepared)
        try:
            sees = fault.try_it(place, number)
            tried.sees = tried.sees or without_folder(sees, folder)
            tried.times += 1
        except NotHereError as reason:
            tried.not_here = str(reason)
            return tried
        except Exception as problem:  # whatever it is, the other faults are tried
            words = f"{type(problem).__name__}: {problem}"
            if isinstance(problem, BrokenPromiseError):
                words = str(problem)
            tried.broken.append(without_folder(words, folder))
            tried.times += 1
        finally:
            place.close()
            shutil.rmtree(folder, ignore_errors=True)
    return tried


def without_folder(text: str, folder: Path) -> str:
    """The words as a user reads them, on one line, without what differs from try to try."""
    text = " ".join(text.replace(f"{folder}/", "").split())
    text = re.sub(r"\d{8}T\d{6}[\w-]*|\d{8}-\d{6}[\w-]*", "RUN", text)
    if len(text) > MOST_LETTERS:
        text = f"{text[:MOST_LETTERS]}…"
    return text


def rows_in(page: str) -> dict[str, str]:
    """The rows of a page by the fault's name, as they were written the last time."""
    table_text = page.partition(BEGIN)[2].partition(END)[0]
    rows = {}
    for line in table_text.splitlines():
        matched = ROW.fullmatch(line)
        if matched is not None:
            rows[matched["name"]] = line
    return rows


def added(tried: Tried, earlier: str | None) -> str:
    """The row of a fault that was tried now, and by earlier calls as their row says."""
    matched = None if earlier is None else ROW.fullmatch(earlier)
    if earlier is None or matched is None:
        return tried.row
    if tried.not_here is not None and int(matched["times"]):
        return earlier  # what another machine could have is not undone by one that cannot
    row = replace(tried, times=tried.times + int(matched["times"])).row
    if not matched["lost"].startswith(BROKEN):
        return row
    made = ROW.fullmatch(row)
    assert made is not None
    begin, end = made.span("lost")
    return row[:begin] + matched["lost"] + row[end:]


def put_row(out: Path, faults: Sequence[Fault], tried: Tried, *, anew: bool) -> str:
    """Write the fault's row into the page, and the row itself.

    The page is read again each time, and written whole: another call may have written other rows
    meanwhile, and whatever ends this one leaves a page.
    """
    page = out.read_text("utf-8")
    rows = rows_in(page)
    name = cell(tried.fault.name)
    rows[name] = added(tried, None if anew else rows.get(name))
    write_whole(out, written_between(page, table(faults, rows), BEGIN, END))
    return rows[name]


def table(faults: Sequence[Fault], rows: Mapping[str, str]) -> str:
    """All faults as Markdown, a table for each kind; those without a row were never tried."""
    lines = []
    tries = 0
    broken = 0
    for kind, of_kind in groupby(faults, key=lambda fault: fault.kind):
        lines += [f"## {kind}", "", "| fault | times tried | lost | what the user sees |"]
        lines.append("|---|---|---|---|")
        for fault in of_kind:
            row = rows.get(cell(fault.name), Tried(fault, not_here="never tried").row)
            matched = ROW.fullmatch(row)
            assert matched is not None, row
            tries += int(matched["times"])
            broken += BROKEN in row
            lines.append(row)
        lines.append("")
    held = "every promise was held in those that were tried"
    if broken:
        held = f"{counted(broken, 'fault')} broke a promise"
    words = f"{counted(tries, 'try', 'tries')} of {counted(len(faults), 'fault')}: {held}."
    return "\n".join([words, "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default="", help="faults whose kind and name have this text")
    parser.add_argument("--anew", action="store_true", help="do not add to the earlier tries")
    parser.add_argument("--prepared", type=Path, help="a folder to keep what all begin with")
    options = parser.parse_args()
    faults = all_faults()
    broken = tried = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as kept:
        prepared = options.prepared or Path(kept) / "prepared"
        if not prepared.is_dir():
            prepared.mkdir(parents=True)
            prepare(prepared)
        for fault in faults:
            if options.only.lower() not in f"{fault.kind}: {fault.name}".lower():
                continue
            one = try_fault(fault, prepared, options.times)
            tried += 1
            broken += bool(one.broken)
            # After each: whatever ends this early, what was tried is written.
            row = put_row(options.out, faults, one, anew=options.anew)
            print(f"{time.monotonic() - began:5.0f} s {fault.kind} {row}", flush=True)
    print(f"{counted(tried, 'fault')}, {broken} broke a promise; written to {options.out}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
