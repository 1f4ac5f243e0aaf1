"""OpenVINO in a program of its own: what a measurement compiles with, as lines of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Serving

HELD = frozenset({"openvino_hint"})
"""Options of cells that are among the settings."""


def serving(
    artifact: Artifact,
    shape: tuple[int, ...] | None,
    settings: Mapping[str, object],
    places: Sequence[int],
    distributions: tuple[str, ...],
) -> Serving:
    """The lines for a model that is compiled with ``settings``.

    ``shape`` is what its input is reshaped to, None where it stays; ``places`` are those of the
    outputs among the results of the model.
    """
    lines = ["core = openvino.Core()", "model = core.read_model(MODEL)"]
    if artifact.manifest.adopted is not None:
        lines += ["if not model.inputs[0].names:", "    model.inputs[0].tensor.set_names({INPUT})"]
    if shape is not None:
        lines.append(f"model.reshape({list(shape)!r})")
    lines.append("settings = {")
    for name, value in settings.items():
        lines.append(f"    {name!r}: {value!r},")
    lines += [
        "}",
        'self.request = core.compile_model(model, "CPU", settings).create_infer_request()',
    ]
    return Serving(
        imports=("import openvino",),
        opening=tuple(lines),
        calling=(
            "results = self.request.infer({INPUT: images}, share_inputs=True)",
            f"return {{name: results[place] for name, place in zip(OUTPUTS, {list(places)!r})}}",
        ),
        distributions=distributions,
        options=HELD,
    )
