"""``serve.py``: a few lines that open the model as it was measured, and call it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact, TensorSpec
from deploybench.bundle.process import process_of
from deploybench.contracts import Serving
from deploybench.files import slug
from deploybench.plurals import counted
from deploybench.results.cell import Cell

SHIPPED = Path(__file__).with_name("shipped")
MODULES = ("answers.py", "check.py", "command_line.py", "http_server.py", "preprocess.py")
MODEL_FOLDER = "model"
PROGRAM = '''\
"""Serves {model} on {runner}: {means}.

python serve.py IMAGE... [--json]       what the model sees in images
python serve.py --check                 are the answers still those of that runner? exit 1: no
python serve.py --http 127.0.0.1:8000   POST an image, get JSON
"""

{standard}

{before}{imports}

from command_line import main

MODEL = str(Path(__file__).resolve().parent{parts})
INPUT = {input}
OUTPUTS = {outputs}


class Model:
    def __init__(self):
        """Open the model with exactly the options of that cell."""
{opening}

    def infer(self, images):
        """The outputs by name. images: float32 of {shape}, as preprocess.py makes them."""
{calling}


if __name__ == "__main__":
    main(Model)
'''


def program(artifact: Artifact, cell: Cell, serving: Serving) -> str:
    """The text of ``serve.py``. Names of others stand in it as literals, and nowhere else."""
    manifest = artifact.manifest
    spec = manifest.inputs[0]
    means = [cell.precision, f"batch {cell.batch}", counted(cell.threads, "thread")]
    means += [slug(mark) for mark in cell.option_marks]
    parts = "".join(f" / {part!r}" for part in (MODEL_FOLDER, *Path(manifest.entry).parts))
    standard = ["from pathlib import Path"]
    process = process_of(cell.chosen_options).lines
    before = process
    for name, value in serving.environment.items():
        before += f"os.environ[{name!r}] = {value!r}  # read when the runtime is imported\n"
    if process:
        standard.insert(0, "import sys")
    if before:
        standard.insert(0, "import os")
        before += "\n"
    preprocessing = manifest.preprocessing
    shape = (cell.batch, preprocessing.channels, preprocessing.height, preprocessing.width)
    feeding = feeding_lines(spec)
    imports = list(serving.imports)
    if any("np." in line for line in feeding):
        imports.insert(0, "import numpy as np")
    return PROGRAM.format(
        model=slug(manifest.model.name),
        runner=slug(cell.runner),
        means=", ".join(means),
        standard="\n".join(standard),
        before=before,
        imports="\n".join(imports),
        parts=parts,
        input=repr(spec.name),
        outputs=repr([output.name for output in manifest.outputs]),
        opening=_indented(serving.opening),
        shape=shape,
        calling=_indented([*feeding, *serving.calling]),
    )


def feeding_lines(spec: TensorSpec) -> list[str]:
    """From normalised images to what the input takes: as ``data/feeding.py`` does it."""
    lines = []
    if spec.layout == "nhwc":
        lines.append("images = images.transpose(0, 2, 3, 1)")
    if spec.dtype.startswith(("int", "uint")):
        lines += [
            f"limits = np.iinfo({spec.dtype!r})",
            "images = np.clip(np.rint(images), limits.min, limits.max)",
        ]
    if spec.layout == "nhwc" or spec.dtype != "float32":
        lines.append(f"images = np.ascontiguousarray(images, dtype={spec.dtype!r})")
    return lines


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(" " * 8 + line for line in lines)
