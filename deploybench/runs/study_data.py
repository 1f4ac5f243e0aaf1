"""The images of a study: opened, split where they have no splits, and told by their content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploybench.artifacts.workspace import Workspace
from deploybench.data.dataset import DataSet
from deploybench.data.splits import split_data
from deploybench.data.written import write_table
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import DataRequest
from deploybench.files import slug
from deploybench.runs.study_request import StudyRequest

KEY_LETTERS = 12
TEST, VALIDATION = "test", "val"
SPLITS = "splits"
"""The folder of a workspace for the tables of data that had no splits."""


@dataclass(frozen=True)
class StudyData:
    """How the images are opened, and which of them the artifacts are evaluated on.

    ``sha256`` identifies all of them; ``notes`` say what was decided.
    """

    request: DataRequest
    test_split: str
    sha256: str
    notes: tuple[str, ...]


def study_data(
    request: StudyRequest, workspace: Workspace, told: Callable[[int, int], object]
) -> StudyData:
    """The images of the study; ``told`` hears how many of how many were read to tell which they
    are.

    Raises DeployBenchError for data without labels, and for a split that it does not have.
    """
    asked = request.data_request
    data = asked.open()
    if not data.class_names or not data.labelled:
        raise DeployBenchError(
            f"{data.root} has no labels ({data.form}): nothing can be learned from it",
            expected="a folder for each class, or a table with a column of labels",
            action=f"deploybench data show {data.root} says how it is read",
        )

    def progress(done: int) -> None:
        told(done, len(data))

    sha256 = data.sha256(progress)
    notes: list[str] = []
    if not data.splits:
        data, asked, words = _split(data, asked, sha256, workspace)
        notes += words
    test = _test_split(request, data)
    if test == VALIDATION and request.test_split is None:
        notes.append(
            "there is no split 'test': the artifacts are evaluated on 'val', on which the best "
            "epoch was chosen, so their figures are a little too good"
        )
    elif test == TEST and request.eval_split is None and VALIDATION not in data.splits:
        notes.append(
            "there is no split 'val': the best epoch was chosen on 'test', on which the artifacts "
            "are evaluated, so their figures are a little too good"
        )
    return StudyData(asked, test, sha256, tuple(notes))


def _test_split(request: StudyRequest, data: DataSet) -> str:
    if request.test_split is not None:
        data.in_split(request.test_split)  # says what there is
        return request.test_split
    for name in (TEST, VALIDATION):
        if name in data.splits:
            return name
    raise DeployBenchError(
        f"{data.root} has no split to evaluate on: it has {', '.join(data.splits)}",
        expected="a split 'test' or 'val'",
        action="name it: --test-split NAME",
    )


def _split(
    data: DataSet, asked: DataRequest, sha256: str, workspace: Workspace
) -> tuple[DataSet, DataRequest, list[str]]:
    """The same images in three splits, in a table of the workspace; the same data has the same."""
    result = split_data(data)
    path = workspace.root / SPLITS / f"{slug(data.name)}-{sha256[:KEY_LETTERS]}.csv"
    if not path.is_file():
        write_table(result.data, path)
    table = DataRequest(
        path=str(path.absolute()), class_names=data.class_names, uncertain=asked.uncertain
    )
    notes = [f"{data.root} had no splits: {path} has them, by class and by patient", *result.notes]
    return table.open(), table, notes
