"""A whole order of exports by one call: which single exports it makes, and doing them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.acceptance import check_drop, check_reduced
from deploybench.artifacts.calibration import AUTO, NONE
from deploybench.artifacts.task import read_task
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.children.processes import allow_children
from deploybench.contracts import OptionValue
from deploybench.contracts.registry import options_by_backend
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import (
    DEFAULT_TIME_LIMIT_S,
    ExportOptions,
    check_requests,
    default_jobs,
    export_all,
    takes_target,
    usable_backends,
)
from deploybench.export.quantisation import INT8, absolute_source, calibrates
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.hardware.gpus import sm_of, target_of
from deploybench.hardware.host import usable_cores
from deploybench.hardware.precisions import INT8_MIXED, check_precision
from deploybench.hardware.profile import HOST, Profile, load_profile
from deploybench.models.source import expand_groups
from deploybench.plurals import counted


@dataclass(frozen=True)
class ExportsPlanned:
    """These exports come next."""

    requests: tuple[ExportRequest, ...]


@dataclass(frozen=True)
class ExportStarted:
    """An export begins; several run side by side."""

    request: ExportRequest


@dataclass(frozen=True)
class ExportFinished:
    """An export ended, well or not."""

    result: ExportResult


ExportEvent = ExportsPlanned | ExportStarted | ExportFinished


@dataclass(frozen=True)
class ExportOrder:
    """What is to be exported; every model in every size by every backend in every precision.

    Only ``models`` has to be said. Paths may be relative to the current folder.
    """

    models: Sequence[str]
    """Names as ``deploybench models`` lists them, ``timm:NAME`` or ``package.module:factory``; a
    group such as ``fair`` stands for its members."""
    backends: Sequence[str] = ()
    """Exporters by name; empty: all that work here and write that precision."""
    precisions: Sequence[str] = ("fp32",)
    """Of the artifacts: fp32, tf32, bf16, fp16, int8, int8-mixed, int8-weights."""
    batch: int | None = None
    """A fixed batch size in images; None leaves the batch dimension free."""
    image_sizes: Sequence[tuple[int, int]] = ()
    """(height, width) in pixels; empty: the model's own."""
    patch_sizes: Sequence[int] = ()
    """Of transformers, in pixels; empty: the model's own."""
    checkpoint: Path | None = None
    """A file with a state dict (.safetensors, .pt, .pth) or a folder with one, for one model; None:
    random weights."""
    checkpoint_key: str | None = None
    """Which of several states in the checkpoint: ``state_dict_ema``, ``teacher``. None: the moving
    average where there is one."""
    allow_partial: bool = False
    """Load the keys of the checkpoint that fit, and ignore the others."""
    pretrained: bool = False
    """timm's pretrained weights, over the network, instead of a checkpoint."""
    num_classes: int | None = None
    """Outputs of the classifier; None: the model's own."""
    in_channels: int | None = None
    """Channels of the input; None: the model's own."""
    preprocessing: PreprocessingOptions = field(default_factory=PreprocessingOptions)
    """How the model's images are prepared; what is left out is the model's own, or assumed."""
    batchnorm_epsilon: float | None = None
    """Of every batch norm, as the weights were trained with; None: the training's, where the
    checkpoint says it, else the model's own."""
    reference_images: Sequence[Path] = ()
    """Image files, and folders of them, that artifacts are held against fp32 eager on beside the
    built-in images; of many, some are taken."""
    labels: Path | None = None
    """A text file of class names, one line a class."""
    outputs: Sequence[str] = ()
    """Of a model that returns several tensors: those to export by name, the main one first; empty:
    all."""
    task: str | None = None
    """What the main output means: ``multi_class``, ``multi_label``, ``binary``, ``regression``,
    ``embedding`` or ``dense``, with ``:probabilities`` or ``:logits`` where they are scores; None:
    found, or assumed and said."""
    profile: str = HOST
    """The hardware to write for, by name or TOML file: what it can read decides options and
    target."""
    target: str | None = None
    """The GPU to build plans for (``sm86``); None: the profile's, or this host's."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options of exporters' own, by name: ``{"opset": 17}``. Each goes to the exporters that take
    it."""
    max_accuracy_drop: float | None = None
    """Where a reduced precision fails parity: the drop of accuracy beside fp32 eager by which the
    artifact is accepted all the same, if an evaluation in the workspace says that no more is lost
    (0.01: a percentage point). None: by none."""
    calibration: str | None = None
    """Of int8: the data (a folder or a file that ``deploybench data`` opens) on which the ranges
    are found, or ``synthetic`` for noise."""
    calibration_images: int | None = None
    """So many of them; None: 128, or 16 synthetic ones."""
    calibration_seed: int | None = None
    """Decides which; None: 1."""
    keep_fp32: Sequence[str] = ()
    """Patterns of layers that stay in float in an int8 artifact; ``auto``: as few of the most
    sensitive as it takes to agree with fp32 eager; ``auto:99%``: and until that share of the
    calibration images has its class; ``none``: none at all. Empty: as ``auto`` where an artifact
    does not agree, but refused by parity, not by the search, where that finds no way."""
    force: bool = False
    """Export again although the artifact is there."""
    jobs: int | None = None
    """Exports side by side; None: the usable cores, at most four."""
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    """Of each export, in seconds."""
    workspace: Path | None = None
    """The folder of artifacts; None: $DEPLOYBENCH_WORKSPACE, else ./deploybench-workspace."""


def export_models(
    order: ExportOrder, on_event: Callable[[ExportEvent], None] | None = None
) -> list[ExportResult]:
    """Export, verify every artifact against fp32 eager, and publish it in the workspace.

    The results are in the order of :func:`requests_of`; an export that failed is a result with its
    error. ``on_event`` is told of the progress, one event at a time, from whatever thread.

    Raises DeployBenchError for what cannot work, before anything starts.
    """
    allow_children()
    requests = requests_of(order)
    check_requests(requests)
    workspace = open_workspace(order.workspace)
    workspace.prepare()
    acceptance = None
    if order.max_accuracy_drop is not None:
        acceptance = Acceptance(workspace, order.max_accuracy_drop)
    options = ExportOptions(
        force=order.force,
        time_limit_s=order.time_limit_s,
        jobs=order.jobs or default_jobs(),
        acceptance=acceptance,
    )
    return export_requests(requests, workspace, options, on_event)


def export_requests(
    requests: Sequence[ExportRequest],
    workspace: Workspace,
    options: ExportOptions,
    on_event: Callable[[ExportEvent], None] | None = None,
) -> list[ExportResult]:
    """Do these exports; the results are in the order of the requests."""
    one_at_a_time = threading.Lock()

    def tell(event: ExportEvent) -> None:
        if on_event is not None:
            with one_at_a_time:
                on_event(event)

    def start(request: ExportRequest) -> None:
        tell(ExportStarted(request))

    tell(ExportsPlanned(tuple(requests)))
    results = {}
    for result in export_all(requests, workspace, options, start=start):
        results[requests.index(result.request)] = result
        tell(ExportFinished(result))
    return [results[index] for index in sorted(results)]


def requests_of(order: ExportOrder) -> list[ExportRequest]:
    """The single exports of an order, model by model.

    Raises DeployBenchError for orders that contradict themselves. Whether the models and files are
    there is not looked at: :func:`~deploybench.export.pipeline.check_requests` does that.
    """
    models = expand_groups(order.models)
    _check(order, models)
    profile = None
    suggested: Mapping[str, OptionValue] = {}
    if order.profile != HOST:
        profile = load_profile(order.profile)
        suggested = profile.export_options()
    target = _target(order, profile)
    jobs = order.jobs or default_jobs()
    threads = max(usable_cores() // jobs, 1)

    # Which exporters write each precision, and the options that each of them takes.
    forms: list[tuple[str, str]] = []
    for precision in order.precisions:
        of_files = INT8 if precision == INT8_MIXED else precision
        for backend in order.backends or usable_backends(of_files, target):
            forms.append((precision, backend))
    backends = list(dict.fromkeys(backend for _, backend in forms))
    options_of = options_by_backend(backends, order.options, suggested)

    requests = []
    sizes = product(order.image_sizes or (None,), order.patch_sizes or (None,))
    for name, (image_size, patch_size) in product(models, sizes):
        model = ModelRequest(
            name=name,
            checkpoint=_absolute(order.checkpoint),
            checkpoint_key=order.checkpoint_key,
            allow_partial=order.allow_partial,
            pretrained=order.pretrained,
            num_classes=order.num_classes,
            in_channels=order.in_channels,
            image_size=image_size,
            patch_size=patch_size,
            labels=_absolute(order.labels),
            preprocessing=_said(order.preprocessing),
            outputs=tuple(order.outputs),
            task=order.task,
            batchnorm_epsilon=order.batchnorm_epsilon,
            reference_images=tuple(str(path.absolute()) for path in order.reference_images),
        )
        for precision, backend in forms:
            request = ExportRequest(
                model=model,
                backend=backend,
                precision=INT8 if precision == INT8_MIXED else precision,
                batch=order.batch,
                options=options_of[backend],
                threads=threads,
                target=_target_for(backend, order, target),
            )
            if calibrates(request):
                request = request.replaced(
                    calibration=absolute_source(order.calibration),
                    calibration_images=order.calibration_images,
                    calibration_seed=order.calibration_seed,
                    keep_fp32=_kept(order.keep_fp32, mixed=precision == INT8_MIXED),
                )
            requests.append(request)
    about_int8 = order.calibration or order.keep_fp32
    if about_int8 and not any(calibrates(request) for request in requests):
        raise DeployBenchError(
            "--calibration and --keep-fp32 are for int8, and nothing here is exported so",
            expected="--precision int8, by a backend that calibrates: onnx, openvino, aotinductor, "
            "tensorrt",
        )
    if order.target is not None and not any(request.target for request in requests):
        raise DeployBenchError(
            f"--target {order.target}, and no backend that this host writes by default is for one "
            "GPU",
            action="name one: --backend tensorrt-rtx",
        )
    return requests


def _kept(patterns: Sequence[str], *, mixed: bool) -> tuple[str, ...]:
    """The layers in float; of int8-mixed they are looked for, unless it was said which."""
    if mixed and not patterns:
        return (AUTO,)
    return tuple(patterns)


def _absolute(path: Path | None) -> str | None:
    if path is None:
        return None
    return str(path.absolute())


def _said(preprocessing: PreprocessingOptions) -> PreprocessingOptions | None:
    """None where nothing was said: a request that says nothing has the key that it always had."""
    if preprocessing == PreprocessingOptions():
        return None
    return preprocessing


def _target_for(backend: str, order: ExportOrder, target: str | None) -> str | None:
    """The target as the exporter is told it.

    One that was typed reaches the exporters that were named, so that one that takes none refuses
    it; a profile's reaches only those that can use it.
    """
    insisted = order.target is not None and bool(order.backends)
    if takes_target(backend) or insisted:
        return target
    return None


def _check(order: ExportOrder, models: Sequence[str]) -> None:
    if not models:
        raise DeployBenchError(
            "no model to export", expected="one name at least", action="deploybench models"
        )
    if order.checkpoint is not None and len(models) != 1:
        raise DeployBenchError(
            f"--checkpoint with {counted(len(models), 'model')}", expected="one model a checkpoint"
        )
    if order.checkpoint_key is not None and order.checkpoint is None:
        own = [name for name in models if name.startswith("hub:")]
        if not own:
            raise DeployBenchError(
                f"--checkpoint-key {order.checkpoint_key} without a checkpoint",
                action="name the file: --checkpoint FILE",
            )
    if order.checkpoint is not None and order.pretrained:
        raise DeployBenchError(
            "--checkpoint and --pretrained together", expected="one source of weights"
        )
    for precision in order.precisions:
        check_precision(precision, written=True)
    if INT8_MIXED in order.precisions and NONE in order.keep_fp32:
        raise DeployBenchError(
            f"--precision {INT8_MIXED} with --keep-fp32 {NONE}",
            expected=f"one of them: {INT8_MIXED} is int8 with layers in float, {NONE} is no layer",
            action=f"--precision {INT8}, or {INT8_MIXED} without --keep-fp32 {NONE}",
        )
    check_drop(order.max_accuracy_drop)
    if order.max_accuracy_drop is not None:
        check_reduced(order.precisions, "export")
    order.preprocessing.check()
    epsilon = order.batchnorm_epsilon
    if epsilon is not None and not 0 < epsilon < 1:
        raise DeployBenchError(
            f"--batchnorm-epsilon {epsilon:g}",
            expected="a small number over 0, as 1e-3 (EfficientNet's paper) or 1e-5 (PyTorch)",
        )
    if order.task is not None:
        read_task(order.task)
    if order.batch is not None and order.batch < 1:
        raise DeployBenchError(
            f"a batch of {order.batch} images",
            expected="1 or more, or None for a free one",
        )


def _target(order: ExportOrder, profile: Profile | None) -> str | None:
    """The GPU that plans are built for; None is the one at hand."""
    if order.target is not None:
        sm_of(order.target)
        return order.target
    if profile is None or profile.match.compute_capability is None:
        return None
    return target_of(profile.match.compute_capability)
