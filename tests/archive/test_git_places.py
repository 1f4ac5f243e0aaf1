"""Results in git: what is staged, and the bytes as they were committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.archive.git_places import LFS_POINTER
from deploybench.archive.places import place_of
from deploybench.errors import DeployBenchError
from deploybench.results.store import NoRecordsError
from tests.gating.stores import git, repository


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = repository(tmp_path / "repository")
    (folder / "speed").mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_file_that_is_staged_is_read_from_any_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.json", "a.json.json"):
        (folder / "speed" / name).write_text(name)
    git(folder, "add", ".")
    (folder / "speed" / "a.json").write_text("not staged")
    for below in (folder, folder / "speed"):
        monkeypatch.chdir(below)
        place = place_of("git::speed/a.json")
        assert place.json_files() == ["a.json"]
        assert place.read("a.json") == b"a.json"
        assert place_of("git::speed").json_files() == ["a.json", "a.json.json"]
    with pytest.raises(NoRecordsError, match=r"there are no results at git::speed/b\.json"):
        place_of("git::speed/b.json").json_files()


def test_link_that_is_staged_is_no_file(folder: Path) -> None:
    (folder / "speed" / "a.json").symlink_to("/etc/hostname")
    git(folder, "add", ".")
    with pytest.raises(DeployBenchError, match="is no plain file that is staged"):
        place_of("git::speed/a.json").json_files()


@pytest.mark.parametrize("attributes", ["* text eol=crlf", "*.json working-tree-encoding=UTF-16"])
def test_bytes_are_those_that_were_committed(folder: Path, attributes: str) -> None:
    content = b"one\ntwo\n"
    (folder / "speed" / "a.json").write_bytes(content)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "baseline")
    # The working tree has no part in a revision, nor in what is staged.
    (folder / ".gitattributes").write_text(f"{attributes}\n")
    for name in ("git:HEAD:speed", "git::speed", "git:HEAD:speed/a.json", "git::speed/a.json"):
        assert place_of(name).read("a.json") == content


def test_file_that_lfs_keeps_is_handed_out_by_its_filter(folder: Path) -> None:
    (folder / ".gitattributes").write_text("speed/*.json filter=kept\n")
    git(folder, "config", "filter.kept.clean", "cat")
    git(folder, "config", "filter.kept.smudge", "cat")
    (folder / "speed" / "a.json").write_bytes(LFS_POINTER + b"v1\n")
    (folder / "speed" / "b.json").write_bytes(b"no pointer")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "baseline")
    with pytest.raises(DeployBenchError, match=r"a.json is a pointer of Git LFS, not the file"):
        place_of("git:HEAD:speed").read("a.json")
    git(folder, "config", "filter.kept.smudge", "echo the file itself; cat > /dev/null")
    assert place_of("git:HEAD:speed").read("a.json") == b"the file itself\n"
    assert place_of("git:HEAD:speed/a.json").read("a.json") == b"the file itself\n"
    assert place_of("git:HEAD:speed").read("b.json") == b"no pointer"
