"""Which file is DICOM: by its first bytes, whatever its name is."""

from __future__ import annotations

from pathlib import Path

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
PREAMBLE_BYTES, SIGNATURE = 128, b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's preamble and signature; one that cannot be read has not."""
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE_BYTES)
            return stream.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False
