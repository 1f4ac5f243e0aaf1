"""Does what is exported today run on the stack of a Tesla K80? Python 3.10, torch 2.0 and
docker/k80's other pins.

Makes that environment in FOLDER, with the CPU build of the same onnxruntime and without TensorRT,
so that no GPU is needed; exports a model with the environment at hand and ``--profile k80``; packs
it; measures the pack over there. Exit 1 where a runner of the profile does not run or agree. Takes
4 GB of disk; the environment is made once.

python -m benchmarks.old_stack FOLDER [MODEL...]      (python3.10 of the PATH or of pyenv, or set
PYTHON310)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploybench.results.verdict import Verdict
from docker.pins import ROOT, pins_file, pins_of

PROFILE = "k80"
MODELS = ("timm:test_vit", "resnet50")
RUNNERS = ("pytorch", "torchscript", "onnxruntime")
NEED_A_GPU = frozenset({"tensorrt", "onnxruntime-gpu"})


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).absolute()
    models = sys.argv[2:] or MODELS
    there = environment(folder / "environment")
    pack, here = folder / "artifacts.dbpack", folder / "here"
    names = [part for model in models for part in ("--model", model)]
    deploybench = [sys.executable, "-m", "deploybench"]
    backends = "onnx,torchscript,pytorch"
    _call(
        *deploybench,
        "export",
        "--workspace",
        here,
        "--profile",
        PROFILE,
        "--backend",
        backends,
        *names,
    )
    _call(*deploybench, "pack", "--workspace", here, "--out", pack, *names)
    place, runners = ("--workspace", folder / "there"), ",".join(RUNNERS)
    command = [
        there,
        "run",
        pack,
        "--trust",  # a pack carries no signature, and this one was written a moment ago
        *place,
        "--runner",
        runners,
        "--rounds",
        "1",
        "--duration",
        "300ms",
        "--json",
    ]
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, stdout=subprocess.PIPE, text=True, check=False
    )
    rows = json.loads(done.stdout)
    for line in lines(rows):
        print(line)
    host = json.loads(_call(there, "doctor", *place, "--json"))["host"]
    print(
        f"Python {host['python']}, "
        + ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    )
    measured = {(row["model"], row["runner"]) for row in rows if _measured(row)}
    missing = [
        f"{model} on {runner}"
        for model in models
        for runner in RUNNERS
        if (model, runner) not in measured
    ]
    print(
        f"missing: {', '.join(missing)}" if missing else f"all {len(measured)} cells ran and agreed"
    )
    sys.exit(1 if missing else 0)


def environment(folder: Path) -> Path:
    """The ``deploybench`` command of that stack, installed from this tree; the libraries only if
    they are not there."""
    python = find_python()
    if python is None:
        sys.exit("no Python 3.10 was found; set PYTHON310 to one")
    pip = folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"
    if not (folder / "complete").exists():
        _call(python, "-m", "venv", "--clear", folder)
        _call(*pip, *requirements())
        (folder / "complete").touch()
    _call(*pip, "--no-build-isolation", "--editable", ROOT)
    return folder / "bin" / "deploybench"


def find_python() -> str | None:
    """A Python 3.10 that runs: a name on the PATH may be a shim for one that is not there."""
    installed = sorted((Path.home() / ".pyenv" / "versions").glob("3.10.*/bin/python3.10"))
    for python in (os.environ.get("PYTHON310"), shutil.which("python3.10"), *map(str, installed)):
        if python and _version(python) == (3, 10):
            return python
    return None


def requirements() -> list[str]:
    """The profile's pins; onnxruntime for the CPU in the place of the one for GPUs."""
    pins = pins_of(pins_file(PROFILE).read_text())
    kept = [f"{name}=={version}" for name, version in pins.items() if name not in NEED_A_GPU]
    return [*kept, f"onnxruntime=={pins['onnxruntime-gpu']}"]


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """A line a row: what ran, how far off, how long, what to think of it."""
    shown = []
    for row in rows:
        time = f"{row['p50_ms']:.2f} ms" if row["p50_ms"] else "no time"
        error = (
            "no parity"
            if row["parity_max_error"] is None
            else f"largest error {row['parity_max_error']:.2e}"
        )
        shown.append(
            f"{row['model']} {row['form']} {row['runner']} ({row['provider']}): {time}, {error}, "
            f"{row['verdict']}: {row['reason']}"
        )
    return shown


def _version(python: str) -> tuple[int, ...]:
    question = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-c", question], capture_output=True, text=True, check=False
        )
    except OSError:
        return ()
    return tuple(map(int, answer.stdout.split()))


def _measured(row: dict[str, Any]) -> bool:
    """Loaded, agreed with the reference and was timed; one launch on a busy machine may still be no
    number."""
    return row["parity_max_error"] is not None and row["verdict"] not in (
        Verdict.FAILED,
        Verdict.INVALID,
    )


def _call(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


if __name__ == "__main__":
    main()
