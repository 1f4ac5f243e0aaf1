"""Medical sets that people have by name: CheXpert, RadImageNet's brain MRI."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.data.forms.chexpert import COMPETITION
from deploybench.data.forms.radimagenet import BRAIN_MRI
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data import sets
from tests.data.sets import image, table

# CheXpert


def test_chexpert_has_the_five_findings_of_the_competition_and_its_patients(
    tmp_path: Path,
) -> None:
    data = open_data(sets.chexpert(tmp_path / "renamed"))
    assert data.class_names == COMPETITION
    assert data.task == "multi-label"
    assert data.splits == ("train", "val")
    assert [one.group for one in data] == [
        "patient00001",
        "patient00001",
        "patient00002",
        "patient64541",
    ]
    # Atelectasis 0, Cardiomegaly 1, Consolidation 2, Edema 3, Pleural Effusion 4; -1 is present.
    assert [one.labels for one in data] == [(3,), (3,), (0, 4), (1,)]
    assert data.examples[0].key == "train/patient00001/study1/view1_frontal.jpg"
    said = " ".join(data.notes)
    assert "2 uncertain labels (-1) counted as present (U-Ones); assumed" in said
    assert "1 of 4 views are lateral" in said


def test_chexpert_uncertain_labels_are_what_is_said(tmp_path: Path) -> None:
    root = sets.chexpert(tmp_path)
    zeros = open_data(root, uncertain="zeros")
    assert [one.labels for one in zeros] == [(3,), (), (4,), (1,)]
    ignored = open_data(root, uncertain="ignore")
    assert [one.unknown for one in ignored] == [(), (3,), (0,), ()]
    assert ignored.targets()[2].tolist() == [-1, 0, 0, 0, 1]


def test_chexpert_takes_other_findings_that_are_named(tmp_path: Path) -> None:
    root = sets.chexpert(tmp_path)
    assert open_data(root, class_names=["Edema", "Fracture"]).counts() == (2, 0)
    with pytest.raises(DeployBenchError, match="unknown finding of CheXpert 'Edma'"):
        open_data(root, class_names=["Edma"])


def test_chexpert_names_the_cell_that_is_wrong_and_the_image_that_is_missing(
    tmp_path: Path,
) -> None:
    root = sets.chexpert(tmp_path)
    row = sets.chexpert_row("a/train/patient00001/study1/view1_frontal.jpg", Edema="2.0")
    table(root / "train.csv", sets.CHEXPERT_HEADER, row)
    with pytest.raises(DeployBenchError, match=r"train.csv, line 2, column 'Edema' is '2.0'"):
        open_data(root)
    row = sets.chexpert_row("a/train/patient00009/study1/view1_frontal.jpg")
    table(root / "train.csv", sets.CHEXPERT_HEADER, row)
    with pytest.raises(DeployBenchError, match=r"line 2, column 'Path': there is no file"):
        open_data(root)


# RadImageNet


def brain(folder: Path, *names: str) -> Path:
    for name in names or BRAIN_MRI:
        image(folder / "radiology_ai" / "MR" / "brain" / name / "1.png")
    return folder


def test_brain_mri_has_its_ten_classes_wherever_the_folders_lie(tmp_path: Path) -> None:
    root = brain(tmp_path)
    for place in (root, root / "radiology_ai", root / "radiology_ai" / "MR" / "brain"):
        data = open_data(place)
        assert data.form == "brain MRI in RadImageNet's layout"
        assert data.class_names == BRAIN_MRI
        assert data.counts() == (1,) * 10


def test_part_of_the_brain_mri_keeps_the_ten_classes_and_their_order(tmp_path: Path) -> None:
    data = open_data(brain(tmp_path, *BRAIN_MRI[3:]) / "radiology_ai" / "MR" / "brain")
    assert data.class_names == BRAIN_MRI
    assert data.counts() == (0, 0, 0, 1, 1, 1, 1, 1, 1, 1)


def test_tables_of_radimagenet_give_the_split_and_leave_other_organs_out(tmp_path: Path) -> None:
    brain(tmp_path)
    here = "radiology_ai/MR/brain"
    rows = [(f"{here}/edema/1.png", "x"), ("radiology_ai/MR/knee/fracture/1.png", "y")]
    table(tmp_path / "RadiologyAI_train.csv", ("filename", "label"), *rows)
    table(tmp_path / "RadiologyAI_val.csv", ("filename", "label"), (f"{here}/normal/1.png", "x"))
    data = open_data(tmp_path)
    assert [(one.labels, one.split) for one in data] == [((3,), "train"), ((7,), "val")]
    assert any("1 rows of other organs" in note for note in data.notes)
    assert any("patients are not known" in note for note in data.notes)
    rows = [(f"{here}/oedema/1.png", "x")]
    table(tmp_path / "RadiologyAI_val.csv", ("filename", "label"), *rows)
    with pytest.raises(DeployBenchError, match=r"_val.csv, line 2, column 'filename': 'oedema'"):
        open_data(tmp_path)
