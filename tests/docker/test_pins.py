"""Every pin exists for its Python and fits the others, none is missing, and they are what the
profiles promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.contracts.registry import recorded_distributions
from deploybench.hardware.profile import load_profile
from docker.pins import (
    BUILT_HERE,
    build_file,
    check_pins,
    hashes_of,
    part_of,
    pins_file,
    pins_of,
    profiles,
)

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
    pins = pins_of(pins_file("k80").read_text())
    lines = [f"{name}=={version}" for name, version in pins.items()]
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


@pytest.mark.parametrize("profile", profiles())
def test_every_pin_has_the_hashes_of_its_files_and_no_file_names_an_index(profile: str) -> None:
    text = pins_file(profile).read_text()
    hashes = hashes_of(text)
    assert hashes.keys() == pins_of(text).keys()
    for name, found in hashes.items():
        assert found, f"{name} has no hash"
        for digest in found:
            assert re.fullmatch("sha256:[0-9a-f]{64}", digest), (name, digest)
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("profile", profiles())
def test_what_builds_packages_is_pinned_as_in_the_image(profile: str) -> None:
    text = pins_file(profile).read_text()
    builds = bool(pins_of(text).keys() & set(BUILT_HERE))
    assert build_file(profile).exists() == builds
    if builds:
        assert build_file(profile).read_text() == part_of(text, ["setuptools"])
        assert list(pins_of(build_file(profile).read_text())) == ["setuptools"]


@pytest.mark.parametrize("profile", ["k80", "gtx1080ti", "rtx3090"])
def test_libraries_that_compute_on_the_gpu_are_told_in_records(profile: str) -> None:
    """Two runs with another cuDNN or cuBLAS are not the same measurement."""
    computing = {
        name
        for name in pins_of(pins_file(profile).read_text())
        if re.fullmatch(r"nvidia-(cudnn|cublas|cuda-runtime)(-cu\d+)?", name)
    }
    assert len(computing) == 3
    assert computing <= set(recorded_distributions())


def test_hashes_belong_to_the_pin_that_they_follow() -> None:
    text = "a==1 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\nb==2 # why\nc==3\n"
    assert hashes_of(text) == {"a": ["sha256:1", "sha256:2"], "b": [], "c": []}
    assert pins_of(text) == {"a": "1", "b": "2", "c": "3"}
    assert part_of(text, ["a"]) == text.partition("b==")[0]
