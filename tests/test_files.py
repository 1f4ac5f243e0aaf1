"""Files written whole by several writers at once, and the cache folder of users without a home."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from deploybench import files
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, write_whole, writing_whole


def test_two_writers_of_one_file_do_not_share_the_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with writing_whole(path) as first, writing_whole(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the writer that finished last"
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    contents = [str(number) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=write_whole, args=(path, text)) for text in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_is_hidden_and_keeps_the_ending(tmp_path: Path) -> None:
    """Readers pass over hidden files; numpy and zip look at the ending."""
    with writing_whole(tmp_path / "some.npz") as partial:
        assert partial.name.startswith(files.STAGING_PREFIX)
        assert partial.suffix == ".npz"
        partial.touch()


def test_folder_is_flushed_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[bool, bool]] = []
    path = tmp_path / "record.json"
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = os.path.sameopenfile(descriptor, folder)
        flushed.append((is_folder, path.exists()))
        real(descriptor)

    folder = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "content")
    os.close(folder)
    assert flushed == [(False, False), (True, True)]


def test_file_system_that_cannot_flush_a_folder_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"

    def fsync(descriptor: int) -> None:
        if path.exists():
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "content")
    assert path.read_text() == "content"


def test_full_disk_is_a_refusal_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeployBenchError, match="No space left") as caught:
        write_whole(tmp_path / "record.json", "content")
    assert "free some space" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="users are numbers on POSIX only")
@pytest.mark.parametrize("home", [None, ""])
def test_user_without_a_home_has_a_cache_of_their_own(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home) if home is not None else monkeypatch.delenv("HOME")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if home is None:

        def nobody() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() == tmp_path / f"deploybench-cache-{os.getuid()}"


def test_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "deploybench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "deploybench"
