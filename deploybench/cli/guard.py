"""Turns whatever a command ends with into readable words and a documented exit code.

A refusal never shows a traceback, and a crash never has the exit code of a result.
"""

from __future__ import annotations

import errno
import functools
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

import typer

from deploybench.errors import (
    EXIT_CRASHED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_TERMINATED,
    DeployBenchError,
)
from deploybench.inert import inert
from deploybench.report.step_log import LOG

P = ParamSpec("P")
R = TypeVar("R")
SURROGATES = "surrogates not allowed"
"""Python's words for what does not decode."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
SAID = (EXIT_REFUSED, EXIT_CRASHED)
"""After these the user has read why there is no output."""

_terminated = False


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Exit 2 with found / expected / do for a refusal, 130 for Ctrl-C, 143 for SIGTERM, and 4 with
    a short report for anything else: a bug.

    Where there is no terminal, something is said at least every 30 s while the command works.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with LOG.under_way(f"deploybench {command.__name__}"):
            try:
                return command(*args, **kwargs)
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except (Exception, KeyboardInterrupt) as error:
                raise typer.Exit(explain(error)) from None

    return wrapper


def explain(error: BaseException) -> int:
    """Say what ended a command; the exit code that stands for it."""
    if isinstance(error, DeployBenchError):
        print_error(error)
        return EXIT_REFUSED
    if isinstance(error, KeyboardInterrupt):
        if _terminated:
            typer.echo("terminated", err=True)
            return EXIT_TERMINATED
        typer.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        print_error(
            DeployBenchError(
                f"{error.filename or 'output'} could not be written: {error.strerror}",
                action="free some space, or set TMPDIR and --workspace to another disk",
            )
        )
        return EXIT_REFUSED
    if _is_no_text(error):
        print_error(
            DeployBenchError(
                f"a name is no text in this system's encoding: {error}",
                expected="names of files, folders and models that decode",
                action="rename what has such a name; ls --escape shows it",
            )
        )
        return EXIT_REFUSED
    from deploybench.cli.crash import report_crash

    report_crash(error)
    return EXIT_CRASHED


def _is_no_text(error: BaseException) -> bool:
    """Whether a name that does not decode was to be written down.

    Python hands such a name on, but no document, table or runtime takes it. (pydantic has an error
    of its own around Python's.)
    """
    return SURROGATES in str(error) and isinstance(error, ValueError)


def run_to_the_end(program: Callable[[], object]) -> NoReturn:
    """Run the command line and leave with its exit code, once all output is written."""
    code: object
    try:
        program()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except (Exception, KeyboardInterrupt) as error:
        code = explain(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        if code not in SAID:
            code = explain(error)
        # The interpreter would try once more, and fail with an exit code of its own.
        sys.stdout = None
    sys.exit(code)


def heed_termination() -> None:
    """Let SIGTERM end a command as Ctrl-C does: what was measured is shown, and where it is."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    global _terminated
    _terminated = True
    raise KeyboardInterrupt


def print_error(error: DeployBenchError) -> None:
    """The three lines of a refusal on standard error."""
    say_aside(f"error:    {error.found}")
    if error.expected:
        say_aside(f"expected: {error.expected}")
    if error.action:
        say_aside(f"do:       {error.action}")


def say(words: str) -> None:
    """A line on standard output, of words that are only seen."""
    typer.echo(inert(words))


def say_aside(words: str) -> None:
    """A line on standard error, of words that are only seen."""
    typer.echo(inert(words), err=True)
