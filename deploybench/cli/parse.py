"""Reads the values of options. Each function raises DeployBenchError saying what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from deploybench.errors import DeployBenchError
from deploybench.plurals import read_percent
from deploybench.report.table import Format

if TYPE_CHECKING:
    from deploybench.plan.cells import Sizes
    from deploybench.report.console import Showing

Choice = TypeVar("Choice", bound=str)


WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="Folder of artifacts and records. [default: ./deploybench-workspace]",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run code of artifacts that were not made here, and sign them: once is enough.",
    ),
]
LiveOption = Annotated[
    bool,
    typer.Option(
        "--live/--no-live",
        help="On a terminal, show what is being measured as it goes; else a line a step.",
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress on standard error: warnings alone."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MarkdownOption = Annotated[
    bool, typer.Option("--markdown", help="Print GitHub-flavoured Markdown.")
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How the table is printed. [default: table]", case_sensitive=False
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        help="Compare unlike rows: batch, precision, threads, streams, timing, form, weights, "
        "host, version, an option of the cell such as graph, all.",
    ),
]
RunShiftOption = Annotated[
    str | None,
    typer.Option(
        "--run-shift",
        help="By how much whole runs shift (standard deviation): 2%. [default: from four runs of "
        "a cell or more, else 3%; of undisturbed times 1.1%]",
    ),
]
ArtifactOption = Annotated[
    list[Path] | None, typer.Option("--artifact", help="One artifact folder; repeatable.")
]
RunnerOption = Annotated[
    list[str] | None, typer.Option("--runner", "-r", help="[default: all that this host can]")
]
ImageSizeOption = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        help="Pixels: 384, 224x320; several: 224,384. [default: any in the workspace, else the "
        "model's]",
    ),
]
PatchSizeOption = Annotated[
    str | None, typer.Option("--patch-size", help="Of transformers, in pixels: 8; several: 16,8.")
]
OneImageSizeOption = Annotated[
    str | None, typer.Option("--image-size", help="Pixels: 224, 224x320. [default: the model's]")
]
OnePatchSizeOption = Annotated[
    int | None, typer.Option("--patch-size", min=1, help="Of transformers, in pixels.")
]
InChannelsOption = Annotated[
    int | None, typer.Option("--in-channels", min=1, help="1: grey. [default: the model's]")
]
NumClassesOption = Annotated[int | None, typer.Option("--num-classes", min=1)]
BatchnormEpsilonOption = Annotated[
    float | None,
    typer.Option(
        "--batchnorm-epsilon",
        help="That the weights were trained with: 1e-3. [default: the model's own]",
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Repeatable; exported first where missing. [default: all]"),
]
PrecisionsOption = Annotated[
    list[str] | None, typer.Option("--precision", help="[default: each artifact's own]")
]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", help="onnx, openvino, …; [default: all that run here]"),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="cpu, cuda, cuda:1; several: cpu,cuda. [default: the profile's, else cpu]"
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="What the output means: multi_class, multi_label, binary, regression, embedding or "
        "dense; with :probabilities or :logits. [default: found, or assumed]",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="CPU thread budget of every runner. [default: usable cores, or those of --pin]",
    ),
]
PinOption = Annotated[
    str,
    typer.Option(
        "--pin",
        help="Keep the processes on CPUs: 0-3,8. auto: where the threads belong, if there are more "
        "CPUs than threads (Linux). none: the system chooses.",
    ),
]

DetailsOption = Annotated[
    bool,
    typer.Option(
        "--details", help="Also print percentiles, start-up and memory by phase, and disturbances."
    ),
]
RoundsOption = Annotated[
    int | None,
    typer.Option("--rounds", min=1, help="Exactly so many fresh launches of every cell."),
]
MinSamplesOption = Annotated[
    int, typer.Option("--min-samples", min=1, help="Samples of one launch at least.")
]
SkipOption = Annotated[
    list[str] | None,
    typer.Option("--skip", help="Cells to leave out, as MODEL/RUNNER patterns: '*/inductor'."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the random order within a round.")]
MarginOption = Annotated[str, typer.Option("--margin", help="Speeds within this are the SAME.")]


def output_format(
    asked: Format | None, *, json: bool = False, markdown: bool = False, csv: bool = False
) -> Format:
    """The format that ``--format`` or one of the short flags asks for.

    Two that differ are refused.
    """
    flags = {Format.JSON: json, Format.MARKDOWN: markdown, Format.CSV: csv}
    chosen = [form for form, given in flags.items() if given]
    if asked is not None and asked not in chosen:
        chosen.append(asked)
    if len(chosen) > 1:
        raise DeployBenchError(
            f"the table as {' and as '.join(form.value for form in chosen)}",
            expected="one format: --format table, markdown, csv or json",
        )
    if not chosen:
        return Format.TABLE
    return chosen[0]


def showing(*, live: bool, quiet: bool) -> Showing:
    """How much of the progress is shown."""
    from deploybench.report.console import Showing

    if quiet:
        return Showing.NOTHING
    return Showing.LIVE if live else Showing.LINES


def split_names(values: Sequence[str] | None) -> list[str]:
    """Names from repeated options and commas, without repeats."""
    names = []
    for value in values or ():
        names += [name.strip() for name in value.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def devices(text: str | None) -> list[str]:
    """``cpu,cuda`` as devices; None is none."""
    from deploybench.hardware.devices import read_device

    if text is None:
        return []
    devices_named = [read_device(name) for name in split_names([text])]
    return list(dict.fromkeys(devices_named))


def positive_numbers(text: str, option: str) -> list[int]:
    """``1,8,32`` as numbers."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise DeployBenchError(
            f"{option} {text}", expected="whole numbers from 1 on, with commas: 1,8,32"
        )
    return list(dict.fromkeys(numbers))


def numbers_or_auto(text: str, option: str) -> list[int] | Literal["auto"]:
    """As :func:`positive_numbers`; the word ``auto`` is left as it is."""
    from deploybench.runs.settings import AUTO

    if text == AUTO:
        return AUTO
    return positive_numbers(text, option)


def batch_size(text: str) -> int | None:
    """``dynamic`` is None; a number is a fixed batch size."""
    if text == "dynamic":
        return None
    numbers = positive_numbers(text, "--batch")
    if len(numbers) > 1:
        raise DeployBenchError(f"--batch {text}", expected="one batch size, or the word dynamic")
    return numbers[0]


def model_names(values: Sequence[str] | None) -> list[str]:
    """Model names; a group such as ``fair`` stands for its members."""
    from deploybench.models.source import expand_groups

    return expand_groups(split_names(values))


def sizes(image_size: str | None, patch_size: str | None) -> Sizes:
    """``224,384`` or ``224x320`` (height x width), and ``16,8``; None asks for nothing."""
    from deploybench.plan.cells import Sizes

    images: list[tuple[int, int]] = []
    if image_size is not None:
        images = [_image_size(part) for part in image_size.split(",")]
    patches: list[int] = []
    if patch_size is not None:
        patches = positive_numbers(patch_size, "--patch-size")
    return Sizes(tuple(dict.fromkeys(images)), tuple(patches))


def one_image_size(text: str | None) -> tuple[int, int] | None:
    """``224`` or ``224x320`` (height x width) in pixels; None asks for nothing."""
    if text is None:
        return None
    return _image_size(text)


def _image_size(text: str) -> tuple[int, int]:
    """``224`` or ``224x320`` (height x width) in pixels."""
    parts = text.lower().split("x")
    try:
        sizes = [int(part) for part in parts]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2) or min(sizes) < 1:
        raise DeployBenchError(
            f"--image-size {text}",
            expected="pixels: 224, or height x width: 224x320; several with commas",
        )
    return sizes[0], sizes[-1]


def seconds(text: str, option: str) -> float:
    """``2``, ``2s`` or ``500ms`` in seconds."""
    number, factor = text.strip(), 1.0
    if number.endswith("ms"):
        number, factor = number[:-2], 1e-3
    elif number.endswith("s"):
        number = number[:-1]
    try:
        value = float(number) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise DeployBenchError(f"{option} {text}", expected="a time: 2, 2s or 500ms")
    return value


def duration(text: str, option: str) -> float:
    """``20m``, ``90s`` or ``1h`` in seconds; a number without a unit is refused."""
    units = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
    stripped = text.strip()
    for unit in sorted(units, key=len, reverse=True):
        if not stripped.endswith(unit):
            continue
        try:
            value = float(stripped.removesuffix(unit)) * units[unit]
        except ValueError:
            continue
        if 0 < value < float("inf"):
            return value
    raise DeployBenchError(f"{option} {text}", expected="a time with its unit: 20m, 90s or 1h")


def optional_seconds(text: str | None, option: str) -> float | None:
    """As :func:`seconds`; None for an option that was not given."""
    if text is None:
        return None
    return seconds(text, option)


def choice(text: str, option: str, choices: Sequence[Choice]) -> Choice:
    """The choice with that name. Raises DeployBenchError for another one."""
    for one in choices:
        if one == text:
            return one
    raise DeployBenchError(f"{option} {text}", expected=f"one of {', '.join(choices)}")


def percent(text: str, option: str, *, least: float = 0.0) -> float:
    """``5%`` as 0.05, which is at least ``least``."""
    value = read_percent(text)
    if value is None or not least <= value < float("inf"):
        expected = "a share in percent, with its sign: 5%"
        if least:
            expected += f"; at least {least:.2%}"
        raise DeployBenchError(f"{option} {text}", expected=expected)
    return value


def precisions(values: Sequence[str] | None, *, written: bool = False) -> list[str]:
    """Known precisions only; ``written``: those of an export, too."""
    from deploybench.hardware.precisions import check_precision

    names = split_names(values)
    for name in names:
        check_precision(name, written=written)
    return names
