"""Records and pages that are made up, for tests of the page and of what a browser makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.results.explanation import Explanation
from deploybench.results.record import Bound, Record
from tests.explanations import explained as explained_side
from tests.explanations import explanation
from tests.qualities import quality
from tests.records import host
from tests.visited_cells import record, visits

MODELS = {"small": 10**8, "middle": 10**9, "large": 4 * 10**9}
RUNNERS = {"pytorch": 1.0, "onnxruntime": 0.5}
VOID = {"meta", "link", "input", "br", "hr", "img"}
LIBRARY_NAME = "vegaEmbed"


def visited(
    ms: float, *, seed: int = 0, count: int = 40, delivered: float = 1.0, **changes: object
) -> Record:
    """A cell that was visited ``count`` times and took about ``ms``."""
    generator = np.random.default_rng(seed)
    times = ms * np.exp(generator.normal(0, 0.003, count))
    return record(visits(times, [delivered] * count), **changes)


def one_run(run: str = "20260101-000000-aaaa", **changes: object) -> list[Record]:
    """Three models on two runners, evaluated; the least model is the fastest."""
    made = []
    for number, (model, macs) in enumerate(MODELS.items()):
        for runner, share in RUNNERS.items():
            ms = share * (2.0 + macs / 4e8)
            cell = visited(
                ms,
                seed=number,
                model=model,
                runner=runner,
                macs=macs,
                artifact_key=f"{model}{runner}",
            )
            right = [True] * (60 + 10 * number) + [False] * (40 - 10 * number)
            made.append(cell.replaced(run=run, quality=quality(right, eager=right), **changes))
    return made


def swept(run: str = "20260102-000000-bbbb") -> list[Record]:
    """One model in four batches, two streams and two sizes."""
    made = []
    for batch in (1, 2, 4, 8):
        made.append(visited(2.0 * batch**0.7, model="small", batch=batch).replaced(run=run))
    made.append(visited(3.0, model="small", streams=2).replaced(run=run))
    made.append(visited(6.0, model="small", image_size=(384, 384)).replaced(run=run))
    return made


def two_machines() -> list[Record]:
    elsewhere = host(hostname="there", cpu_model="Xeon")
    return [
        *under_a_roof(one_run()),
        *one_run("20260103-000000-cccc", host=elsewhere, profile="xeon"),
        *swept(),
    ]


def under_a_roof(records: Sequence[Record]) -> list[Record]:
    """The same cells with the least time that a peak of 800 GFLOP/s leaves them."""
    found = []
    for one in records:
        flops = 2 * (one.macs or 0)
        bound = Bound(
            roof="host",
            precision="fp32",
            batch=1,
            flops=flops,
            moved_bytes=1,
            compute_ms=flops / 800e6 / 1e3,
            memory_ms=0.1,
        )
        found.append(one.replaced(bound=bound if flops else None))
    return found


def explained() -> list[Explanation]:
    """A model on two runtimes, and another one alone."""
    pair = explanation(explained_side(), explained_side("openvino", 0.5))
    return [pair, explanation(explained_side("pytorch", 2.0, model="large", name="large/pytorch"))]


def html_of(records: Sequence[Record], layers: Sequence[Explanation] = ()) -> str:
    return page_html(page_of(records, layers=layers))


def write_page(records: Sequence[Record], path: Path, layers: Sequence[Explanation] = ()) -> Path:
    path.write_text(html_of(records, layers), encoding="utf-8")
    return path


@dataclass
class Node:
    """An element of a page: its name, its attributes, and all text within it."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    inside: tuple[str, ...] = ()


@dataclass
class Parsed(HTMLParser):
    """The elements of a page in their order, as a browser's parser finds them."""

    nodes: list[Node] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Node] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        inside = tuple(node.name for node in self._open)
        node = Node(tag, {name: value or "" for name, value in attrs}, inside=inside)
        self.nodes.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().name != tag:
            pass

    def handle_data(self, data: str) -> None:
        for node in self._open:
            node.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def all(self, name: str) -> list[Node]:
        return [node for node in self.nodes if node.name == name]

    def of_id(self, identity: str) -> Node:
        (found,) = [node for node in self.nodes if node.attributes.get("id") == identity]
        return found


def parsed(html: str) -> Parsed:
    page = Parsed()
    page.feed(html)
    page.close()
    return page
