"""What a file is that does not read as an image: named, so that a user sees what to do."""

from __future__ import annotations

from pathlib import Path

from deploybench.data.dicom_files import DICOM_SUFFIXES

HEAD_BYTES = 512
RAW_SUFFIXES = frozenset(
    {".cr2", ".nef", ".arw", ".dng", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq"}
)
"""Cameras' raw files that are TIFF inside; the picture that a TIFF reader finds is a preview."""
SIGNATURES = (
    (0, b"\x93NUMPY", "a NumPy array: save it as PNG or TIFF"),
    (344, b"n+1\0", "a NIfTI volume, of which slices have to be saved as images first"),
    (344, b"ni1\0", "a NIfTI volume, of which slices have to be saved as images first"),
    (0, b"version https://git-lfs", "a Git LFS pointer: git lfs pull fetches the file itself"),
    (0, b"%PDF", "a PDF document: save its pages as images"),
    (0, b"%!PS", "a PostScript drawing: save it as PNG"),
    (4, b"ftyphei", "an HEIC photograph: save it as JPEG"),
    (4, b"ftyphev", "an HEIC photograph: save it as JPEG"),
    (4, b"ftypmif1", "an HEIF photograph: save it as JPEG"),
    (4, b"ftypcrx", "a camera's raw file: save it as JPEG or TIFF"),
    (4, b"ftyp", "a video: save its frames as images"),
    (0, b"\x1aE\xdf\xa3", "a video: save its frames as images"),
    (0, b"\x89HDF", "an HDF5 file: save its arrays as PNG or TIFF"),
    (0, b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (0, b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (0, b"\x89PNG", "a PNG whose header is damaged"),
    (0, b"\xff\xd8\xff", "a JPEG whose header is damaged"),
    (0, b"GIF8", "a GIF whose header is damaged"),
    (0, b"II*\0", "a TIFF that is damaged, or of a kind that Pillow does not read"),
    (0, b"MM\0*", "a TIFF that is damaged, or of a kind that Pillow does not read"),
    (0, b"II+\0", "a BigTIFF that is damaged, or of a kind that Pillow does not read"),
)
"""(offset, bytes there, what such a file is)."""
TEXTS = (
    ("<svg", "an SVG drawing: save it as PNG"),
    ("<!doctype html", "an HTML page: the download may have failed"),
    ("<html", "an HTML page: the download may have failed"),
    ("<?xml", "an XML document"),
    ("{", "JSON text"),
)


def what_it_is(path: Path) -> str | None:
    """A file in words, by its first bytes and its name; None where neither tells."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    for offset, signature, words in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return f"it is {words}"
    if path.suffix.lower() in DICOM_SUFFIXES:
        return "by its name it is a DICOM file, and it lacks DICOM's preamble (dcmconv adds it)"
    text = head.decode("utf-8", errors="replace").lstrip().lower()
    for start, words in TEXTS:
        if text.startswith(start):
            return f"it is {words}"
    return None
