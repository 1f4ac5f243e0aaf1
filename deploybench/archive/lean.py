"""The part of a record that a comparison needs, read without the rest.

A record is hundreds of small documents; to check each takes most of the time of reading thousands.
Here one pass over the JSON text takes what a comparison needs, each value checked for its type, and
leaves out the rest unread. Whoever needs more of a record reads it whole (``results/store.py``).
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from deploybench.documents import first_error
from deploybench.errors import DeployBenchError
from deploybench.results.cell import Cell
from deploybench.results.verdict import Judgement

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Of times and readings: logarithms are taken of them."""


class LeanGpu(TypedDict):
    name: str


class LeanHost(TypedDict):
    hostname: str
    cpu_model: str
    usable_cores: int
    gpus: list[LeanGpu]
    versions: dict[str, str]
    environment_kept: NotRequired[dict[str, str] | None]


class LeanProbes(TypedDict, total=False):
    compute_us: Positive | None
    memory_ms: Positive | None
    hop_ns: Positive | None


class LeanSurroundings(TypedDict):
    before: LeanProbes
    after: LeanProbes


class LeanFacts(TypedDict):
    precision: str


class LeanHistogram(TypedDict):
    relative_width: NotRequired[Positive]
    bins: tuple[int, ...]
    counts: tuple[int, ...]
    smallest: int
    largest: int


class LeanLaunch(TypedDict, total=False):
    facts: LeanFacts | None
    samples_ns: list[int]
    steady_histogram: LeanHistogram | None
    warm_up: int
    surroundings: LeanSurroundings | None


class LeanVisited(TypedDict):
    visits: int
    basis: str
    known: bool
    experienced_p50_ms: Positive


class LeanState(TypedDict):
    hop_ns: Positive | None
    launches: int
    left_out: int
    p50_ms: Positive
    p50_low_ms: Positive | None
    p50_high_ms: Positive | None
    visited: NotRequired[LeanVisited | None]
    judgement: Judgement


class LeanSummary(TypedDict):
    states: list[LeanState]
    flipped: int


class LeanCanary(TypedDict):
    threads: int
    compute_us: Positive
    memory_us: Positive


class LeanRecord(TypedDict):
    run: str
    created: str
    profile: str
    cell: Cell
    launches: list[LeanLaunch]
    canary: NotRequired[LeanCanary | None]
    summary: LeanSummary | None
    judgement: Judgement
    measures: NotRequired[str]
    host: LeanHost
    versions: dict[str, str]


SEAL = b'"seal"'
NO_SEAL = re.compile(rb'"seal": ?""')
SEAL_FIELD, DIGEST = b',"seal":"', 64
QUOTATION_MARK, BLANK = ord('"'), ord(" ")
ESCAPED_MARK = b'\\"'


def _seal_fits(content: bytes) -> bool:
    """Whether the record's seal is that of its content, as far as the text alone can show it.

    The seal is the sha256 of the record without blanks and without the seal. Blanks are left out
    where an even number of quotation marks stands before them: that is between words. Where a word
    holds a mark itself that says nothing, and nothing fits.
    """
    if ESCAPED_MARK in content:
        return False
    characters = np.frombuffer(content, np.uint8)
    in_word = np.bitwise_xor.accumulate(characters == QUOTATION_MARK)
    compact = characters[in_word | (characters > BLANK)].tobytes()
    if compact.count(SEAL_FIELD) != 1:
        return False
    start = compact.index(SEAL_FIELD)
    stop = start + len(SEAL_FIELD) + DIGEST
    seal = compact[start + len(SEAL_FIELD) : stop]
    # After the digest its quotation mark.
    unsealed = compact[:start] + compact[stop + 1 :]
    return hashlib.sha256(unsealed).hexdigest().encode() == seal


@cache
def _adapter() -> TypeAdapter[LeanRecord]:
    return TypeAdapter(LeanRecord)


def read_lean(content: bytes, origin: str) -> LeanRecord:
    """The part of the record in a JSON text.

    Raises DeployBenchError for what is no record, and for one that was edited after it was written.
    """
    # The seal is the last field of what is written here, and is looked for from the end. A record
    # without one has it empty, as the whole record's reader takes it.
    place = content.rfind(SEAL)
    sealed = place >= 0 and NO_SEAL.match(content, place) is None
    if sealed and not _seal_fits(content):
        # Written by hand, or edited: the whole record's reader knows.
        from deploybench.results.store import record_in

        record_in(content, origin)
    try:
        return _adapter().validate_json(content)
    except ValidationError as error:
        raise DeployBenchError(
            f"{origin} does not read as a record: {first_error(error)}",
            expected="a record that deploybench run wrote",
            action="move it out of the folder, or run the cell again",
        ) from None
