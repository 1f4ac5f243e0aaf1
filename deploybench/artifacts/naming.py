"""Names of a workspace's artifacts: short ones to type, and which artifacts they mean.

``resnet18/onnx`` is MODEL/BACKEND, with further parts only where they tell something: the precision
when it is not fp32, a fixed batch size, the kind of GPU; the image size and the first digits of the
content key where two artifacts would have one name. Older artifacts, which a newer one supersedes,
are always told by their key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from deploybench.artifacts.artifact import MANIFEST, Artifact, Manifest, open_artifact
from deploybench.artifacts.differences import differences
from deploybench.artifacts.workspace import Workspace, artifact_name
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.files import slug

KEY_DIGITS = 8
"""As many as the folder's name has."""
WILDCARDS = "*?["


def newest_of_each(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts that no newer one supersedes, in their order.

    A newer one supersedes when it answers the same request (with another version of a library, or
    after the checkpoint was trained further), or has the same weights in the same form (from a
    checkpoint under another name, with other labels, or verified on other images).
    """
    newest = _newest(artifacts)
    return [artifact for index, artifact in enumerate(artifacts) if index in newest]


def short_names(artifacts: Sequence[Artifact]) -> list[str]:
    """A name for each, unique among them, as short as that allows."""
    newest = _newest(artifacts)
    plain = [_plain_name(artifact.manifest) for artifact in artifacts]
    sized = [_sized_name(artifact) for artifact in artifacts]
    # Only the newest compete for the names without a key.
    plain_uses = Counter(plain[index] for index in newest)
    sized_uses = Counter(sized[index] for index in newest)
    names = []
    for index, artifact in enumerate(artifacts):
        if index in newest and plain_uses[plain[index]] == 1:
            names.append(plain[index])
        elif index in newest and sized_uses[sized[index]] == 1:
            names.append(sized[index])
        else:
            names.append(f"{plain[index]}-{artifact.manifest.key[:KEY_DIGITS]}")
    return names


def differences_of(artifacts: Sequence[Artifact]) -> list[str]:
    """For each, what its key stands for where two artifacts would have one name; else nothing."""
    manifests = [artifact.manifest for artifact in artifacts]
    return differences(manifests, [_sized_name(artifact) for artifact in artifacts])


def artifacts_named(
    name: str | Path, workspace: Workspace, *, superseded: bool = False
) -> list[Artifact]:
    """The artifacts that a name of the command line means, one at least.

    ``name`` is the path of an artifact's folder, a short name, or a pattern of short names
    (``resnet18/*``). A pattern leaves out what a newer artifact supersedes, unless ``superseded``.

    Raises DeployBenchError where nothing answers to it.
    """
    text = str(name)
    path = Path(name)
    if (path / MANIFEST).is_file():
        return [open_artifact(path)]
    present = workspace.artifacts()
    pattern = any(sign in text for sign in WILDCARDS)
    newest = _newest(present)
    matching = []
    for index, artifact in enumerate(present):
        if pattern and not superseded and index not in newest:
            continue
        if any(fnmatchcase(alias, text) for alias in _aliases(artifact, index in newest)):
            matching.append(artifact)
    if matching:
        return matching
    if path.exists():
        return [open_artifact(path)]
    expected: str | None = "an artifact; the workspace holds none"
    if present:
        expected = unknown_name("artifact", text, short_names(present)).expected
    raise DeployBenchError(
        f"the workspace {workspace.root} has no artifact '{text}', and there is no such folder",
        expected=expected,
        action="deploybench list shows the names; deploybench export --model NAME makes one",
    )


def only_artifact_named(name: str | Path, workspace: Workspace) -> Artifact:
    """The one artifact that a name means. Raises DeployBenchError where it means several."""
    matching = artifacts_named(name, workspace)
    if len(matching) == 1:
        return matching[0]
    present = workspace.artifacts()
    paths = [artifact.path for artifact in present]
    name_of = dict(zip(paths, short_names(present), strict=True))
    difference_of = dict(zip(paths, differences_of(present), strict=True))
    names = sorted(name_of[artifact.path] for artifact in matching)
    described = []
    for artifact in sorted(matching, key=lambda artifact: name_of[artifact.path]):
        difference = difference_of[artifact.path]
        if difference:
            described.append(f"{name_of[artifact.path]} ({difference})")
        else:
            described.append(name_of[artifact.path])
    raise DeployBenchError(
        f"'{name}' means {len(matching)} artifacts: {', '.join(described)}",
        expected="a name that means one",
        action=f"write one of these names, such as {names[0]}",
    )


def _newest(artifacts: Sequence[Artifact]) -> set[int]:
    """The indices of those that no newer one supersedes."""

    def created(index: int) -> str:
        return artifacts[index].manifest.created

    newest_first = sorted(range(len(artifacts)), key=created, reverse=True)
    seen: set[tuple[str, ...]] = set()
    newest = set()
    for index in newest_first:
        slots = _slots(artifacts[index].manifest)
        if seen.isdisjoint(slots):
            newest.add(index)
            seen.update(slots)
    return newest


def _slots(manifest: Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the artifact is for: once by its request, once by its weights instead of the files."""
    form = dict(manifest.request)
    form.pop("threads", None)  # how many an export took changes nothing of what it wrote
    model: dict[str, object] = {}
    requested_model = form.pop("model", None)
    if isinstance(requested_model, dict):
        model.update(requested_model)
    without_files = dict(model)
    without_files.pop("checkpoint", None)
    without_files.pop("labels", None)
    without_files.pop("reference_images", None)

    form_fields = _as_text(form)
    by_request = ("request", *form_fields, *_as_text(model))
    by_weights = ("weights", manifest.weights.identity, *form_fields, *_as_text(without_files))
    return by_request, by_weights


def _as_text(fields: Mapping[str, object]) -> tuple[str, ...]:
    """The fields that say something, in a fixed order.

    One that says nothing may be missing: older versions did not have it.
    """
    return tuple(f"{key}={value}" for key, value in sorted(fields.items()) if value is not None)


def _plain_name(manifest: Manifest) -> str:
    parts = [manifest.backend]
    if manifest.precision != "fp32":
        parts.append(manifest.precision)
    if manifest.batch is not None:
        parts.append(f"b{manifest.batch}")
    target = manifest.request.get("target")
    if target is not None:
        parts.append(str(target))
    return f"{manifest.model.name}/{'-'.join(parts)}"


def _sized_name(artifact: Artifact) -> str:
    shape = artifact.manifest.preprocessing
    return f"{_plain_name(artifact.manifest)}-{shape.height}x{shape.width}"


def _aliases(artifact: Artifact, newest: bool) -> set[str]:
    """Every name that means the artifact; with the key in it where it is not the newest."""
    manifest = artifact.manifest
    plain = _plain_name(manifest)
    sized = _sized_name(artifact)
    key = manifest.key[:KEY_DIGITS]
    names = {f"{plain}-{key}", f"{sized}-{key}"}
    if newest:
        names |= {plain, sized}
    # A model such as timm:resnet18 may also be written as its folder is called.
    model = manifest.model.name
    in_folders = {slug(model) + name.removeprefix(model) for name in names}
    return names | in_folders | {str(artifact_name(manifest))}
