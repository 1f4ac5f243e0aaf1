"""Every pin exists for its Python and fits the others, none is missing, and they are what the
profiles promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.hardware.profile import load_profile
from docker.pins import check_pins, pins_file, pins_of, profiles

NOT_PACKAGES = {"python", "driver", "cuda"}


@pytest.fixture(scope="module")
def index() -> None:
    """Skips where no package index answers: what follows asks it for metadata."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--no-python-downloads",
        "--no-header",
        "--quiet",
        "-",
    ]
    asked = subprocess.run(
        command, input="iniconfig==2.3.1", capture_output=True, text=True, check=False
    )
    if asked.returncode:
        pytest.skip(f"no package index answers: {asked.stderr.strip().splitlines()[-1]}")


@pytest.mark.parametrize("profile", profiles())
def test_pins_are_what_the_profile_promises(profile: str) -> None:
    promised = {
        name: version
        for name, version in load_profile(profile).stack.items()
        if name not in NOT_PACKAGES
    }
    pins = pins_of(pins_file(profile).read_text())
    exact = {name: version for name, version in promised.items() if version[0].isdigit()}
    assert {name: pins.get(name) for name in exact} == exact
    assert promised.keys() <= pins.keys()


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("profile", profiles())
def test_pins_resolve_for_the_profiles_python_and_none_is_missing_or_left_over(
    profile: str,
) -> None:
    assert check_pins(profile, pins_file(profile)) == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("line", "replacement", "words"),
    [
        ("numpy==", "numpy==1.26.99", "numpy==1.26.99"),  # no such version
        ("torchvision==", "torchvision==0.14.1", "torchvision"),  # needs another torch
        ("onnx==", "onnx==1.10.0", "onnx"),  # has no wheel for this Python
        ("typer==", "", "typer is not pinned"),
        ("typer==", "typer==0.12.5\niniconfig==2.0.0", "iniconfig is pinned, nothing needs it"),
    ],
)
def test_wrong_pin_is_found(line: str, replacement: str, words: str, tmp_path: Path) -> None:
    lines = pins_file("k80").read_text().splitlines()
    (found,) = [number for number, text in enumerate(lines) if text.startswith(line)]
    lines[found] = replacement
    changed = tmp_path / "requirements.txt"
    changed.write_text("\n".join(lines))
    assert words in " ".join(check_pins("k80", changed))


@pytest.mark.parametrize(
    "line", ["numpy", "numpy>=1", "numpy==1.*", "numpy==1.26.4; python_version < '3.11'"]
)
def test_open_pin_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no exact pin"):
        pins_of(f"torch==2.0.1\n{line}\n")
