"""Handwritten digits that people know: 1,797 of 8 x 8 pixels, from the wheel of scikit-learn.

The test set of "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998; UCI), which
scikit-learn ships as ``digits.csv.gz``. The file is read; scikit-learn itself is not imported.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from deploybench.data.dataset import DataSet, Example
from deploybench.data.made.making import MadeWords, MakeRequest, Progress
from deploybench.data.sources import ImageFiles
from deploybench.data.splits import split_data
from deploybench.data.written import write_table
from deploybench.errors import DeployBenchError

SIDE, WHITE = 8, 16
"""Pixels a side; their values go from 0 to 16."""
DIGITS = 1797
TABLE = "manifest.csv"
README = """# Handwritten digits

1,797 real handwritten digits of 8 x 8 pixels: the test set of "Optical Recognition of Handwritten
Digits" (E. Alpaydin, C. Kaynak, 1998), UCI Machine Learning Repository, CC BY 4.0, as the Python
package scikit-learn ships it. Values from 0 to 16 were scaled to 0 to 255.

The split is ours (stratified, seed {seed}): the original does not say who wrote which digit, so one
writer may be in two splits.
"""


def make_digits(request: MakeRequest, folder: Path, progress: Progress) -> MadeWords:
    """Write the digits as PNG files into folders of splits and classes. Raises DeployBenchError."""
    from PIL.Image import fromarray

    request.refuse("archive", "images", "image_size")
    seed = request.seed or 0
    rows = _rows()
    images = np.round(rows[:, :-1] * (255 / WHITE)).astype(np.uint8).reshape(-1, SIDE, SIDE)
    labels = rows[:, -1].astype(int).tolist()
    names = tuple(str(digit) for digit in range(10))
    examples = tuple(
        Example(f"{label}/{index:04d}.png", labels=(label,)) for index, label in enumerate(labels)
    )
    data = DataSet(
        name=folder.name,
        form="",
        root=folder,
        class_names=names,
        task="single-label",
        examples=examples,
        images=ImageFiles(folder),
    )
    split = split_data(data, seed=seed).data
    placed = [
        Example(f"{example.split}/{example.key}", labels=example.labels, split=example.split)
        for example in split.examples
    ]
    for index, (example, image) in enumerate(zip(placed, images, strict=True), 1):
        path = folder / example.key
        path.parent.mkdir(parents=True, exist_ok=True)
        fromarray(image).save(path, "PNG")
        progress("writing", index, len(placed))
    write_table(split.with_examples(placed), folder / TABLE)
    return MadeWords(
        synthetic=None,
        source="scikit-learn's digits.csv.gz",
        readme=README.format(seed=seed),
        seed=seed,
    )


def _rows() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """digits x (64 pixels and a label)."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DeployBenchError(
            "the digits come with scikit-learn, which is not installed",
            action='pip install "deploybench[data]"',
        )
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as stream:
            rows = np.loadtxt(stream, delimiter=",")
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error}", action="install scikit-learn again"
        ) from None
    if rows.shape != (DIGITS, SIDE * SIDE + 1):
        raise DeployBenchError(f"{path} has the shape {rows.shape}", expected="1797 x 65")
    return rows
