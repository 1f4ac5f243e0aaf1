"""The commands that describe: help without heavy imports, profiles, backends, doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from deploybench.cli.commands import COMMANDS
from deploybench.cli.main import application
from tests.conftest import Cli

HEAVY = ("torch", "numpy", "scipy", "pydantic", "onnxruntime", "openvino", "rich.table")


@pytest.mark.parametrize(
    ("arguments", "loaded_too", "heavy"),
    [
        (["--help"], "deploybench.cli.commands", HEAVY),
        # Typer itself asks pydantic about the parameters of a command, where it is installed.
        (["run", "--help"], "deploybench.cli.run", sorted({*HEAVY} - {"pydantic"})),
        (["data", "show", "--help"], "deploybench.cli.data", sorted({*HEAVY} - {"pydantic"})),
    ],
)
def test_help_imports_nothing_heavy(
    arguments: list[str], loaded_too: str, heavy: Sequence[str]
) -> None:
    code = (
        "import sys, runpy\ntry:\n  runpy.run_module('deploybench', "
        "run_name='__main__')\nexcept SystemExit: pass\n"
    )
    code += "print([name for name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    assert loaded_too in loaded
    assert [name for name in heavy if f"'{name}'" in loaded] == []


def test_profiles_backends_and_doctor_print_and_as_json(cli_here: Cli, tmp_path: Path) -> None:
    assert {item["name"] for item in json.loads(cli_here("profiles", "--json").stdout)} >= {
        "xeon",
        "k80",
    }
    assert "Kepler" in cli_here("profiles", "show", "k80").stdout
    plugins = json.loads(cli_here("backends", "--json").stdout)
    assert {"onnx", "onnxruntime", "openvino", "inductor", "aotinductor"} <= {
        item["name"] for item in plugins
    }
    unusable = [item for item in plugins if not item["usable"]]
    assert {item["name"] for item in unusable} <= {"tensorrt", "tensorrt-rtx"}, "which need a GPU"
    ending = (
        "plug-ins do not work here" if unusable else "Everything that is registered works here."
    )
    assert ending in cli_here("doctor", "-w", tmp_path).stdout
    described = json.loads(cli_here("doctor", "--json", "-w", tmp_path).stdout)
    assert described["host"]["usable_cores"] >= 1
    on_gpu = {row["name"]: row["problem"] or "" for row in described["gpu"]}
    assert on_gpu["openvino"] == "openvino runs on cpu, not on cuda"
    assert on_gpu.keys() >= {"pytorch", "onnxruntime", "onnxruntime-tensorrt"}


def test_doctor_gives_the_pip_line_of_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    hidden = tmp_path / "site"
    hidden.mkdir()
    hook = "import importlib.util as u\nfind = u.find_spec\n"
    hook += (
        "u.find_spec = lambda name, package=None: None if name == 'openvino' else find(name, "
        "package)\n"
    )
    (hidden / "sitecustomize.py").write_text(hook)
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    done = cli("doctor", "-w", tmp_path, environment={"PYTHONPATH": path})
    assert 'pip install "deploybench[openvino]"' in done.stdout
    assert "needs openvino" in done.stdout


def test_help_of_all_commands_says_what_each_commands_own_help_begins_with() -> None:
    whole = typer.main.get_command(application())
    assert sorted(command.name for command in COMMANDS) == sorted(whole.commands)
    for command in COMMANDS:
        assert whole.commands[command.name].get_short_help_str(200) == command.summary


def test_only_the_command_that_was_typed_is_imported() -> None:
    program = (
        "import sys; from deploybench.cli.main import application; application(['show', '--help']);"
        "print(sorted(name for name in sys.modules if name.startswith('deploybench.cli.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "deploybench.cli.show" in done.stdout
    assert "deploybench.cli.run" not in done.stdout
