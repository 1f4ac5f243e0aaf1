"""What the page asks a worker, and what that answers."""

from __future__ import annotations

from pydantic import Field

from deploybench.documents import Document


class SideJob(Document):
    """Which artifact a worker loads, on which runner with how many threads."""

    artifact: str
    runner: str
    precision: str
    threads: int


class SourceJob(Document):
    """Of which artifact a worker builds the PyTorch source, with how many threads; ``trust``: code
    of others may run."""

    artifact: str
    threads: int
    trust: bool = False


class Ready(Document):
    """Whether it computes here what fp32 eager computed; else why not."""

    refused: str | None = None


class Look(Document):
    """An image file to look at, and how many of the most probable classes to tell."""

    image: str
    top: int = Field(ge=1)


class SeenClass(Document):
    """One class. ``score`` is its probability, or its share of the pixels; None where the output
    has none, or a number that is no score: then it is the ``value``."""

    name: str
    score: float | None = None
    value: float | None = None


class Seen(Document):
    """What was seen: the classes, the most probable first, or the ``error``.

    ``call_ms`` is the median of some calls right after, on a machine that does other things, too:
    no measurement. ``picture`` is what the model saw, as PNG in base64.
    """

    classes: tuple[SeenClass, ...] = ()
    call_ms: float | None = None
    calls: int = 0
    notes: tuple[str, ...] = ()
    picture: str = ""
    task: str = ""
    error: str | None = None


class Map(Document):
    """A map laid over what the model saw, as PNG in base64; ``what`` it is, and its ``limits``."""

    name: str
    what: str
    limits: str
    png: str


class Looked(Document):
    """What the PyTorch source of an artifact looks at, or the ``error``; ``first`` is its first
    class, ``notes`` what it cannot show."""

    maps: tuple[Map, ...] = ()
    first: SeenClass | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
