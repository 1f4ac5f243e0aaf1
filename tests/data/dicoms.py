"""DICOM files made by hand, each with what it is to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

SIDE = 16
RAMP = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
"""Black on the left, white on the right."""


def dicom(path: Path, pixels: npt.NDArray[Any], **attributes: Any) -> Path:
    """A file with those pixels, grey of 16 bits with a sign where they have one."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    stored = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    stored.SOPClassUID = SecondaryCaptureImageStorage
    stored.Modality = "OT"
    colours = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.ndim == 3 and not colours:
        stored.NumberOfFrames = pixels.shape[0]
    stored.Rows, stored.Columns = pixels.shape[-3:-1] if colours else pixels.shape[-2:]
    stored.SamplesPerPixel = 3 if colours else 1
    stored.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        stored.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    stored.BitsAllocated, stored.BitsStored, stored.HighBit = bits, bits, bits - 1
    stored.PixelRepresentation = int(pixels.dtype.kind == "i")
    stored.PixelData = np.ascontiguousarray(pixels).tobytes()
    for name, value in attributes.items():
        setattr(stored, name, value)
    stored.save_as(path, enforce_file_format=True)
    return path


def table(values: npt.NDArray[np.uint16], first: int, bits: int) -> Dataset:
    """A look-up table as DICOM has it."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values.tobytes()
    return item
