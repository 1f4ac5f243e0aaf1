"""Whether a measured accuracy may take the place of parity.

It may where it was measured on the same files, on the same runner, device and processor in the same
precision and version, on labelled images that fp32 eager saw as well, and where

- there are enough images (:data:`FEWEST_IMAGES`);
- the model knows something: better than chance with its whole interval. An artifact that gives one
  class to every image is as good as a model that knows nothing, and as good as a poor one where
  most images are of that class;
- the whole interval of the drop is within what the user accepts, or the answers are fp32 eager's.

Of several sets of images the latest evaluation of each counts: one that says that more was lost
decides, else one that accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploybench.analysis.qualities import answer_beside_eager, quality_key
from deploybench.artifacts.acceptance import Evidence
from deploybench.artifacts.parity import ParityReport
from deploybench.hardware.host import Host, gpu_of
from deploybench.plurals import counted
from deploybench.results.quality import Difference, Figures, Quality
from deploybench.results.record import Record
from deploybench.statistics.figures import Figure
from deploybench.statistics.proportions import QualityAnswer

FEWEST_IMAGES = 100
"""Of fewer the interval reaches beyond 2.7 points to either side even where no image differs."""
CHANCE_AREA = 0.5
CHANCE_KAPPA = 0.0


@dataclass(frozen=True)
class Used:
    """One use of an artifact: the files, and what runs them. ``versions`` are those of the runner's
    distributions."""

    artifact_key: str | None
    content_sha256: str
    runner: str
    device: str
    precision: str
    processor: str
    versions: Mapping[str, str]


def processor_of(device: str, host: Host) -> str:
    """What computes on that device of a host."""
    gpu = gpu_of(device, host)
    return host.cpu_model if gpu is None else gpu.name


def evidence_of(
    quality: Quality, parity: ParityReport | None, max_drop: float, action: str = ""
) -> Evidence:
    """What one evaluation says; ``parity`` is what the same process showed on the references."""
    refused = _why_not(quality, max_drop)
    if refused:
        return Evidence(accepted=False, words=refused, action=action)
    max_error = None if parity is None else parity.max_error
    return Evidence(accepted=True, words=_words(quality), max_error=max_error)


def evidence_for(
    used: Used, evaluations: Sequence[Record], max_drop: float, action: str
) -> Evidence:
    """What all evaluations of a workspace say of one use; ``action`` makes the one that lacks."""
    wanted = (used.artifact_key, used.runner, used.device, used.precision)
    own = [record for record in evaluations if quality_key(record) == wanted]
    on = f"on {used.runner} in {used.precision}"
    if not own:
        words = f"the workspace holds no evaluation of it {on}"
        return Evidence(accepted=False, words=words, action=action)
    fitting = [record for record in own if not _unlike(record, used)]
    if not fitting:
        words = f"it was evaluated {on}, but {_unlike(own[-1], used)}"
        return Evidence(accepted=False, words=words, action=action)
    # The latest of each set of images.
    latest: dict[str, Record] = {}
    for record in sorted(fitting, key=lambda one: one.created):
        if record.quality is not None:
            latest[record.quality.data.sha256] = record
    found: list[tuple[int, Evidence]] = []
    for record in latest.values():
        assert record.quality is not None
        evidence = evidence_of(record.quality, record.parity, max_drop, action)
        if _lost(record.quality, max_drop):
            return evidence
        found.append((record.quality.data.evaluated, evidence))
    accepting = [one for one in found if one[1].accepted]
    _, evidence = max(accepting or found, key=lambda one: one[0])
    return evidence


def _unlike(record: Record, used: Used) -> str:
    """What an evaluation was made with instead, in words; empty where it is the same."""
    assert record.quality is not None
    if record.quality.artifact_sha256 != used.content_sha256:
        return "its files are others now"
    here = processor_of(record.cell.device, record.host)
    if here != used.processor:
        return f"on another processor ({here})"
    for name, version in used.versions.items():
        before = record.versions.get(name)
        if before != version:
            return f"with {name} {before}, and here is {version}"
    return ""


def _why_not(quality: Quality, max_drop: float) -> str:
    """Why this evaluation does not accept the artifact; empty where it does."""
    difference = _difference(quality)
    if quality.figures is None:
        return f"the images of {quality.data.name} have no labels"
    if difference is None:
        return f"it was not held against fp32 eager: {quality.no_eager or 'no image in common'}"
    if difference.images < FEWEST_IMAGES:
        return (
            f"{counted(difference.images, 'image')} of {quality.data.name}, at least "
            f"{FEWEST_IMAGES} are needed"
        )
    if _lost(quality, max_drop):
        return f"{_words(quality)}: more than {100 * max_drop:g} % is lost"
    chance = _no_better_than_chance(quality.figures)
    if chance:
        return f"{_words(quality)}: {chance}"
    if answer_beside_eager(quality, max_drop) is QualityAnswer.SAME or difference.low >= -max_drop:
        return ""
    return (
        f"{_words(quality)}: the interval reaches beyond a drop of {100 * max_drop:g} %, more "
        "images would tell"
    )


def _no_better_than_chance(figures: Figures) -> str:
    """Why the answers show no knowledge of the images; empty where they do."""
    kappa, area = figures.kappa, figures.area
    if figures.top1 is not None:
        if kappa is None:
            return "with images of one class it cannot be told from a guess"
        if _low(kappa) <= CHANCE_KAPPA:
            return f"its answers are no better than chance (kappa {kappa.value:.2f})"
        return ""
    if area is None:
        return "with images of one kind it cannot be told from a guess"
    if _low(area) <= CHANCE_AREA:
        return f"its answers are no better than chance (AUC {area.value:.2f})"
    return ""


def _low(figure: Figure) -> float:
    return figure.value if figure.low is None else figure.low


def _lost(quality: Quality, max_drop: float) -> bool:
    """Whether more is lost than is accepted: all of the interval says so."""
    difference = _difference(quality)
    return difference is not None and difference.high < -max_drop


def _difference(quality: Quality) -> Difference | None:
    return None if quality.eager is None else quality.eager.difference


def _words(quality: Quality) -> str:
    """``top-1 -0.2 % [-0.6, +0.2] on 1,000 images of photos``: percentage points, beside eager."""
    difference = _difference(quality)
    assert difference is not None
    kind = "all labels right"
    if quality.figures is not None and quality.figures.top1 is not None:
        kind = "top-1"
    # Adding 0 turns -0.0 into 0.0.
    value, low, high = (
        f"{round(100 * share, 1) + 0.0:+.1f}"
        for share in (difference.value, difference.low, difference.high)
    )
    name = quality.data.name
    if quality.data.split is not None:
        name += f", split {quality.data.split}"
    if quality.data.synthetic:
        name += ", which are synthetic"
    return f"{kind} {value} % [{low}, {high}] on {difference.images:,} images of {name}"
