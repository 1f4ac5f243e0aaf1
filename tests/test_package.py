"""The wheel holds everything, and the core imports without any runtime."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIMES = (
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "safetensors",
    "PIL",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_maps_the_top_level_folders_below_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for expected in (
        "exporters/onnx.py",
        "runners/onnxruntime.py",
        "profiles/rtx3090.toml",
        "py.typed",
    ):
        assert f"deploybench/{expected}" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"deploybench", next(top for top in tops if top.endswith(".dist-info"))}


def test_wheel_carries_the_licence_and_names_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        licence = next(name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_installed_wheel_works_without_any_runtime(wheel: Path, tmp_path: Path) -> None:
    target, blocked = tmp_path / "site", tmp_path / "blocked"
    zipfile.ZipFile(wheel).extractall(target)
    blocked.mkdir()
    for name in RUNTIMES:
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} was imported')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), str(target)])}
    for arguments in (
        ["--help"],
        ["--version"],
        ["profiles"],
        ["profiles", "show", "k80"],
        ["backends"],
        ["doctor"],
    ):
        command = [sys.executable, "-m", "deploybench", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr)
    where = "import deploybench; print(deploybench.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(target) in shown.stdout


def test_no_source_file_is_longer_than_400_lines() -> None:
    folders = ("deploybench", "exporters", "runners", "tests", "benchmarks", "examples")
    long = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    ]
    assert long == []
