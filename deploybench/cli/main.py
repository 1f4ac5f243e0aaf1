"""The ``deploybench`` command.

Command modules import the core inside their functions: ``--help`` must be quick.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from deploybench.cli import (
    backends,
    bound,
    compare,
    doctor,
    export,
    gate,
    models,
    pack,
    predict,
    profiles,
    prune,
    rm,
    run,
    scenario,
    show,
)
from deploybench.cli import list as listing
from deploybench.cli.crash import TRACEBACK_VARIABLE
from deploybench.cli.guard import heed_termination, run_to_the_end
from deploybench.cli.streams import prepare_streams
from deploybench.hardware.devices import BUS_ORDER

app = typer.Typer(
    name="deploybench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Export a PyTorch vision model to every backend, verify each artifact, and measure it "
    "honestly.",
)
app.command("export")(export.export)
app.command("run")(run.run)
app.command("scenario")(scenario.scenario)
app.command("show")(show.show)
app.command("compare")(compare.compare)
app.command("gate")(gate.gate)
app.command("pack")(pack.pack)
app.command("bound")(bound.bound)
app.command("predict")(predict.predict)
app.command("list")(listing.list_workspace)
app.command("rm")(rm.rm)
app.command("prune")(prune.prune)
app.add_typer(models.app, name="models")
app.add_typer(profiles.app, name="profiles")
app.command("backends")(backends.backends)
app.command("doctor")(doctor.doctor)


def _print_tracebacks(asked: bool) -> None:
    if asked:
        os.environ[TRACEBACK_VARIABLE] = "1"


def _print_version(asked: bool) -> None:
    if asked:
        from deploybench import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    whole_traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            callback=_print_tracebacks,
            is_eager=True,
            help=f"Print the whole traceback of a crash. Also ${TRACEBACK_VARIABLE}=1.",
        ),
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line. In every process of it CUDA numbers the GPUs as NVML does."""
    os.environ.update(BUS_ORDER)
    prepare_streams()
    heed_termination()
    run_to_the_end(app)
