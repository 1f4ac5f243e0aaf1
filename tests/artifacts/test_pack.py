"""Packs: what goes in comes out unchanged elsewhere, and nothing that was changed on the way
does."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import MANIFEST, Artifact, Manifest, open_artifact
from deploybench.artifacts.pack import read_pack, write_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from tests.conftest import TINY, Cli

Artifacts = Callable[[str], Artifact]


WITHOUT_TORCH = """
import importlib.util, sys
HIDDEN = {"torch", "timm", "torchvision"}
find = importlib.util.find_spec
def find_others(name, package=None):
    return None if name in HIDDEN else find(name, package)

importlib.util.find_spec = find_others

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture
def target(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "target")
    place.prepare()
    return place


@pytest.fixture
def pack(tiny_artifact: Artifacts, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.dbpack"
    write_pack([tiny_artifact("onnx"), tiny_artifact("openvino")], path)
    return path


def rewritten(pack: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """The pack with every entry passed through ``change``; None leaves it out."""
    path = pack.with_name("changed.dbpack")
    with zipfile.ZipFile(pack) as source, zipfile.ZipFile(path, "w") as sink:
        for name in source.namelist():
            changed = change(name, source.read(name))
            if changed is not None:
                sink.writestr(*changed)
    return path


def test_artifacts_come_out_as_they_went_in_and_twice_is_once(
    pack: Path, target: Workspace, tiny_artifact: Artifacts
) -> None:
    found = read_pack(pack, target)
    assert [one.manifest for one in found] == [
        tiny_artifact(name).manifest for name in ("onnx", "openvino")
    ]
    for one in found:
        one.check_files()
    before = {path: path.stat().st_mtime_ns for one in found for path in one.path.iterdir()}
    read_pack(pack, target)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(target.artifacts()) == 2


def _flipped(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content[:-1] + bytes([content[-1] ^ 1]) if name.endswith("model.onnx") else content


def _edited(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content.replace(b'"verified', b'"verifie_').replace(
        b'"backend": "onnx"', b'"backend": "none"'
    )


@pytest.mark.attack(
    kind="Archives",
    attack="a pack with ../ or / in its names (zip slip), with files changed, missing or added",
    before="refused",
    now="refused: 'expected: MODEL/ARTIFACT/FILE'; nothing is left in the workspace",
)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_flipped, "was changed or truncated"),
        (
            lambda name, content: None if name.endswith("model.onnx") else (name, content),
            "'model.onnx' has no bytes",
        ),
        (
            lambda name, content: (name, content + b"x" * name.endswith("model.onnx")),
            "as its manifest says",
        ),
        (_edited, "was edited"),
        (lambda name, content: (f"../{name}", content), "expected: MODEL/ARTIFACT/FILE"),
        (lambda name, content: (f"/{name}", content), "expected: MODEL/ARTIFACT/FILE"),
        (lambda name, content: (name.replace("/", "-"), content), "expected: MODEL/ARTIFACT/FILE"),
        (lambda name, content: (f"{name}.py", content), "has no manifest.json"),
        (lambda name, content: None, "holds no artifact"),
        (
            lambda name, content: (name, b"{}" if name.endswith("manifest.json") else content),
            "manifest.json does not read",
        ),
    ],
)
def test_pack_that_was_changed_is_refused_and_leaves_nothing(
    pack: Path,
    target: Workspace,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    words: str,
) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        read_pack(rewritten(pack, change), target)
    error = refusal.value
    assert "changed.dbpack" in error.found
    assert words in f"{error.found} expected: {error.expected}"
    assert not list(target.artifacts_folder.glob("*/onnx-*"))
    assert not list(target.artifacts_folder.glob(".*"))


def test_file_that_the_manifest_does_not_list_and_a_file_twice_are_refused(
    pack: Path, target: Workspace
) -> None:
    with zipfile.ZipFile(pack) as archive:
        folder = archive.namelist()[0].rpartition("/")[0]
    for name, words in (
        (f"{folder}/extra.so", "'extra.so' has 1 bytes"),
        (f"{folder}/model.onnx", "is there twice"),
    ):
        path = rewritten(pack, lambda name, content: (name, content))
        with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(name, b"x")
        with pytest.raises(DeployBenchError, match=words):
            read_pack(path, target)


def test_compressed_entries_are_refused_before_they_are_read(
    pack: Path, target: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "small.dbpack"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/a/manifest.json", b" " * 10_000_000)
    with pytest.raises(DeployBenchError, match="compressed or encrypted"):
        read_pack(path, target)


@pytest.mark.parametrize(
    "changes", [{"backend": "../../../out/x"}, {"key": "../../up"}, {"precision": "../fp32"}]
)
def test_manifest_cannot_lead_out_of_the_workspace(
    pack: Path, target: Workspace, tmp_path: Path, changes: dict[str, str]
) -> None:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if not name.endswith(MANIFEST):
            return name, content
        manifest = Manifest.model_validate_json(content).model_copy(update=changes)
        return name, manifest.sealed().model_dump_json().encode()

    before = {path for path in tmp_path.rglob("*") if target.artifacts_folder not in path.parents}
    for one in read_pack(rewritten(pack, change), target):
        assert target.artifacts_folder in one.path.parents
        assert one.path.parent.parent == target.artifacts_folder
    after = {path for path in tmp_path.rglob("*") if target.artifacts_folder not in path.parents}
    assert {path.name for path in after - before} == {"changed.dbpack"}


@pytest.mark.parametrize("changes", [{"entry": "/etc/passwd"}, {"entry": "../../x"}])
def test_entry_outside_the_artifact_is_refused(
    pack: Path, target: Workspace, changes: dict[str, str]
) -> None:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if not name.endswith(MANIFEST):
            return name, content
        manifest = Manifest.model_validate_json(content).model_copy(update=changes)
        return name, manifest.sealed().model_dump_json().encode()

    with pytest.raises(DeployBenchError, match="names the file"):
        read_pack(rewritten(pack, change), target)


def test_damaged_artifact_of_the_target_is_replaced_by_the_packed_one(
    pack: Path, target: Workspace
) -> None:
    (first, _) = read_pack(pack, target)
    (first.path / first.manifest.entry).write_bytes(b"damaged")
    for one in read_pack(pack, target):
        one.check_files()


@pytest.mark.trust(
    item=22,
    case="a pack with an artifact of a name that is there, with other content",
    before="the artifact in the workspace was replaced, without a word",
    now="refused: rm it first, or unpack into another workspace",
)
def test_other_content_under_a_name_that_is_there_is_refused(pack: Path, target: Workspace) -> None:
    before = read_pack(pack, target)

    def relabelled(name: str, content: bytes) -> tuple[str, bytes]:
        if not name.endswith(MANIFEST):
            return name, content
        manifest = Manifest.model_validate_json(content).replaced(parity_note="of another day")
        return name, manifest.sealed().model_dump_json().encode()

    with pytest.raises(DeployBenchError, match="another artifact, made") as refusal:
        read_pack(rewritten(pack, relabelled), target)
    assert "deploybench rm " in (refusal.value.action or "")
    assert "--workspace" in (refusal.value.action or "")
    assert {one.path: one.manifest for one in target.artifacts()} == {
        one.path: one.manifest for one in before
    }

    (before[0].path / MANIFEST).write_text("{}")
    with pytest.raises(DeployBenchError, match="something that does not read"):
        read_pack(pack, target)


def test_links_devices_and_names_that_do_not_decode_are_refused(
    pack: Path, target: Workspace
) -> None:
    path = pack.with_name("links.dbpack")
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR):
        with zipfile.ZipFile(pack) as source, zipfile.ZipFile(path, "w") as sink:
            for info in source.infolist():
                if info.filename.endswith("model.onnx"):
                    info.external_attr = (kind | 0o777) << 16
                sink.writestr(info, source.read(info.filename))
        with pytest.raises(DeployBenchError, match="is a link or a device"):
            read_pack(path, target)

    with zipfile.ZipFile(path, "w") as sink:
        sink.writestr("m/a/é", b"x")
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(DeployBenchError, match="cannot be read as a pack"):
        read_pack(path, target)


def test_entries_that_claim_more_than_the_file_has_are_refused(
    pack: Path, target: Workspace
) -> None:
    """Entries that share their bytes: a small file that fills a disk."""
    path = pack.with_name("shared.dbpack")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/a/one", b"x" * 100_000)
        first = archive.infolist()[0]
        for number in range(9):
            shared = zipfile.ZipInfo(f"m/a/again-{number}")
            shared.header_offset = first.header_offset
            shared.file_size = shared.compress_size = first.file_size
            shared.CRC = first.CRC
            archive.filelist.append(shared)
    with pytest.raises(DeployBenchError, match="claim 1000000 bytes"):
        read_pack(path, target)


def test_folder_by_another_name_and_repeats_are_packed_under_their_own_name_once(
    tiny_artifact: Artifacts, target: Workspace, tmp_path: Path
) -> None:
    original = tiny_artifact("onnx")
    copied = tmp_path / "elsewhere"
    shutil.copytree(original.path, copied)
    os.utime(copied / MANIFEST, (0, 0))
    write_pack([open_artifact(copied), original], tmp_path / "x.dbpack")
    (found,) = read_pack(tmp_path / "x.dbpack", target)
    assert found.path.name == original.path.name


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100])
def test_file_that_is_no_pack_is_refused(tmp_path: Path, target: Workspace, content: bytes) -> None:
    path = tmp_path / "x.dbpack"
    path.write_bytes(content)
    with pytest.raises(DeployBenchError, match="cannot be read as a pack"):
        read_pack(path, target)
    with pytest.raises(DeployBenchError, match="cannot be read as a pack"):
        read_pack(tmp_path / "missing.dbpack", target)


def test_changed_artifact_is_not_packed(tiny_artifact: Artifacts, tmp_path: Path) -> None:
    gone = Artifact(tmp_path, tiny_artifact("onnx").manifest)
    with pytest.raises(DeployBenchError, match="is missing from the artifact"):
        write_pack([gone], tmp_path / "x.dbpack")
    assert not list(tmp_path.glob("*.dbpack"))


def test_target_without_torch_and_timm_measures_a_pack(
    cli: Cli, tiny_workspace: Workspace, tmp_path: Path
) -> None:
    packed = cli(
        "pack", "--model", TINY, "--out", tmp_path / "tiny.dbpack", "-w", tiny_workspace.root
    )
    assert packed.returncode == 0, packed.stderr
    hidden = tmp_path / "site"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(WITHOUT_TORCH)
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    hides = subprocess.run(
        [sys.executable, "-c", "import torch"], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert hides.returncode == 1
    quick = ("--runner", "onnxruntime,openvino", "--rounds", "1", "--duration", "50ms", "--json")
    done = cli(
        "run",
        tmp_path / "tiny.dbpack",
        *quick,
        "-w",
        tmp_path / "target",
        environment={"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert {(row["runner"], row["parity_max_error"] < 1e-3) for row in json.loads(done.stdout)} == {
        ("onnxruntime", True),
        ("openvino", True),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pack",), "one of the two"),
        (("pack", "--model", "vit", "--out", "x.zip"), "a name that ends in .dbpack"),
        (("run", "missing.dbpack"), "cannot be read as a pack"),
        (("run", "x.dbpack", "--model", "vit"), "one way to say what to measure"),
    ],
)
def test_what_cannot_be_packed_or_run_is_refused(
    cli_here: Cli, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = cli_here(*arguments, "-w", tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
