"""What is recommended, of what, and what is never."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.analysis.advice import Advice, Standing, advise, by_model
from deploybench.analysis.amounts import Amount, Quantity, exactly
from deploybench.analysis.candidates import choices_of
from deploybench.analysis.constraints import Constraint, Fit
from deploybench.analysis.open_points import commands_that_tell, open_points
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from tests.advised import NOISY, candidate
from tests.qualities import evaluation, quality

MB = 1 << 20


def at_most(quantity: Quantity, limit: float) -> Constraint:
    return Constraint(quantity, limit)


def advised(
    *records: Record, objective: Quantity = Quantity.P50, limits: tuple[Constraint, ...] = ()
) -> Advice:
    """The advice for records of one machine."""
    (choice,) = choices_of(records)
    return advise(choice, limits, objective)


def runner_of(advice: Advice) -> str | None:
    best = advice.recommended
    return None if best is None else best.candidate.record.cell.runner


def evaluated(record: Record, right: int, eager: int | None = None, *, of: int = 1000) -> Record:
    """The evaluation of the same artifact on the same host: so many images are right."""
    marks = np.arange(of) < right
    against = None if eager is None else np.arange(of) < eager
    found = quality(marks, eager=against, shift=0.2)
    made = evaluation(found, **{**record.cell.model_dump(), "batch": 8})
    return made.replaced(host=record.host)


@pytest.mark.parametrize(
    ("quantity", "amount", "fit"),
    [
        (Quantity.P99, Amount(9, 8, 10), Fit.MEETS),
        (Quantity.P99, Amount(9, 8, 10.1), Fit.NOT_KNOWN),
        (Quantity.P99, Amount(12, 10.1, 13), Fit.FAILS),
        (Quantity.P99, Amount(9, 8, 9.5, "NOISY: the machine was busy"), Fit.NOT_KNOWN),
        (Quantity.P99, Amount(90, 80, 95, "NOISY: the machine was busy"), Fit.NOT_KNOWN),
        (Quantity.P99, Amount(doubt="it was never timed"), Fit.NOT_KNOWN),
        (Quantity.THROUGHPUT, Amount(11, 10, 12), Fit.MEETS),
        (Quantity.THROUGHPUT, Amount(11, 9.9, 12), Fit.NOT_KNOWN),
        (Quantity.THROUGHPUT, Amount(9, 8, 9.9), Fit.FAILS),
        (Quantity.SIZE, exactly(10), Fit.MEETS),
    ],
)
def test_limit_is_met_or_missed_with_the_whole_interval_or_it_is_not_known(
    quantity: Quantity, amount: Amount, fit: Fit
) -> None:
    assert Constraint(quantity, 10).judge(amount).fit is fit


def test_recommended_is_the_fastest_of_those_that_meet_all() -> None:
    records = (
        candidate(5.0, "openvino", memory_mb=300),
        candidate(7.0, "onnxruntime", memory_mb=100),
        candidate(20.0, "pytorch", memory_mb=90),
    )
    assert runner_of(advised(*records)) == "openvino"
    within = (at_most(Quantity.MEMORY, 200 * MB), at_most(Quantity.P50, 10))
    advice = advised(*records, limits=within)
    assert runner_of(advice) == "onnxruntime"
    assert not advice.rivals
    assert [one.fit for one in advice.assessments].count(Fit.MEETS) == 1


def test_noisy_time_never_decides_and_what_might_be_better_comes_with_its_command() -> None:
    fast = candidate(3.0, "onnxruntime", judgement=NOISY, memory_mb=100)
    advice = advised(fast, candidate(5.0, "openvino"), limits=(at_most(Quantity.P50, 10),))
    assert runner_of(advice) == "openvino"
    (contender,) = advice.contenders
    assert contender.candidate.record.cell.runner == "onnxruntime"
    assert contender.fit is Fit.NOT_KNOWN
    (point,) = open_points(advice)
    assert point.doubt.startswith("NOISY")
    (command,) = commands_that_tell([point], None)
    assert command.startswith("deploybench run --model net ")
    assert "--runner onnxruntime" in command
    assert "--budget " in command
    # Its memory does not depend on what else ran.
    by_memory = advised(fast, limits=(at_most(Quantity.MEMORY, 200 * MB),))
    assert by_memory.assessments[0].fit is Fit.MEETS


def test_noisy_time_that_would_be_no_better_is_no_open_question() -> None:
    slow = candidate(30.0, "onnxruntime", judgement=NOISY)
    assert not advised(slow, candidate(5.0, "openvino")).contenders


def test_a_doubtful_time_far_beyond_the_limit_is_not_known_and_no_hope() -> None:
    slow = candidate(30.0, "pytorch", judgement=NOISY)
    advice = advised(slow, candidate(5.0, "openvino"), limits=(at_most(Quantity.P50, 4),))
    assert advice.promising is None
    assert advice.nearest is not None
    assert advice.nearest.candidate.record.cell.runner == "openvino"
    assert not advice.contenders
    assert not advice.settled
    alone = advised(slow, limits=(at_most(Quantity.P50, 4),))
    assert alone.promising is not None
    assert alone.promising.fit is Fit.NOT_KNOWN


def test_percentile_across_its_limit_is_promising_and_nothing_is_recommended() -> None:
    record = candidate(5.0, p99=(9.0, 8.0, 10.4))
    advice = advised(record, limits=(at_most(Quantity.P99, 10),))
    assert advice.recommended is None
    assert advice.promising is not None
    assert advice.promising.fit is Fit.NOT_KNOWN
    (point,) = open_points(advice)
    assert point.rounds is not None
    assert point.rounds > 60
    at_the_edge = advised(
        candidate(5.0, p99=(9.999, 8.0, 12.0)), limits=(at_most(Quantity.P99, 10),)
    )
    (point,) = open_points(at_the_edge)
    assert point.too_close
    assert commands_that_tell([point], None) == []


def test_percentile_without_samples_enough_is_asked_for_with_the_time_that_it_takes() -> None:
    advice = advised(candidate(5.0), limits=(at_most(Quantity.P99, 10),))
    (point,) = open_points(advice)
    assert "368 samples" in point.doubt
    # 300 samples in 60 visits: 368 take 1.2 times as many visits as they seem to, or twice.
    assert point.rounds == 120


def test_nothing_meets_and_the_nearest_is_told_with_its_miss() -> None:
    advice = advised(
        candidate(5.0, "openvino"),
        candidate(8.0, "onnxruntime"),
        limits=(at_most(Quantity.P50, 4),),
    )
    assert advice.recommended is None
    assert advice.promising is None
    assert advice.nearest is not None
    assert advice.nearest.candidate.record.cell.runner == "openvino"
    assert advice.nearest.largest_miss == pytest.approx(0.25)


def test_figures_of_a_double_and_of_what_failed_are_never_recommended() -> None:
    double = candidate(1.0, "tensorrt")
    launches = tuple(
        launch.replaced(facts=launch.facts.replaced(provenance="simulated"))
        for launch in double.launches
        if launch.facts is not None
    )
    double = double.replaced(launches=launches)
    wrong = candidate(2.0, "inductor").replaced(
        summary=None,
        judgement=Judgement(verdict=Verdict.INVALID, reason="parity: max error 0.7"),
    )
    advice = advised(double, wrong, candidate(5.0, "openvino"))
    assert runner_of(advice) == "openvino"
    assert not advice.contenders
    unusable = [one.candidate.unusable for one in advice.assessments if not one.usable]
    assert sorted(reason.partition(":")[0] for reason in unusable) == ["INVALID", "simulated"]


def test_machines_are_never_mixed() -> None:
    records = [candidate(1.0, hostname="fast"), candidate(5.0, hostname="slow")]
    choices = choices_of(records)
    assert sorted(choice.machine.hostname for choice in choices) == ["fast", "slow"]
    assert [len(choice.candidates) for choice in choices] == [1, 1]
    # The same name on other hardware is another machine.
    host = records[0].host.replaced(hostname="slow", cpu_model="another")
    assert len(choices_of([*records, candidate(2.0).replaced(host=host)])) == 3


def test_newest_record_of_a_cell_counts_unless_nothing_was_tried_in_it() -> None:
    old = candidate(9.0, run="a", created="2026-01-01T00:00:00")
    new = candidate(5.0, run="b", created="2026-01-02T00:00:00")
    skipped = candidate(1.0, run="c", created="2026-01-03T00:00:00").replaced(
        summary=None, judgement=Judgement(verdict=Verdict.SKIPPED, reason="no such device")
    )
    (choice,) = choices_of([old, new, skipped, new])
    (found,) = choice.candidates
    assert found.record.run == "b"
    assert choice.notes == (
        "2 more records of the same cells left out: the newest that was tried counts",
    )
    failed = skipped.replaced(judgement=Judgement(verdict=Verdict.FAILED, reason="it crashed"))
    (choice,) = choices_of([new, failed])
    assert choice.candidates[0].unusable == "FAILED: it crashed"


def test_older_runs_and_what_the_host_was_then_are_told() -> None:
    old = candidate(9.0, "pytorch", run="a", created="2026-01-01T00:00:00")
    old = old.replaced(host=old.host.replaced(kernel="5.4"))
    new = candidate(5.0, run="b", created="2026-02-02T00:00:00")
    (choice,) = choices_of([old, new])
    assert len(choice.candidates) == 2
    (note,) = choice.notes
    assert "a (2026-01-01): kernel 5.4 → 6" in note
    assert "whole runs shift" in note


def test_equally_fast_cells_of_one_run_share_the_place() -> None:
    advice = advised(
        candidate(5.0, "openvino"), candidate(5.02, "onnxruntime"), candidate(9.0, "pytorch")
    )
    assert runner_of(advice) == "openvino"
    (same,) = advice.as_good
    assert same.standing is Standing.SAME
    assert advice.next_best is not None
    assert advice.next_best.assessment.candidate.record.cell.runner == "pytorch"
    assert advice.next_best.ratio is not None
    assert advice.next_best.ratio.paired
    assert advice.next_best.ratio.value == pytest.approx(1.8, rel=0.01)


def test_a_small_lead_between_two_runs_is_not_known_as_whole_runs_shift() -> None:
    advice = advised(
        candidate(5.0, "openvino", run="a"),
        candidate(5.1, "onnxruntime", run="b", created="2026-01-02T00:00:00"),
    )
    (rival,) = advice.rivals
    assert rival.standing is Standing.NOT_KNOWN
    assert rival.ratio is not None
    assert not rival.ratio.paired


def test_other_times_than_host_to_host_are_left_out_until_they_are_asked_for() -> None:
    records = [candidate(5.0), candidate(2.0, timing="engine-only")]
    (choice,) = choices_of(records)
    assert [one.record.cell.timing for one in choice.candidates] == ["host-to-host"]
    assert "--timing engine-only" in " ".join(choice.notes)
    (choice,) = choices_of(records, timing="engine-only")
    assert [one.record.cell.timing for one in choice.candidates] == ["engine-only"]
    with pytest.raises(DeployBenchError, match="no record is of end-to-end times"):
        choices_of(records, timing="end-to-end")


def test_accuracy_is_held_with_its_interval_over_images() -> None:
    fp32, int8 = candidate(9.0), candidate(3.0, precision="int8")
    accuracies = (evaluated(fp32, 900, 900), evaluated(int8, 850, 900))
    limits = (Constraint(Quantity.ACCURACY, 0.87),)
    advice = advised(fp32, int8, *accuracies, limits=limits)
    best = advice.recommended
    assert best is not None
    assert best.candidate.record.cell.precision == "fp32"
    # 850 of 1000 is 85 % (82.7 to 87.1): the limit lies within.
    (contender,) = advice.contenders
    assert contender.candidate.record.cell.precision == "int8"
    (point,) = open_points(advice)
    assert point.images is not None
    (command,) = commands_that_tell([point], advice.choice.evaluated_on)
    assert command.startswith("deploybench evaluate --data /data/photos --model net")


def test_accuracy_that_is_lost_is_over_budget_however_fast_the_cell() -> None:
    fp32, int8 = candidate(9.0), candidate(3.0, precision="int8")
    accuracies = (evaluated(fp32, 900, 900), evaluated(int8, 850, 900))
    advice = advised(fp32, int8, *accuracies, limits=(at_most(Quantity.DROP, 0.01),))
    fits = {one.candidate.record.cell.precision: one.fit for one in advice.assessments}
    assert fits["int8"] is Fit.FAILS
    assert advice.recommended is not None
    assert advice.recommended.candidate.record.cell.precision == "fp32"


def test_agreement_without_labels_never_stands_for_accuracy() -> None:
    record = candidate(5.0)
    made = evaluated(record, 1000, 1000)
    assert made.quality is not None
    bare = made.quality.replaced(figures=None, right=None)
    assert bare.eager is not None
    bare = bare.replaced(eager=bare.eager.replaced(difference=None))
    advice = advised(
        record,
        made.replaced(quality=bare),
        limits=(Constraint(Quantity.ACCURACY, 0.5), at_most(Quantity.DROP, 0.01)),
    )
    (assessment,) = advice.assessments
    assert {judged.fit for judged in assessment.judged} == {Fit.NOT_KNOWN}
    assert "no labels" in assessment.judged[0].amount.doubt


def test_accuracy_is_of_one_processor_and_one_set_of_images() -> None:
    here, other = candidate(5.0), candidate(6.0, "onnxruntime")
    made = evaluated(here, 900)
    elsewhere = made.replaced(host=made.host.replaced(cpu_model="another make"))
    (choice,) = choices_of([here], known=[elsewhere])
    doubt = choice.candidates[0].amounts[Quantity.ACCURACY].doubt
    assert "another processor" in doubt
    assert "another make" in doubt
    on_others = evaluated(other, 900)
    assert on_others.quality is not None
    data = on_others.quality.data.replaced(sha256="7" * 64, name="scans", path="/data/scans")
    on_others = on_others.replaced(
        quality=on_others.quality.replaced(data=data), created="2025-01-01T00:00:00"
    )
    (choice,) = choices_of([here, other, made, on_others], data="scans")
    by_runner = {one.record.cell.runner: one for one in choice.candidates}
    assert by_runner["onnxruntime"].amounts[Quantity.ACCURACY].value == 0.9
    assert by_runner["openvino"].quality is None
    with pytest.raises(DeployBenchError, match="unknown set of images 'scan'"):
        choices_of([here, made], data="scan")


def test_what_was_evaluated_and_never_timed_is_a_candidate_with_a_command() -> None:
    timed = candidate(5.0)
    bf16 = evaluated(candidate(1.0, precision="bf16"), 900)
    advice = advised(timed, bf16, limits=(at_most(Quantity.P50, 10),))
    (contender,) = advice.contenders
    assert not contender.candidate.timed
    (command,) = commands_that_tell(open_points(advice), None)
    assert "--batch 1" in command
    assert "--precision bf16" in command
    assert command.endswith("--budget 60s")


def test_most_accurate_is_told_image_by_image() -> None:
    first, second = candidate(5.0, "openvino"), candidate(6.0, "onnxruntime")
    same = advised(
        first, second, evaluated(first, 900), evaluated(second, 900), objective=Quantity.ACCURACY
    )
    assert [rival.standing for rival in same.rivals] == [Standing.SAME]
    apart = advised(
        first, second, evaluated(first, 900), evaluated(second, 930), objective=Quantity.ACCURACY
    )
    assert runner_of(apart) == "onnxruntime"
    # 900 and 930 of 1000 overlap as shares; the same images tell them apart.
    assert [rival.standing for rival in apart.rivals] == [Standing.BETTER]


def test_dominated_cells_name_what_makes_them_needless() -> None:
    advice = advised(
        candidate(5.0, "openvino", memory_mb=130),
        candidate(5.01, "onnxruntime", memory_mb=100),
        candidate(9.0, "pytorch", memory_mb=700),
        candidate(2.0, "inductor", memory_mb=700, judgement=NOISY),
        candidate(1.0, "openvino", memory_mb=50, model="tiny", weights_identity="another"),
    )
    front = {
        (one.candidate.record.cell.model, one.candidate.record.cell.runner): one
        for one in advice.assessments
    }
    assert front["net", "openvino"].on_front
    assert front["net", "onnxruntime"].on_front
    dominated = front["net", "pytorch"]
    assert dominated.on_front is False
    assert dominated.dominated_by is not None
    assert dominated.dominated_by.record.cell.model == "net"
    assert front["net", "inductor"].on_front is None
    # Nobody knows how good the answers of either model are.
    assert front["tiny", "openvino"].on_front


def test_each_model_has_an_advice_of_its_own() -> None:
    advice = advised(candidate(5.0), candidate(1.0, model="tiny", weights_identity="another"))
    assert [runner_of(one) for one in by_model(advice)] == ["openvino", "openvino"]
    assert [one.choice.candidates[0].record.cell.model for one in by_model(advice)] == [
        "net",
        "tiny",
    ]
