"""Tables that list images: columns, labels, splits, patients; what is wrong has its cell named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploybench.data.forms.tables import TableFile
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data.sets import image, table

HEADER = ("path", "label", "split", "patient")


def listed(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = HEADER) -> Path:
    for row in rows:
        image(folder / row[0])
    return table(folder / "manifest.csv", header, *rows)


def test_table_gives_labels_splits_and_patients(tmp_path: Path) -> None:
    path = listed(
        tmp_path,
        ("x/1.png", "dog", "train", "p1"),
        ("x/2.png", "cat", "Validation", "p2"),
        ("x/3.png", "dog", "", ""),
    )
    for place in (tmp_path, path):
        data = open_data(place)
        assert data.class_names == ("cat", "dog")
        assert [one.labels for one in data] == [(1,), (0,), (1,)]
        assert [one.split for one in data] == ["train", "val", None]
        assert [one.group for one in data] == ["p1", "p2", None]
        assert data.form == "a list of images: manifest.csv"


def test_one_table_a_split_is_one_set(tmp_path: Path) -> None:
    for split in ("train", "test"):
        image(tmp_path / f"{split}.png")
        image(tmp_path / f"{split}2.png")
        rows = [(f"{split}.png", "cat"), (f"{split}2.png", "dog")]
        table(tmp_path / f"{split}.csv", ("filename", "class"), *rows)
    data = open_data(tmp_path)
    assert data.splits == ("train", "test")
    assert data.counts() == (2, 2)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_byte_order_mark_and_quoted_commas_are_read(
    tmp_path: Path, delimiter: str
) -> None:
    image(tmp_path / "a, b.png")
    image(tmp_path / "c.png")
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerows([("Image Path", "Diagnosis"), ("a, b.png", "x"), ("c.png", "y")])
    data = open_data(tmp_path / "list.csv")
    assert [one.key for one in data] == ["a, b.png", "c.png"]


def test_parquet_table_is_read_as_csv_is(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name in ("1.png", "2.png", "3.png"):
        image(tmp_path / name)
    columns = {
        "path": ["1.png", "2.png", "3.png"],
        "label": [["a", "b"], [], ["b"]],
        "patient": [7, 7, None],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "manifest.parquet")
    data = open_data(tmp_path)
    assert data.task == "multi-label"
    assert [one.labels for one in data] == [(0, 1), (), (1,)]
    assert [one.group for one in data] == ["7", "7", None]
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DeployBenchError, match="does not read as Parquet"):
        open_data(tmp_path)


def test_parquet_that_holds_the_images_themselves_is_refused_by_its_column(
    tmp_path: Path,
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    inside = [{"bytes": b"PNG", "path": "1.png"}, {"bytes": b"PNG", "path": "2.png"}]
    columns = {"image": inside, "label": [0, 1]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    with pytest.raises(DeployBenchError, match="column 'image' holds the images themselves"):
        open_data(tmp_path / "train.parquet")
    for name in ("1.png", "2.png"):
        image(tmp_path / name)
    columns = {"path": ["1.png", "2.png"], "label": [0, 1], "thumbnail": [b"PNG", b"PNG"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    assert open_data(tmp_path / "train.parquet").counts() == (1, 1)


def test_numbers_are_places_of_classes_from_0_on(tmp_path: Path) -> None:
    listed(tmp_path, ("1.png", "0", "", ""), ("2.png", "3", "", ""))
    data = open_data(tmp_path)
    assert data.class_names == ("0", "1", "2", "3")
    assert data.counts() == (1, 0, 0, 1)
    named = open_data(tmp_path, class_names=["a", "b", "c", "d"])
    assert named.counts() == (1, 0, 0, 1)
    with pytest.raises(DeployBenchError, match=r"line 3, column 'label': 3 is no class"):
        open_data(tmp_path, class_names=["a", "b", "c"])


def test_numbers_from_1_on_are_refused_until_the_classes_are_named(tmp_path: Path) -> None:
    listed(tmp_path, ("1.png", "1", "", ""), ("2.png", "2", "", ""))
    with pytest.raises(DeployBenchError, match="numbers from 1 to 2: whether 1 is the first"):
        open_data(tmp_path)
    assert open_data(tmp_path, class_names=["zero", "one", "two"]).counts() == (0, 1, 1)
    assert open_data(tmp_path, class_names=["1", "2"]).counts() == (1, 1)


@pytest.mark.parametrize("separator", ["|", ";"])
def test_several_labels_in_a_cell_make_a_multi_label_set(tmp_path: Path, separator: str) -> None:
    listed(
        tmp_path,
        ("1.png", f"a{separator} b", "", ""),
        ("2.png", "", "", ""),
        ("3.png", "c", "", ""),
    )
    data = open_data(tmp_path)
    assert data.task == "multi-label"
    assert [one.labels for one in data] == [(0, 1), (), (2,)]
    assert data.labelled
    assert data.targets().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_column_a_class_may_say_uncertain_and_what_that_counts_as_is_said(tmp_path: Path) -> None:
    header = ("image", "pneumonia", "fracture")
    listed(tmp_path, ("1.png", "1", "-1"), ("2.png", "0", ""), ("3.png", "1", "1"), header=header)
    assumed = open_data(tmp_path)
    assert assumed.task == "multi-label"
    assert [one.labels for one in assumed] == [(0, 1), (), (0, 1)]
    assert any("U-Ones" in note and "assumed" in note for note in assumed.notes)
    zeros = open_data(tmp_path, uncertain="zeros")
    assert [one.labels for one in zeros] == [(0,), (), (0, 1)]
    ignored = open_data(tmp_path, uncertain="ignore")
    assert ignored.examples[0].unknown == (1,)
    assert ignored.targets().tolist() == [[1, -1], [0, 0], [1, 1]]


def test_columns_of_classes_are_taken_in_the_order_that_is_named(tmp_path: Path) -> None:
    listed(tmp_path, ("1.png", "1", "1"), ("2.png", "0", "1"), header=("image", "a", "b"))
    assert open_data(tmp_path, class_names=["b", "a"]).counts() == (2, 1)
    assert open_data(tmp_path, class_names=["b"]).counts() == (2,)
    more = open_data(tmp_path, class_names=["A", "c", "B"])
    assert more.targets().tolist() == [[1, -1, 1], [0, -1, 1]]
    with pytest.raises(DeployBenchError, match="does not have: b"):
        open_data(tmp_path, class_names=["a", "c"])


def test_column_a_class_with_one_1_a_row_is_one_class_an_image(tmp_path: Path) -> None:
    header = ("image", "MEL", "NV")
    listed(tmp_path, ("1.png", "1.0", "0.0"), ("2.png", "0.0", "1.0"), header=header)
    data = open_data(tmp_path)
    assert data.task == "single-label"
    assert [one.labels for one in data] == [(0,), (1,)]
    assert any("exactly one" in note for note in data.notes)


def test_table_without_labels_is_unlabelled_and_an_unknown_column_is_not_guessed(
    tmp_path: Path,
) -> None:
    path = listed(tmp_path, ("1.png", "p1"), header=("path", "patient"))
    assert open_data(path).class_names == ()
    rows = (("1.png", "x", "9"), ("2.png", "y", "8"))
    path = listed(tmp_path, *rows, header=("path", "outcome", "age"))
    with pytest.raises(DeployBenchError, match=r"no column of labels .* outcome, age") as refused:
        open_data(path)
    assert "--column label=NAME" in str(refused.value.action)
    assert open_data(path, columns={"label": "outcome"}).class_names == ("x", "y")
    assert open_data(path, unlabelled=True).class_names == ()


def test_two_columns_that_may_be_the_label_are_refused(tmp_path: Path) -> None:
    header = ("path", "label", "diagnosis")
    path = listed(tmp_path, ("1.png", "a", "x"), ("2.png", "b", "y"), header=header)
    with pytest.raises(DeployBenchError, match="2 columns that may be the label"):
        open_data(path)
    assert open_data(path, columns={"label": "diagnosis"}).class_names == ("x", "y")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("1.png", "a"), ("gone.png", "b")], r"line 3, column 'path': there is no file"),
        ([("1.png", "a"), ("2.png", "")], r"line 3, column 'label' is empty"),
        ([("1.png", "a"), ("", "b")], r"line 3, column 'path' is empty"),
        ([("1.png", "a"), ("2.png", "b", "c")], r"line 3 has 3 cells"),
        ([("1.png", "a"), ("2.png", "a")], r"one class only: 'a'"),
        ([("1.png", "0"), ("2.png", "0")], r"one class only: every label is 0"),
        ([("1.png", "a"), ("2.png", "b"), ("1.png", "b")], r"line 4: 1.png is listed in another"),
        ([], "lists no image"),
    ],
)
def test_what_is_wrong_in_a_table_is_named_by_its_place(
    tmp_path: Path, rows: list[tuple[str, ...]], words: str
) -> None:
    for name in ("1.png", "2.png"):
        image(tmp_path / name)
    path = table(tmp_path / "list.csv", ("path", "label"), *rows)
    with pytest.raises(DeployBenchError, match=words):
        open_data(path)


def test_missing_files_are_counted(tmp_path: Path) -> None:
    image(tmp_path / "1.png")
    rows = [("1.png", "a"), ("2.png", "b"), ("3.png", "b")]
    path = table(tmp_path / "list.csv", ("path", "label"), *rows)
    with pytest.raises(DeployBenchError, match="2 of 3 are missing"):
        open_data(path)


def test_line_of_a_row_is_counted_over_line_breaks_in_cells(tmp_path: Path) -> None:
    image(tmp_path / "1.png")
    path = tmp_path / "list.csv"
    path.write_text('path,label,remark\n1.png,a,"two\nlines"\ngone.png,b,\n')
    with pytest.raises(DeployBenchError, match=r"line 4, column 'path'"):
        open_data(path, columns={"label": "label"})


def test_label_that_is_no_named_class_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = listed(tmp_path, ("1.png", "cat", "", ""), ("2.png", "dgo", "", ""))
    with pytest.raises(
        DeployBenchError, match=r"line 3, column 'label': 'dgo' is none of the 2 classes"
    ) as refused:
        open_data(path, class_names=["dog", "cat"])
    assert "dog" in str(refused.value.expected)


def test_image_that_is_listed_twice_alike_counts_once(tmp_path: Path) -> None:
    rows = (("1.png", "a", "", ""), ("2.png", "b", "", ""), ("./1.png", "a", "", ""))
    data = open_data(listed(tmp_path, *rows))
    assert len(data) == 2
    assert any("1 row listed" in note for note in data.notes)


def test_absolute_path_within_the_folder_is_as_good_as_a_relative_one(tmp_path: Path) -> None:
    here = tmp_path / "here"
    inside, outside = image(here / "1.png"), image(tmp_path / "there" / "2.png")
    path = table(here / "list.csv", ("path", "label"), (inside, "a"), (outside, "b"))
    data = open_data(path)
    assert [one.key for one in data] == ["1.png", outside.as_posix()]
    assert any("1 absolute path:" in note for note in data.notes)


def test_first_line_that_names_no_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("1.png,cat\n2.png,dog\n")
    with pytest.raises(DeployBenchError, match=r"no column of paths: 1.png, cat"):
        open_data(path)
    path.write_text("")
    with pytest.raises(DeployBenchError, match="is empty"):
        open_data(path)


def test_text_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"path,label\n1.png,caf\xe9\n")
    with pytest.raises(DeployBenchError, match="no text in UTF-8"):
        open_data(path)


def test_several_tables_beside_images_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "1.png")
    for name in ("labels.csv", "metadata.csv"):
        table(tmp_path / name, ("path", "label"), ("1.png", "a"))
    with pytest.raises(DeployBenchError, match="several tables"):
        open_data(tmp_path)


def test_table_that_lists_no_images_does_not_hide_the_folders(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        image(tmp_path / name / "1.png")
    table(tmp_path / "labels.csv", ("class", "description"), ("cat", "purrs"))
    assert open_data(tmp_path).counts() == (1, 1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    try:
        for row in TableFile(path).rows():
            assert len(row.cells) == len(TableFile(path).columns)
    except DeployBenchError:
        pass


CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_what_a_csv_writer_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = table(tmp_path / "any.csv", ("first", "second"), *rows)
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    assert [row.cells for row in TableFile(path).rows()] == kept
