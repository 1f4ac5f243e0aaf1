"""A stack: an interpreter with backends of its own, and what was found in it when it was made.

It lies in a folder of the user's data, and runs the code of this very installation: what it has of
its own are the backends and what they need. A *name* means it: ``--environment tensorrt85``.
"""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import deploybench
from deploybench.children.processes import HERE, Interpreter
from deploybench.documents import Document, read_document_file
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.files import size_below

PRESENT = "present"
"""The interpreter that runs now; no environment has that name."""
FOLDER_VARIABLE = "DEPLOYBENCH_ENVIRONMENTS"
DESCRIPTION = "environment.json"
CODE = "code"
"""The folder of links to this installation's code, on the search path of the interpreter."""
PLUG_INS = ("exporters", "runners", "profiles")


class StackRunner(Document):
    """Why a runner cannot be used in the environment, or None."""

    problem: str | None = None
    remedy: str | None = None


class Stack(Document):
    """One environment. ``versions`` are those of all that is installed in it."""

    schema_version: Literal[1] = 1
    name: str
    python: str
    created: str
    source: str
    installer: str
    versions: dict[str, str]
    runners: dict[str, StackRunner]

    @property
    def folder(self) -> Path:
        return stacks_folder() / self.name

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return interpreter_in(self.folder)

    @property
    def runs(self) -> Interpreter:
        """Its Python, as processes are started with it."""
        major, minor = self.python.split(".")[:2]
        return Interpreter(str(self.interpreter), (int(major), int(minor)))

    @property
    def size_bytes(self) -> int:
        """Of all files in its folder; what an installer linked from its cache counts, too."""
        return size_below(self.folder)


def stacks_folder() -> Path:
    """Where environments lie: $DEPLOYBENCH_ENVIRONMENTS, else in the user's data."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    root = Path(data) if data else Path.home() / ".local" / "share"
    return root / "deploybench" / "environments"


def interpreter_in(folder: Path) -> Path:
    """The Python of a virtual environment."""
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def stack_names() -> list[str]:
    """The environments that there are."""
    return sorted(path.parent.name for path in stacks_folder().glob(f"*/{DESCRIPTION}"))


def find_stack(name: str) -> Stack:
    """The environment of that name, ready to start processes.

    Raises DeployBenchError where there is none, or its interpreter is gone.
    """
    path = stacks_folder() / name / DESCRIPTION
    if not path.is_file() or path.parent.parent != stacks_folder():
        raise unknown_name(
            "environment",
            name,
            [*stack_names(), PRESENT],
            action=f"deploybench env create {name} makes it; deploybench env list shows them",
        )
    stack = read_document_file(
        Stack,
        path,
        what="the description of an environment",
        expected="one that deploybench env create wrote",
        action=f"deploybench env remove {name}, and create it again",
    )
    if not stack.interpreter.exists():
        raise DeployBenchError(
            f"the environment {name} has no interpreter {stack.interpreter} any more",
            action=f"deploybench env remove {name}, and create it again",
        )
    link_code(stack.folder)
    return stack


def interpreter_of(name: str) -> Interpreter:
    """The Python of the environment of that name; of ``present`` the one that runs now."""
    if name == PRESENT:
        return HERE
    return find_stack(name).runs


def link_code(folder: Path) -> None:
    """Let the environment find the code of this installation, as it is now.

    The package is made of links to its rooms and to those of the plug-ins, which lie elsewhere in a
    checkout; the entry points stand in a copy of its metadata.
    """
    code = folder / CODE
    package = code / "deploybench"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in Path(deploybench.__file__).parent.iterdir()}
    for name in PLUG_INS:
        spec = find_spec(f"deploybench.{name}")
        if spec is not None and spec.origin is not None:
            wanted[name] = Path(spec.origin).parent
    wanted.pop("__pycache__", None)
    for path in package.iterdir():
        if path.name not in wanted:
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
    for name, target in wanted.items():
        link = package / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    _copy_metadata(code)


def _copy_metadata(code: Path) -> None:
    distribution = metadata.distribution("deploybench")
    folder = code / f"deploybench-{distribution.version}.dist-info"
    folder.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        text = distribution.read_text(name)
        present = folder / name
        if text is not None and (not present.is_file() or present.read_text("utf-8") != text):
            present.write_text(text, "utf-8")
