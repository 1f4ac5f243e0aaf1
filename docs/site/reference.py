"""What is generated from the code: the options of every command, and the public names of Python.

A page asks for them by a fenced block that reads well where nothing generates anything::

    ```{options}
    deploybench run --help
    ```

    ```{names}
    python -m pydoc deploybench.contracts
    ```
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from deploybench.cli.main import application

LOG = logging.getLogger(__name__)
PROGRAM = "deploybench"
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")
MARKUP = re.compile(r"([\\`*_{}\[\]<>#|$~])")
"""What Markdown would take for more than a character."""


class Options(SphinxDirective):
    """The usage, the arguments and the options of one command, as its ``--help`` has them."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        words = " ".join(self.content).split()
        if words[:1] != [PROGRAM] or words[-1:] != ["--help"]:
            raise self.error(f"expected '{PROGRAM} COMMAND --help', found {' '.join(words)!r}")
        path = tuple(words[1:-1])
        try:
            command = command_of(path)
        except KeyError as error:
            raise self.error(f"{PROGRAM} has no command {' '.join(path)}") from error
        shown = getattr(self.env, "shown_commands", set())
        self.env.shown_commands = {*shown, path}
        return self.parse_text_to_nodes("\n".join(markdown_of(command, path)))


class Names(SphinxDirective):
    """Every public name of a module, with its signature, its fields and its docstring."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        words = " ".join(self.content).split()
        if words[:-1] != ["python", "-m", "pydoc"]:
            raise self.error(f"expected 'python -m pydoc MODULE', found {' '.join(words)!r}")
        module = importlib.import_module(words[-1])
        links = (f"{{py:obj}}`{name} <{module.__name__}.{name}>`" for name in module.__all__)
        lines = [" · ".join(links), "", "````{eval-rst}"]
        for name in module.__all__:
            lines += described(module.__name__, name, getattr(module, name))
        lines.append("````")
        return self.parse_text_to_nodes("\n".join(lines))


@cache
def whole_command_line() -> Any:
    return typer.main.get_command(application())


def command_of(path: tuple[str, ...]) -> Any:
    """The command of that path below ``deploybench``; KeyError where there is none."""
    command: Any = whole_command_line()
    for word in path:
        command = command.commands[word]
    return command


def leaves(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command that is no group, and of every group that works by itself."""
    command = command_of(()) if command is None else command
    below = getattr(command, "commands", {})
    if path and (not below or command.invoke_without_command):
        yield path
    for name, one in below.items():
        yield from leaves(one, (*path, name))


def markdown_of(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The help of a command as the Markdown that Sphinx reads: every option can be linked to."""
    name = " ".join((PROGRAM, *path))
    context = command.context_class(command, info_name=name)
    yield from ("```text", command.get_usage(context).removeprefix("Usage: "), "```", "")
    yield from ("```{program} " + name, "```", "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        names, words = record
        if parameter.param_type_name == "option":
            if "--help" in parameter.opts:
                continue
            yield "```{option} " + names.replace(" / ", ", ")
            yield from (prose(words), "```", "")
        else:
            yield from (f"- `{names}`: {prose(words)}", "")


def prose(words: str) -> str:
    """Plain words as Markdown; the options among them as code."""
    escaped = MARKUP.sub(r"\\\1", " ".join(words.split()))
    return OPTION.sub(r"`\1`", escaped)


def described(module: str, name: str, thing: object) -> list[str]:
    """The directive of autodoc that describes a name, in reStructuredText."""
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        return [f".. {kind}:: {module}.{name}", "   :members:", "   :undoc-members:", ""]
    if inspect.isfunction(thing):
        return [f".. autofunction:: {module}.{name}", ""]
    return [f".. autodata:: {module}.{name}", ""]


def check_all_shown(app: Sphinx, env: BuildEnvironment) -> None:
    """A command without a page is a fault of the pages."""
    shown = getattr(env, "shown_commands", set())
    for path in leaves():
        if path not in shown:
            words = " ".join((PROGRAM, *path))
            LOG.warning("no page below docs/commands shows the options of '%s'", words)


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("options", Options)
    app.add_directive("names", Names)
    app.connect("env-check-consistency", check_all_shown)
    return {"parallel_read_safe": False, "env_version": 1}
