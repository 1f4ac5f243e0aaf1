"""The sentences of a study: which data, which models are worth choosing, whether every backend says
what fp32 eager says, and whether the order by latency or by accuracy is the order by MACs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploybench.analysis.orders import (
    FEWEST_FOR_CORRELATION,
    Known,
    OrdersCompared,
    worth_choosing,
)
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.report.figures import three_digits
from deploybench.results.quality import AccuracyKind, Quality
from deploybench.results.record import Record
from deploybench.results.study import StudiedModel
from deploybench.rows.study_row import Orders, StudyRow


def data_lines(evaluated: Sequence[Record]) -> list[str]:
    """Which images, and what one reaches on them who never looks at one."""
    qualities = [record.quality for record in evaluated if record.quality is not None]
    if not qualities:
        return []
    data = qualities[0].data
    words = [data.path, data.form, counted(data.evaluated, "image")]
    if data.split is not None:
        words.append(f"split {data.split}")
    present = sum(count > 0 for count in data.class_counts)
    words.append(counted(present, "class", "classes"))
    lines = [f"data: {', '.join(words)}"]
    if data.synthetic:
        lines.append(f"synthetic: {data.synthetic}")
    lines += data.notes
    lines += _blind_guess(qualities[0])
    return lines


def _blind_guess(quality: Quality) -> list[str]:
    """What always saying the most frequent class gives: no model is worth anything below it."""
    counts = [count for count in quality.data.class_counts if count]
    if quality.data.labels != "single-label" or len(counts) < 2:
        return []
    top1 = max(counts) / sum(counts)
    return [
        f"always the most frequent class, without a look at the image: top-1 {100 * top1:.1f}, "
        f"balanced {100 / len(counts):.1f}, AUC 0.500"
    ]


def training_lines(models: Sequence[StudiedModel]) -> list[str]:
    """The recipe: once where it is that of all models, else what each was trained by."""
    trained = {model.title: model.trained for model in models if model.trained is not None}
    if not trained:
        return []
    recipes = {found.recipe for found in trained.values()}
    if len(recipes) == 1:
        lines = [f"all trained alike: {next(iter(recipes))}"]
    else:
        each = "; ".join(f"{title}: {found.recipe}" for title, found in trained.items())
        lines = [f"not trained alike: {each}"]
    begun = [
        f"{title} from {Path(found.init_from).name}"
        for title, found in trained.items()
        if found.init_from is not None
    ]
    if begun:
        others = ", the others from random weights" if len(begun) < len(trained) else ""
        lines.append(f"begun with: {', '.join(begun)}{others}")
    epochs = [
        f"{title} {found.best_epoch} of {found.epochs} in {_minutes(found.seconds)}"
        for title, found in trained.items()
    ]
    lines.append(f"best epoch: {', '.join(epochs)}")
    return lines


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def answer_lines(rows: Sequence[StudyRow]) -> list[str]:
    """The most accurate model, the fastest one, and those between which one has to choose."""
    accuracies, kind = _accuracies(rows)
    fastest = _fastest_places(rows)
    lines = []
    if len(accuracies) > 1:
        best = max(accuracies, key=lambda title: accuracies[title].value)
        known = accuracies[best]
        as_good = [
            title for title, other in accuracies.items() if title != best and not other.below(known)
        ]
        line = f"Most accurate: {best}, {accuracy_words(known, kind)}"
        if as_good:
            line += f"; not clearly less: {', '.join(as_good)}"
        lines.append(f"{line}.")
    if len(fastest) > 1:
        first = min(fastest.values(), key=lambda row: row.latency.value if row.latency else 0.0)
        lines.append(f"Fastest: {first.model.title}, {_time_words(first)}.")
    times = {title: row.latency for title, row in fastest.items() if row.latency is not None}
    chosen = worth_choosing(times, accuracies)
    if len(times) > 1 and chosen:
        lines.append("Worth choosing, as no other model is both faster and as accurate:")
        lines += [
            f"  {title}: {_time_words(fastest[title])}, {accuracy_words(accuracies[title], kind)}"
            for title in chosen
        ]
    return lines


def accuracy_words(known: Known, kind: AccuracyKind) -> str:
    """``balanced 71.3 % (69.9 to 72.8)``; an AUC as a share of 1."""
    if kind == "auc":
        return f"AUC {known.value:.3f} ({known.low:.3f} to {known.high:.3f})"
    return f"{kind} {100 * known.value:.1f} % ({100 * known.low:.1f} to {100 * known.high:.1f})"


def agreement_lines(rows: Sequence[StudyRow]) -> list[str]:
    """For each model whether every runner gives fp32 eager's answer to every image."""
    lines = []
    for title in dict.fromkeys(row.model.title for row in rows):
        compared = [
            row
            for row in rows
            if row.model.title == title
            and row.quality is not None
            and row.quality.flipped is not None
        ]
        if not compared:
            continue
        images = max(row.quality.images_evaluated or 0 for row in compared if row.quality)
        places = [_place_words(row) for row in compared]
        apart = [row for row in compared if row.quality and row.quality.flipped]
        if not apart:
            lines.append(
                f"{title}: {', '.join(places)} give fp32 eager's class for every one of "
                f"{counted(images, 'image')}: flipped 0"
            )
            continue
        flips = [f"{_place_words(row)} for {row.quality.flipped}" for row in apart if row.quality]
        lines.append(
            f"{title}: another class than fp32 eager's of {counted(images, 'image')}: "
            f"{', '.join(flips)}; the other runners: flipped 0"
        )
    return lines


def order_lines(orders: Sequence[Orders], rows: Sequence[StudyRow]) -> list[str]:
    """At each place: is the order by latency, or by accuracy, the order by MACs?

    What holds at every place alike is said once.
    """
    kind = rows[0].accuracy_kind if rows else "balanced"
    by_time: dict[str, list[Orders]] = {}
    by_accuracy: dict[str, list[Orders]] = {}
    by_both: dict[str, list[Orders]] = {}
    for order in orders:
        latency = _order_sentence(order.latency_by_macs, "latency", "MACs", rows, order)
        by_time.setdefault(_with_doubts(latency, order), []).append(order)
        accuracy = _order_sentence(order.accuracy_by_macs, "accuracy", "MACs", rows, order)
        by_accuracy.setdefault(accuracy, []).append(order)
        both = _order_sentence(order.accuracy_by_latency, "accuracy", "latency", rows, order)
        by_both.setdefault(both, []).append(order)
    lines = _lines_by_place(by_time, orders, "")
    lines += _lines_by_place(by_accuracy, orders, f"accuracy ({kind})")
    lines += _lines_by_place(by_both, orders, f"accuracy ({kind})")
    counts = [len(order.latency_by_macs.names) for order in orders if order.latency_by_macs]
    if counts and max(counts) < FEWEST_FOR_CORRELATION:
        lines.append(
            f"no rank correlation under {FEWEST_FOR_CORRELATION} models: chance alone would make "
            "it perfect too often"
        )
    return lines


def _lines_by_place(
    sentences: Mapping[str, Sequence[Orders]], orders: Sequence[Orders], subject: str
) -> list[str]:
    """Each sentence behind the places where it holds."""
    lines = []
    for sentence, there in sentences.items():
        if not sentence:
            continue
        places = ", ".join(_place(order, orders) for order in there)
        if len(there) == len(orders) > 1:
            places = "every runner"
        lines.append(f"{', '.join(part for part in (subject, places) if part)}: {sentence}")
    return lines


def _order_sentence(
    compared: OrdersCompared | None,
    of: str,
    by: str,
    rows: Sequence[StudyRow],
    order: Orders,
) -> str:
    """``the order by latency is the order by MACs but for swin (place 2 by MACs, 4 by latency)``"""
    if compared is None:
        return ""
    count = len(compared.names)
    if compared.pairs == 0:
        text = f"no two models are clearly told apart by both {by} and {of}"
    elif not compared.exceptions:
        text = f"the order by {of} is the order by {by}"
        if of == "accuracy":
            text += ", the most first"
    elif compared.agreeing == 0:
        text = f"the order by {of} is the order by {by} turned round"
    else:
        exceptions = [
            f"{title} ({_places(title, of, by, rows, order)})" for title in compared.exceptions
        ]
        text = f"the order by {of} is the order by {by} but for {_listed(exceptions)}"
    words = f"{text}; {compared.agreeing} of {counted(compared.pairs, 'pair')} agree"
    if compared.pairs == 0:
        words = text
    if compared.tau is not None:
        words += f"; Kendall tau {compared.tau:+.2f} over {counted(count, 'model')}"
    return words


def _places(title: str, of: str, by: str, rows: Sequence[StudyRow], order: Orders) -> str:
    place = (order.runner, order.device, order.precision)
    for row in rows:
        if row.model.title == title and row.place == place:
            by_name = {
                "MACs": row.ranks.macs,
                "latency": row.ranks.latency,
                "accuracy": row.ranks.accuracy,
            }
            return f"#{by_name[by]} by {by}, #{by_name[of]} by {of}"
    return ""


def _with_doubts(sentence: str, order: Orders) -> str:
    """The sentence, and which models it leaves out; empty where there is nothing to say."""
    if not order.doubted:
        return sentence
    times = "time is" if len(order.doubted) == 1 else "times are"
    if not sentence:
        return f"no order by latency: of {_listed(order.doubted)} the {times} not VALID"
    return f"{sentence} (without {_listed(order.doubted)}, whose {times} not VALID)"


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``"""
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _accuracies(rows: Sequence[StudyRow]) -> tuple[dict[str, Known], AccuracyKind]:
    """Of each model the accuracy at the first place that has one: that of fp32 eager, if any."""
    found: dict[str, Known] = {}
    kind: AccuracyKind = "balanced"
    for row in rows:
        kind = row.accuracy_kind
        if row.accuracy is not None:
            found.setdefault(row.model.title, row.accuracy)
    return found, kind


def _fastest_places(rows: Sequence[StudyRow]) -> dict[str, StudyRow]:
    """Of each model the row with the shortest time that is VALID."""
    fastest: dict[str, StudyRow] = {}
    for row in rows:
        if row.latency is None or not row.latency_valid:
            continue
        known = fastest.get(row.model.title)
        if known is None or known.latency is None or row.latency.value < known.latency.value:
            fastest[row.model.title] = row
    return fastest


def _time_words(row: StudyRow) -> str:
    value = None if row.latency is None else row.latency.value
    return f"{three_digits(value)} ms on {_place_words(row)}"


def _place_words(row: StudyRow) -> str:
    words = row.runner
    if row.device != CPU:
        words += f" on {row.device}"
    if row.precision != "fp32":
        words += f" in {row.precision}"
    return words


def _place(order: Orders, orders: Sequence[Orders]) -> str:
    words = order.runner
    if order.device != CPU:
        words += f" on {order.device}"
    if len({other.precision for other in orders}) > 1:
        words += f" in {order.precision}"
    return words
