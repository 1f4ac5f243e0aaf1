"""``deploybench train``: from a model and a set of images to a checkpoint that can be exported."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
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
    from deploybench.training.request import TrainingDevice

DEVICES: tuple[TrainingDevice, ...] = ("auto", "cpu", "cuda")
OFF = "off"
RESUME = "--resume"


@guarded
def train(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="vit, timm:NAME, package.module:factory, hub:FOLDER."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="A folder or a file of labelled images.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder to write. [default: trained/MODEL]"),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option("--recipe", help="A name of --list-recipes, or a JSON file with a recipe."),
    ] = "default",
    list_recipes: Annotated[
        bool, typer.Option("--list-recipes", help="Show the recipes with all numbers, and exit.")
    ] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from", help="Begin with a checkpoint's weights, with a new head where needed."
        ),
    ] = None,
    checkpoint_key: Annotated[
        str | None,
        typer.Option("--checkpoint-key", help="Which state of it. [default: as for an export]"),
    ] = None,
    new_head: Annotated[
        bool, typer.Option("--new-head", help="With a new classifier in any case.")
    ] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="What it lacks begins at random.")
    ] = False,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Begin with timm's pretrained weights (network).")
    ] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images a step, on all devices together.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Of the whole batch.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", min=0)] = None,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", help="timm's name: adamw, sgd, lamb, rmsproptf.")
    ] = None,
    momentum: Annotated[float | None, typer.Option("--momentum", min=0)] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="Of the learning rate: cosine, step, multistep, constant."),
    ] = None,
    warmup_epochs: Annotated[float | None, typer.Option("--warmup-epochs", min=0)] = None,
    label_smoothing: Annotated[float | None, typer.Option("--label-smoothing", min=0)] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            "--balance",
            help="Rare classes are drawn as often (sampler), weighed more (loss), or none.",
        ),
    ] = None,
    ema: Annotated[
        str | None,
        typer.Option("--ema", help="Decay of a moving average of the weights: 0.999; or off."),
    ] = None,
    clip_gradient: Annotated[
        str | None, typer.Option("--clip-gradient", help="The largest norm: 1.0; or off.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="Of the passes: fp32, bf16, fp16 (GPU).")
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option("--patience", help="Stop after so many epochs without a better one; or off."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", help="The share of an image that a random part has: 0.35,1."),
    ] = None,
    horizontal_flip: Annotated[
        float | None, typer.Option("--horizontal-flip", min=0, max=1, help="Probability.")
    ] = None,
    vertical_flip: Annotated[
        float | None, typer.Option("--vertical-flip", min=0, max=1, help="Probability.")
    ] = None,
    pad: Annotated[
        int | None, typer.Option("--pad", min=0, help="Pixels around, before a random crop.")
    ] = None,
    rand_augment: Annotated[
        str | None, typer.Option("--rand-augment", help="timm's words: rand-m9-mstd0.5; or off.")
    ] = None,
    color_jitter: Annotated[float | None, typer.Option("--color-jitter", min=0, max=1)] = None,
    random_erasing: Annotated[
        float | None, typer.Option("--random-erasing", min=0, max=1, help="Probability.")
    ] = None,
    mixup: Annotated[float | None, typer.Option("--mixup", min=0, help="Alpha: 0.8.")] = None,
    cutmix: Annotated[float | None, typer.Option("--cutmix", min=0, help="Alpha: 1.0.")] = None,
    train_split: Annotated[
        str | None, typer.Option("--train-split", help="To train on. [default: train]")
    ] = None,
    eval_split: Annotated[
        str | None,
        typer.Option(
            "--eval-split", help="To judge by. [default: val, else test, else a fifth is set aside]"
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option("--class-names", help="All classes in the order of the outputs: a,b,c."),
    ] = None,
    uncertain: UncertainOption = None,
    column: ColumnOption = None,
    image_size: parse.OneImageSizeOption = None,
    in_channels: parse.InChannelsOption = None,
    patch_size: parse.OnePatchSizeOption = None,
    mean: preparing.MeanOption = None,
    std: preparing.StdOption = None,
    interpolation: preparing.InterpolationOption = None,
    crop: preparing.CropOption = None,
    resize_mode: preparing.ResizeModeOption = None,
    color: preparing.ColorOption = None,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    batchnorm_epsilon: parse.BatchnormEpsilonOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda. [default: cuda where there is one]")
    ] = "auto",
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="How many; a process each (DDP).")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="To compute with. [default: usable cores]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="Processes that read images. [default: none on the CPU, else cores but one]",
        ),
    ] = None,
    save_every: Annotated[
        str, typer.Option("--save-every", help="How often a state is kept to go on from.")
    ] = "120s",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out, if there is one.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove the training in --out, and begin anew.")
    ] = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Train a model on images: one recipe for every architecture; out comes a checkpoint that
    export reads."""
    from deploybench.cli.training_progress import TrainingProgress
    from deploybench.files import slug
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format
    from deploybench.report.training_table import recipes_report, training_report
    from deploybench.training.installed import check_training_installed

    check_training_installed()
    from deploybench.training.devices import is_first_process
    from deploybench.training.job import train as run_training
    from deploybench.training.recipe import RECIPES
    from deploybench.training.recipe import recipe as recipe_named
    from deploybench.training.request import TrainingRequest

    asked = parse.output_format(table_format, json=json, csv=csv, markdown=markdown)
    if list_recipes:
        print_report(recipes_report(tuple(RECIPES.values())), asked)
        return
    if model is None or data is None:
        raise DeployBenchError(
            "no --model" if model is None else "no --data",
            expected="a model, and images with labels",
            action="deploybench train --model vit --data DIR",
        )
    changes = {
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "optimizer": optimizer,
        "momentum": momentum,
        "schedule": schedule,
        "warmup_epochs": warmup_epochs,
        "label_smoothing": label_smoothing,
        "balance": balance,
        "ema": _number_or_off(ema, "--ema"),
        "clip_gradient": _number_or_off(clip_gradient, "--clip-gradient"),
        "precision": precision,
        "patience": _number_or_off(patience, "--patience"),
        "scale": _scale(scale),
        "horizontal_flip": horizontal_flip,
        "vertical_flip": vertical_flip,
        "pad": pad,
        "rand_augment": rand_augment,
        "color_jitter": color_jitter,
        "random_erasing": random_erasing,
        "mixup": mixup,
        "cutmix": cutmix,
    }
    said = preparing.preprocessing_options(
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop=crop,
        resize_mode=resize_mode,
        color=color,
        window=window,
        levels=levels,
        background=background,
        keep_orientation=keep_orientation,
    )
    request = TrainingRequest(
        model=model,
        data=data,
        out=out or Path("trained") / slug(model),
        recipe=recipe_named(recipe).with_changes(_given(changes)),
        train_split=train_split,
        eval_split=eval_split,
        class_names=names_in(class_names),
        uncertain=uncertain_in(uncertain),
        columns=columns_in(column or []),
        init_from=init_from,
        checkpoint_key=checkpoint_key,
        new_head=new_head,
        allow_partial=allow_partial,
        pretrained=pretrained,
        image_size=parse.one_image_size(image_size),
        in_channels=in_channels,
        patch_size=patch_size,
        batchnorm_epsilon=batchnorm_epsilon,
        preprocessing=said if said.model_dump() else None,
        seed=seed,
        device=_device(device),
        devices=devices,
        threads=threads,
        workers=workers,
        save_every_s=parse.seconds(save_every, "--save-every"),
        resume=resume,
        force=force,
    )
    with TrainingProgress(_resuming_command()) as progress:
        result = run_training(request, progress.tell)
    if is_first_process(devices):
        print_report(training_report(result, course=asked is Format.TABLE), asked)


def _given(changes: Mapping[str, object]) -> dict[str, object]:
    """What was said, without what was not; ``off`` is None in a recipe."""
    return {
        name: None if value == OFF else value
        for name, value in changes.items()
        if value is not None
    }


def _number_or_off(text: str | None, option: str) -> float | str | None:
    if text is None or text.lower() == OFF:
        return text and OFF
    try:
        number = float(text)
    except ValueError:
        raise DeployBenchError(f"{option} {text}", expected="a number, or off") from None
    if number.is_integer():
        return int(number)
    return number


def _scale(text: str | None) -> tuple[float, float] | None:
    """``0.35,1`` or, for images that are not cut, ``1``."""
    if text is None:
        return None
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) not in (1, 2):
        raise DeployBenchError(
            f"--scale {text}", expected="the least and the largest share: 0.35,1; or 1: no cropping"
        )
    return shares[0], shares[-1]


def _device(text: str) -> TrainingDevice:
    for known in DEVICES:
        if text.lower() == known:
            return known
    raise unknown_name("device to train on", text, DEVICES)


def _resuming_command() -> str:
    """What was typed, so that it goes on."""
    words = [word for word in sys.argv[1:] if word not in (RESUME, "--force")]
    return shlex.join(["deploybench", *words, RESUME])
