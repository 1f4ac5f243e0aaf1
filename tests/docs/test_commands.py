"""Every command, path, link and name that the pages show exists. Nothing is run."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

from deploybench.cli.main import application
from tests.docs.pages import (
    BARE_FILE,
    DOTTED_NAME,
    NO_SHELL,
    PAGES,
    PLACEHOLDER,
    ROOT,
    Code,
    anchors_of,
    codes_of,
    commands,
    links_of,
    paths_of,
)

MODULES = ("benchmarks", "tests", "docker", "deploybench")
"""Packages of this repository that ``python -m`` may name."""
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def command_line() -> Any:
    """All commands, made once: that takes a tenth of a second, and the pages show hundreds."""
    return typer.main.get_command(application())


def refusal(arguments: list[str]) -> str | None:
    """Why ``deploybench ARGUMENTS`` cannot be parsed, in words, or None. Parsing runs nothing."""
    command = command_line()
    rest = list(arguments)
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-") or PLACEHOLDER.fullmatch(rest[0]):
            break
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    context = command.context_class(command)
    try:
        command.make_parser(context).parse_args(rest)
    except Exception as error:  # Typer may bring its own copy of click's errors
        return str(error)
    return None


def targets_of_make() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))


def module_file(name: str) -> Path | None:
    """The file that ``python -m NAME`` would run in this checkout, if there is one."""
    path = ROOT / name.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__main__.py")
    return next((file for file in files if file.is_file()), None)


def options_of_program(file: Path) -> set[str]:
    """The options that a program hands to ``add_argument``."""
    calls = (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if is_argument(node))
    words = [word.value for call in calls for word in call.args if isinstance(word, ast.Constant)]
    return {word for word in words if isinstance(word, str) and word.startswith("-")} | {"--help"}


def is_argument(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
    )


def resolves(name: str) -> bool:
    """Whether a dotted name is a module of ours, or something that one of our modules has."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False


@BY_NAME
def test_every_deploybench_command_is_one_that_the_command_line_takes(page: Path) -> None:
    wrong = [
        f"{code.where}: deploybench {' '.join(arguments)}: {why}"
        for code in codes_of(page)
        for arguments in commands(code, "deploybench")
        if (why := refusal(arguments)) is not None
    ]
    assert wrong == []


@BY_NAME
def test_every_make_target_is_in_the_makefile(page: Path) -> None:
    targets = targets_of_make()
    wrong = [
        f"{code.where}: make {arguments[0]}"
        for code in codes_of(page)
        for arguments in commands(code, "make")
        if arguments and arguments[0] not in targets and not PLACEHOLDER.match(arguments[0])
    ]
    assert wrong == []


@BY_NAME
def test_every_program_that_python_runs_exists_and_takes_the_options_shown(page: Path) -> None:
    wrong = []
    for code in codes_of(page):
        for name, *arguments in filter(None, commands(code, "python -m")):
            if name.split(".")[0] not in MODULES or PLACEHOLDER.search(name):
                continue
            file = module_file(name)
            if file is None:
                wrong.append(f"{code.where}: python -m {name}: no such module")
                continue
            options = options_of_program(file)
            # What comes after a bare -- is handed on to another command.
            own = takewhile(lambda word: word != "--", arguments)
            shown = {word.split("=")[0] for word in own if word.startswith("--")}
            wrong += [f"{code.where}: python -m {name} {word}" for word in shown - options]
    assert wrong == []


@BY_NAME
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    wrong = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            wrong.append(f"{link}: no such heading")
    assert wrong == []


@BY_NAME
def test_every_path_of_the_repository_exists(page: Path) -> None:
    wrong = [
        f"{code.where}: {path}"
        for code in codes_of(page)
        if code.language not in NO_SHELL
        for path in paths_of(code)
        if not any(is_there(form) for form in alternatives(path))
    ]
    assert wrong == []


def is_there(form: str) -> bool:
    """Whether a path, or a file of that name with any ending (``--out docs/states``), exists."""
    return any(ROOT.glob(form.rstrip("/"))) or any(ROOT.glob(f"{form.rstrip('/')}.*"))


def alternatives(path: str) -> list[str]:
    """``a/{b,c}.py`` written out."""
    match = re.search(r"\{([^}]*)\}", path)
    if match is None:
        return [path]
    return [path.replace(match[0], word.strip()) for word in match[1].split(",")]


@BY_NAME
def test_every_source_file_that_is_named_without_its_folder_exists(page: Path) -> None:
    known = {path.name for folder in ROOT.iterdir() if is_ours(folder) for path in python(folder)}
    known.add("serve.py")  # every bundle has one, which is written for it
    wrong = [
        f"{code.where}: {name}"
        for code in codes_of(page)
        if code.language not in NO_SHELL
        for name in BARE_FILE.findall(code.text)
        if name not in known
    ]
    assert wrong == []


def is_ours(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".") and folder.name != "build"


def python(folder: Path) -> list[Path]:
    return list(folder.rglob("*.py"))


@BY_NAME
def test_every_dotted_name_of_ours_can_be_imported(page: Path) -> None:
    wrong = [
        f"{code.where}: {name}"
        for code in codes_of(page)
        if code.language not in NO_SHELL
        for name in DOTTED_NAME.findall(code.text)
        if not PLACEHOLDER.fullmatch(name.rpartition(".")[2]) and not resolves(name)
    ]
    assert wrong == []


@BY_NAME
def test_every_python_example_parses_and_imports_what_we_have(page: Path) -> None:
    wrong = []
    for code in codes_of(page):
        if code.language != "python":
            continue
        tree = parsed(code.text)
        if tree is None:
            wrong.append(f"{code.where}: does not parse")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deploybench"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                wrong += [f"{code.where}: {name}" for name in names if not resolves(name)]
    assert wrong == []


def parsed(text: str) -> ast.AST | None:
    """The tree of an example: whole statements, or a part to paste into a body, after an ``if``,
    into a dictionary or into a call. None where it is none of these."""
    body = textwrap.dedent(text).strip()
    for frame in ("{}", "if a:\n    pass\n{}", "a = {{{}}}", "a({})"):
        try:
            return ast.parse(frame.format(body))
        except SyntaxError:
            continue
    return None


@pytest.mark.parametrize(
    ("text", "parses"),
    [
        ("    def f() -> int:\n        return 1\n", True),
        ("    elif found:\n        ...\n", True),
        ('    "name": Entry(1),\n', True),
        ("    field=finding.field,\n", True),
        ("    def f(:\n", False),
    ],
)
def test_example_may_be_a_part_to_paste_but_has_to_parse(text: str, parses: bool) -> None:
    assert (parsed(text) is not None) is parses


def shell(text: str, language: str = "") -> Code:
    return Code(ROOT / "README.md", 1, text, language)


def test_command_ends_at_a_comment_a_pipe_or_the_next_command_and_goes_on_after_a_backslash() -> (
    None
):
    text = (
        "cd x && .venv/bin/deploybench run --model 'a b' \\\n    --rounds 6  # six\n"
        "$ deploybench show --csv > results.csv\n"
        "deploybench compare A B [--allow host] || exit 1; deploybench doctor\n"
    )
    assert list(commands(shell(text), "deploybench")) == [
        ["run", "--model", "a b", "--rounds", "6"],
        ["show", "--csv"],
        ["compare", "A", "B", "--allow", "host"],
        ["doctor"],
    ]
    assert list(commands(shell(text, "python"), "deploybench")) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "--model", "vit", "--rounds", "6"], None),
        (["models", "show", "xca", "--image-size", "224"], None),
        (["COMMAND", "--help"], None),
        (["measure"], "no command measure"),
        (["models", "list"], "no command list"),
        (["run", "--no-such-option"], "--no-such-option"),
        (["run", "--model"], "--model"),
    ],
)
def test_command_line_refuses_what_it_does_not_know(arguments: list[str], why: str | None) -> None:
    said = refusal(arguments)
    assert said is None if why is None else why in str(said)


def test_paths_with_placeholders_are_patterns_and_a_sentence_s_full_stop_is_none_of_them() -> None:
    text = "deploybench/analysis/verdicts.py. docker/PROFILE/requirements.in, exporters/{a,b}.py"
    assert paths_of(shell(text)) == [
        "deploybench/analysis/verdicts.py",
        "docker/*/requirements.in",
        "exporters/{a,b}.py",
    ]
    assert alternatives("exporters/{a,b}.py") == ["exporters/a.py", "exporters/b.py"]
