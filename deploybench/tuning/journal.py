"""What a tuning has done until now, on disk: what a killed one goes on from.

The journal names runs; what they showed stands in their records. Decisions are not written down:
they follow from the records again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from deploybench.documents import Document, now, read_document_file
from deploybench.files import write_whole

FILE = "journal.json"
KEY_LETTERS = 12


class TuneRound(Document):
    """One round of measuring: the configurations in it, and the run that holds their records.

    ``finished`` false: it was begun, and what it measured until it was ended is in the run.
    """

    number: int
    run: str
    names: tuple[str, ...]
    seconds_each: float
    spent_s: float = 0.0
    finished: bool = False


class TuneEvaluation(Document):
    """One evaluation that was finished: of which step, and the run that holds its records."""

    step: int
    run: str
    names: tuple[str, ...]
    spent_s: float


class TuneJournal(Document):
    """All rounds and evaluations of one tuning, in order of time."""

    schema_version: Literal[1] = 1
    key: str
    created: str
    asked: dict[str, object]
    rounds: tuple[TuneRound, ...] = ()
    evaluations: tuple[TuneEvaluation, ...] = ()

    @property
    def spent_s(self) -> float:
        """What was spent on evaluating and measuring."""
        rounds = sum(one.spent_s for one in self.rounds)
        return rounds + sum(one.spent_s for one in self.evaluations)


def key_of(asked: Mapping[str, object]) -> str:
    """Equal questions on equal data, artifacts, machine and versions have equal keys."""
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class JournalFile:
    """The journal in its folder, written whole at every change."""

    def __init__(self, folder: Path, asked: Mapping[str, object], *, fresh: bool = False) -> None:
        """Open the journal that is there, or begin one; ``fresh`` forgets what is there.

        Raises DeployBenchError for a journal that does not read, or that cannot be written.
        """
        self._path = folder / FILE
        if self._path.is_file() and not fresh:
            self.document = read_document_file(
                TuneJournal,
                self._path,
                what="the journal of a tuning",
                expected="one of schema version 1",
                action="deploybench tune --fresh begins anew",
            )
            return
        folder.mkdir(parents=True, exist_ok=True)
        stored = json.loads(json.dumps(asked, sort_keys=True, default=str))
        self.document = TuneJournal(key=key_of(asked), created=now(), asked=stored)
        self._write()

    def put_round(self, made: TuneRound) -> None:
        """Write the round, in place of the one of its number."""
        others = [one for one in self.document.rounds if one.number != made.number]
        rounds = sorted([*others, made], key=lambda one: one.number)
        self.document = self.document.replaced(rounds=tuple(rounds))
        self._write()

    def forget_round(self, number: int) -> None:
        """Take out a round that was begun, and showed nothing before the time was over."""
        rounds = tuple(one for one in self.document.rounds if one.number != number)
        self.document = self.document.replaced(rounds=rounds)
        self._write()

    def put_evaluation(self, made: TuneEvaluation) -> None:
        """Write an evaluation that is finished."""
        evaluations = (*self.document.evaluations, made)
        self.document = self.document.replaced(evaluations=evaluations)
        self._write()

    def _write(self) -> None:
        write_whole(self._path, self.document.model_dump_json(indent=1))
