"""What a training came to: the line of each epoch, where the weights are, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deploybench.files import from_here
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of
from deploybench.training.curve import curve_in_characters

if TYPE_CHECKING:
    from deploybench.training.curve import EpochLine
    from deploybench.training.job import TrainingResult
    from deploybench.training.recipe import Recipe

HIDDEN = ("name", "source", "changed")
"""Fields of a recipe that are no numbers of a training."""


def line_words(line: EpochLine, epochs: int) -> str:
    """``epoch 3 of 30: train loss 1.204, eval loss 1.330, top-1 61.2 %, balanced 48.0 %, best``."""
    words = [f"train loss {line.train_loss:.4f}"]
    if line.eval_loss is not None:
        words.append(f"eval loss {line.eval_loss:.4f}")
    for name, share in (
        ("top-1", line.top1),
        ("balanced accuracy", line.balanced_accuracy),
        ("AUC", line.area),
    ):
        if share is not None:
            words.append(f"{name} {_percent(share)} %")
    if line.best:
        words.append("the best so far")
    return f"epoch {line.epoch} of {epochs}: {', '.join(words)}"


def training_report(result: TrainingResult, *, course: bool = False) -> Report:
    """The curve as a table, the result, and the command that exports it. With ``course`` the curve
    in characters as well, for a terminal."""
    columns = [column for column in _columns() if _shown(column, result.lines)]
    table = table_of(
        columns,
        result.lines,
        name=lambda line: f"epoch {line.epoch}",
        data=lambda line: line.model_dump(mode="json"),
    )
    sections: list[Table | Prose] = [table]
    drawn = curve_in_characters(result.lines) if course else ()
    if drawn:
        sections.append(Prose(drawn, verbatim=True))
    sections.append(Prose(_summary(result)))
    notes = result.record.notes
    if notes:
        sections.append(Prose(notes, Style.FAINT))
    sections.append(Prose(_commands(result), verbatim=True))
    return Report(tuple(sections), data=_data(result))


def recipes_report(recipes: Sequence[Recipe]) -> Report:
    """All numbers of the recipes, a column each, and where they come from."""
    fields = [name for name in type(recipes[0]).model_fields if name not in HIDDEN]
    fields.remove("augmentation")
    of_images = list(type(recipes[0].augmentation).model_fields)

    def shown(field: str) -> Callable[[Recipe], object]:
        if field in of_images:
            return lambda recipe: getattr(recipe.augmentation, field)
        return lambda recipe: getattr(recipe, field)

    columns: list[Column[str]] = [Column("field", "field", lambda field: field)]
    for recipe in recipes:
        columns.append(
            Column(
                recipe.name,
                recipe.name,
                lambda field, recipe=recipe: _value(shown(field)(recipe)),  # type: ignore[misc]
            )
        )
    table = table_of(columns, [*fields, *of_images])
    sources = [f"{recipe.name}: {recipe.source}" for recipe in recipes]
    data = [recipe.model_dump(mode="json") for recipe in recipes]
    return Report((table, Prose(tuple(sources))), data=data)


def _columns() -> list[Column[EpochLine]]:
    return [
        Column(
            "epoch", "epoch", lambda line: str(line.epoch), lambda line: line.epoch, number=True
        ),
        _loss("train_loss", "train loss", lambda line: line.train_loss),
        _loss("eval_loss", "eval loss", lambda line: line.eval_loss),
        _share("top1", "top-1", lambda line: line.top1),
        _share("top5", "top-5", lambda line: line.top5),
        _share("balanced_accuracy", "balanced", lambda line: line.balanced_accuracy),
        _share("area", "AUC", lambda line: line.area),
        _share("exact_match", "all right", lambda line: line.exact_match),
        Column(
            "learning_rate",
            "rate",
            lambda line: f"{line.learning_rate:.2e}",
            lambda line: line.learning_rate,
            number=True,
            priority=2,
        ),
        Column(
            "seconds",
            "s",
            lambda line: f"{line.seconds:.0f}",
            lambda line: line.seconds,
            number=True,
            priority=2,
        ),
        Column("best", "", lambda line: "best so far" if line.best else "", lambda line: line.best),
    ]


def _loss(key: str, title: str, value: Callable[[EpochLine], float | None]) -> Column[EpochLine]:
    def show(line: EpochLine) -> str:
        found = value(line)
        return NOTHING if found is None else f"{found:.4f}"

    return Column(key, title, show, value, number=True)


def _share(key: str, title: str, value: Callable[[EpochLine], float | None]) -> Column[EpochLine]:
    def show(line: EpochLine) -> str:
        found = value(line)
        return NOTHING if found is None else _percent(found)

    return Column(key, title, show, value, unit="%", number=True)


def _shown(column: Column[EpochLine], lines: Sequence[EpochLine]) -> bool:
    """Whether a column says anything: top-5 of five classes does not."""
    return any(column.data(line) is not None for line in lines)


def _summary(result: TrainingResult) -> tuple[str, ...]:
    plan, best = result.record.plan, result.best
    ended = f"{len(result.lines)} of {plan.recipe.epochs} epochs"
    if result.stopped_early:
        ended += f", stopped: {plan.recipe.patience} were no better than the best"
    what = "balanced accuracy"
    score = best.balanced_accuracy
    if score is None:
        what, score = "macro AUC", best.area
    lines = [
        f"{plan.model}, recipe {plan.recipe.words}, begun with {result.record.begun_from}: {ended}."
    ]
    lines.append(
        f"The weights are those of epoch {best.epoch}: {what} {_percent(score or 0.0)} % on "
        f"'{plan.data.evaluation_split}' ({plan.data.evaluation_images} images)."
    )
    if plan.data.synthetic is not None:
        lines.append(f"SYNTHETIC images: {plan.data.synthetic}")
    return tuple(lines)


def _commands(result: TrainingResult) -> tuple[str, ...]:
    plan = result.record.plan
    folder = from_here(result.folder)
    record = result.record
    # By images that played no part, where there are any.
    split = record.held_out or plan.data.evaluation_split
    return (
        from_here(result.checkpoint),
        shlex.join(["deploybench", "export", "--model", plan.model, "--checkpoint", folder]),
        shlex.join(
            ["deploybench", "evaluate", "--data", from_here(record.data_path), "--split", split]
        ),
    )


def _data(result: TrainingResult) -> dict[str, object]:
    return {
        "folder": str(result.folder),
        "checkpoint": str(result.checkpoint),
        "best_epoch": result.best.epoch,
        "stopped_early": result.stopped_early,
        "epochs": [line.model_dump(mode="json") for line in result.lines],
        "training": result.record.model_dump(mode="json"),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _value(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_value(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items()) or NOTHING
    return str(value)
