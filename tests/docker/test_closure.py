"""Every library that an image's libraries need is in the image, or comes with the driver."""

from __future__ import annotations

import json
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

import numpy
import pytest

from docker import closure
from docker.closure import (
    NEVER_LOADED,
    Libraries,
    base_image,
    check_closure,
    libraries_file,
    libraries_in,
    missing,
)
from docker.pins import profiles


@pytest.mark.parametrize("profile", profiles())
def test_nothing_is_missing_in_the_image(profile: str) -> None:
    assert check_closure(profile) == []


def wheels_of(profile: str) -> dict[str, Libraries]:
    read = json.loads(libraries_file(profile).read_text())
    return {name: Libraries(tuple(one["provides"]), one["needs"]) for name, one in read.items()}


def test_a_library_that_no_wheel_brings_any_more_is_found() -> None:
    """ONNX Runtime's CUDA provider needs libcurand, which torch brought along until 2.15."""
    wheels = wheels_of("rtx3090")
    del wheels["nvidia-curand"]
    (gap,) = missing(wheels, base_image(compiler=True))
    assert gap.name == "libcurand.so.10"
    assert gap.needed_by == ("onnxruntime-gpu: onnxruntime/capi/libonnxruntime_providers_cuda.so",)


def test_every_exception_is_of_a_library_that_is_there() -> None:
    files = {file for name in profiles() for one in wheels_of(name).values() for file in one.needs}
    unused = [
        pattern for pattern in NEVER_LOADED if not any(fnmatchcase(file, pattern) for file in files)
    ]
    assert unused == []


def test_pins_whose_wheels_were_not_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("numpy==9.9.9\n")
    monkeypatch.setattr(closure, "pins_file", lambda profile: pins)
    problems = check_closure("rtx3090")
    assert any(problem.startswith("numpy 9.9.9, and ") for problem in problems)
    assert any(problem.startswith("torch is not pinned, and ") for problem in problems)


def test_libraries_of_a_wheel_are_read_from_its_files(tmp_path: Path) -> None:
    (library, *_) = sorted(Path(numpy.__file__).parent.rglob("_multiarray_umath*.so"))
    wheel = tmp_path / "one-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(library, "one/real.so")
        archive.writestr("one/words.so.1", "no library")
    found = libraries_in(wheel)
    assert found.provides == ("real.so",)
    assert "libc.so.6" in found.needs["one/real.so"]
