"""Which commands there are: where each is defined, and what ``--help`` says of it.

A command's module is imported when it is called. ``--help`` shows the summaries of this table and
imports none of them, so that it is quick; a test holds the summaries to the docstrings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import typer


@dataclass(frozen=True)
class Command:
    """One command of ``deploybench``; ``target`` is ``module:name`` within ``deploybench.cli``.

    The name means a function, or a Typer application where the command has commands of its own.
    """

    name: str
    target: str
    summary: str

    def load(self) -> Callable[..., object] | typer.Typer:
        """The function or the application."""
        module, _, name = self.target.partition(":")
        loaded: Callable[..., object] | typer.Typer = getattr(
            importlib.import_module(f"deploybench.cli.{module}"), name
        )
        return loaded


COMMANDS = (
    Command(
        "export",
        "export:export",
        "Export models, verify every artifact against fp32 eager, and write them into the "
        "workspace.",
    ),
    Command(
        "adopt",
        "adopt:adopt",
        "Make an artifact of a file that was exported elsewhere: ONNX, OpenVINO, TorchScript or "
        "torch.export.",
    ),
    Command(
        "run",
        "run:run",
        "Measure artifacts on this machine: processes that are visited in turn, parity before "
        "time.",
    ),
    Command(
        "fleet",
        "fleet:app",
        "Measure the same cells on many machines: nodes carry their profile, one cell at a time.",
    ),
    Command(
        "env",
        "env:app",
        "Make environments for backends that cannot be installed together, list and remove them.",
    ),
    Command(
        "evaluate",
        "evaluate:evaluate",
        "Evaluate artifacts on images: accuracy with intervals, beside fp32 eager; without labels, "
        "the agreement with it.",
    ),
    Command(
        "study",
        "study:study",
        "Train models alike, export and evaluate them, measure every cell: one table of accuracy, "
        "latency and size, with the orders by MACs, by latency and by accuracy.",
    ),
    Command(
        "tune",
        "tune:tune",
        "Find the fastest configuration of a model that is still right: every backend, precision "
        "and option, measured side by side.",
    ),
    Command(
        "scenario",
        "scenario:scenario",
        "Measure under MLPerf's load scenarios with MLPerf's own LoadGen.",
    ),
    Command(
        "show",
        "show:show",
        "Print the answer and the table of an earlier run from its records.",
    ),
    Command(
        "report",
        "report:report",
        "Write one page of records that a browser opens from disk: the answer, the table, charts.",
    ),
    Command(
        "compare",
        "compare:compare",
        "Is the candidate faster? Join two runs by cell: speed-up, interval, and FASTER, SLOWER, "
        "SAME or AMBIGUOUS.",
    ),
    Command(
        "gate",
        "gate:gate",
        "Fail when a cell became slower: exit 0 for a pass, 1 for a regression, 3 when the runs "
        "cannot tell.",
    ),
    Command(
        "results",
        "results:app",
        "Query, pack, compare, import and follow many results: deploybench results query SQL.",
    ),
    Command(
        "advise",
        "advise:advise",
        "Which model, backend, precision and batch meet the constraints, from the records at hand; "
        "nothing is measured.",
    ),
    Command(
        "explain",
        "explain:explain",
        "Show the time of every layer by its runtime's own profiler, beside the MACs of its "
        "module.",
    ),
    Command(
        "demo",
        "demo:demo",
        "A page on this machine: drop an image, and see what artifacts make of it, side by side.",
    ),
    Command(
        "predict",
        "predict:predict",
        "Preprocess images as the manifest says, run the artifact, print the most probable "
        "classes.",
    ),
    Command(
        "attend",
        "attend:attend",
        "Show what models look at in an image: attention maps and Grad-CAM, side by side, with "
        "numbers.",
    ),
    Command(
        "list",
        "list:list_workspace",
        "List the artifacts of the workspace, with the names to type, and its runs.",
    ),
    Command("rm", "rm:rm", "Remove artifacts and runs of the workspace."),
    Command(
        "prune",
        "prune:prune",
        "Remove unreadable and superseded artifacts, the predictions of artifacts that are gone, "
        "what dead processes left, and empty runs; "
        "runs with records only with --keep-last or --older-than.",
    ),
    Command(
        "pack",
        "pack:pack",
        "Put verified artifacts into one file; deploybench run FILE measures them elsewhere.",
    ),
    Command(
        "bundle",
        "bundle:bundle",
        "Write a folder that serves an artifact as it was measured: model, serve.py, requirements, "
        "Dockerfile, measurements, model card.",
    ),
    Command(
        "bound",
        "bound:bound",
        "Compute a lower bound on the latency from MACs, bytes and a profile's peaks.",
    ),
    Command(
        "data",
        "data:app",
        "Show a set of images, split it, or make one: deploybench data show DIR.",
    ),
    Command(
        "train",
        "train:train",
        "Train a model on images: one recipe for every architecture; out comes a checkpoint that "
        "export reads.",
    ),
    Command("models", "models:app", "List the models, or show one: deploybench models show vit."),
    Command(
        "profiles",
        "profiles:app",
        "List the hardware profiles, show one, or write one of this machine.",
    ),
    Command(
        "backends",
        "backends:backends",
        "List exporters and runners; a broken one is a row with its cause.",
    ),
    Command(
        "doctor",
        "doctor:doctor",
        "Describe the host, the plug-ins and the workspace; say what is missing and how to install "
        "it.",
    ),
)


def add_command(app: typer.Typer, command: Command) -> None:
    """Put the command itself into ``app``; its module is imported."""
    loaded = command.load()
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=command.name)
    else:
        app.command(command.name)(loaded)


def add_summary(app: typer.Typer, command: Command) -> None:
    """Put what ``--help`` says of the command into ``app``, and nothing that can be called."""

    def not_loaded() -> None:
        raise AssertionError(f"{command.name} was called without being loaded")

    app.command(command.name, help=command.summary)(not_loaded)
