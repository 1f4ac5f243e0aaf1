"""Why an export failed, in words that say what to do: the cause, not the exporter's boilerplate.

An exporter wraps what went wrong in advice for its own developers, with the codes that colour a
terminal. What the user needs stands at the end of the chain of exceptions: the operator that has no
form in the format, the line of the model that decides by values, the function that is no operator.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from deploybench.errors import DeployBenchError

MOST_CHARACTERS = 500
MOST_LINES = 3
MOST_CAUSES = 16
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PYTHON_PLACE = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
SCRIPT_PLACE = re.compile(
    r"^\s*(?P<path>/\S+\.py)\((?P<line>\d+)\): (?P<function>\S+)", re.MULTILINE
)
"""A line of code, as Python writes it and as TorchScript does."""
FOREIGN = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "openvino", "tensorrt")
"""Packages whose lines say nothing about the model."""
OURS = ("deploybench", "exporters", "runners")

ELSEWHERE = (
    "write that part with other operators, or take a format that keeps PyTorch's own: --backend "
    "torch-export, torchscript or pytorch"
)
NO_BRANCH = (
    "write it without a choice: torch.where for a value, torch.cond for a branch, a size that does "
    "not depend on the image"
)


@dataclass(frozen=True)
class _Rule:
    """What a message means. ``found`` makes the words of what the pattern matched."""

    pattern: re.Pattern[str]
    found: Callable[[re.Match[str]], str]
    action: str


RULES = (
    _Rule(
        re.compile(r"No ONNX function found for <OpOverload\(op='(?P<operator>[^']+)'"),
        lambda match: f"ONNX has no form of the operator {match['operator']}",
        ELSEWHERE,
    ),
    _Rule(
        re.compile(r"[Ee]xporting the operator '(?P<operator>[^']+)' to ONNX"),
        lambda match: f"ONNX has no form of the operator {match['operator']}",
        ELSEWHERE,
    ),
    _Rule(
        re.compile(r"No conversion rule found for operations: (?P<operators>[^\n]+)"),
        lambda match: f"OpenVINO has no form of the operators {match['operators'].strip()}",
        ELSEWHERE,
    ),
    _Rule(
        re.compile(r"data-dependent expression (?P<expression>[^\n(]+(?:\([^)]*\))?)"),
        lambda match: (
            "a branch or a size depends on the values of the image, which a graph of "
            f"torch.export does not hold ({match['expression'].strip()})"
        ),
        NO_BRANCH,
    ),
    _Rule(
        re.compile(r"Data-dependent branching|data[- ]dependent (?:branch|control flow|operator)"),
        lambda match: (
            "a branch or a size depends on the values of the image, which a graph of "
            "torch.export does not hold"
        ),
        NO_BRANCH,
    ),
    _Rule(
        re.compile(r"Could not export Python function call '(?P<function>[^']+)'"),
        lambda match: (
            f"{match['function']} is a function of Python's own (a custom autograd "
            "function), which TorchScript does not hold"
        ),
        "compute it with PyTorch's operators in the model's forward, or take --backend pytorch",
    ),
    _Rule(
        re.compile(r"\.numpy\(\) is not supported for tensor subclasses"),
        lambda match: (
            "the model leaves PyTorch: it computes with NumPy (.numpy()), which a graph "
            "does not hold"
        ),
        "compute it with PyTorch's operators in the model's forward, or take --backend pytorch",
    ),
    _Rule(
        re.compile(r"inferred to be a constant \((?P<size>\d+)\)"),
        lambda match: f"the model's own code fixes the batch size to {match['size']}",
        "leave the first dimension as it comes (x.shape[0], or -1 in reshape), or export one "
        "size: --batch N",
    ),
)


def cause_of(error: BaseException) -> DeployBenchError:
    """What an exporter raised, as a refusal of at most 500 characters.

    With the line of the model where that is known, and with what to do where that is.
    """
    chain = list(_chain(error))
    place = _place(chain)
    where = f" (in {place})" if place else ""
    messages = [plain(str(link)) for link in chain]
    for rule in RULES:
        # The innermost exception says it first-hand.
        for message in reversed(messages):
            match = rule.pattern.search(message)
            if match is not None:
                found = _cut(rule.found(match), MOST_CHARACTERS - len(where))
                return DeployBenchError(f"{found}{where}", action=rule.action)
    root = chain[-1]
    lines = [line.strip() for line in messages[-1].strip().splitlines() if line.strip()]
    words = f"{type(root).__name__}: {' '.join(lines[:MOST_LINES]) or 'no message'}"
    return DeployBenchError(f"{_cut(words, MOST_CHARACTERS - len(where))}{where}")


def plain(text: str) -> str:
    """The text without the codes that colour a terminal."""
    return TERMINAL_CODES.sub("", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, what caused it, and so on to the first."""
    link: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if link is None:
            return
        yield link
        if link.__cause__ is not None:
            link = link.__cause__
        elif not link.__suppress_context__:
            link = link.__context__
        else:
            link = None


def _place(chain: list[BaseException]) -> str:
    """The line of the model that it is about: ``nets.py:29 in forward``; empty where unknown."""
    told = []  # by the exporter: of the node that it was at, or in its message
    stood = []  # where Python was
    for link in chain:
        for frame, _ in traceback.walk_tb(link.__traceback__):
            told += _places_in(_trace_of_node(frame))
        told += _places_in(plain(str(link)))
        for step in traceback.extract_tb(link.__traceback__):
            stood.append((step.filename, str(step.lineno), step.name))
    for places in (told, stood):
        of_model = [place for place in places if _is_of_model(place[0])]
        if of_model:
            path, line, function = of_model[-1]
            return f"{Path(path).name}:{line} in {function}"
    return ""


def _places_in(text: str) -> list[tuple[str, str, str]]:
    """The lines of code that a text names, the innermost call last."""
    # TorchScript begins with the innermost.
    matches = [*PYTHON_PLACE.finditer(text), *reversed([*SCRIPT_PLACE.finditer(text)])]
    return [(match["path"], match["line"], match["function"]) for match in matches]


def _trace_of_node(frame: FrameType) -> str:
    """The stack trace of the graph's node that an exporter was at; its message leaves it out."""
    meta = getattr(frame.f_locals.get("node"), "meta", None)
    if not isinstance(meta, dict):
        return ""
    return str(meta.get("stack_trace") or "")


def _is_of_model(path: str) -> bool:
    """Whether a file may be the model's: not Python's, a framework's or ours."""
    file = Path(path)
    if file.suffix != ".py":
        return False
    standard = Path(sysconfig.get_paths()["stdlib"])
    parts = file.parts
    for folder in ("site-packages", "dist-packages"):
        if folder in parts:
            package = parts[parts.index(folder) + 1]
            return package.removesuffix(".py") not in (*FOREIGN, *OURS)
    if standard in file.parents:
        return False
    root = Path(__file__).parents[2]
    return not any(root / name in file.parents for name in OURS)


def _cut(text: str, most: int) -> str:
    words = " ".join(text.split())
    if len(words) <= most:
        return words
    return words[: most - 1] + "…"
