"""What lies in an artifact's folder is what its manifest lists, and nothing beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import LABELS, MANIFEST, Artifact, Manifest, open_artifact
from deploybench.errors import DeployBenchError
from tests.artifacts.workspaces import KEPT, ONNX
from tests.conftest import rewrite_manifest


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return open_artifact(shutil.copytree(KEPT / "artifacts" / ONNX, tmp_path / "artifact"))


def _file(name: str) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    return add


def _link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


@pytest.mark.parametrize(
    ("add", "name"),
    [
        pytest.param(
            _file("libplugin.so"),
            "libplugin.so",
            marks=pytest.mark.trust(
                item=16,
                case="a file beside the model that the manifest does not list",
                before="check_files passed, predict answered",
                now="refused by name",
            ),
        ),
        (_file("more/deep/weights.bin"), "more"),
        (lambda folder: (folder / "empty").mkdir(), "empty"),
        (_link("link", "/etc"), "link"),
        (_link(".DS_Store", "/etc/passwd"), ".DS_Store"),
        (_link("dangling", "nowhere"), "dangling"),
        (lambda folder: os.mkfifo(folder / "fifo"), "fifo"),
        (_file("Model.onnx"), "Model.onnx"),
        (_file("_DS_Store"), "_DS_Store"),
    ],
)
def test_anything_that_is_not_listed_is_refused_by_name(
    artifact: Artifact, add: Callable[[Path], None], name: str
) -> None:
    artifact.check_files()
    add(artifact.path)
    with pytest.raises(DeployBenchError, match="its manifest does not list it") as refusal:
        artifact.check_files()
    assert f"/{name} is in the artifact's folder" in refusal.value.found


def test_what_file_managers_leave_behind_is_no_reason_to_refuse(artifact: Artifact) -> None:
    for name in (".DS_Store", "._model.onnx", "Thumbs.db", "desktop.ini", ".nfs000123"):
        (artifact.path / name).write_text("x")
    artifact.check_files()


@pytest.mark.trust(
    item=16,
    case="labels.json added to an artifact that was exported without",
    before="predict answered cat, as the added file says",
    now="refused; the names are not read",
)
def test_labels_that_were_not_exported_are_not_read(artifact: Artifact) -> None:
    listed = [file for file in artifact.manifest.files if file.path != LABELS]
    rewrite_manifest(artifact.path, files=tuple(listed))
    without = open_artifact(artifact.path)
    assert without.labels() is None
    with pytest.raises(DeployBenchError, match=r"labels\.json is in the artifact's folder"):
        without.check_files()


def test_labels_that_were_edited_are_refused(artifact: Artifact) -> None:
    (artifact.path / LABELS).write_text(json.dumps(["cat"] * 10))
    with pytest.raises(DeployBenchError, match=r"labels\.json was changed"):
        artifact.check_files()


@pytest.mark.trust(
    item=16,
    case="labels.json that is no list of as many names as classes",
    before="[] and {} passed over, [1, …] printed as a name; ['one'] refused with an IndexError's "
    "words; no UTF-8 or no JSON: a traceback",
    now="refused: a list of 10 names is expected",
)
@pytest.mark.parametrize("content", ["[]", '["one"]', "{}", "[1,2,3,4,5,6,7,8,9,10]", "\xff", "["])
def test_labels_that_name_no_classes_are_refused(artifact: Artifact, content: str) -> None:
    (artifact.path / LABELS).write_bytes(content.encode("latin-1"))
    with pytest.raises(DeployBenchError, match=r"labels\.json"):
        artifact.labels()


@pytest.mark.trust(
    item=16,
    case="a model file that is a link out of the artifact",
    before="check_files passed, predict answered",
    now="refused: a file inside the artifact is expected",
)
def test_listed_file_may_be_a_link_but_not_out_of_the_folder(
    artifact: Artifact, tmp_path: Path
) -> None:
    shutil.move(artifact.entry, tmp_path / "outside.onnx")
    artifact.entry.symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(DeployBenchError, match="is a link to"):
        artifact.check_files()

    # As a whole folder may lie elsewhere: that is the user's way to say where it is.
    artifact.entry.unlink()
    shutil.move(tmp_path / "outside.onnx", artifact.entry)
    (tmp_path / "by another name").symlink_to(artifact.path)
    open_artifact(tmp_path / "by another name").check_files()


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx",
        "/etc/passwd",
        "./model.onnx",
        "a//b",
        "",
        "a\\b",
        "c:model",
        "a\nb",
        "a\u202eb",
        "MODEL.onnx",
        "manifest.json",
        "signature.json",
        "x" * 256,
    ],
)
def test_manifest_lists_names_that_are_one_file_everywhere(artifact: Artifact, name: str) -> None:
    manifest = Manifest.model_validate_json((artifact.path / MANIFEST).read_bytes())
    another = manifest.files[0].replaced(path=name)
    content = manifest.replaced(files=(*manifest.files, another)).sealed()
    (artifact.path / MANIFEST).write_text(content.model_dump_json())
    with pytest.raises(DeployBenchError, match="names the file"):
        open_artifact(artifact.path)


@pytest.mark.trust(
    item=16,
    case="a manifest whose entry is a file that it does not list",
    before="check_files passed, predict answered from the unlisted file",
    now="refused",
)
def test_entry_is_one_of_the_listed_files(artifact: Artifact) -> None:
    (artifact.path / "other.onnx").write_bytes(artifact.entry.read_bytes())
    manifest = Manifest.model_validate_json((artifact.path / MANIFEST).read_bytes())
    content = manifest.replaced(entry="other.onnx").sealed()
    (artifact.path / MANIFEST).write_text(content.model_dump_json())
    with pytest.raises(DeployBenchError, match="does not list it"):
        open_artifact(artifact.path)
