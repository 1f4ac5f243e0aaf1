"""What the images run works on their oldest Python: Ruff and mypy look for 3.10, and a real one
reads every file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.old_stack import find_python, requirements
from docker.pins import ROOT, pins_file, pins_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGES = ("deploybench", "exporters", "runners", "profiles", "docker", "benchmarks")
READ = (
    "import sys\nfor path in sys.argv[1:]:\n    compile(open(path, encoding='utf-8').read(), "
    "path, 'exec')"
)


def test_type_checker_and_linter_hold_the_code_to_the_oldest_python_that_is_promised() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["requires-python"] == ">=3.10"
    assert settings["tool"]["mypy"]["python_version"] == "3.10"
    assert settings["tool"]["ruff"]["target-version"] == "py310"


def test_python_3_10_reads_every_file() -> None:
    python = find_python()
    if python is None:
        pytest.skip("no Python 3.10 here")
    files = [str(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    done = subprocess.run([python, "-c", READ, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    newer = subprocess.run(
        [python, "-c", READ, "/dev/stdin"],
        input="type X = int",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SyntaxError" in newer.stderr


def test_old_stack_is_the_images_but_for_what_needs_a_gpu() -> None:
    pins = pins_of(pins_file("k80").read_text())
    ours = pins_of("\n".join(requirements()))
    assert ours.keys() - pins.keys() == {"onnxruntime"}
    assert pins.keys() - ours.keys() == {"tensorrt", "onnxruntime-gpu"}
    assert ours["onnxruntime"] == pins["onnxruntime-gpu"]
    assert all(ours[name] == pins[name] for name in ours if name != "onnxruntime")
