"""What the pages tell a reader to type or to open: commands, targets, modules, links, paths, names.

Only code is read, never prose: fenced blocks and spans in backticks. A word in capitals (``NAME``),
in angle brackets or with ``…`` stands for something of the reader's, and is left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".github/PULL_REQUEST_TEMPLATE.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
NO_SHELL = ("python", "toml", "mermaid")
"""Languages of blocks in which no line is a command."""
END_OF_COMMAND = re.compile(r" *(?:&&|\|\|?|;|>>?|<<?) | #")
SEVERAL = re.compile(r"\s*(?:&&|\|\||;)\s+")
FOLDERS = ("deploybench", "exporters", "runners", "profiles", "tests", "docs", "benchmarks")
FOLDERS = (*FOLDERS, "docker", "examples", ".github")
TREE_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*{{}},-]*")
BARE_FILE = re.compile(r"(?<![\w./*-])[a-z_]\w*\.py(?![\w.])")
DOTTED_NAME = re.compile(r"(?<![\w./-])deploybench(?:\.[A-Za-z_]\w*)+")
PLACEHOLDER = re.compile(r"(?<![a-z])[A-Z][A-Z_]+(?![a-z])")


@dataclass(frozen=True)
class Code:
    """A block or a span of code: its text, a block's language, and the line where it begins."""

    page: Path
    line: int
    text: str
    language: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def codes_of(page: Path) -> list[Code]:
    """Every fenced block and every span in backticks of a page."""
    text = page.read_text("utf-8")
    blocks = list(FENCE.finditer(text))
    found = [Code(page, _line(text, block.start()), block[2], block[1]) for block in blocks]
    prose = text
    for block in blocks:  # spaces in place of the blocks keep every offset
        prose = prose.replace(block[0], re.sub(r"[^\n]", " ", block[0]))
    for span in SPAN.finditer(prose):
        found.append(Code(page, _line(prose, span.start()), span[1].replace("\n", " "), ""))
    return found


def commands(code: Code, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program (``deploybench``, ``make``, ``python -m``) in shell
    code.

    A command ends at a comment, a pipe, a redirection or ``&&``; a backslash carries it over a
    line. Square brackets around what may be left out are taken away.
    """
    if code.language in NO_SHELL:
        return
    start = re.compile(rf"(?:^|[\s(/]){re.escape(program)} (.*)")
    for line in re.sub(r"\\\n\s*", " ", code.text).splitlines():
        for part in SEVERAL.split(line):
            match = start.search(part)
            if match is None or match[1].startswith("="):
                continue
            if program == "make" and "deploybench " in part[: match.start() + 1]:
                continue  # deploybench data make
            rest = END_OF_COMMAND.split(f"{match[1]} ", maxsplit=1)[0].strip()
            yield [word for word in map(_without_brackets, _words(rest)) if word not in ("…", "")]


def links_of(page: Path) -> list[str]:
    """The targets of a page's links that are not on the web."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    return [target for target in LINK.findall(prose) if not re.match(r"\w+:", target)]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_of(code: Code) -> list[str]:
    """The files and folders of this repository that a piece of code names, as patterns."""
    return [_pattern(path) for path in TREE_PATH.findall(code.text)]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an apostrophe of somebody's prose
        return command.split()


def _without_brackets(word: str) -> str:
    return word.strip("[]").removesuffix("…") if word[:1] == "[" or word[-1:] == "]" else word


def _pattern(path: str) -> str:
    """A path with ``*`` for every word in capitals; without the full stop of a sentence."""
    return PLACEHOLDER.sub("*", path.rstrip(".,")).replace("...", "*")


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
