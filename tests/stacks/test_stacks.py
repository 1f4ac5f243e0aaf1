"""Environments: made, described, linked to the present code, and removed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploybench.children.processes import HERE
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError
from deploybench.plan import environments
from deploybench.plan.environments import runners_in
from deploybench.runs.request import RunRequest, carry_out
from deploybench.stacks import creating
from deploybench.stacks.creating import (
    KNOWN,
    StackRequest,
    create_stack,
    remove_stack,
    requirements_of,
)
from deploybench.stacks.stack import (
    PRESENT,
    Stack,
    StackRunner,
    find_stack,
    interpreter_of,
    stack_names,
)
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.conftest import ROOT, Cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPLOYBENCH_ENVIRONMENTS", str(tmp_path / "environments"))
    return tmp_path / "environments"


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of installing anything, the packages of the tests' own interpreter are shared."""

    def install(folder: Path, python: str | None, arguments: object) -> str:
        subprocess.run(
            [HERE.path, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120
        )
        import numpy

        packages = Path(numpy.__file__).parents[1]
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "shared.pth").write_text(f"{packages}\n")
        return "made up"

    monkeypatch.setattr(creating, "_install", install)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Stack:
    no_network(monkeypatch)
    # The modules of this interpreter are not those of another: an environment does not see them.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return create_stack(StackRequest("own", packages=["onnxruntime"]))


def test_a_cell_is_measured_by_a_worker_of_each_environment(made: Stack, tmp_path: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    result = carry_out(
        RunRequest(
            runners=["onnxruntime"],
            environments=[PRESENT, "own"],
            rounds=1,
            duration_s=0.05,
            min_samples=3,
            threads=1,
            workspace=workspace.root,
        )
    )

    assert [record.cell.stack for record in result.records] == [PRESENT, "own"]
    for record in result.records:
        assert record.launches[0].error is None
        assert record.launches[0].samples_ns
    here, there = result.records
    assert "--environment own" in there.command
    assert "--environment" not in here.command
    assert there.versions["onnxruntime"] == made.versions["onnxruntime"]
    # Two files, not one over the other.
    assert len(list(result.folder.glob("*.json"))) == 2


def test_an_environment_runs_the_code_of_this_installation(made: Stack) -> None:
    asked = "import deploybench, deploybench.runners; print(deploybench.__file__)"
    told = subprocess.run(
        [made.interpreter, "-I", "-c", asked], capture_output=True, text=True, check=True
    )

    assert told.stdout.startswith(str(made.folder))
    assert (made.folder / "code" / "deploybench" / "cli").readlink() == ROOT / "deploybench" / "cli"
    assert made.runners["onnxruntime"].problem is None
    assert find_stack("own") == made
    assert interpreter_of("own").path == str(made.interpreter)
    assert interpreter_of(PRESENT) == HERE


def test_an_environment_is_removed_with_all_that_is_in_it(made: Stack) -> None:
    remove_stack("own")

    assert stack_names() == []
    assert not made.folder.exists()
    with pytest.raises(DeployBenchError, match="unknown environment 'own'"):
        find_stack("own")


def test_what_cannot_be_installed_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def fail(*_: object) -> str:
        raise DeployBenchError("no such package")

    monkeypatch.setattr(creating, "_install", fail)
    with pytest.raises(DeployBenchError, match="no such package"):
        create_stack(StackRequest("own", packages=["nothing"]))
    assert not (folder / "own").exists()


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (StackRequest("tensorrt86"), "unknown stack 'tensorrt86'"),
        (StackRequest("../elsewhere"), "an environment called"),
        (StackRequest(PRESENT), "an environment called 'present'"),
        (StackRequest("own", requirements=Path("/nowhere.txt")), "there is no file /nowhere.txt"),
    ],
)
def test_what_cannot_be_made_is_refused(request_: StackRequest, found: str) -> None:
    with pytest.raises(DeployBenchError, match=re.escape(found)):
        create_stack(request_)


def test_a_name_is_taken_once(made: Stack) -> None:
    with pytest.raises(DeployBenchError, match="there is an environment own"):
        create_stack(StackRequest("own", packages=["onnxruntime"]))


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_stack_is_that_of_an_image(name: str) -> None:
    known = KNOWN[name]
    dockerfile = (ROOT / "docker" / known.profile / "Dockerfile").read_text("utf-8")

    assert f"FROM python:{known.python}." in dockerfile
    assert requirements_of(known.profile) == ROOT / "docker" / known.profile / "requirements.txt"


def test_a_runner_is_usable_where_the_environment_says_so(
    made: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"tensorrt": StackRunner(), "onnxruntime": StackRunner(problem="it is not installed")}
    monkeypatch.setattr(environments, "find_stack", lambda name: made.replaced(runners=told))
    assert not runner("tensorrt").usable

    (entry,) = runners_in("own", ["tensorrt"], ["cpu"])
    assert entry.usable
    assert entry == replace(runner("tensorrt"), problem=None, remedy=None)
    with pytest.raises(DeployBenchError, match="onnxruntime cannot be used in the environment own"):
        runners_in("own", ["onnxruntime"], ["cpu"])


def test_commands_make_list_and_remove(cli_here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    made = cli_here("env", "create", "mine", "--package", "onnxruntime")
    assert made.returncode == 0, made.stderr
    assert "deploybench run --environment present,mine" in made.stdout

    listed = cli_here("env", "list")
    assert "mine" in listed.stdout
    assert "onnxruntime" in listed.stdout
    assert cli_here("env", "remove", "mine").returncode == 0
    assert cli_here("env", "remove", "mine").returncode == 2


def test_an_environment_that_is_not_there_is_refused(cli_here: Cli, tmp_path: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    refused = cli_here("run", "--environment", "tensorrt85", "--workspace", workspace.root)

    assert refused.returncode == 2
    assert "unknown environment 'tensorrt85'" in refused.stderr
    assert "deploybench env create tensorrt85" in refused.stderr
