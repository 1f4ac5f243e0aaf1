"""The hooks run what ``make lint`` runs, and the forms of an issue are forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploybench import __version__
from tests.docs.test_architecture import tomllib

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def lint_tools() -> list[str]:
    """The programs that the Makefile's ``lint`` starts, in order."""
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\nlint:")[1].split("\n\n")[0]
    return [line.split("/")[1].split()[0] for line in recipe.splitlines()[1:]]


def test_hooks_before_a_commit_are_the_checks_of_make_lint_and_fetch_nothing() -> None:
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    hooks = local["hooks"]
    assert [hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks] == lint_tools()
    assert {hook["language"] for hook in hooks} == {"system"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_form_has_a_title_and_fields_with_names_of_their_own(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(names) == len(set(names))
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_there_is_a_form_for_a_bug_a_wrong_number_and_a_backend() -> None:
    assert [path.stem for path in FORMS] == ["bug", "new-backend", "wrong-number"]


def test_version_of_the_package_is_that_of_its_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == __version__
    assert project["license"] == "Apache-2.0"
