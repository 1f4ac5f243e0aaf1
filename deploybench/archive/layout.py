"""How a pack of results is laid out: its mark, its folders, and which of its parts are finished."""

from __future__ import annotations

import json

from deploybench.archive.places import MARKER, Place
from deploybench.errors import DeployBenchError

ROWS, QUALITY, IMPORTED = "rows", "quality", "imported"
VIEWS = (ROWS, QUALITY, IMPORTED)
"""What is queried."""
RECORDS, SIDES = "records", "sides"
"""Every document byte for byte; what is compared."""
MARK = {"kind": "deploybench results", "schema_version": 1}


def check_pack(pack: Place) -> None:
    """Raise DeployBenchError where that is no pack, or one of another time."""
    if not pack.is_pack:
        raise DeployBenchError(
            f"{pack.name} is no pack of results: it has no {MARKER}",
            action="deploybench results pack FOLDER -o PACK makes one",
        )
    try:
        mark = json.loads(pack.read(MARKER))
    except (ValueError, RecursionError):
        mark = None
    if mark != MARK:
        raise DeployBenchError(
            f"{pack.address(MARKER)} is none of this version's",
            expected=f"{json.dumps(MARK)}",
            action="unpack it with the version of deploybench that packed it",
        )


def finished_parts(pack: Place, folder: str) -> list[str]:
    """The parts of one folder of a pack whose records are there, too."""
    finished = {path.removeprefix(RECORDS) for path in pack.parts(RECORDS)}
    return [path for path in pack.parts(folder) if path.removeprefix(folder) in finished]
