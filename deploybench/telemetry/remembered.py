"""What earlier runs on this host found of its own speed, in the user's cache.

One file for each kind of finding and each host. What cannot be read counts as nothing known, what
cannot be written is found again the next time: neither is an error.

The last runs are kept, and beyond them what the caller asks to protect, for some months: a day on
which others made the host slow must not make the program forget what it can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from deploybench.children.environment import said_of
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, write_whole
from deploybench.hardware.host import Host

MOST_RUNS = 20
LONGEST_PROTECTED = timedelta(days=90)
"""A host may also become slower for good: by an update, or a move to other hardware."""


class RememberedRun(Document):
    """What one run found. ``at`` is when it ended."""

    at: AwareDatetime = Field(default_factory=lambda: datetime.now(timezone.utc))


R = TypeVar("R", bound=RememberedRun)


def cache_path(
    kind: str, method: int, host: Host, threads: int, distributions: Sequence[str]
) -> Path:
    """Where the findings of one kind lie: whatever changes them changes the name.

    ``method`` counts what was changed in how they are found, ``distributions`` are the libraries
    that do the work.
    """
    identity = [
        method,
        host.cpu_model,
        host.isa,
        host.logical_cores,
        host.usable_cores,
        threads,
        {name: host.versions.get(name) for name in distributions},
        # OPENBLAS_CORETYPE and its like make another library of the same one
        said_of(host.environment_kept or {}),
    ]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return cache_folder() / f"{kind}-{key}.json"


def read_runs(path: Path, kind: type[R]) -> tuple[R, ...]:
    """The runs in the file, oldest first; none where it cannot be read."""
    try:
        return TypeAdapter(tuple[kind, ...]).validate_json(path.read_bytes())  # type: ignore[valid-type]
    except (OSError, ValidationError):
        return ()


def write_runs(path: Path, runs: Sequence[R], protected: Collection[R]) -> None:
    """Replace the file by those of the runs, oldest first, that are kept."""
    kept = kept_of(runs, protected, datetime.now(timezone.utc))
    content = [run.model_dump(mode="json") for run in kept]
    with contextlib.suppress(DeployBenchError):
        write_whole(path, json.dumps(content, indent=1))


def kept_of(runs: Sequence[R], protected: Collection[R], now: datetime) -> tuple[R, ...]:
    """The last runs, and of those before them the protected ones that are not too old."""
    kept = []
    for number, run in enumerate(runs):
        is_late = number >= len(runs) - MOST_RUNS
        is_protected = run in protected and now - run.at <= LONGEST_PROTECTED
        if is_late or is_protected:
            kept.append(run)
    return tuple(kept)
