"""The node's side: what has come is kept by its hash, and one cell at a time is measured.

Each cell has a process of its own (:mod:`deploybench.fleet.worker`), which knows nothing of how the
ticket came. Its answer is kept before it is sent: who asks again for the same ticket, because the
driver died meanwhile, gets that answer, and nothing is measured twice.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploybench.children.processes import run_child
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, slug, write_whole, writing_whole
from deploybench.fleet.ticket import Answer, Ticket, Travelling

PART_BYTES = 64 << 20
"""Files travel in parts, so that a node needs little memory for them."""
CACHE_VARIABLE = "DEPLOYBENCH_FLEET_CACHE"
WORKER = "deploybench.fleet.worker"


def node_cache() -> Path:
    """Where this node keeps what came to it: $DEPLOYBENCH_FLEET_CACHE, else in the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return cache_folder() / "fleet"


def file_in(cache: Path, file: Travelling) -> Path:
    """Where a file that travelled lies on the node."""
    return cache / "files" / file.sha256 / slug(file.name)


def workspace_of(cache: Path, ticket: Ticket) -> Path:
    """The workspace on the node that holds the ticket's artifact: one for each pack, so that two
    artifacts of one name do not meet; one for all that is built there."""
    if ticket.pack is None:
        return cache / "built"
    return cache / "unpacked" / ticket.pack.sha256[:16]


@dataclass(frozen=True)
class Measured:
    """What one attempt gave: an answer as JSON, or the cause by which the attempt was lost."""

    answer: str | None
    lost: str | None = None


class Station:
    """What measures on a node. Several threads may ask; one cell at a time is measured."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or node_cache()
        self._slot = threading.Lock()
        self._under_way: str | None = None

    @property
    def under_way(self) -> str | None:
        """The name of the ticket that is measured now."""
        return self._under_way

    def lacking(self, ticket: Ticket) -> list[Travelling]:
        """The files of the ticket that have not come to this node yet."""
        return [file for file in ticket.files if not file_in(self._cache, file).is_file()]

    def receive(self, file: Travelling, parts: Iterable[bytes]) -> None:
        """Keep a file. Raises DeployBenchError where its content is not what was announced."""
        path = file_in(self._cache, file)
        digest = hashlib.sha256()
        with writing_whole(path, "--cache") as partial:
            with partial.open("wb") as sink:
                for part in parts:
                    digest.update(part)
                    sink.write(part)
            if digest.hexdigest() != file.sha256:
                raise DeployBenchError(
                    f"{file.name} came to this node with the SHA-256 {digest.hexdigest()}",
                    expected=file.sha256,
                    action="start the fleet run again with --resume",
                )

    def measure(self, ticket: Ticket) -> Measured:
        """Measure the ticket's cell, once whatever cell is measured now is done."""
        with self._slot:
            kept = self._kept(ticket)
            if kept.is_file():
                return Measured(kept.read_text("utf-8"))
            self._under_way = ticket.name
            try:
                return self._measure(ticket, kept)
            finally:
                self._under_way = None

    def _measure(self, ticket: Ticket, kept: Path) -> Measured:
        request = ticket.model_dump_json()
        changes = {CACHE_VARIABLE: str(self._cache)}
        outcome = run_child(WORKER, request, time_limit_s=ticket.look.limit_s, environment=changes)
        if outcome.reply is None:
            return Measured(None, outcome.error or "the measuring process said nothing")
        answer = Answer.model_validate_json(outcome.reply)
        if answer.ticket != ticket.name:
            return Measured(None, f"the answer is of {answer.ticket}")
        write_whole(kept, outcome.reply)
        return Measured(outcome.reply.decode())

    def _kept(self, ticket: Ticket) -> Path:
        return self._cache / "answers" / slug(ticket.fleet) / f"{slug(ticket.name)}.json"
