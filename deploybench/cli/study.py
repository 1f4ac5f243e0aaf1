"""``deploybench study``: train, export, evaluate and measure models, and print the one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from deploybench.cli import parse
from deploybench.cli.data import (
    ColumnOption,
    UncertainOption,
    columns_in,
    names_in,
    uncertain_in,
)
from deploybench.cli.guard import guarded
from deploybench.errors import DeployBenchError, unknown_name

if TYPE_CHECKING:
    from deploybench.runs.study_request import StudyModel
    from deploybench.training.recipe import Recipe

V = TypeVar("V")
EACH = "For all, or for one: MODEL=VALUE; repeatable."


@guarded
def study(
    models: Annotated[
        list[str],
        typer.Option(
            "--models", "--model", "-m", help="Names and groups, with commas: fair,resnet50,swin."
        ),
    ],
    data: Annotated[
        Path, typer.Option("--data", "-d", help="A folder or a file of labelled images.")
    ],
    recipe: Annotated[
        list[str] | None,
        typer.Option("--recipe", help=f"How all are trained. {EACH} [default: default]"),
    ] = None,
    epochs: Annotated[
        list[str] | None, typer.Option("--epochs", help=f"Of the recipe. {EACH}")
    ] = None,
    learning_rate: Annotated[
        list[str] | None,
        typer.Option("--learning-rate", help=f"Of the recipe, for the whole batch. {EACH}"),
    ] = None,
    train_batch: Annotated[
        int | None, typer.Option("--train-batch", min=1, help="Images of a step of training.")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option("--balance", help="Of unequal classes: sampler, loss or none."),
    ] = None,
    init_from: Annotated[
        list[str] | None,
        typer.Option("--init-from", help="A checkpoint to begin with: MODEL=FILE; repeatable."),
    ] = None,
    image_size: Annotated[
        list[str] | None,
        typer.Option("--image-size", help=f"Pixels: 96, 224x320. {EACH} [default: the model's]"),
    ] = None,
    patch_size: Annotated[
        list[str] | None,
        typer.Option("--patch-size", help=f"Of transformers, in pixels. {EACH}"),
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option("--in-channels", min=1, help="1 for grey images.")
    ] = None,
    train_split: Annotated[
        str | None, typer.Option("--train-split", help="[default: train]")
    ] = None,
    eval_split: Annotated[
        str | None,
        typer.Option("--eval-split", help="It judges the epochs. [default: val, else test]"),
    ] = None,
    test_split: Annotated[
        str | None,
        typer.Option("--test-split", help="The artifacts are evaluated on it. [default: test]"),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            "--class-names", help="All classes in the order of the labels: a,b,c, or a file."
        ),
    ] = None,
    uncertain: UncertainOption = None,
    column: ColumnOption = None,
    backend: parse.BackendsOption = None,
    runner: parse.RunnerOption = None,
    device: parse.DeviceOption = None,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="Of the cells. [default: fp32]")
    ] = None,
    train_device: Annotated[
        str, typer.Option("--train-device", help="auto, cpu or cuda: where the training computes.")
    ] = "auto",
    train_devices: Annotated[
        int, typer.Option("--train-devices", min=1, help="How many of them.")
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that read images for the training."),
    ] = None,
    threads: parse.ThreadsOption = None,
    pin: parse.PinOption = "auto",
    precision_target: Annotated[
        str, typer.Option("--precision-target", help="Measure until intervals are this narrow.")
    ] = "1%",
    budget: Annotated[str, typer.Option("--budget", help="Time to measure a cell.")] = "60s",
    measure_again: Annotated[
        bool,
        typer.Option("--measure-again", help="Also what a run of the workspace holds already."),
    ] = False,
    rank_by: Annotated[
        str | None,
        typer.Option(
            "--rank-by",
            help="The accuracy that models are ordered by: balanced, top-1, auc. [default: "
            "balanced; auc where images have several labels]",
        ),
    ] = None,
    margin: Annotated[
        str,
        typer.Option("--margin", help="Accuracies within this of fp32 eager's are the SAME."),
    ] = "1%",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the trainings.")] = 0,
    workspace: parse.WorkspaceOption = None,
    live: parse.LiveOption = True,
    quiet: parse.QuietOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Train models alike, export and evaluate them, measure every cell: one table of accuracy,
    latency and size, with the orders by MACs, by latency and by accuracy."""
    from deploybench.cli.study_progress import StudyProgress
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.hardware.pinning import read_pin
    from deploybench.report.console import remark
    from deploybench.report.printing import print_report
    from deploybench.report.study_table import study_report
    from deploybench.results.quality import ACCURACY_KINDS
    from deploybench.runs.request import FINEST_PRECISION
    from deploybench.runs.study import carry_out_study
    from deploybench.runs.study_request import StudyRequest
    from deploybench.training.request import TrainingDevice

    asked = parse.output_format(table_format, json=json, csv=csv, markdown=markdown)
    names = parse.model_names(models)
    kind = None
    if rank_by is not None:
        kind = parse.choice(rank_by, "--rank-by", ACCURACY_KINDS)
    common, chosen = _models(
        names,
        recipes=_by_model(recipe, names, "--recipe", str),
        epochs=_by_model(epochs, names, "--epochs", _whole_number("--epochs")),
        rates=_by_model(learning_rate, names, "--learning-rate", _number("--learning-rate")),
        begun_from=_by_model(init_from, names, "--init-from", Path),
        image_sizes=_by_model(image_size, names, "--image-size", _image_size),
        patch_sizes=_by_model(patch_size, names, "--patch-size", _whole_number("--patch-size")),
        changes={
            name: value
            for name, value in (("batch", train_batch), ("balance", balance))
            if value is not None
        },
    )
    request = StudyRequest(
        models=chosen,
        data=data,
        recipe=common,
        train_split=train_split,
        eval_split=eval_split,
        test_split=test_split,
        class_names=names_in(class_names),
        uncertain=uncertain_in(uncertain),
        columns=columns_in(column or []),
        backends=parse.split_names(backend),
        runners=parse.split_names(runner),
        devices=parse.devices(device),
        precisions=parse.precisions(precision),
        in_channels=in_channels,
        train_device=parse.choice(train_device, "--train-device", get_args(TrainingDevice)),
        train_devices=train_devices,
        workers=workers,
        seed=seed,
        threads=threads,
        pin=read_pin(pin),
        precision_target=parse.percent(
            precision_target, "--precision-target", least=FINEST_PRECISION
        ),
        budget_s=parse.seconds(budget, "--budget"),
        measure_again=measure_again,
        workspace=workspace,
    )
    share = parse.percent(margin, "--margin")
    showing = parse.showing(live=live, quiet=quiet)
    with StudyProgress(showing=showing) as progress:
        result = carry_out_study(request, progress.tell)
    report = study_report(
        result.models,
        result.timed,
        result.evaluated,
        notes=result.data.notes,
        kind=kind,
        margin=share,
    )
    print_report(report, asked)
    for model in result.models:
        if model.trained is not None:
            remark(f"{model.title}: {model.trained.checkpoint}", "dim")
    if result.cut_short is not None:
        raise result.cut_short
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _models(
    names: Sequence[str],
    *,
    recipes: Mapping[str, str],
    epochs: Mapping[str, int],
    rates: Mapping[str, float],
    begun_from: Mapping[str, Path],
    image_sizes: Mapping[str, tuple[int, int]],
    patch_sizes: Mapping[str, int],
    changes: Mapping[str, object],
) -> tuple[Recipe, list[StudyModel]]:
    """The recipe of most models, and the models: each with its own recipe where it has one."""
    from collections import Counter

    from deploybench.runs.study_request import StudyModel
    from deploybench.training.recipe import DEFAULT, recipe

    asked: dict[str, Recipe] = {}
    for name in names:
        of_model = dict(changes)
        if name in epochs:
            of_model["epochs"] = epochs[name]
        if name in rates:
            of_model["learning_rate"] = rates[name]
        asked[name] = recipe(recipes.get(name, DEFAULT)).with_changes(of_model)
    texts = Counter(recipe.model_dump_json() for recipe in asked.values())
    (most, _), *_ = texts.most_common(1)
    common = next(one for one in asked.values() if one.model_dump_json() == most)
    models = [
        StudyModel(
            name=name,
            recipe=None if asked[name] == common else asked[name],
            init_from=begun_from.get(name),
            image_size=image_sizes.get(name),
            patch_size=patch_sizes.get(name),
        )
        for name in names
    ]
    return common, models


def _by_model(
    texts: Sequence[str] | None, names: Sequence[str], option: str, read: Callable[[str], V]
) -> dict[str, V]:
    """The value of every model that has one: what was said for it, else what was said for all.

    A group stands for its members. Raises DeployBenchError for a model that is not in the study.
    """
    for_all: V | None = None
    of_model: dict[str, V] = {}
    for text in texts or ():
        model, sign, value = text.rpartition("=")
        if not sign:
            for_all = read(value)
            continue
        for name in parse.model_names([model]):
            if name not in names:
                raise unknown_name(f"model in {option} {text}", name, names)
            of_model[name] = read(value)
    if for_all is None:
        return of_model
    return {name: of_model.get(name, for_all) for name in names}


def _whole_number(option: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        (number, *others) = parse.positive_numbers(text, option)
        if others:
            raise DeployBenchError(f"{option} {text}", expected="one number, or MODEL=NUMBER")
        return number

    return read


def _number(option: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise DeployBenchError(f"{option} {text}", expected="a number over 0: 5e-4")
        return number

    return read


def _image_size(text: str) -> tuple[int, int]:
    found = parse.sizes(text, None).images
    if len(found) != 1:
        raise DeployBenchError(
            f"--image-size {text}", expected="one size a model: 96, 224x320, or MODEL=SIZE"
        )
    return found[0]
