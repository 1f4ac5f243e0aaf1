"""CheXpert's CSV (Irvin et al. 2019): chest radiographs with 14 findings, of which a label is
present, absent, uncertain or not mentioned.

The five findings of the competition are taken, or those that are named. What is not mentioned
counts as absent; what is uncertain counts as present (U-Ones), absent (U-Zeros) or not at all, as
the user says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.columns import FLAGS
from deploybench.data.forms.manifest import flagged, uncertain_note
from deploybench.data.forms.tables import Row, TableFile
from deploybench.data.options import DataOptions
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError, unknown_name

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
PATH, VIEW, LATERAL = "Path", "Frontal/Lateral", "Lateral"
PATIENT = re.compile(r"^patient\d+$")
MOST_LEVELS = 2
"""Folders that a path in the CSV may begin with and that are not on disk here."""


def is_chexpert(table: TableFile) -> bool:
    """Whether a table has CheXpert's columns."""
    return PATH in table.columns and set(COMPETITION) <= set(table.columns)


def open_chexpert(tables: Sequence[tuple[TableFile, str | None]], options: DataOptions) -> DataSet:
    """The set of CheXpert's tables, each with its split.

    Raises DeployBenchError that names the file, the line and the column.
    """
    names = options.class_names or COMPETITION
    for name in names:
        if name not in FINDINGS:
            raise unknown_name("finding of CheXpert", name, FINDINGS)
    first, path = _first_path(tables)
    root, levels = root_of(first.path.parent, path)
    examples: dict[str, Example] = {}
    doubtful = 0
    lateral = 0
    count = 0
    missing: list[str] = []
    for table, split in tables:
        column = table.column(PATH)
        for row in table.rows():
            count += 1
            key = "/".join(PurePosixPath(row.cells[column].strip()).parts[levels:])
            if not (root / key).is_file():
                missing.append(f"{table.place(row, column)}: there is no file {root / key}")
                continue
            flags = [_flag(table, row, name) for name in names]
            doubtful += flags.count(-1)
            if VIEW in table.columns:
                lateral += row.cells[table.column(VIEW)].strip() == LATERAL
            example = Example(key, group=_patient(key), split=split)
            examples[key] = flagged(example, flags, options.uncertain)
    if missing:
        raise DeployBenchError(
            f"{missing[0]}; {len(missing)} of {count} are missing",
            action="copy the images there, or take those rows out",
        )
    notes = ["what is not mentioned counts as absent"]
    if doubtful:
        notes.append(uncertain_note(doubtful, options.uncertain))
    if lateral:
        notes.append(f"{lateral} of {count} views are lateral")
    return DataSet(
        name=tables[0][0].path.resolve().parent.name,
        form=f"CheXpert: {' and '.join(table.path.name for table, _ in tables)}",
        root=root,
        class_names=tuple(names),
        task="multi-label",
        examples=tuple(examples.values()),
        images=ImageFiles(root),
        notes=tuple(notes),
    )


def _first_path(tables: Sequence[tuple[TableFile, str | None]]) -> tuple[TableFile, str]:
    """The path in the first row that there is. Raises DeployBenchError where there is none."""
    for table, _ in tables:
        for row in table.rows():
            return table, row.cells[table.column(PATH)].strip()
    raise DeployBenchError(f"{tables[0][0].path} lists no image")


def root_of(folder: Path, path: str) -> tuple[Path, int]:
    """What the paths of a table are relative to, and how many of their first folders to leave out.

    A table names the folder that the archive had (``CheXpert-v1.0-small/train/…``), whatever it is
    called here. Where nothing fits it is the table's own folder.
    """
    parts = PurePosixPath(path).parts
    for root in (folder, folder.parent):
        for levels in range(MOST_LEVELS + 1):
            if parts[levels:] and root.joinpath(*parts[levels:]).is_file():
                return root, levels
    return folder, 0


def _flag(table: TableFile, row: Row, name: str) -> int:
    column = table.column(name)
    cell = row.cells[column].strip()
    if cell not in FLAGS:
        raise DeployBenchError(
            f"{table.place(row, column)} is '{cell}'",
            expected="1.0 (present), 0.0 (absent), -1.0 (uncertain) or nothing",
        )
    return FLAGS[cell]


def _patient(key: str) -> str | None:
    return next((part for part in key.split("/") if PATIENT.match(part)), None)
