"""Which files ``predict`` takes from a folder."""

from __future__ import annotations

from pathlib import Path

from deploybench.evaluate.predict import images_in


def test_folder_gives_its_images_and_dicom_files_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "slice.dcm", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "IM0002").write_bytes(b"no image")
    names = [path.name for path in images_in([tmp_path])]
    assert names == ["IM0001", "a.JPG", "b.png", "slice.dcm"]
