"""The document of ``deploybench explain``: where the time goes, of one artifact or of two.

It holds every layer of the runtime and the work of every module, so that tables, charts and
comparisons follow from it alone. Like a record it is written whole, sealed, and never changes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from deploybench.artifacts.module_work import ModuleWork
from deploybench.documents import Document, read_document_file
from deploybench.errors import DeployBenchError
from deploybench.files import LAYERS_SUFFIX, slug, write_whole
from deploybench.hardware.host import Host
from deploybench.plurals import counted
from deploybench.results.layers import LayerProfile
from deploybench.results.record import Bound

SHORTEST_MS = 1e-9
"""A time that is shorter is none: no clock tells it from 0."""
EXPECTED = "a document of deploybench explain, of schema version 1"
ACTION = "take the original, or write it again: deploybench explain ARTIFACT --out FILE"


class Explained(Document):
    """One artifact on one runner, with what its layers took. ``name`` is its short name.

    ``bound`` is the least time of its call by the peaks of this host; ``unbounded`` says why there
    is none. ``batch`` images a call, on ``threads`` threads.
    """

    name: str
    model: str
    artifact_key: str
    runner: str
    precision: str
    device: str
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    profile: LayerProfile
    bound: Bound | None = None
    unbounded: str = ""


class Explanation(Document):
    """What was found: one side, or two of the same model.

    ``work`` is that of the model's modules; ``uncounted`` says why there is none. ``command``
    repeats it.
    """

    schema_version: Literal[1] = 1
    about: Literal["layers"] = "layers"
    created: str
    host: Host
    command: str
    sides: Annotated[tuple[Explained, ...], Field(min_length=1, max_length=2)]
    work: tuple[ModuleWork, ...] = ()
    uncounted: str = ""
    seal: str = Field("", description="sha256 over the document without this field")

    @property
    def failed(self) -> bool:
        return any(explained.profile.failed for explained in self.sides)

    def sealed(self) -> Explanation:
        """The same document with the seal that belongs to its content."""
        return self.replaced(seal=_digest(self.model_dump_json(exclude={"seal"})))

    @property
    def intact(self) -> bool:
        """Whether nothing was changed since it was written. Anybody can compute a seal: it shows
        an edit, not who wrote."""
        content = self.model_dump_json(exclude={"seal"}, exclude_unset=True)
        return self.seal == _digest(content)


def file_name(explanation: Explanation) -> str:
    """A name that sorts by time and says what was explained."""
    names = [f"{side.name}-{side.runner}-{side.precision}" for side in explanation.sides]
    moment = "".join(character for character in explanation.created[:19] if character.isdigit())
    return f"{moment}-{slug('-against-'.join(names))[:120]}{LAYERS_SUFFIX}"


def write_explanation(explanation: Explanation, path: Path) -> None:
    """Write the document whole. Raises DeployBenchError where it cannot be written."""
    write_whole(path, explanation.sealed().model_dump_json(indent=1))


def read_explanation(path: Path) -> Explanation:
    """The document in a file.

    Raises DeployBenchError for what is no such document, for one that was edited, and for one that
    no profiler gives.
    """
    explanation = read_document_file(
        Explanation, path, what="what explain writes", expected=EXPECTED, action=ACTION
    )
    if not explanation.intact:
        raise DeployBenchError(
            f"{path} was edited after it was written: its seal is that of other content",
            expected="the document as deploybench wrote it",
            action=ACTION,
        )
    problem = next(_problems(explanation), None)
    if problem is not None:
        raise DeployBenchError(
            f"{path} does not read as what explain writes: {problem}",
            expected="what a profiler gives",
            action=ACTION,
        )
    return explanation


def explanations_below(path: Path) -> list[Explanation]:
    """Those of a folder, the oldest first, or the one in a file; see :func:`read_explanation`."""
    if not path.is_dir():
        return [read_explanation(path)]
    files = sorted(file for file in path.glob(f"*{LAYERS_SUFFIX}") if not file.name.startswith("."))
    found = [read_explanation(file) for file in files]
    return sorted(found, key=lambda explanation: explanation.created)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _problems(explanation: Explanation) -> Iterator[str]:
    """What no profiler gives: it would be divided by, or drawn, somewhere."""
    models = {side.model for side in explanation.sides}
    if len(models) > 1:
        yield f"its sides are of {counted(len(models), 'model')}"
    for module in explanation.work:
        if min(module.macs, module.parameters, module.values) < 0:
            yield f"work: {module.name!r} has less than none"
    for number, side in enumerate(explanation.sides):
        place = f"sides.{number}"
        if not side.profile.failed:
            yield from _of_profile(f"{place}.profile", side.profile)
        bound = side.bound
        if bound is not None and min(bound.compute_ms, bound.memory_ms, bound.moved_bytes) < 0:
            yield f"{place}.bound is negative"


def _of_profile(place: str, profile: LayerProfile) -> Iterator[str]:
    for name in ("plain_ms", "profiled_ms", "layers_ms"):
        value = getattr(profile, name)
        if value < SHORTEST_MS or not math.isfinite(value):
            yield f"{place}.{name} is {value:g}"
    if not profile.gaps_ms:
        yield f"{place}.gaps_ms is empty"
    for number, layer in enumerate(profile.layers):
        if min(layer.ms, layer.low_ms, layer.high_ms) < 0:
            yield f"{place}.layers.{number} takes {layer.ms:g} ms"
    if sum(layer.ms for layer in profile.layers) < SHORTEST_MS:
        yield f"{place}.layers take no time"
