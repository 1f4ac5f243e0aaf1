"""Clusters without Ray: a job of a batch system for each cell, by submitit.

A profile is a *place* where jobs can be sent; how many run at a time is the batch system's to
decide. So there are as many nodes of a profile as there are cells of it, and each is a job: what
Slurm gives it (exclusive, one job on a machine) is its slot. The folder of jobs lies in the
workspace, which has to be on a file system that the machines share; artifacts are taken from there,
and kept by their hash in the cache of each machine.

submitit hands jobs and results over as pickles, and who writes one of those runs code as whoever
reads it. So each run of a fleet has a folder of jobs of its own, new, that nobody but this user may
write to; before anything is taken from it, it is looked at again.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.fleet.driving import Reply
from deploybench.fleet.placement import Assignment, Node
from deploybench.fleet.station import PART_BYTES, Measured, Station
from deploybench.fleet.ticket import Answer, Ticket

SLURM, LOCAL = "slurm", "local"
MOST_AT_ONCE = 64
"""Jobs of a profile in the queue at a time."""
ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
EXTRA_MINUTES = 10
LOOK_AGAIN_S = 0.5
Options = Mapping[str, Mapping[str, str]]
"""What the jobs of a profile ask of Slurm, by profile; the empty name stands for all others."""


def submitit_module() -> Any:
    """submitit. Raises DeployBenchError where it is not installed."""
    try:
        import submitit
    except ImportError as error:
        raise DeployBenchError(
            f"--submit slurm needs submitit: {error}", action='pip install "deploybench[slurm]"'
        ) from None
    return submitit


def read_options(asked: Sequence[str]) -> dict[str, dict[str, str]]:
    """``rtx3090:partition=gpu,gres=gpu:rtx3090:1``; without a profile it is meant for all others.

    Raises DeployBenchError for what has another form.
    """
    options: dict[str, dict[str, str]] = {}
    for text in asked:
        profile, colon, rest = text.partition(":")
        if not colon or "=" in profile:
            profile, rest = "", text
        given = options.setdefault(profile, {})
        for part in rest.split(","):
            name, equals, value = part.partition("=")
            if not equals or not name.strip():
                raise DeployBenchError(
                    f"--slurm {text}", expected="PROFILE:NAME=VALUE,... as sbatch takes them"
                )
            given[name.strip().lstrip("-").replace("-", "_")] = value.strip()
    return options


class OwnFolder:
    """A new folder in ``parent`` that only this user may read or write.

    Raises DeployBenchError where it cannot be made, or others could put another in its place: the
    parent is made this user's alone, or is refused.
    """

    def __init__(self, parent: Path) -> None:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            parent.chmod(stat.S_IRWXU)
            self.path = Path(tempfile.mkdtemp(dir=parent))
            self._parent = parent
            self._made = _identity(self.path)
        except OSError as error:
            raise DeployBenchError(
                f"{parent} cannot be made this user's alone: {error.strerror or error}",
                expected="a folder that nobody else writes to: the jobs' files in it are code",
                action="choose another --workspace, or remove that folder",
            ) from error
        self.check()

    def check(self) -> None:
        """Raise DeployBenchError unless the folder is the one that was made, and still private."""
        for folder in (self._parent, self.path):
            try:
                found = folder.lstat()
            except OSError as error:
                raise _not_ours(folder, str(error.strerror or error)) from None
            if not stat.S_ISDIR(found.st_mode):
                raise _not_ours(folder, "it is no folder")
            if hasattr(os, "getuid") and found.st_uid != os.getuid():
                raise _not_ours(folder, f"it belongs to user {found.st_uid}")
            if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise _not_ours(folder, "others may write to it")
        if _identity(self.path) != self._made:
            raise _not_ours(self.path, "it is another folder than the one that was made")


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.lstat()
    return found.st_dev, found.st_ino


def _not_ours(folder: Path, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"the folder of jobs {folder} is not to be trusted: {why}",
        expected="a folder that only this user writes to: the jobs' files in it are code",
        action="choose a --workspace that others cannot write to",
    )


def measure_there(ticket_json: str, paths: Mapping[str, str]) -> Measured:
    """In the job: take what this machine lacks from the shared folder, and measure."""
    ticket = Ticket.model_validate_json(ticket_json)
    station = Station()
    for file in station.lacking(ticket):
        with Path(paths[file.sha256]).open("rb") as source:
            station.receive(file, iter(lambda: source.read(PART_BYTES), b""))
    return station.measure(ticket)


class JobsCluster:
    """A :class:`~deploybench.fleet.driving.Cluster` of jobs, of Slurm or of this machine."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        tickets: Mapping[str, Ticket],
        paths: Mapping[str, Path],
        options: Options,
    ) -> None:
        self._kind = kind
        self._folder = OwnFolder(folder)
        self._tickets = tickets
        self._paths = {sha256: str(path) for sha256, path in paths.items()}
        self._options = options
        self._submitit = submitit_module()
        self._jobs: dict[str, tuple[Any, Assignment]] = {}
        most = 1 if kind == LOCAL else MOST_AT_ONCE
        counts = Counter(ticket.profile for ticket in tickets.values())
        self._nodes = [
            Node(f"{profile}-{number}", profile)
            for profile, count in sorted(counts.items())
            for number in range(min(count, most))
        ]

    def now_s(self) -> float:
        return time.monotonic()

    def nodes(self) -> list[Node]:
        """Always all of them: a machine that is lost shows as a job that came to nothing."""
        return list(self._nodes)

    def start(self, assignment: Assignment) -> None:
        ticket = self._tickets[assignment.task.name]
        self._folder.check()
        executor = self._executor(ticket)
        job = executor.submit(measure_there, ticket.model_dump_json(), self._paths)
        self._jobs[assignment.task.name] = (job, assignment)

    def stop(self, assignment: Assignment) -> None:
        job, _ = self._jobs.pop(assignment.task.name)
        with contextlib.suppress(Exception):  # it may have ended meanwhile
            job.cancel()

    def replies(self, wait_s: float) -> list[Reply[Answer]]:
        until = time.monotonic() + wait_s
        while True:
            ended = [name for name, (job, _) in self._jobs.items() if job.done()]
            if ended or time.monotonic() >= until:
                return [self._reply(*self._jobs.pop(name)) for name in ended]
            time.sleep(LOOK_AGAIN_S)

    def _reply(self, job: Any, assignment: Assignment) -> Reply[Answer]:
        self._folder.check()
        try:
            measured: Measured = job.result()
        except Exception as error:  # submitit hands on whatever ended the job
            return Reply(assignment, None, f"job {job.job_id}: {_cause(error)}")
        if measured.answer is None:
            return Reply(assignment, None, f"job {job.job_id}: {measured.lost}")
        return Reply(assignment, Answer.model_validate_json(measured.answer))

    def _executor(self, ticket: Ticket) -> Any:
        minutes = int(ticket.look.limit_s / 60) + EXTRA_MINUTES
        if self._kind == LOCAL:
            executor = self._submitit.LocalExecutor(folder=self._folder.path)
            executor.update_parameters(timeout_min=minutes)
            return executor
        asked = self._options.get(ticket.profile, self._options.get("", {}))
        try:
            executor = self._submitit.SlurmExecutor(folder=self._folder.path)
        except RuntimeError as error:
            raise DeployBenchError(
                f"no Slurm is here: {error}",
                expected="srun and sbatch on this machine",
                action="type this on a machine that submits jobs",
            ) from None
        own = {"exclusive": True, "time": minutes, "job_name": f"deploybench-{ticket.profile}"}
        executor.update_parameters(**{**own, **_known(executor, asked)})
        return executor


def _cause(error: Exception) -> str:
    """Of submitit's long words, which hold the job's traceback, the line of the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if ERROR.match(line)]
    if said:
        return said[-1]
    return lines[0] if lines else type(error).__name__


def _known(executor: Any, asked: Mapping[str, str]) -> dict[str, Any]:
    """Options as submitit takes them: those that it does not know go to sbatch as they are."""
    known = set(executor._valid_parameters()) - {"additional_parameters"}
    parameters: dict[str, Any] = {name: value for name, value in asked.items() if name in known}
    others = {name: value for name, value in asked.items() if name not in known}
    if others:
        parameters["additional_parameters"] = others
    return parameters
