"""What travels: a ticket to a node (one cell, and how long to look), and the answer to it.

A ticket names the packs and files that it needs by their SHA-256. A node that has them already is
not sent them again.
"""

from __future__ import annotations

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest
from deploybench.hardware.host import Host
from deploybench.measure.scheduler import SETUP_LIMIT_S
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.runs.settings import Launches


class Look(Document):
    """How long to look at a cell; as the fields of
    :class:`~deploybench.runs.request.RunRequest`."""

    precision_target: float = 0.01
    budget_s: float = 60.0
    rounds: int | None = None
    launches: Launches = "auto"
    canary: bool = True
    duration_s: float | None = None
    min_samples: int = 20
    threads: int | None = None
    seed: int = 0

    @property
    def limit_s(self) -> float:
        """After so long on a node a cell counts as lost: it may be built and loaded first."""
        return 2 * SETUP_LIMIT_S + 4 * self.budget_s


class Travelling(Document):
    """A file that a node needs, by its content."""

    sha256: str
    size_bytes: int
    name: str


class Ticket(Document):
    """One cell for one node.

    ``cell`` is as the driver planned it; of a format that is ``built`` on the node its artifact is
    not known yet. ``profile_text`` is the TOML of a profile that is no built-in one.
    """

    fleet: str
    name: str
    profile: str
    profile_text: str | None = None
    cell: Cell
    look: Look
    pack: Travelling | None = None
    built: ExportRequest | None = None
    checkpoint: Travelling | None = None

    @property
    def files(self) -> tuple[Travelling, ...]:
        """What has to be on the node before the cell is measured there."""
        return tuple(file for file in (self.pack, self.checkpoint) if file is not None)

    def is_of(self, record: Record) -> bool:
        """Whether the record is of this ticket's cell, as far as it was planned."""
        asked, found = self.cell, record.cell
        if asked.artifact_key is not None and asked.artifact_key != found.artifact_key:
            return False
        return _planned(asked) == _planned(found)


def _planned(cell: Cell) -> tuple[object, ...]:
    return (
        cell.model,
        cell.backend,
        cell.runner,
        cell.precision,
        cell.batch,
        cell.streams,
        cell.timing,
        *cell.option_values.values(),
    )


class Refusal(Document):
    """Why a node refused a cell; as :class:`~deploybench.errors.DeployBenchError` says it."""

    found: str
    expected: str | None = None
    action: str | None = None

    @classmethod
    def of(cls, error: DeployBenchError) -> Refusal:
        """The error as it travels."""
        return cls(found=error.found, expected=error.expected, action=error.action)

    @property
    def words(self) -> str:
        """What was found, and what would have done."""
        if self.expected is None:
            return self.found
        return f"{self.found}; expected: {self.expected}"


class Answer(Document):
    """What became of a ticket on a node: its record, or why the node refused it.

    ``folder`` is the artifact's on the node.
    """

    ticket: str
    host: Host
    record: Record | None = None
    refusal: Refusal | None = None
    folder: str | None = None
