"""When a measured accuracy may stand for parity, on figures that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.analysis.accepted import FEWEST_IMAGES, Used, evidence_for, evidence_of
from deploybench.artifacts.acceptance import Evidence, check_reduced
from deploybench.artifacts.parity import ParityReport
from deploybench.errors import DeployBenchError
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.statistics.figures import Figure
from tests.qualities import evaluation, quality

DROP = 0.01
SHA256 = "f" * 64
COMMAND = "deploybench evaluate --data FOLDER"


def report(max_error: float | None = 0.4, **changes: object) -> ParityReport:
    made = ParityReport(
        passed=False,
        precision="bf16",
        max_error=max_error,
        budget_error=0.2,
        cosine=0.98,
        budget_cosine=0.99,
        top1_agreement=1.0,
        spread=1.0,
        images=8,
        reason="max error 4.00e-01 of the spread, budget 2e-01",
        budget_reason="",
    )
    return made.replaced(**changes)


def seen(
    images: int = 1000,
    lost: int = 0,
    *,
    kappa: tuple[float, float] | None = (0.8, 0.7),
    sha256: str = "5" * 64,
) -> Quality:
    """Of 1,000 images 80 % are right, and so many fewer than eager's; ``kappa`` with its lower
    end."""
    eager = np.arange(images) < 0.8 * images
    right = eager.copy()
    right[:lost] = False
    made = quality(right, eager=eager, shift=0.2, sha256=sha256)
    assert made.figures is not None
    agreement = None
    if kappa is not None:
        agreement = Figure(value=kappa[0], low=kappa[1], high=1.0, by="bootstrap")
    return made.replaced(artifact_sha256=SHA256, figures=made.figures.replaced(kappa=agreement))


def test_as_accurate_is_accepted_with_the_figures_in_words() -> None:
    evidence = evidence_of(seen(lost=2), report(), DROP)
    assert evidence.accepted
    assert evidence.words == "top-1 -0.2 % [-0.6, +0.2] on 1,000 images of photos"
    assert evidence.max_error == 0.4


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (seen(lost=50), "more than 1 % is lost"),
        (seen(lost=8), "the interval reaches beyond a drop of 1 %, more images would tell"),
        (seen(images=FEWEST_IMAGES - 1), "99 images of photos, at least 100 are needed"),
        # A model that knows nothing loses nothing, whatever the artifact says.
        (seen(kappa=(0.02, -0.01)), "no better than chance (kappa 0.02)"),
        (seen(kappa=None), "with images of one class"),
        (seen().replaced(figures=None), "have no labels"),
        (seen().replaced(eager=None, no_eager="no pytorch here"), "fp32 eager: no pytorch here"),
    ],
)
def test_what_is_not_shown_is_not_accepted(found: Quality, words: str) -> None:
    evidence = evidence_of(found, report(), DROP, COMMAND)
    assert not evidence.accepted
    assert words in evidence.words
    assert evidence.action == COMMAND


def test_several_labels_are_held_to_their_area() -> None:
    made = seen()
    assert made.figures is not None
    figures = made.figures.replaced(top1=None, exact_match=made.figures.top1, kappa=None)
    area = Figure(value=0.7, low=0.6, high=0.8, by="bootstrap")
    good = evidence_of(made.replaced(figures=figures.replaced(area=area)), report(), DROP)
    assert good.accepted
    assert good.words.startswith("all labels right +0.0 %")
    for lacking, words in ((None, "one kind"), (area.replaced(low=0.5), "chance (AUC 0.70)")):
        found = evidence_of(made.replaced(figures=figures.replaced(area=lacking)), None, DROP)
        assert words in found.words


def used(record: Record, **changes: object) -> Used:
    cell = record.cell
    fields = {
        "artifact_key": cell.artifact_key,
        "content_sha256": SHA256,
        "runner": cell.runner,
        "device": cell.device,
        "precision": cell.precision,
        "processor": record.host.cpu_model,
        "versions": record.versions,
        **changes,
    }
    return Used(**fields)  # type: ignore[arg-type]


def test_only_the_same_use_of_the_same_files_counts() -> None:
    record = evaluation(seen())
    assert evidence_for(used(record), [record], DROP, COMMAND).accepted
    for changes, words in (
        ({"artifact_key": "other"}, "no evaluation of it"),
        ({"runner": "other"}, "no evaluation of it"),
        ({"precision": "fp64"}, "no evaluation of it"),
        ({"content_sha256": "0" * 64}, "its files are others now"),
        ({"processor": "another"}, "on another processor"),
        ({"versions": {"torch": "9"}}, "and here is 9"),
    ):
        evidence = evidence_for(used(record, **changes), [record], DROP, COMMAND)
        assert not evidence.accepted, changes
        assert words in evidence.words, changes
        assert evidence.action == COMMAND


def test_of_several_sets_one_that_lost_decides_and_a_later_evaluation_replaces_an_earlier() -> None:
    good = evaluation(seen(), "a").replaced(created="2026-01-02")
    unsure = evaluation(seen(images=200, sha256="6" * 64), "b").replaced(created="2026-01-03")
    worse = evaluation(seen(lost=50, sha256="7" * 64), "c").replaced(created="2026-01-04")
    assert evidence_for(used(good), [good, unsure], DROP, COMMAND).accepted
    assert "lost" in evidence_for(used(good), [good, unsure, worse], DROP, COMMAND).words
    mended = evaluation(seen(sha256="7" * 64), "d").replaced(created="2026-01-05")
    assert evidence_for(used(good), [mended, worse, good], DROP, COMMAND).accepted


def test_nothing_in_a_reduced_precision_is_refused_and_nothing_at_all_is_not() -> None:
    check_reduced(["fp32", "fp16"], "run")
    check_reduced([], "run")
    with pytest.raises(DeployBenchError, match="nothing but fp32: never in fp32") as refused:
        check_reduced(["fp32"], "run")
    assert "--precision fp16" in str(refused.value.action)


def test_parity_is_weighed_only_where_it_is_a_matter_of_precision() -> None:
    accepted = Evidence(accepted=True, words="top-1 as good", max_error=0.3)
    failed = report()
    assert (failed.weighed(None).holds, failed.weighed(accepted).holds) == (False, True)
    assert not failed.weighed(accepted).passed
    passed = report(passed=True).weighed(accepted)
    assert passed.accuracy is None
    for other, words in (
        (report(precision="fp32"), "parity is the proof"),
        (report(max_error=None), "no matter of precision"),  # NaN, or another shape
        (report(max_error=0.7), "were by 3.00e-01 where the accuracy was measured"),
    ):
        weighed = other.weighed(accepted)
        assert not weighed.holds
        assert weighed.accuracy is not None
        assert words in weighed.accuracy.words
