"""Parity over all outputs of a model: each is held against its own reference, and all have to hold.

The report is that of the output that came worst off. Three kinds of output are compared apart:

- floats with spread: as :mod:`.parity` compares scores;
- whole numbers and truth values (an argmax within the model): equal or wrong. The share of values
  that differ may be what :data:`MOST_DIFFERENT` allows, for where two classes all but tie the
  rounding of a precision decides between them;
- a further output of one value everywhere (a scale, a grid of anchors): within the budget's error
  of the largest value, as there is no spread to measure by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.parity import (
    BUDGETS,
    ParityReport,
    compare_outputs,
    plain_images,
)
from deploybench.artifacts.references import Array, read_cost, read_images, read_references

SMALLEST_SHARE = 1e-4
"""An output whose values spread less than this share of the largest is one value everywhere."""
MOST_DIFFERENT = {
    "fp32": 1e-3,
    "tf32": 1e-2,
    "fp16": 1e-2,
    "bf16": 5e-2,
    "int8": 1e-1,
    "int8-weights": 5e-2,
}
"""Of whole numbers, by precision: of a segmentation's pixels those on the border of two classes.
One image of four with another class is more than any of them."""


def compare_batches(
    folder: Path,
    batches: Sequence[Mapping[str, Array]],
    names: Sequence[str],
    precision: str,
    *,
    integers: Collection[str] = (),
) -> ParityReport:
    """Hold the outputs of whole batches to the reference in an artifact's folder, and to what the
    precision costs.

    ``batches`` are the outputs by name, in order; ``names`` are those of the artifact, the main one
    first. The images repeat in the outputs where they did not fill a batch, so the reference
    repeats in the same order.
    """
    outputs = {}
    for name in batches[0]:
        outputs[name] = np.concatenate([batch[name] for batch in batches])
    images = read_images(folder)
    seen = len(next(iter(outputs.values())))
    order = np.arange(seen) % len(images)
    references = read_references(folder, names)
    rounded = read_cost(folder, precision)
    if rounded is not None:
        rounded = rounded[order]
    return compare_all(
        {name: reference[order] for name, reference in references.items()},
        outputs,
        precision,
        integers=integers,
        plain=plain_images(images)[order],
        rounded=rounded,
    )


def compare_all(
    references: Mapping[str, Array],
    candidates: Mapping[str, Array],
    precision: str,
    *,
    integers: Collection[str] = (),
    plain: npt.NDArray[np.bool_] | None = None,
    rounded: Array | None = None,
) -> ParityReport:
    """Hold every output against its reference (images, …) by name, the main one first.

    ``integers`` are the outputs that are whole numbers in the model; ``plain`` (images) says which
    images have one colour all over, None: none of them. ``rounded`` are the eager main outputs in
    that precision, None: not measured.
    """
    reports = {}
    main = next(iter(references))
    for name, expected in references.items():
        found = candidates.get(name)
        if found is None:
            found = np.zeros((0,), np.float32)
        if name in integers:
            reports[name] = compare_integers(expected, found, precision)
        elif name != main and _constant(expected) and expected.shape == found.shape:
            reports[name] = _compare_constants(expected, found, precision)
        else:
            reports[name] = compare_outputs(
                expected, found, precision, plain, rounded=rounded if name == main else None
            )
        if candidates.get(name) is None:
            absent = f"the runner returns no such output, but {', '.join(candidates)}"
            reports[name] = reports[name].replaced(reason=absent)
    worst = max(reports, key=lambda name: _badness(reports[name]))
    report = reports[worst]
    if len(reports) == 1:
        return report
    if not report.passed:
        return report.replaced(reason=f"output {worst}: {report.reason}")
    return report.replaced(
        reason=f"{report.reason} on {len(reports)} outputs, the worst of which is {worst}"
    )


def compare_integers(reference: Array, candidate: Array, precision: str) -> ParityReport:
    """Whole numbers are equal or wrong: ``max_error`` is the share of values that differ."""
    allowed = MOST_DIFFERENT[precision]
    differ = None
    agreement = None
    if reference.shape != candidate.shape:
        reason = f"output shape {tuple(candidate.shape)}, the reference has {reference.shape}"
    else:
        differ = float(np.mean(reference != candidate))
        agreement = 1 - differ
        reason = ""
        if differ > allowed:
            reason = f"{differ:.1%} of the whole numbers differ, allowed are {allowed:.1%}"
    return ParityReport(
        passed=not reason,
        precision=precision,
        max_error=differ,
        budget_error=allowed,
        cosine=None,
        budget_cosine=BUDGETS[precision].min_cosine,
        top1_agreement=agreement,
        spread=None,
        images=len(reference),
        reason=reason or "within budget",
        budget_reason="whole numbers are equal or wrong; the share that differs, where two "
        "classes all but tie",
    )


def _constant(values: Array) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(values.std() <= SMALLEST_SHARE * np.abs(values).max())


def _compare_constants(reference: Array, candidate: Array, precision: str) -> ParityReport:
    """``max_error`` is relative to the largest value, for want of a spread."""
    budget = BUDGETS[precision]
    # An output that is 0 everywhere is held to 1.
    largest = float(np.abs(reference).max()) or 1.0
    error = float(np.abs(candidate - reference).max()) / largest
    reason = ""
    if not error <= budget.max_error:  # NaN included
        reason = f"error {error:.2e} of a constant output, budget {budget.max_error:.0e}"
    return ParityReport(
        passed=not reason,
        precision=precision,
        max_error=error if np.isfinite(error) else None,
        budget_error=budget.max_error,
        cosine=None,
        budget_cosine=budget.min_cosine,
        top1_agreement=None,
        spread=None,
        images=len(reference),
        reason=reason or "within budget",
        budget_reason=budget.reason,
    )


def _badness(report: ParityReport) -> tuple[bool, float]:
    """What failed is worse than what passed; then what took more of its budget."""
    taken = float("inf")
    if report.max_error is not None:
        taken = report.max_error / report.budget_error
    return not report.passed, taken
