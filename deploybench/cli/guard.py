"""Turns refusals into one readable message and an exit code; no command shows a traceback for bad
input."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from deploybench.errors import DeployBenchError

P = ParamSpec("P")
R = TypeVar("R")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Exit 2 with found / expected / do for a refusal, 130 for Ctrl-C; anything else is a bug and
    propagates."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from deploybench.errors import EXIT_INTERRUPTED, EXIT_REFUSED, DeployBenchError

        try:
            return command(*args, **kwargs)
        except DeployBenchError as error:
            print_error(error)
            raise typer.Exit(EXIT_REFUSED) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None

    return wrapper


def print_error(error: DeployBenchError) -> None:
    """The three lines of a refusal on standard error."""
    typer.echo(f"error:    {error.found}", err=True)
    if error.expected:
        typer.echo(f"expected: {error.expected}", err=True)
    if error.action:
        typer.echo(f"do:       {error.action}", err=True)
