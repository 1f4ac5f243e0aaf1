"""``deploybench data`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploybench.data.opening import open_data
from deploybench.data.splits import groups_in_several_splits
from tests.conftest import Cli
from tests.data.sets import class_folders, image, mnist, table


def test_show_prints_the_form_the_classes_and_the_hash(cli_here: Cli, tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"cat": 2, "dog": 1})
    done = cli_here("data", "show", tmp_path / "d")
    assert done.returncode == 0
    data = open_data(tmp_path / "d")
    for words in ("image folder: a folder a class", "3 images; 2 classes", data.sha256()):
        assert words in done.stdout
    told = json.loads(cli_here("data", "show", tmp_path / "d", "--json").stdout)
    assert told["sha256"] == data.sha256()
    markdown = cli_here("data", "show", tmp_path / "d", "--format", "markdown", "--no-hash")
    assert "| cat | 2 | 66.7 % |" in markdown.stdout
    assert "sha256" not in markdown.stdout


def test_show_lists_what_does_not_read_and_ends_with_1(cli_here: Cli, tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    done = cli_here("data", "show", tmp_path)
    assert done.returncode == 1
    assert "Not readable: 1 of 3 looked at" in done.stdout


def test_show_takes_what_is_said_of_the_data(cli_here: Cli, tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        image(tmp_path / name)
    rows = (("1.png", 1, -1), ("2.png", 0, 1))
    path = table(tmp_path / "list.csv", ("img", "a", "b"), *rows)
    said = ("--uncertain", "ignore", "--sample", "1", "--json")
    told = json.loads(cli_here("data", "show", path, *said).stdout)
    assert [one["unknown"] for one in told["classes"]] == [0, 1]
    assert told["sampled"] == 1
    (tmp_path / "names.txt").write_text("b\na\n")
    names = ("--class-names", tmp_path / "names.txt", "--json")
    told = json.loads(cli_here("data", "show", path, *names).stdout)
    assert [one["name"] for one in told["classes"]] == ["b", "a"]
    told = json.loads(cli_here("data", "show", path, "--unlabelled", "--json").stdout)
    assert told["classes"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nowhere"), "there is no data at nowhere"),
        (("show", ".", "--uncertain", "ones-ish"), "unknown word for --uncertain"),
        (("show", ".", "--column", "label"), "--column label"),
        (("show", ".", "--column", "kind=x"), "unknown use of a column 'kind'"),
        (("split", ".", "-o", "x.csv", "--shares", "0.5"), "--shares 0.5"),
        (("make", "cats", "-o", "x"), "unknown set of images 'cats'"),
    ],
)
def test_what_cannot_be_is_refused_without_a_traceback(
    cli_here: Cli, arguments: tuple[str, ...], words: str
) -> None:
    done = cli_here("data", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_split_writes_a_table_that_is_read_back(cli_here: Cli, tmp_path: Path) -> None:
    rows = []
    for index in range(40):
        image(tmp_path / "images" / f"{index}.png", level=index)
        label = "a" if index % 4 else "b"
        rows.append((f"images/{index}.png", label, f"p{index // 2}"))
    table(tmp_path / "manifest.csv", ("path", "label", "patient"), *rows)
    out = tmp_path / "here" / "splits.csv"
    done = cli_here("data", "split", tmp_path, "-o", out, "--seed", "3", "--shares", "0.8,0.2")
    assert done.returncode == 0, done.stderr
    data = open_data(out)
    assert data.splits == ("train", "test")
    assert len(data) == 40
    assert groups_in_several_splits(data) == ()
    assert data.counts() == open_data(tmp_path).counts()
    again = tmp_path / "again.csv"
    cli_here("data", "split", tmp_path, "-o", again, "--seed", "3", "--shares", "0.8,0.2")
    split_of = {Path(one.key).name: one.split for one in open_data(again)}
    assert split_of == {Path(one.key).name: one.split for one in data}


def test_split_of_several_labels_keeps_them_and_what_is_not_known(
    cli_here: Cli, tmp_path: Path
) -> None:
    rows = []
    for index in range(8):
        image(tmp_path / f"{index}.png")
        rows.append((f"{index}.png", index % 2, 1 - index // 7 * 2))
    path = table(tmp_path / "list.csv", ("path", "a", "b"), *rows)
    out = tmp_path / "splits.csv"
    done = cli_here(
        "data", "split", path, "-o", out, "--uncertain", "ignore", "--shares", "0.5,0.5"
    )
    assert done.returncode == 0, done.stderr
    before = {one.key: (one.labels, one.unknown) for one in open_data(path, uncertain="ignore")}
    after = {one.key: (one.labels, one.unknown) for one in open_data(out, uncertain="ignore")}
    assert after == before
    assert before["7.png"] == ((0,), (1,))


def test_split_of_a_file_of_many_images_is_refused(cli_here: Cli, tmp_path: Path) -> None:
    mnist(tmp_path)
    done = cli_here("data", "split", tmp_path, "-o", "x.csv")
    assert done.returncode == 2
    assert "lie in files of many" in done.stderr


def test_make_writes_a_set_that_show_calls_synthetic(cli_here: Cli, tmp_path: Path) -> None:
    out = tmp_path / "brain"
    said = ("--images", "30", "--image-size", "32", "--seed", "5")
    done = cli_here("data", "make", "brain-mri-synthetic", "-o", out, *said)
    assert done.returncode == 0, done.stderr
    assert "SYNTHETIC: drawn by a program" in done.stdout
    shown = cli_here("data", "show", out).stdout
    assert "SYNTHETIC: drawn by a program" in shown
    assert "30 images; 10 classes, single-label; 30 patients" in shown
