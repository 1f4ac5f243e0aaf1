"""A foreign file becomes an artifact: told apart, looked into in a child, verified, published.

A file that holds code (TorchScript, a program of torch.export, an engine) is opened only with the
user's word. The artifact is a copy: it stands by itself, and the file may go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from deploybench.artifacts.artifact import (
    Artifact,
    open_artifact,
    sha256_of_file,
    whole_artifact,
)
from deploybench.artifacts.external_data import external_locations
from deploybench.artifacts.signature import is_signed, sign
from deploybench.artifacts.task import read_task
from deploybench.artifacts.workspace import Workspace, open_workspace, publish
from deploybench.children.processes import allow_children, run_forked
from deploybench.contracts import Runner
from deploybench.contracts.registry import runner, runners
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.export.adopt_request import SELF, AdoptedModel, AdoptRequest
from deploybench.export.adoption_job import AdoptionJob
from deploybench.export.foreign_files import format_of
from deploybench.export.job import ExportReply
from deploybench.export.pipeline import DEFAULT_TIME_LIMIT_S, verify_staged
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.files import from_here
from deploybench.hardware.precisions import RUN
from deploybench.models.source import sources

CHILD = "deploybench.export.adoption_job"
ADOPTED_SUFFIX = "-adopted"
"""Of a name that a model of the zoo has already."""


@dataclass(frozen=True)
class AdoptOrder:
    """What ``deploybench adopt`` is asked for. The fields are those of its options.

    ``reference`` is ``self``, a runner, or the path of a ``.npz``; ``value_range`` are the values
    of black and white that the input takes; ``trust`` says that the user answers for the file.
    ``to`` is a format that it is converted into as well.
    """

    file: Path
    name: str | None = None
    reference: str = SELF
    preprocessing: PreprocessingOptions | None = None
    preprocessing_file: Path | None = None
    value_range: tuple[float, float] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    image_size: tuple[int, int] | None = None
    in_channels: int | None = None
    precision: str | None = None
    outputs: Sequence[str] = ()
    task: str | None = None
    class_names: Path | None = None
    trust: bool = False
    force: bool = False
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    to: str | None = None
    workspace: Path | None = None
    typed_with_trust: str | None = None


def adopt(order: AdoptOrder) -> list[ExportResult]:
    """The artifact of a foreign file, verified against the reference that was named.

    With ``order.to`` also its conversion, which is held to the answers of the first.

    Raises DeployBenchError for a file that is none, cannot be fed with images or does not run, and
    for one that holds code where nobody answers for it.
    """
    allow_children()
    entry, backend = format_of(order.file)
    plugin = entry.require()
    converting = None
    if order.to is not None:
        converting = _converting(order.to, backend)
    first = _adopted(order, _request(order, backend), plugin)
    if converting is None or first.artifact is None or not first.ok:
        return [first]
    request = _request(order, backend).replaced(to=order.to)
    return [first, _adopted(order, request, converting, first.artifact)]


def _adopted(
    order: AdoptOrder, request: AdoptRequest, plugin: Runner, original: Artifact | None = None
) -> ExportResult:
    """One artifact of the file: the file itself, or its conversion by the runner."""
    began = perf_counter()
    answering = _answering(order.reference, plugin)
    _check_consent(order, [plugin] if answering is None else [plugin, answering])
    workspace = open_workspace(order.workspace)
    workspace.prepare()
    files = _hashes(order.file, request.backend)
    key = request.key(files)
    if not order.force:
        present = _present(workspace, key, plugin)
        if present is not None:
            said = f"{from_here(order.file)} was adopted before: it is the same artifact"
            seconds = perf_counter() - began
            return _result(present, reused=True, seconds=seconds, remark=said)
    with workspace.staging() as staging:
        job = AdoptionJob(
            request=request,
            staging=str(staging),
            key=key,
            sha256=_over(files),
            runner=plugin.name,
            answering=None if answering is None else answering.name,
            trusted=order.trust,
            original=None if original is None else str(original.path),
        )
        outcome = run_forked(
            CHILD, job.model_dump_json(), preload=plugin.preload, time_limit_s=order.time_limit_s
        )
        if outcome.reply is None:
            raise DeployBenchError(
                f"{from_here(order.file)}: {outcome.error or 'the child said nothing'}",
                action="get the file again, or run it by its own runtime to see what it says",
            )
        ExportReply.model_validate_json(outcome.reply).raise_failure()
        draft = open_artifact(staging).manifest
        verify_staged(
            staging, _as_export(draft.model.name, draft.backend, draft.precision, draft.batch)
        )
        name = request.model.name
        destination = workspace.artifact_folder(
            name, draft.backend, draft.precision, draft.batch, key
        )
        if order.trust:
            sign(staging, "trusted")
        publish(staging, destination, made_here=False)
    remark: str | None = None
    if order.name is None and name != order.file.stem:
        remark = f"called {name}: the zoo has a model {order.file.stem}; --name says another"
    return _result(
        open_artifact(destination), reused=False, seconds=perf_counter() - began, remark=remark
    )


def _request(order: AdoptOrder, backend: str) -> AdoptRequest:
    if order.precision is not None and order.precision not in RUN:
        raise unknown_name("precision", order.precision, RUN)
    if order.task is not None:
        read_task(order.task)
    preprocessing = order.preprocessing
    if preprocessing == PreprocessingOptions():
        preprocessing = None
    for path in (order.preprocessing_file, order.class_names):
        if path is not None and not path.is_file():
            raise DeployBenchError(f"there is no file {from_here(path)}", action="check the path")
    reference = order.reference
    if reference != SELF and reference not in runners():
        reference = str(Path(reference).absolute())
    return AdoptRequest(
        file=str(order.file.absolute()),
        model=AdoptedModel(name=_name(order)),
        backend=backend,
        reference=reference,
        preprocessing=preprocessing,
        preprocessing_file=_absolute(order.preprocessing_file),
        value_range=order.value_range,
        layout=order.layout,
        image_size=order.image_size,
        in_channels=order.in_channels,
        precision=order.precision,
        outputs=tuple(order.outputs),
        task=order.task,
        labels=_absolute(order.class_names),
    )


def _converting(asked: str, backend: str) -> Runner:
    """The runner that converts into the format. Raises DeployBenchError where none does."""
    able = [
        entry
        for entry in runners().values()
        if entry.plugin is not None and backend in entry.plugin.converts
    ]
    for entry in able:
        if entry.plugin is not None and asked in entry.plugin.formats:
            return entry.require()
    formats = sorted({name for entry in able if entry.plugin for name in entry.plugin.formats})
    raise DeployBenchError(
        f"--to {asked}, and the file is {backend}",
        expected=f"one of {', '.join(formats)}"
        if formats
        else f"no --to: {backend} stays as it is",
    )


def _name(order: AdoptOrder) -> str:
    """The name of the model in the workspace: the file's own, unless the zoo has such a model."""
    known = {name for source in sources().values() for name in (*source.names(), *source.groups())}
    if order.name is None:
        stem = order.file.stem
        if stem in known:
            return stem + ADOPTED_SUFFIX
        return stem.replace("/", "-").replace(":", "-")
    name = order.name.strip()
    if not name or name in known or any(sign in name for sign in ":/*?[]"):
        why = "is a model of the zoo" if name in known else "is no plain name"
        raise DeployBenchError(
            f"--name {order.name or repr(order.name)} {why}",
            expected="a name of your own, in letters, digits, dots and dashes",
        )
    return name


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _answering(reference: str, own: Runner) -> Runner | None:
    """The runner whose answers are the reference; None where they come in a file."""
    if reference == SELF:
        return own
    if reference in runners():
        return runner(reference).require()
    path = Path(reference)
    if path.suffix == ".npz":
        if not path.is_file():
            raise DeployBenchError(f"there is no file {from_here(path)}", action="check the path")
        return None
    expected = f"{SELF}, a runner ({', '.join(runners())}), or a .npz of inputs and outputs"
    raise DeployBenchError(f"--reference {reference}", expected=expected)


def _check_consent(order: AdoptOrder, opening: Sequence[Runner]) -> None:
    """Refuse to open a file that holds code before the user has said to trust it."""
    if order.trust or not any(plugin.runs_code for plugin in opening):
        return
    shown = from_here(order.file)
    raise DeployBenchError(
        f"{shown} holds code that would run as you, already when it is looked into",
        expected="your word for where it comes from",
        action="if you trust where it comes from, type: "
        + (order.typed_with_trust or f"deploybench adopt {shown} --trust"),
    )


def _hashes(file: Path, backend: str) -> dict[str, str]:
    """The hashes of the file and of what lies beside it and belongs to it, by name.

    What is missing beside it is told where it is looked into.
    """
    names = [file.name]
    if backend == "onnx":
        try:
            names += sorted(set(external_locations(file)))
        except ValueError as error:
            raise DeployBenchError(
                f"{from_here(file)} does not read as an ONNX graph: {error}",
                expected="a whole .onnx file",
                action="get the file again; a download may have ended early",
            ) from None
    elif backend == "openvino":
        names.append(file.with_suffix(".bin").name)
    return {
        name: sha256_of_file(file.parent / name)
        for name in names
        if ".." not in Path(name).parts and (file.parent / name).is_file()
    }


def _over(files: dict[str, str]) -> str:
    """One hash over all files; that of a single file is its own."""
    if len(files) == 1:
        return next(iter(files.values()))
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _present(workspace: Workspace, key: str, plugin: Runner) -> Artifact | None:
    """The artifact of an earlier adoption that was the same, if it is whole and may be run."""
    for artifact in workspace.artifacts():
        if artifact.manifest.key != key or artifact.manifest.adopted is None:
            continue
        whole = whole_artifact(artifact.path)
        if whole is not None and (not plugin.runs_code or is_signed(whole)):
            return whole
    return None


def _as_export(name: str, backend: str, precision: str, batch: int | None) -> ExportRequest:
    """What the tables and the check of an export take, for a file that nobody exported here."""
    return ExportRequest(
        model=ModelRequest(name=name), backend=backend, precision=precision, batch=batch
    )


def _result(
    artifact: Artifact, *, reused: bool, seconds: float, remark: str | None
) -> ExportResult:
    manifest = artifact.manifest
    request = _as_export(manifest.model.name, manifest.backend, manifest.precision, manifest.batch)
    return ExportResult(request, artifact, reused, seconds, remark=remark, parity=manifest.parity)
