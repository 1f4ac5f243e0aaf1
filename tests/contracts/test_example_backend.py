"""The package under examples/ is that of docs/adding-a-backend.md, and works where it is installed
as anybody's package is: in an environment of its own, beside DeployBench."""

from __future__ import annotations

import json
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/third_party_backend"
PAGE = (ROOT / "docs/adding-a-backend.md").read_text("utf-8")
MOST_LINES = 60
Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("language", "file"), [("toml", "pyproject.toml"), ("python", "toybackend.py")]
)
def test_page_shows_the_files_of_the_example(language: str, file: str) -> None:
    shown = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert shown[1] == (EXAMPLE / file).read_text("utf-8")


def test_backend_takes_sixty_lines() -> None:
    assert len((EXAMPLE / "toybackend.py").read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """``deploybench`` of a fresh environment into which the example was installed by pip.

    What this environment has is seen there (torch is not installed twice), the example is not seen
    here.
    """
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    # addsitedir, and not the folder's name alone, so that editable installations are seen, too.
    seen = [f"import site; site.addsitedir({folder!r})" for folder in site.getsitepackages()]
    (packages / "shared.pth").write_text("\n".join(seen) + "\n")
    # pip builds beside the sources: a copy keeps the checkout as it is.
    source = place / "source"
    shutil.copytree(EXAMPLE, source)
    python = place / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    pip += ["--no-deps", "--no-build-isolation", str(source)]
    subprocess.run(pip, check=True, capture_output=True)

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "deploybench", *map(str, arguments)]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)

    return call


def test_installed_example_is_listed_with_its_package(program: Program) -> None:
    rows = json.loads(program("backends", "--json").stdout)
    found = [row for row in rows if row["name"] == "toy"]
    assert {row["package"] for row in found} == {"toybackend"}
    assert len(found) == 2
    assert all(row["usable"] for row in found)


def test_installed_example_exports_is_verified_and_has_its_row(
    program: Program, tmp_path: Path
) -> None:
    exported = program("export", "-w", tmp_path, "-m", TINY, "-b", "toy", "--json")
    assert exported.returncode == 0, exported.stderr
    assert json.loads(exported.stdout)[0]["verified"]
    look = ("--rounds", "1", "--duration", "50ms", "--json")
    done = program("run", "-w", tmp_path, "-r", "toy", *look)
    (row,) = json.loads(done.stdout)
    assert (row["runner"], row["provider"]) == ("toy", "torch.jit")
    # Of a launch during which the machine changed its state no time is told.
    assert (row["launches"], row["launches_flipped"]) in ((1, 0), (0, 1))
    assert row["launches_flipped"] or row["p50_ms"] > 0
