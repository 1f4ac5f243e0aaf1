"""The map of docs/architecture.md, the layers that import-linter holds, and the folders that
exist are one and the same house."""

from __future__ import annotations

import ast
import re
import sys
from itertools import chain
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
CORE = ROOT / "deploybench"
PLUGINS = {"exporters", "runners", "profiles"}
LAYERS = "Rooms stand on each other, never the other way"
DOORS = {"__init__", "__main__"}
"""Files of the package itself, which stand on no floor."""


def map_lines() -> list[str]:
    """The lines of the flowchart."""
    drawn = re.search(r"```mermaid\nflowchart TB\n(.*?)```", PAGE, re.DOTALL)
    assert drawn is not None, "docs/architecture.md has a Mermaid flowchart"
    return [line.strip() for line in drawn[1].splitlines()]


def drawn_floors() -> list[set[str]]:
    """The boxes of each floor, from the top down; the plug-ins stand on none."""
    floors: list[set[str]] = []
    for line in map_lines():
        if line.startswith("subgraph"):
            floors.append(set())
        elif re.fullmatch(r"\w+", line) and line != "end":
            floors[-1].add(line)
    assert floors[0] == PLUGINS
    return floors[1:]


def drawn_arrows() -> list[tuple[str, str]]:
    matches = (re.fullmatch(r"(\w+) (?:-->|-\.->) (\w+)", line) for line in map_lines())
    return [(match[1], match[2]) for match in matches if match is not None]


def checked_floors() -> list[set[str]]:
    """The layers of the import-linter contract, from the top down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == LAYERS)
    return [{name.strip() for name in re.split(r"[|:]", layer)} for layer in layers]


def existing_boxes() -> set[str]:
    """The rooms and the loose files that lie under deploybench/."""
    rooms = {path.parent.name for path in CORE.glob("*/__init__.py")}
    loose = {path.stem for path in CORE.glob("*.py")}
    return rooms | loose - DOORS


def imports_of(box: str) -> set[str]:
    """The rooms and loose files of deploybench/ that a box imports, anywhere in its code."""
    folder = ROOT / box if box in PLUGINS else CORE / box
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    imported = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                package, _, rest = node.module.partition(".")
                names = [rest.split(".")[0]] if rest else [alias.name for alias in node.names]
                imported |= set(names) if package == "deploybench" else set()
    return imported


def test_map_has_the_rooms_and_the_floors_that_the_check_holds() -> None:
    assert drawn_floors() == checked_floors()


def test_map_has_every_room_and_loose_file_that_exists_and_no_other() -> None:
    assert set(chain.from_iterable(drawn_floors())) == existing_boxes()


def test_every_arrow_of_the_map_is_an_import_that_runs_down() -> None:
    floors = drawn_floors()
    height = {box: -number for number, floor in enumerate(floors) for box in floor}
    height |= dict.fromkeys(PLUGINS, 1)
    arrows = drawn_arrows()
    assert len(arrows) == len(set(arrows))
    for upper, lower in arrows:
        assert height[upper] > height[lower], f"{upper} --> {lower} runs up"
        assert lower in imports_of(upper), f"{upper} does not import {lower}"


def test_every_room_of_the_map_has_a_line_in_the_table_of_rooms_on_its_floor() -> None:
    lines = re.findall(r"^\| (\d+) \| (`.*?`) \|", PAGE, re.MULTILINE)
    told = [(int(floor), room) for floor, cell in lines for room in re.findall(r"`(\w+)`", cell)]
    floors = drawn_floors()
    drawn = [(len(floors) - number, room) for number, floor in enumerate(floors) for room in floor]
    assert sorted(told) == sorted(drawn)


def test_mirror_of_the_rooms_under_tests_has_no_folder_that_is_no_room() -> None:
    others = {"attacks", "benchmarks", "docker", "docs", "faults", "gpu", *PLUGINS}
    mirrored = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")} - others
    assert mirrored <= existing_boxes()
