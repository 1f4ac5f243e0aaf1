"""What tells artifacts apart that have one model, backend, form and size, in few words.

Their names differ by the digits of their keys alone: here is what those stand for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from deploybench.artifacts.artifact import Manifest

IN_THE_NAME = ("model", "backend", "precision", "batch", "target")
WEIGHTS = ("name", "image_size", "checkpoint", "pretrained", "allow_partial", "checkpoint_key")
"""Of a model's request: what the name says, and what became the weights."""
NO_DIFFERENCE = ("threads", "labels")
WORDS = {
    "num_classes": "{} classes",
    "in_channels": "{} channels",
    "patch_size": "patches of {}",
}
"""How a field is said; any other is its name and its value."""


def differences(manifests: Sequence[Manifest], names: Sequence[str]) -> list[str]:
    """For each artifact, what it has that others of the same name have not.

    ``names`` are what they are called before their keys are added; where a name stands once, there
    is nothing to tell.
    """
    words = []
    for manifest, name in zip(manifests, names, strict=True):
        alike = [
            other
            for other, its_name in zip(manifests, names, strict=True)
            if its_name == name and other.key != manifest.key
        ]
        words.append(", ".join(_told(manifest, alike)))
    return words


def _told(manifest: Manifest, others: Sequence[Manifest]) -> list[str]:
    told = []
    weights = [other.weights.identity for other in others]
    if any(identity != manifest.weights.identity for identity in weights):
        told.append(_weights(manifest, others))
    given = _given(manifest)
    of_others = [_given(other) for other in others]
    fields = dict.fromkeys([*given, *(field for its_fields in of_others for field in its_fields)])
    for field in fields:
        value = given.get(field)
        if all(its_fields.get(field) == value for its_fields in of_others):
            continue
        plain = field.replace("_", " ")
        if value is None:
            told.append(f"default {plain}")
        else:
            told.append(WORDS.get(field, plain + " {}").format(value))
    return told


def _weights(manifest: Manifest, others: Sequence[Manifest]) -> str:
    """The weights' label, with as many folders before a file's name as tell it from the others'."""
    weights = manifest.weights
    label = weights.label
    if weights.kind != "checkpoint":
        return label
    sources = {other.weights.source for other in others} - {weights.source}
    tail = _tail(weights.source, sources)
    return label.removeprefix("checkpoint ").replace(PurePath(weights.source).name, tail, 1)


def _tail(path: str, others: Collection[str]) -> str:
    """The end of a path that none of the others has."""
    parts = PurePath(path).parts
    for count in range(1, len(parts)):
        tail = parts[-count:]
        if all(PurePath(other).parts[-count:] != tail for other in others):
            return str(PurePath(*tail))
    return path


def _given(manifest: Manifest) -> dict[str, str]:
    """What was asked for beyond the name and the weights, by field; exporters' options as well."""
    request = dict(manifest.request)
    model = request.get("model")
    given = {name: value for name, value in request.items() if name not in IN_THE_NAME}
    if isinstance(model, Mapping):
        given |= {name: value for name, value in model.items() if name not in WEIGHTS}
    shown = {}
    for name, value in given.items():
        if value not in (None, [], "") and name not in NO_DIFFERENCE:
            shown[name] = _shown(value)
    return shown


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
