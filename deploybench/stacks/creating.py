"""Making an environment: a virtual environment with the pins of docker/, or with what is named.

``uv`` does it where it is installed (packages are then linked from its cache), else ``venv`` and
``pip``. Nothing is downloaded but packages; a Python of the version that a stack needs has to be
here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import deploybench
from deploybench.children.environment import without_search_path
from deploybench.children.processes import Interpreter, python_module
from deploybench.documents import now
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.files import write_whole
from deploybench.stacks.stack import (
    CODE,
    DESCRIPTION,
    PRESENT,
    Stack,
    StackRunner,
    interpreter_in,
    link_code,
    stack_names,
    stacks_folder,
)

PROBE = "deploybench.contracts.probe"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LIMIT_S = 3600.0
PROBE_LIMIT_S = 300.0


@dataclass(frozen=True)
class KnownStack:
    """A stack that is told by its name: the pins of docker/PROFILE, for that Python."""

    profile: str
    python: str
    holds: str


KNOWN = {
    "tensorrt85": KnownStack("gtx1080ti", "3.10", "TensorRT 8.5, ONNX Runtime 1.18, torch 2.0"),
    "onnxruntime114": KnownStack("k80", "3.10", "ONNX Runtime 1.14, TensorRT 8.5, torch 2.0"),
    "cuda13": KnownStack("rtx3090", "3.11", "TensorRT-RTX, ONNX Runtime and torch for CUDA 13"),
    "cpu": KnownStack("xeon", "3.11", "ONNX Runtime, OpenVINO and torch on a CPU"),
}


@dataclass(frozen=True)
class StackRequest:
    """An environment to make. ``requirements`` is a file of pins, ``packages`` are specifications
    beside it or instead of it; without either the name is one of :data:`KNOWN`. ``python`` is a
    version or the path of an interpreter; None: what the stack needs, else the present version."""

    name: str
    requirements: Path | None = None
    packages: Sequence[str] = ()
    python: str | None = None


def requirements_of(profile: str) -> Path:
    """The pins of docker/PROFILE: of this checkout, or as they were installed with the package.

    Raises DeployBenchError where they are in neither place.
    """
    package = Path(deploybench.__file__).resolve().parent
    checkout = package.parent / "docker"
    installed = package / "docker"
    for folder in (checkout, installed):
        path = folder / profile / "requirements.txt"
        if path.is_file():
            return path
    raise DeployBenchError(
        f"the pins of docker/{profile} are not installed",
        expected=f"{installed / profile / 'requirements.txt'}",
        action="--requirements FILE with the pins",
    )


def create_stack(request: StackRequest) -> Stack:
    """Make the environment, look at what runs in it, and describe it; whole or not at all.

    Raises DeployBenchError for a name that is taken or unknown, and with the installer's own words
    where something cannot be installed.
    """
    if not NAME.fullmatch(request.name) or request.name == PRESENT:
        raise DeployBenchError(
            f"an environment called '{request.name}'",
            expected="letters, digits, dots and dashes; 'present' is this interpreter",
        )
    if request.name in stack_names():
        raise DeployBenchError(
            f"there is an environment {request.name}",
            action=f"deploybench env remove {request.name}, or another name",
        )
    arguments, python, source = _what_to_install(request)
    folder = stacks_folder() / request.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        installer = _install(folder, python, arguments)
        _add_code(folder)
        stack = _described(request.name, folder, source, installer)
        write_whole(folder / DESCRIPTION, stack.model_dump_json(indent=1))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return stack


def remove_stack(name: str) -> None:
    """Remove the environment. Raises DeployBenchError where there is none."""
    if name not in stack_names():
        raise unknown_name("environment", name, stack_names(), action="deploybench env list")
    shutil.rmtree(stacks_folder() / name)


def _what_to_install(request: StackRequest) -> tuple[list[str], str | None, str]:
    """Arguments of the installer, the Python, and where the list comes from."""
    python = request.python
    if request.requirements is None and not request.packages:
        if request.name not in KNOWN:
            raise unknown_name(
                "stack",
                request.name,
                KNOWN,
                action="--requirements FILE or --package NAME==VERSION say what it holds",
            )
        known = KNOWN[request.name]
        path = requirements_of(known.profile)
        return ["-r", str(path)], python or known.python, f"docker/{known.profile}"
    # The pins of docker/ hold what this program needs; a list of one's own may not.
    arguments = [*_own_requirements(), *request.packages]
    sources = list(request.packages)
    if request.requirements is not None:
        if not request.requirements.is_file():
            raise DeployBenchError(f"there is no file {request.requirements}")
        arguments += ["-r", str(request.requirements.resolve())]
        sources.insert(0, str(request.requirements))
    return arguments, python, ", ".join(sources)


def _own_requirements() -> list[str]:
    """What this program needs itself, without its extras."""
    declared = metadata.requires("deploybench") or []
    return [text for text in declared if "extra ==" not in text]


def _install(folder: Path, python: str | None, arguments: Sequence[str]) -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    interpreter = str(interpreter_in(folder))
    wanted = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    if uv is not None:
        make = [uv, "venv", "--no-python-downloads", "--clear", "--python", wanted, str(folder)]
        _run(make, f"no environment of Python {wanted} can be made")
        install = [uv, "pip", "install", "--python", interpreter, *arguments]
        _run(install, "the packages cannot be installed")
        return "uv"
    base = sys.executable
    if python is not None:
        base = _python_called(wanted)
    _run([base, "-m", "venv", str(folder)], f"no environment of Python {wanted} can be made")
    install = [interpreter, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    _run(install, "the packages cannot be installed")
    return "pip"


def _python_called(wanted: str) -> str:
    """The interpreter of that version, or at that path. Raises DeployBenchError without one."""
    path = shutil.which(wanted) or shutil.which(f"python{wanted}")
    if path is None:
        raise DeployBenchError(
            f"there is no Python {wanted} on this machine",
            expected=f"python{wanted} on the PATH",
            action="install it, or --python with the path of one",
        )
    return path


def _run(command: Sequence[str], problem: str) -> None:
    environment = {**os.environ, "PIP_NO_INPUT": "1"}
    environment.pop("VIRTUAL_ENV", None)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployBenchError(f"{problem}: {error}") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise DeployBenchError(
            f"{problem}: {words[-1500:]}",
            action="another --python, or other pins by --requirements",
        )


def _add_code(folder: Path) -> None:
    """This installation's code on the search path of the environment."""
    link_code(folder)
    packages = sorted(folder.glob("lib*/python*/site-packages"))
    if os.name == "nt":
        packages = [folder / "Lib" / "site-packages"]
    if not packages:
        raise DeployBenchError(f"the environment {folder} has no folder for packages")
    write_whole(packages[0] / "deploybench-present.pth", f"{folder / CODE}\n")


def _described(name: str, folder: Path, source: str, installer: str) -> Stack:
    """What is in the environment, asked of its own interpreter."""
    interpreter = interpreter_in(folder)
    asked = subprocess.run(
        [str(interpreter), "-c", "import sys; print(*sys.version_info[:3], sep='.')"],
        env=without_search_path(os.environ),
        capture_output=True,
        text=True,
        timeout=PROBE_LIMIT_S,
        check=False,
    )
    version = asked.stdout.strip()
    major, minor = (int(part) for part in version.split(".")[:2])
    probe = subprocess.run(
        python_module(PROBE, Interpreter(str(interpreter), (major, minor))),
        env=without_search_path(os.environ),
        capture_output=True,
        text=True,
        timeout=PROBE_LIMIT_S,
        check=False,
    )
    if probe.returncode:
        words = (probe.stderr.strip().splitlines() or ["no reason"])[-1]
        raise DeployBenchError(
            f"this program does not run in the environment: {words}",
            expected=f"what it needs: {', '.join(_own_requirements())}",
            action="other pins by --requirements or --package",
        )
    told = json.loads(probe.stdout.splitlines()[-1])
    return Stack(
        name=name,
        python=version,
        created=now(),
        source=source,
        installer=installer,
        versions=told["versions"],
        runners={key: StackRunner(**value) for key, value in told["runners"].items()},
    )
