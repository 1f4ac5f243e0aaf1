"""The hooks of examples/, carried out by git at a commit and as pre-commit carries them out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.archive.made import steady, written
from tests.gating.stores import git, repository

FOLDER = Path(__file__).parents[2] / "examples" / "pre-commit"
FIRST, SECOND = "20260101-000000-aaaa", "20260102-000000-bbbb"


def example() -> dict[str, Any]:
    """The hook of the example's configuration."""
    configuration = yaml.safe_load((FOLDER / ".pre-commit-config.yaml").read_text("utf-8"))
    hook: dict[str, Any] = configuration["repos"][0]["hooks"][0]
    return hook


def defined() -> dict[str, dict[str, Any]]:
    hooks = yaml.safe_load((FOLDER / ".pre-commit-hooks.yaml").read_text("utf-8"))
    return {hook["id"]: hook for hook in hooks}


@pytest.fixture
def committing(tmp_path: Path) -> Path:
    """A repository whose commits are judged by the example's hook.

    pre-commit runs ``entry`` and ``args`` in the top folder, without file names, where a staged
    file matches ``files``: so does this hook of git's.
    """
    folder = repository(tmp_path / "repository")
    hook = example()
    command = shlex.join([*shlex.split(hook["entry"]), *hook["args"]])
    script = folder / ".git" / "hooks" / "pre-commit"
    script.parent.mkdir(exist_ok=True)
    pattern = shlex.quote(hook["files"])
    script.write_text(
        f"#!/bin/sh\ngit diff --cached --name-only | grep -qE {pattern} || exit 0\nexec {command}\n"
    )
    script.chmod(0o755)
    return folder


def commit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    return subprocess.run(
        ["git", *who, "commit", "-m", "change", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def replace(folder: Path, ms: float, run: str) -> None:
    shutil.rmtree(folder / "speed", ignore_errors=True)
    written(folder / "speed", steady(ms, run))
    git(folder, "add", "-A", "speed")


def test_commits_are_judged_one_against_the_other(committing: Path) -> None:
    replace(committing, 10.0, FIRST)
    first = commit(committing)
    assert first.returncode == 0, first.stderr
    assert "no baseline" in first.stdout + first.stderr
    replace(committing, 15.0, SECOND)
    slower = commit(committing)
    assert (slower.returncode, "REGRESSION: 1 regressed" in slower.stdout + slower.stderr) == (
        1,
        True,
    )
    # A faster one that lies in the working tree and is not staged is not what is committed.
    written(committing / "speed", steady(5.0, "20260103-000000-cccc"))
    assert commit(committing).returncode == 1
    shutil.rmtree(committing / "speed")
    replace(committing, 6.0, SECOND)
    assert commit(committing).returncode == 0


def test_commit_of_something_else_is_not_judged(committing: Path) -> None:
    (committing / "README.md").write_text("words")
    git(committing, "add", "README.md")
    done = commit(committing)
    assert (done.returncode, "baseline" in done.stderr) == (0, False)


def test_definition_and_example_are_one_hook() -> None:
    hook = example()
    same = defined()[hook["id"]]
    for key in ("entry", "language", "files", "pass_filenames", "require_serial", "verbose"):
        assert hook[key] == same[key]


def test_every_hook_says_what_it_does_where_it_passes() -> None:
    # pre-commit hides what a hook that passes has said, unless it is verbose.
    assert all(hook["verbose"] and not hook["pass_filenames"] for hook in defined().values())


@pytest.mark.skipif(shutil.which("pre-commit") is None, reason="pre-commit is not installed")
def test_pre_commit_itself_runs_the_example(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    shutil.copy(FOLDER / ".pre-commit-config.yaml", folder)
    git(folder, "add", ".pre-commit-config.yaml")
    git(folder, "commit", "-qm", "first")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "home")}
    for ms, run, code, words in (
        (10.0, FIRST, 0, "no baseline"),
        (15.0, SECOND, 1, "REGRESSION: 1 regressed"),
    ):
        replace(folder, ms, run)
        done = subprocess.run(
            ["pre-commit", "run"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
        git(folder, "commit", "-qm", "next", "--no-verify")
