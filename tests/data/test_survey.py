"""What ``data show`` finds out: counts, kinds of images, those that do not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.data.opening import open_data
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.data.survey import Copies, spread, survey
from deploybench.report.data import report_csv, report_json
from deploybench.report.dataset_table import survey_data, survey_report
from deploybench.report.markdown import report_markdown
from tests.data.sets import class_folders, image, table


def test_classes_are_counted_by_split_and_patients_in_two_splits_are_told(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        image(tmp_path / f"{name}.png", level=int(name))
    rows = [
        ("1.png", "cat", "train", "p1"),
        ("2.png", "dog", "test", "p1"),
        ("3.png", "dog", "train", "p2"),
    ]
    table(tmp_path / "manifest.csv", ("path", "label", "split", "patient"), *rows)
    found = survey(open_data(tmp_path))
    assert [(one.name, one.images, one.by_split) for one in found.classes] == [
        ("cat", 1, (1, 0)),
        ("dog", 2, (1, 1)),
    ]
    assert found.split_sizes == (("train", 2), ("test", 1))
    assert (found.patients, found.shared_patients) == (2, 1)
    text = report_markdown(survey_report(found))
    assert "1 patient in more than one split" in text
    assert "| dog | 1 | 1 | 2 | 66.7 % |" in text
    assert str(found.sha256) in text


def test_sizes_and_modes_are_counted_and_what_does_not_read_is_listed(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 2, "dog": 1})
    Image.new("RGB", (20, 10)).save(tmp_path / "dog" / "rgb.jpg")
    dark = np.full((8, 8), 900, dtype=np.uint16)
    Image.fromarray(dark).save(tmp_path / "dog" / "deep.png")
    (tmp_path / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = survey(open_data(tmp_path), sample=None, hashed=False)
    assert found.sha256 is None
    assert [(kind.mode, kind.width, kind.height, kind.images) for kind in found.kinds] == [
        ("L", 16, 16, 3),
        ("RGB", 20, 10, 1),
    ]
    assert found.kinds[0].notes == ()  # no model is asked about
    broken, deep = found.unreadable
    assert broken.place.endswith("broken.png")
    assert "16-bit values" in deep.reason
    assert "--levels 1023" in deep.action
    text = report_markdown(survey_report(found))
    assert "Not readable: 2 of 6 looked at" in text
    again = survey(
        open_data(tmp_path), sample=None, options=PreprocessingOptions(window=(0.0, 1023.0))
    )
    assert [one.place for one in again.unreadable] == [broken.place]


def test_copies_are_counted_also_over_splits_and_labels(tmp_path: Path) -> None:
    for level, folder in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        image(tmp_path / folder / "own.png", level=level)
    image(tmp_path / "test" / "cat" / "1.png", level=99)
    image(tmp_path / "train" / "cat" / "2.png", level=99)
    image(tmp_path / "train" / "dog" / "3.png", level=99)
    data = open_data(tmp_path)
    found = survey(data)
    assert found.copies == Copies(images=2, in_another_split=2, with_another_label=1)
    text = report_markdown(survey_report(found))
    assert "2 images with the content of another, to the byte; 2 in another split" in text
    assert survey(data, hashed=False).copies is None


def test_long_list_of_what_does_not_read_is_cut_and_that_is_said(tmp_path: Path) -> None:
    for index in range(25):
        (tmp_path / f"{index:02}.png").write_bytes(b"no image")
    found = survey(open_data(tmp_path), hashed=False)
    text = report_markdown(survey_report(found))
    assert "and 5 more, which --json lists" in text
    told = survey_data(found)["unreadable"]
    assert isinstance(told, list)
    assert len(told) == 25


def test_sample_is_from_all_over_the_set(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"a": 10, "b": 10}))
    keys = [one.key for one in spread(data.examples, 4)]
    assert keys == ["a/2.png", "a/7.png", "b/2.png", "b/7.png"]
    assert len(spread(data.examples, None)) == len(spread(data.examples, 99)) == 20
    assert spread(data.examples, 0) == []


def test_report_for_programs_has_everything(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"a": 2, "b": 1}))
    found = survey(data)
    told = survey_data(found)
    assert told["images"] == 3
    assert told["sha256"] == data.sha256()
    assert told["classes"] == [
        {"name": "a", "images": 2, "unknown": 0, "by_split": {}},
        {"name": "b", "images": 1, "unknown": 0, "by_split": {}},
    ]
    report = survey_report(found)
    assert '"form": "image folder' in report_json(report)
    assert report_csv(report).splitlines()[0].startswith("table,class,images,share")


@pytest.mark.parametrize("name", ["a\x1b[31m", "[bold]b"])
def test_names_of_others_are_only_seen(tmp_path: Path, name: str) -> None:
    found = survey(open_data(class_folders(tmp_path, {name: 1, "z": 1})))
    assert "\x1b" not in report_markdown(survey_report(found))
