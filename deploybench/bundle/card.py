"""``MODEL_CARD.md``: what the model is, how it sees images, how good and how fast it was found to
be, and what nobody measured."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.bundle.card_measured import accuracy_lines, host_lines, repeat_lines, time_lines
from deploybench.bundle.checks import of_cell
from deploybench.data.assumptions import assumptions_in
from deploybench.data.postprocess import task_in
from deploybench.inert import inert, plain_markdown
from deploybench.plurals import counted
from deploybench.results.cell import Cell
from deploybench.results.record import Record

USE = """\
```
pip install --requirement requirements.txt
python serve.py photo.jpg
python serve.py --check
python serve.py --http 127.0.0.1:8000
curl --data-binary @photo.jpg http://127.0.0.1:8000
```

`--check` holds the hash of every file of the model, and the answers on stored inputs and on
`expected/sample.png`, against those of the runner. In a container: `docker build --tag served .`,
then `docker run --rm --publish 8000:8000 served`."""


def model_card(
    artifact: Artifact,
    cell: Cell,
    pinned: Sequence[str],
    records: Sequence[Record],
    quality: Sequence[Record],
) -> str:
    """The text of the card. Names of others stand in it as they are, and mean nothing to
    Markdown."""
    manifest = artifact.manifest
    measured = of_cell(cell, records)
    parts = [
        f"# {safe(manifest.model.name)} on {safe(cell.runner)}",
        "\n".join(model_lines(manifest)),
        "## Use",
        USE,
        f"Runs on {', '.join(pinned)}; {cell_words(cell)}.",
        "## How it sees an image",
        preprocessing_words(manifest.preprocessing),
        "## Accuracy",
        "\n".join(accuracy_lines(cell, quality)),
        "## Speed and memory",
        "\n".join(time_lines(measured)),
        "## Parity",
        parity_words(manifest, measured),
        "## Limits",
        "\n".join(limit_lines(manifest, measured, quality)),
        "## Measured on, and how to repeat it",
        "\n".join(host_lines([*measured, *quality])),
        "\n".join(repeat_lines(manifest, [*measured, *quality])),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def safe(text: str) -> str:
    """Words of others, in one line that is only seen."""
    return plain_markdown(inert(text))


def model_lines(manifest: Manifest) -> list[str]:
    model, weights = manifest.model, manifest.weights
    lines = [
        f"- model: {safe(model.name)}, {counted(model.num_classes, 'class', 'classes')}"
        if model.num_classes
        else f"- model: {safe(model.name)}",
        f"- weights: {safe(weights.label)}, sha256 {weights.sha256}",
        f"- artifact: {safe(manifest.backend)} in {safe(manifest.precision)}, key {manifest.key}, "
        f"{manifest.size_bytes / 2**20:.1f} MiB",
        f"- output: {safe(task_in(manifest).words)}",
    ]
    if model.parameters is not None:
        lines.append(f"- parameters: {model.parameters / 1e6:.3g} million")
    if model.macs is not None:
        least = "at least " if model.macs_uncounted else ""
        lines.append(f"- multiply-adds of an image: {least}{model.macs / 1e9:.3g} billion")
    lines += [f"- assumed: {safe(sentence)}" for sentence in assumptions_in(manifest)]
    return lines


def cell_words(cell: Cell) -> str:
    words = [safe(cell.precision), f"batch {cell.batch}", counted(cell.threads, "thread")]
    words += [safe(title) for title in cell.option_titles]
    return ", ".join(words)


def preprocessing_words(spec: Preprocessing) -> str:
    """Every step, in the order in which they are done."""
    colours = {"rgb": "red, green and blue", "bgr": "blue, green and red", "grey": "grey"}
    steps = []
    if spec.orientation == "apply":
        steps.append("turned as its EXIF orientation says")
    else:
        steps.append("taken the way up that it is stored")
    if spec.background == "drop":
        steps.append("transparency dropped")
    else:
        steps.append(f"transparent parts laid on {spec.background}")
    if spec.window is not None:
        low, high = spec.window
        steps.append(f"values from {low:g} (black) to {high:g} (white)")
    if spec.crop_border_pixels:
        steps.append(f"{counted(spec.crop_border_pixels, 'pixel')} trimmed from every edge")
    target = f"{spec.height} x {spec.width} pixels (height x width)"
    share = f"{spec.crop_fraction:.4g}"
    if spec.crop_mode == "center":
        steps.append(
            f"resized ({spec.interpolation}) so that {target} are {share} of the shorter side, "
            "and the centre cropped"
        )
    elif spec.crop_mode == "squash":
        steps.append(f"resized ({spec.interpolation}) to {target} / {share}, whatever its ratio")
    else:
        steps.append(
            f"resized ({spec.interpolation}) to fit {target} / {share}, padded with the mean"
        )
    colour = colours[spec.color]
    if spec.channels == 1:
        colour = "grey"
    mean = ", ".join(f"{value:.4g}" for value in spec.mean)
    std = ", ".join(f"{value:.4g}" for value in spec.std)
    steps.append(f"pixels from 0 to 1, {colour}, less ({mean}), divided by ({std})")
    lines = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    lines.append("")
    lines.append(
        "Images that do not say what is black and what is white are refused, as are DICOM files."
    )
    return "\n".join(lines)


def parity_words(manifest: Manifest, measured: Sequence[Record]) -> str:
    """What the answers were held against."""
    parity = next((record.parity for record in measured if record.parity is not None), None)
    parity = parity or manifest.parity
    if manifest.adopted is not None:
        return safe(manifest.adopted.sentence)
    if parity is None:
        return "Not verified when it was exported; its runner's answers were when this was written."
    words = [
        f"Against fp32 eager PyTorch on {counted(parity.images, 'image')}: {safe(parity.reason)}"
    ]
    if parity.max_error is not None:
        words.append(f"max error {parity.max_error:.2g} of the outputs' spread")
    if parity.accepted:
        words.append(f"accepted by its accuracy: {safe(parity.accepted)}")
    if parity.weak:
        words.append(safe(parity.weak))
    return "; ".join(words) + "."


def limit_lines(
    manifest: Manifest, measured: Sequence[Record], quality: Sequence[Record]
) -> list[str]:
    """What nobody measured, in words."""
    lines = []
    if not quality:
        lines.append("accuracy: its answers are those of the PyTorch model, right or wrong")
    if not measured:
        lines.append("latency and memory")
    if manifest.weights.kind == "random":
        lines.append("anything of use: the weights are random")
    elif manifest.weights.random_words:
        lines.append(f"what is left of a model when {safe(manifest.weights.random_words)}")
    lines += [
        "other machines: another CPU has another speed, and rounds in another order",
        "images unlike those above, and what happens when the world changes",
        "fairness, calibration and robustness, beyond the figures above",
        "load: the HTTP server answers one image after the other",
    ]
    return [f"- not measured: {line}" for line in lines]
