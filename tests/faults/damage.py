"""Damaged files: bytes changed, or the end missing, at the beginning, the middle and the end.

What a command makes of a damaged file is a refusal in words, or what it makes of the whole one.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from deploybench.artifacts.artifact import MANIFEST, SIGNATURE, sha256_of_file
from tests.faults.faults import declare
from tests.faults.place import Done, Place, promise

KIND = "Damage"
PLACES = ("the first byte", "the first 64", "a quarter", "the middle", "three quarters", "the last")


def offset_of(where: str, size: int, generator: random.Random) -> int:
    """An offset of that class in a file of that size."""
    if where == "the first byte":
        return 0
    if where == "the first 64":
        return generator.randrange(min(64, size))
    if where == "the last":
        return size - 1
    share = {"a quarter": 0.25, "the middle": 0.5, "three quarters": 0.75}[where]
    return min(max(round(size * share) + generator.randrange(-8, 9), 0), size - 1)


def damages(content: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    """The file, damaged at each class of offsets: what was done, and what is left of it."""
    generator = random.Random(number)
    yield "empty", b""
    for where in PLACES:
        offset = offset_of(where, len(content), generator)
        yield f"cut at {offset} ({where})", content[:offset]
        flipped = content[offset] ^ (1 << generator.randrange(8))
        changed = content[:offset] + bytes([flipped]) + content[offset + 1 :]
        yield f"a bit at {offset} ({where})", changed
        zeros = bytes(min(512, len(content) - offset))
        yield f"zeros from {offset} ({where})", content[:offset] + zeros + content[offset + 512 :]


def same_json(content: bytes, damaged: bytes) -> bool:
    """Whether two JSON files say the same: a changed blank may."""
    import json

    try:
        return bool(json.loads(content) == json.loads(damaged))
    except ValueError:
        return content.rstrip() == damaged.rstrip()


def tried(
    place: Place,
    number: int,
    file: Path,
    ask: Callable[[], Done],
    *,
    is_harmless: Callable[[bytes, bytes], bool] = same_json,
) -> str:
    """Each damage to the file is refused, or changes nothing that is said and ``is_harmless``, by
    the content before and after it."""
    whole = ask()
    content = file.read_bytes()
    noticed = ""
    harmless = 0
    for what, damaged in damages(content, number):
        file.write_bytes(damaged)
        done = ask()
        words = f"{done.output} {done.errors}"
        promise("Traceback" not in words, f"{what}: a traceback")
        if done.output == whole.output and done.code == whole.code:
            harmless += 1
            promise(is_harmless(content, damaged), f"{what} of {file.name}: not noticed")
            continue
        promise(done.code in (1, 2), f"{what}: exit code {done.code}: {words[-300:]}")
        noticed = noticed or done.refusal or done.output
    file.write_bytes(content)
    promise(ask().output == whole.output, "the whole file is not taken any more")
    place.check({})
    promise(noticed, "no damage was noticed")
    return noticed[:300]


def artifact_file(place: Place, number: int, *, name: str) -> str:
    (manifest,) = place.workspace.artifacts_folder.glob(f"*/onnx-*/{MANIFEST}")
    file = manifest.with_name(name)
    image = place.folder / "image.png"
    from PIL import Image

    Image.linear_gradient("L").convert("RGB").save(image)
    asked = ("predict", str(manifest.parent), str(image), "--threads", "1", "--json")
    return tried(place, number, file, lambda: place.run(*asked))


for name, words in {
    MANIFEST: "the manifest of an artifact",
    "model.onnx": "the model in an artifact",
    "reference.npz": "the reference of an artifact",
}.items():
    declare(KIND, words, partial(artifact_file, name=name))


def record(place: Place, number: int) -> str:
    done = place.run(*place.measured("--rounds", "1"))
    promise(done.code == 0, done.refusal)
    records = sorted(place.workspace.records_folder.rglob("*.json"))
    asked = ("show", "-w", str(place.workspace.root), "--json")
    return tried(place, number, records[number % len(records)], lambda: place.run(*asked))


declare(KIND, "a record", record)


def pack(place: Place, number: int) -> str:
    packed = place.folder / "x.dbpack"
    (manifest,) = place.workspace.artifacts_folder.glob(f"*/onnx-*/{MANIFEST}")
    done = place.run("pack", str(manifest.parent), "-o", str(packed))
    promise(done.code == 0, done.refusal)
    elsewhere = place.folder / "elsewhere"

    def ask() -> Done:
        shutil.rmtree(elsewhere, ignore_errors=True)
        done = place.run(
            *("run", str(packed), "-w", str(elsewhere), "-r", "onnxruntime", "--skip", "*"),
            *("--json", "--rounds", "1"),
        )
        # What is told aside of the machine differs from run to run.
        words = done.refusal if done.code else ""
        return Done(done.code, f"{unpacked(elsewhere)} {words}", done.errors)

    # The names and hashes of an artifact's files are checked. What else an archive holds, such as
    # times and the length of a comment, may be anything, as long as the same files come out.
    return tried(place, number, packed, ask, is_harmless=lambda before, after: True)


def unpacked(workspace: Path) -> dict[str, str]:
    """The sha256 of each file of the artifacts there; but for the signature, which is new."""
    found = {}
    for path in sorted(workspace.glob("artifacts/*/*/**/*")):
        if path.is_file() and path.name != SIGNATURE:
            found[str(path.relative_to(workspace))] = sha256_of_file(path)
    return found


declare(KIND, "a pack", pack)
