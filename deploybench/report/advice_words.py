"""How an advice names machines, candidates, figures and limits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deploybench.analysis.amounts import Amount, Quantity
from deploybench.analysis.candidates import Candidate, Machine
from deploybench.analysis.constraints import Constraint, Judged
from deploybench.data.image_size import full_text
from deploybench.hardware.devices import CPU, kind_of
from deploybench.plurals import counted
from deploybench.report.figures import MIB, short_width, three_digits
from deploybench.results.verdict import Verdict
from deploybench.statistics.samples import half_width

FEW = 3
"""More names than this are counted instead."""
NO_NAME = re.compile(r"\((R|TM|r|tm)\)|\bCPU\b|\bProcessor\b|\b\d+-Core\b|@ *[\d.]+ *GHz")
"""What makers add to the name of a processor."""
VERDICTS = tuple(verdict.value for verdict in Verdict)
OF_LIMITS = {
    Quantity.P50: "p50",
    Quantity.P99: "p99",
    Quantity.THROUGHPUT: "throughput",
    Quantity.MEMORY: "memory",
    Quantity.SIZE: "size",
    Quantity.ACCURACY: "accuracy",
    Quantity.DROP: "drop of accuracy",
}


def processor_words(name: str) -> str:
    """``Intel(R) Xeon(R) Processor @ 2.20GHz`` as ``Intel Xeon``."""
    return " ".join(NO_NAME.sub(" ", name).split()) or name


def machine_words(machine: Machine) -> str:
    """``the Intel Xeon (host vm, 2 cores)``; with its GPUs, and the profile where it has a name."""
    parts = [f"host {machine.hostname}", counted(machine.usable_cores, "core")]
    if machine.profile != "host":
        parts.append(f"profile {machine.profile}")
    words = f"the {processor_words(machine.cpu_model)}"
    if machine.gpus:
        words += f" with {', '.join(dict.fromkeys(machine.gpus))}"
    return f"{words} ({', '.join(parts)})"


def cell_words(candidate: Candidate, others: Sequence[Candidate]) -> str:
    """The runner, with what else tells the candidate from the others: ``openvino bf16 batch 8``."""
    cell = candidate.record.cell
    cells = [other.record.cell for other in others]
    parts = [cell.runner]
    if len({other.device for other in cells}) > 1:
        parts.append(f"on {cell.device}")
    parts.append(cell.precision_name)
    if cell.batch > 1 or len({other.batch for other in cells if other.batch}) > 1:
        parts.append(f"batch {cell.batch}")
    if len({other.threads for other in cells}) > 1:
        parts.append(counted(cell.threads, "thread"))
    if cell.streams > 1:
        parts.append(f"{cell.streams} streams")
    twins = [
        other
        for other in cells
        if (other.runner, other.precision, other.group) == (cell.runner, cell.precision, cell.group)
    ]
    if len({other.form for other in twins}) > 1:
        parts.append(cell.form)
    if len({other.artifact_key for other in twins if other.form == cell.form}) > 1:
        parts.append((cell.artifact_key or "")[:8])
    parts += cell.option_titles
    return " ".join(part for part in parts if part)


def model_words(candidate: Candidate, others: Sequence[Candidate]) -> str:
    """The model, with its weights or sizes where others of its name have others."""
    cell = candidate.record.cell
    alike = [other.record.cell for other in others if other.record.cell.model == cell.model]
    parts = []
    if len({other.weights_identity for other in alike}) > 1:
        parts.append(cell.weights)
    if len({(other.image_size, other.patch_size) for other in alike}) > 1:
        parts.append(full_text(cell.image_size, cell.patch_size))
    if not parts:
        return cell.model
    return f"{cell.model} ({', '.join(parts)})"


def with_model(candidate: Candidate, others: Sequence[Candidate]) -> str:
    """``openvino fp32 with resnet50``."""
    return f"{cell_words(candidate, others)} with {model_words(candidate, others)}"


def amount_words(quantity: Quantity, amount: Amount, accuracy_of: str = "top-1") -> str:
    """The figure with its interval: ``5.33 ms (±1.3%)``; empty where there is none."""
    if amount.value is None:
        return ""
    if quantity is Quantity.P50:
        text = f"{three_digits(amount.value)} ms"
        if amount.low is None or amount.high is None:
            return text
        width = half_width(amount.value, amount.low, amount.high)
        if width > 1:
            return text
        return f"{text} (±{short_width(amount.value, amount.low, amount.high)})"
    text = _figure(quantity, amount.value, accuracy_of)
    low = _bare(quantity, amount.low, accuracy_of)
    high = _bare(quantity, amount.high, accuracy_of)
    if not low or low == high:
        return text
    return f"{text} ({low} to {high})"


def limit_words(constraint: Constraint, accuracy_of: str = "top-1") -> str:
    """``p99 of at most 10 ms``."""
    bound = "at least" if constraint.quantity.more_is_better else "at most"
    limit = plain_limit(constraint, accuracy_of)
    return f"{OF_LIMITS[constraint.quantity]} of {bound} {limit}"


def plain_limit(constraint: Constraint, accuracy_of: str = "top-1") -> str:
    """``10 ms``."""
    quantity, limit = constraint.quantity, constraint.limit
    if quantity in (Quantity.P50, Quantity.P99):
        return f"{limit:g} ms"
    if quantity is Quantity.THROUGHPUT:
        return f"{limit:g} images/s"
    if quantity in (Quantity.MEMORY, Quantity.SIZE):
        return f"{limit / MIB:g} MB"
    if quantity is Quantity.ACCURACY and accuracy_of == "auc":
        return f"{limit:g}"
    return f"{100 * limit:g} %"


def doubt_words(judged: Judged, accuracy_of: str) -> str:
    """Why a constraint is not known to be met, with the figure as it was met, if there is one."""
    quantity, amount = judged.constraint.quantity, judged.amount
    name = OF_LIMITS[quantity]
    shown = amount_words(quantity, amount, accuracy_of)
    if not amount.doubt:
        return f"{name}: {shown} lies across {plain_limit(judged.constraint, accuracy_of)}"
    return f"{name}: {in_doubt(shown, amount.doubt)}"


def in_doubt(shown: str, doubt: str) -> str:
    """Why a figure decides nothing; of a verdict its name, as the table has its reason."""
    verdict = doubt.partition(":")[0]
    if verdict in VERDICTS:
        doubt = f"it is {verdict}"
    if shown:
        return f"{shown} decides nothing, {doubt}"
    return doubt


def several(names: Sequence[str]) -> str:
    """Names in a sentence: a, b and c; more than three are counted."""
    if len(names) > FEW:
        return f"{', '.join(names[: FEW - 1])} and {len(names) - FEW + 1} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def is_on_gpu(candidate: Candidate) -> bool:
    return kind_of(candidate.record.cell.device) != CPU


def _figure(quantity: Quantity, value: float, accuracy_of: str) -> str:
    if quantity is Quantity.P99:
        return f"{three_digits(value)} ms"
    if quantity is Quantity.THROUGHPUT:
        return f"{three_digits(value)} images/s"
    if quantity in (Quantity.MEMORY, Quantity.SIZE):
        return f"{three_digits(value / MIB)} MB"
    if quantity is Quantity.ACCURACY and accuracy_of == "auc":
        return f"AUC {value:.3f}"
    if quantity is Quantity.ACCURACY:
        return f"{accuracy_of} {100 * value:.1f} %"
    # Adding 0 turns -0.0 into 0.0.
    return f"{100 * value + 0.0:.1f} %"


def _bare(quantity: Quantity, value: float | None, accuracy_of: str) -> str:
    """The end of an interval, without its unit."""
    if value is None:
        return ""
    if quantity in (Quantity.MEMORY, Quantity.SIZE):
        return three_digits(value / MIB)
    if quantity is Quantity.ACCURACY and accuracy_of == "auc":
        return f"{value:.3f}"
    if quantity in (Quantity.ACCURACY, Quantity.DROP):
        return f"{100 * value + 0.0:.1f}"
    return three_digits(value)
