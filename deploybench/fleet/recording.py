"""The records of a fleet run: those that nodes sent, and those of cells that no node measured.

Each profile has a run of its own, RUN-PROFILE, because a record's file is named after its cell
alone. A record that comes from a node is kept as it is, but for its run, and for the place of its
artifact: that of the driver, from which the cell can be measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploybench.artifacts.artifact import open_artifact
from deploybench.errors import DeployBenchError
from deploybench.files import slug
from deploybench.fleet.placement import GivenUp
from deploybench.fleet.ticket import Answer, Refusal, Ticket
from deploybench.hardware.host import Host
from deploybench.plurals import counted
from deploybench.results.record import Record, without_a_number
from deploybench.results.store import readable_records, write_record
from deploybench.results.verdict import Judgement, Verdict


class Records:
    """Where the records of one fleet run go; ``here`` is the driver's machine."""

    def __init__(self, folder: Path, fleet: str, here: Host) -> None:
        self._folder = folder
        self._fleet = fleet
        self._here = here

    def run_of(self, ticket: Ticket) -> str:
        """The run that the ticket's record belongs to."""
        return f"{self._fleet}-{slug(ticket.profile)}"

    def folder_of(self, ticket: Ticket) -> Path:
        return self._folder / self.run_of(ticket)

    def present(self, tickets: Mapping[str, Ticket]) -> dict[str, Record]:
        """The records that are there already, by ticket. A record that does not read is none."""
        found: dict[str, Record] = {}
        by_folder: dict[Path, list[Record]] = {}
        for ticket in tickets.values():
            folder = self.folder_of(ticket)
            if folder not in by_folder:
                by_folder[folder] = readable_records(folder)[0] if any_in(folder) else []
            for record in by_folder[folder]:
                if ticket.is_of(record):
                    found[ticket.name] = record
        return found

    def keep_answer(self, ticket: Ticket, answer: Answer) -> Record:
        """Write what a node answered."""
        if answer.record is None:
            refusal = answer.refusal or Refusal(found="the node answered nothing")
            judgement = Judgement(
                verdict=Verdict.FAILED,
                reason=f"node {answer.host.hostname}: {refusal.words}",
                advice=refusal.action or "",
            )
            return self._keep(ticket, self._unmeasured(ticket, judgement, answer.host))
        record = answer.record
        cell, command = record.cell, record.command
        if ticket.cell.artifact is not None and answer.folder is not None:
            cell = cell.replaced(artifact=ticket.cell.artifact)
            command = command.replace(answer.folder, ticket.cell.artifact)
        return self._keep(ticket, record.replaced(cell=cell, command=command))

    def keep_given_up(self, ticket: Ticket, given_up: GivenUp) -> Record:
        """Write why no node measured the cell; the row says so, and has no number."""
        if given_up.homeless:
            lost = ""
            if given_up.causes:
                lost = f"; before that it was lost: {'; '.join(given_up.causes)}"
            judgement = Judgement(
                verdict=Verdict.SKIPPED,
                reason=f"no node of the fleet carries the profile {ticket.profile}{lost}",
                advice=f"on a machine that has it: deploybench fleet start-node --profile "
                f"{ticket.profile} --address HOST:PORT; then {self.again}",
            )
        else:
            lost = counted(len(given_up.causes), "time")
            judgement = Judgement(
                verdict=Verdict.FAILED,
                reason=f"lost {lost}: {'; '.join(given_up.causes)}",
                advice=f"{self.again} tries it again",
            )
        return self._keep(ticket, self._unmeasured(ticket, judgement, self._here))

    def _keep(self, ticket: Ticket, record: Record) -> Record:
        kept = record.replaced(run=self.run_of(ticket))
        write_record(kept, self.folder_of(ticket))
        return kept

    def _unmeasured(self, ticket: Ticket, judgement: Judgement, host: Host) -> Record:
        """A record without a number; the host is the machine that says so."""
        parameters = macs = size_bytes = None
        if ticket.cell.artifact is not None:
            try:
                manifest = open_artifact(Path(ticket.cell.artifact)).manifest
                parameters, macs = manifest.model.parameters, manifest.model.macs
                size_bytes = manifest.size_bytes
            except DeployBenchError:
                pass  # it may be gone by now: the row goes without its figures
        return without_a_number(
            self.run_of(ticket),
            ticket.profile,
            ticket.cell,
            judgement,
            host,
            self.again,
            parameters=parameters,
            macs=macs,
            artifact_bytes=size_bytes,
        )

    @property
    def again(self) -> str:
        """What goes on with the fleet run: the command of every record that no node made."""
        return f"deploybench fleet run --resume {self._fleet}"


def any_in(folder: Path) -> bool:
    """Whether there is any record in the folder."""
    return folder.is_dir() and any(folder.glob("*.json"))
