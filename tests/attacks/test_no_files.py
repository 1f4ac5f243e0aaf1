"""A name that leads to something else than a file: refused at once, in words, wherever it is read.

Each of these once waited for ever, or filled the memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import MANIFEST, open_artifact
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.signature import signature_of
from deploybench.artifacts.tidy import size_on_disk, stored_runs
from deploybench.artifacts.workspace import Workspace
from deploybench.data.forms.synthetic_mark import MARK
from deploybench.data.image_files import open_picture
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from deploybench.export.files import check_files
from deploybench.export.labels import read_labels
from deploybench.export.request import ModelRequest
from deploybench.hardware.profile import load_profile
from deploybench.results.store import read_records, readable_records
from deploybench.scenarios.record import read_scenario
from deploybench.training.recipe import recipe
from deploybench.untrusted import read_bytes, read_tail
from tests.attacks.hostile import (
    FIRST_SCHEMA,
    a_device,
    a_folder,
    a_pipe,
    a_socket,
    an_endless_file,
    attack,
)

KIND = "No file at all"
NOT_FILES = {
    "a pipe": a_pipe,
    "a device that never ends": a_device,
    "a socket": a_socket,
    "a folder": a_folder,
    "a file of a terabyte": an_endless_file,
}
Make = Callable[[Path], None]


def of_record(path: Path, make: Make) -> None:
    make(path / "x.json")
    read_records(path / "x.json")


def of_profile(path: Path, make: Make) -> None:
    make(path / "mine.toml")
    load_profile(str(path / "mine.toml"))


def of_pack(path: Path, make: Make) -> None:
    workspace = Workspace(path / "workspace")
    workspace.prepare()
    make(path / "x.dbpack")
    read_pack(path / "x.dbpack", workspace)


def of_manifest(path: Path, make: Make) -> None:
    make(path / MANIFEST)
    open_artifact(path)


def of_table(path: Path, make: Make) -> None:
    make(path / "manifest.csv")
    open_data(path)


def of_labels(path: Path, make: Make) -> None:
    make(path / "labels.txt")
    read_labels(path / "labels.txt", 10)


def of_asked_labels(path: Path, make: Make) -> None:
    make(path / "labels.txt")
    check_files(ModelRequest(name="vit", labels=str(path / "labels.txt")))


def of_mark(path: Path, make: Make) -> None:
    a_class = path / "cat"
    a_class.mkdir()
    (a_class / "a.png").touch()
    make(path / MARK)
    open_data(path)


def of_recipe(path: Path, make: Make) -> None:
    make(path / "recipe.json")
    recipe(str(path / "recipe.json"))


def of_scenario(path: Path, make: Make) -> None:
    make(path / "scenario.json")
    read_scenario(path / "scenario.json")


READ: dict[str, tuple[Callable[[Path, Make], None], str]] = {
    "record": (of_record, "waited for ever, or filled the memory"),
    "profile": (of_profile, "waited for ever, or filled the memory"),
    "pack": (of_pack, "waited for ever, or filled the memory"),
    "manifest": (of_manifest, "a terabyte was read; else refused"),
    "table of images": (of_table, "waited for ever, or filled the memory"),
    "list of labels": (of_labels, "a terabyte was read; else refused"),
    "list of labels asked for": (of_asked_labels, "a terabyte was read; else refused"),
    "mark of a set that was made": (of_mark, "a terabyte was read; else passed over"),
    "recipe": (of_recipe, "waited for ever, by its code"),
    "scenario": (of_scenario, "waited for ever, by its code"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", NOT_FILES.values(), ids=NOT_FILES.keys())
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(
            read,
            id=name,
            marks=attack(
                KIND,
                f"a {name} that is a pipe, a device, a socket, a folder or a terabyte",
                before,
                "refused at once: 'it is a pipe, not a file'",
            ),
        )
        for name, (read, before) in READ.items()
    ],
)
def test_what_is_no_file_is_refused_at_once(
    read: Callable[[Path, Make], None], make: Make, tmp_path: Path
) -> None:
    if read in (of_record, of_table, of_mark) and make is a_folder:
        pytest.skip("a folder of records, one without any table, or one of images")
    if read is of_table and make is an_endless_file:
        pytest.skip("its lines are read one by one: the first is too long")
    with pytest.raises(DeployBenchError) as refusal:
        read(tmp_path, make)
    assert tmp_path.name in refusal.value.found


def test_only_plain_files_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than"):
        read_bytes(path, 4)
    (tmp_path / "link").symlink_to(path)
    assert read_bytes(tmp_path / "link", 5) == b"12345"


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 5000 + "é".encode() + b"end")
    assert read_tail(path, 4) == "\ufffdend"
    assert read_tail(path, 5) == "éend"
    an_endless_file(tmp_path / "long")
    assert len(read_tail(tmp_path / "long", 4000)) == 4000


@pytest.mark.timeout(20)
@attack(
    KIND,
    "a pipe, a device or a broken link among a run's records",
    "show and list waited for ever",
    "a row that says so; the other records are shown",
)
def test_other_records_of_the_folder_are_read(tmp_path: Path) -> None:
    runs = tmp_path / "records"
    shutil.copytree(FIRST_SCHEMA / "records", runs)
    (run,) = runs.iterdir()
    a_pipe(run / "pipe.json")
    a_device(run / "zero.json")
    (run / "gone.json").symlink_to("nowhere")
    records, problems = readable_records(run)
    assert len(records) == 4
    assert len(problems) == 3
    assert "it is a pipe, not a file" in " ".join(str(problem) for problem in problems)
    (listed,) = stored_runs(Workspace(tmp_path))
    assert dict(listed.verdicts)["unreadable"] == 3
    assert size_on_disk(run) > 0


@pytest.mark.timeout(20)
@attack(
    KIND,
    "a pipe for an image, a signature, a model's file",
    "the signature's waited for ever, by its code; else refused",
    "refused at once: 'it is a pipe, not a file'",
)
def test_pipes_in_an_artifact_and_for_an_image(tmp_path: Path) -> None:
    (original,) = (FIRST_SCHEMA / "artifacts").glob("*/onnx-*")
    folder = tmp_path / "onnx"
    shutil.copytree(original, folder)
    a_pipe(folder / "signature.json")
    artifact = open_artifact(folder)
    with pytest.raises(DeployBenchError, match="it is a pipe"):
        signature_of(artifact)
    (folder / "signature.json").unlink()
    (folder / "model.onnx").unlink()
    a_pipe(folder / "model.onnx")
    with pytest.raises(DeployBenchError, match=r"model\.onnx"):
        artifact.check_files()
    a_pipe(tmp_path / "photo.png")
    with pytest.raises(DeployBenchError, match="a pipe or a socket"):
        open_picture(tmp_path / "photo.png", artifact.manifest.preprocessing)
