"""Image files of every kind that a data set has and that reads in a surprising way."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

SIZE = 64
RAMP = np.tile(np.linspace(0, 1, SIZE, dtype=np.float64), (SIZE, 1))
"""From black on the left to white on the right, height x width."""


def ramp_8() -> Image.Image:
    return Image.fromarray(np.round(255 * RAMP).astype(np.uint8))


def ramp_colours() -> Image.Image:
    return Image.merge("RGB", [ramp_8()] * 3)


def of_16_bits(white: int, order: str = "<u2") -> Image.Image:
    return Image.fromarray(np.round(white * RAMP).astype(order))


def of_floats(low: float, high: float) -> Image.Image:
    return Image.fromarray((low + (high - low) * RAMP).astype(np.float32))


def of_32_bits(low: int, high: int) -> Image.Image:
    return Image.fromarray(np.round(low + (high - low) * RAMP).astype(np.int32))


def with_hole(mode: str) -> Image.Image:
    """Mid grey, whose left half is transparent; what is hidden there is black."""
    pixels = np.full((SIZE, SIZE, 4), 128, dtype=np.uint8)
    pixels[:, :, 3] = 255
    pixels[:, : SIZE // 2] = 0
    return Image.fromarray(pixels).convert(mode)


def palette_with_hole() -> Image.Image:
    """A palette of black and mid grey, the black transparent, on the left."""
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([0, 0, 0, 128, 128, 128])
    image.paste(0, (0, 0, SIZE // 2, SIZE))
    image.info["transparency"] = 0
    return image


def turned(orientation: int) -> bytes:
    """A black JPEG with a white bar in one corner, with that EXIF orientation.

    No turn and no mirroring leaves it as it is.
    """
    pixels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    pixels[: SIZE // 4, SIZE // 2 :] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def png(
    width: int, height: int, bits: int, colour: int, rows: bytes, chunks: tuple[bytes, ...] = ()
) -> bytes:
    """A PNG written by hand: ``rows`` are its scan lines, each behind a filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def colours_of_16_bits(white: int) -> bytes:
    """A PNG with 16 bits a channel, grey from 0 to ``white``."""
    levels = np.round(white * RAMP).astype(">u2")
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in levels)
    return png(SIZE, SIZE, 16, 2, rows)


def bomb() -> bytes:
    """A PNG whose header promises 40,000 x 40,000 pixels."""
    return png(40_000, 40_000, 8, 0, b"\0" * 64)


def huge_text() -> bytes:
    """A PNG with a compressed comment of 100 million characters."""
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"a" * 100_000_000, 9))
    return png(8, 8, 8, 0, (b"\0" + b"\x80" * 8) * 8, (text,))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def animation() -> bytes:
    frames = [Image.new("L", (SIZE, SIZE), level) for level in (64, 128, 255)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def white_is_zero() -> bytes:
    """A 16-bit TIFF that counts from white to black."""
    tags = {262: 0}
    return encoded(of_16_bits(65535), "TIFF", tiffinfo=tags)


def big_endian_tiff() -> bytes:
    """A 16-bit TIFF in the byte order of old workstations, written by hand."""
    pixels = np.round(65535 * RAMP).astype(">u2").tobytes()
    entries = [
        (256, 4, SIZE),
        (257, 4, SIZE),
        (258, 3, 16 << 16),
        (259, 3, 1 << 16),
        (262, 3, 1 << 16),
        (273, 4, 8),
        (277, 3, 1 << 16),
        (278, 4, SIZE),
        (279, 4, len(pixels)),
    ]
    folder = struct.pack(">H", len(entries))
    for tag, kind, value in entries:
        folder += struct.pack(">HHII", tag, kind, 1, value)
    return b"MM\0\x2a" + struct.pack(">I", 8 + len(pixels)) + pixels + folder + bytes(4)


def with_text(content: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", content)
    return encoded(ramp_8(), "PNG", pnginfo=info)


def written(folder: Path, name: str, content: bytes | Image.Image | Callable[[], bytes]) -> Path:
    """The picture as a file of that name."""
    path = folder / name
    if isinstance(content, Image.Image):
        content.save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_bytes(content())
    return path


def float_array(values: object) -> npt.NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)
