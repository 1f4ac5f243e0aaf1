"""Why a row is not plainly valid: its causes, which rows share, and its own words."""

from __future__ import annotations

from deploybench.artifacts.adoption import REFERENCE
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.report.figures import CAUSES, CAUSES_OF_VISITS
from deploybench.report.run_cells import NOT_SEEN, speedups_differ
from deploybench.report.table import Note
from deploybench.results.cell import END_TO_END
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.statistics.counted import BIN_WIDTH
from deploybench.statistics.ratios import Answer

RANKING_DIFFERS = "the ranking differs: undisturbed it is another one than as the machine was"


def notes_of(row: Row) -> list[Note]:
    """A note a cause; none for a VALID row that is complete and settled, and assumes nothing."""
    notes = []
    if row.p50_ms is None and row.mixed_states_ms is not None:
        notes.append(Note("the machine changed speed during every launch", row.reason, row.advice))
    elif row.verdict in CAUSES:
        notes.append(Note(_cause(row), _reason(row), row.advice, _shared_advice(row)))
    elif row.verdict is not Verdict.VALID:
        # What failed or was refused differs from row to row: its reason is its cause.
        notes.append(Note(row.reason, advice=row.advice))
    if row.weights_random_share:
        share = f"{row.weights_random_share:.1%} of the parameters are random (--allow-partial)"
        notes.append(Note("part of the weights is random", f"{row.weights}: {share}"))
    if row.parity_accepted:
        # The accuracy that stands for the parity that failed.
        notes.append(Note(f"accepted by accuracy: {row.parity_accepted}"))
    elif row.parity_weak:
        notes.append(
            Note(
                "parity is weak on this model",
                f"weak parity: {row.parity_weak}",
                "export it with --reference-images FOLDER: images that the model tells apart",
            )
        )
    if not row.complete:
        done = counted(row.launches, "launch", "launches")
        if row.visits:
            done = counted(row.visits, "visit")
        notes.append(Note("interrupted", f"interrupted after {done}"))
    if row.more_rounds:
        rounds = counted(row.more_rounds, "more round")
        detail = f"{row.stopped}: about {rounds} for the precision asked for"
        notes.append(Note("the precision asked for was not reached", detail))
    if row.environment:
        detail = f"{row.environment} was set, and reached the workers"
        notes.append(Note("variables of the environment that change numbers were set", detail))
    if row.launches_binned:
        detail = (
            f"{row.samples} samples are counted in bins {BIN_WIDTH:.1%} wide: percentiles are "
            f"exact to that; --raw keeps every sample"
        )
        notes.append(Note("the samples of a launch are counted in bins", detail))
    notes += _notes_on_threads(row)
    notes += _note_on_contention(row)
    if row.speedup_answer is Answer.AMBIGUOUS:
        notes.append(Note("the speed-up is not settled", f"speed-up: {row.speedup_reason}"))
    notes += [Note(sentence) for sentence in row.assumed.split("; ") if _is_reference(sentence)]
    if row.assumed and row.timing == END_TO_END:
        # Only a call that begins with an image file depends on how images are prepared.
        notes.append(Note(row.assumed))
    return notes


def _cause(row: Row) -> str:
    """What a verdict says of a row that has a number; of visits, what its time rests on."""
    if not row.visits:
        return CAUSES[row.verdict]
    if row.undisturbed_basis == "not seen":
        return "the machine was never at its own speed beside their visits"
    if row.undisturbed_basis == "extrapolated":
        return "the machine was too seldom at its own speed beside their visits"
    return CAUSES_OF_VISITS[row.verdict]


def _shared_advice(row: Row) -> str:
    """How much longer differs from row to row: the line under the table says it for all."""
    if not row.visits:
        return ""
    if row.undisturbed_basis in NOT_SEEN:
        return "stop other work, ask for dedicated cores, or measure at a quieter time"
    if row.verdict is Verdict.UNSTABLE:
        return "give the run more time: a larger --budget"
    return ""


def _note_on_contention(row: Row) -> list[Note]:
    """Where the ratio of the undisturbed times is not that of the times as met."""
    if not speedups_differ(row):
        return []
    if row.ranking_differs:
        return [Note(RANKING_DIFFERS, _both_answers(row))]
    detail = (
        f"{row.undisturbed_speedup:.2f} times as fast as {row.baseline} undisturbed, "
        f"{row.experienced_speedup:.2f} as the machine was"
    )
    return [Note("what disturbs slows these and the baseline unequally", detail)]


def _both_answers(row: Row) -> str:
    """The two speed-ups over the baseline, and what each of them says."""
    assert row.undisturbed_speedup_answer is not None  # of a row whose ranking differs
    assert row.experienced_speedup_answer is not None
    return (
        f"the ranking differs: {row.undisturbed_speedup:.2f} times as fast as {row.baseline} "
        f"undisturbed ({row.undisturbed_speedup_answer.value}), {row.experienced_speedup:.2f} as "
        f"the machine was ({row.experienced_speedup_answer.value})"
    )


def _notes_on_threads(row: Row) -> list[Note]:
    """Threads that were asked for and had nothing to do, or more than were asked for."""
    if row.threads_ran is None or row.device != CPU or row.streams > 1:
        return []
    count = f"{row.threads_ran:g} of {counted(row.asked_threads, 'thread')} worked"
    if row.threads_ran < row.asked_threads:
        return [Note("not every thread had work", f"{count}: the model leaves the rest idle")]
    if row.threads_ran > row.asked_threads:
        detail = f"{counted(row.threads_ran, 'thread')} worked, {row.asked_threads} were asked for"
        return [Note("more threads worked than were asked for", detail)]
    return []


def _reason(row: Row) -> str:
    """The reason with what can be relied on all the same, and with what counts nowhere."""
    parts = [row.reason]
    if row.speedup_verdict is Verdict.VALID:
        parts.append("the speed-up, paired by round, is VALID")
    if row.launches_flipped and row.p50_ms is not None:
        verb = "counts" if row.launches_flipped == 1 else "count"
        launches = counted(row.launches_flipped, "launch", "launches")
        parts.append(f"{launches} met a change of state and {verb} nowhere")
    return "; ".join(parts)


def _is_reference(sentence: str) -> bool:
    """Whether it says whose answers an adopted artifact is held to, in place of fp32 eager's."""
    return sentence.startswith(REFERENCE)
