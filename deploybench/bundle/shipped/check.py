"""Are the files those that were measured, and are the answers those that they gave?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from preprocess import read_image

Array = np.ndarray[Any, Any]
CODE = (".py", "requirements.txt", "Dockerfile", ".md")
LARGEST_PIXEL_DIFFERENCE = 1e-3


def check(model: Any, bundle: dict[str, Any], spec: dict[str, Any], folder: Path) -> bool:
    """Print what was found; whether all of it holds."""
    problems = changed_files(bundle, folder)
    with np.load(folder / "expected" / "expected.npz", allow_pickle=False) as stored:
        expected = {name: stored[name] for name in stored.files}

    problems += compare(model, bundle, expected, "reference")

    # The same from an image file on: preprocessing and all.
    content = (folder / "expected" / "sample.png").read_bytes()
    pixels, _ = read_image(content, spec, "expected/sample.png")
    difference = float(np.abs(pixels - expected["sample:inputs"][0]).max())
    if not difference <= LARGEST_PIXEL_DIFFERENCE:
        problems.append(f"expected/sample.png is preprocessed otherwise, by up to {difference:.2g}")
    expected["sample:inputs"] = pixels[None]
    problems += compare(model, bundle, expected, "sample")

    for problem in problems:
        print(f"wrong: {problem}")
    if not problems:
        print("the files and the answers are those that were measured")
    return not problems


def changed_files(bundle: dict[str, Any], folder: Path) -> list[str]:
    """What is missing or changed. Code is yours to change: that is said and does not count."""
    problems = []
    for file in bundle["files"]:
        path = folder / file["path"]
        if not path.is_file():
            problems.append(f"{file['path']} is missing")
            continue
        if sha256_of(path) == file["sha256"]:
            continue
        if file["path"].endswith(CODE):
            print(f"note: {file['path']} was changed after the bundle was written")
        else:
            problems.append(f"{file['path']} was changed after the bundle was written")
    return problems


def compare(model: Any, bundle: dict[str, Any], expected: dict[str, Array], kind: str) -> list[str]:
    """How far the outputs on the stored inputs are from the stored outputs."""
    problems = []
    inputs = expected[f"{kind}:inputs"]
    found = outputs_on(model, bundle["batch"], inputs)
    for output in bundle["outputs"]:
        name, allowed = output["name"], output["tolerance"]
        wanted = expected[f"{kind}:output:{name}"]
        if name not in found or found[name].shape != wanted.shape:
            problems.append(f"{kind} inputs: output {name!r} is missing or has another shape")
            continue
        if output["whole_numbers"]:
            difference = float(np.mean(found[name] != wanted))
        else:
            difference = float(np.abs(found[name].astype(np.float64) - wanted).max())
        words = f"output {name!r}: largest difference {difference:.2g}, allowed {allowed:.2g}"
        print(f"{kind} inputs: {words}")
        if not difference <= allowed:  # NaN included
            problems.append(f"{kind} inputs: {words}")
    return problems


def outputs_on(model: Any, batch: int, images: Array) -> dict[str, Array]:
    """The outputs on all images, in batches of the size that was measured; the last is filled."""
    parts: dict[str, list[Array]] = {}
    for start in range(0, len(images), batch):
        order = np.arange(start, start + batch) % len(images)
        outputs = model.infer(np.ascontiguousarray(images[order]))
        for name, output in outputs.items():
            parts.setdefault(name, []).append(np.array(output))
    return {name: np.concatenate(outputs)[: len(images)] for name, outputs in parts.items()}


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
