"""A whole training by one call: what is asked for, and carrying it out. Needs no command line."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from deploybench.data.written import write_table
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import usable_cores
from deploybench.models.trained import WEIGHTS
from deploybench.training.curve import EpochLine, read_curve
from deploybench.training.devices import device_for, fabric_for, is_first_process, launch
from deploybench.training.events import ImagesRead, Remarked, TrainingEvent
from deploybench.training.folder import (
    SPLITS,
    TrainingPlan,
    TrainingRecord,
    check_folder,
    check_same_plan,
    read_record,
    write_record,
)
from deploybench.training.images import check_images
from deploybench.training.installed import check_training_installed
from deploybench.training.memory import memory_told
from deploybench.training.prepared import Prepared, plan_of, prepared
from deploybench.training.request import TrainingRequest
from deploybench.training.running import Run, best_of
from deploybench.training.sets import hash_of
from deploybench.training.stopping import StopSignals
from deploybench.versions import installed_versions

Tell = Callable[[TrainingEvent], None]
VERSIONS = ("deploybench", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")
MOST_WORKERS = 16


@dataclass(frozen=True)
class TrainingResult:
    """What came out: the folder, the weights in it, and the curve."""

    folder: Path
    checkpoint: Path
    best: EpochLine
    lines: tuple[EpochLine, ...]
    stopped_early: bool
    record: TrainingRecord


def train(request: TrainingRequest, tell: Tell = lambda event: None) -> TrainingResult:
    """Train as the request says, or go on with what it began.

    Raises DeployBenchError for what cannot be trained, and KeyboardInterrupt after a signal, when
    what a resume needs is on the disk. A finished training that is asked to be resumed is returned
    as it is.
    """
    check_training_installed()
    threads_before = torch.get_num_threads()
    try:
        return _trained(request, tell)
    finally:
        torch.set_num_threads(threads_before)


def _trained(request: TrainingRequest, tell: Tell) -> TrainingResult:
    first = is_first_process(request.devices)
    before = None
    if first:
        before = check_folder(request.out, resume=request.resume, force=request.force)
    else:
        tell = _silent
    device = device_for(request)
    threads = request.threads or max(usable_cores() // request.devices, 1)
    torch.set_num_threads(threads)
    ready = prepared(request)
    fabric = fabric_for(request, uses_all=ready.uses_all)
    record = None
    if first:
        hashes = hash_of(ready.sets, lambda done, images: tell(ImagesRead(done, images)))
        plan = plan_of(request, ready, hashes)
        if before is not None:
            remark = check_same_plan(before.plan, plan, request.out)
            if remark is not None:
                tell(Remarked(remark))
            if before.finished:
                return result_in(request.out)
        for part in (ready.sets.training, ready.sets.evaluation):
            check_images(part, ready.spec)
        record = before or _begun(request, ready, plan, device, threads)
    launch(fabric, request.devices)
    workers = request.workers
    if workers is None:
        workers = _usual_workers(device, request.devices)
    images = len(ready.sets.training)
    with StopSignals() as signals, memory_told(request, ready.spec, images):
        run = Run(request, ready, record, fabric, workers, signals, tell)
        run.carried_out()
    return result_in(request.out)


def result_in(folder: Path) -> TrainingResult:
    """What the training in a folder came to. Raises DeployBenchError where there is none yet."""
    record, lines = read_record(folder), read_curve(folder)
    best = best_of(lines)
    if record is None or best is None:
        raise DeployBenchError(
            f"{folder} holds no training of which an epoch is over",
            action="deploybench train --resume with the options that it was begun with",
        )
    return TrainingResult(folder, folder / WEIGHTS, best, lines, record.stopped_early, record)


def _begun(
    request: TrainingRequest, ready: Prepared, plan: TrainingPlan, device: str, threads: int
) -> TrainingRecord:
    """The record of a training that begins, written into its folder."""
    folder = request.out
    record = TrainingRecord(
        plan=plan,
        data_path=str(request.data.absolute()),
        held_out=ready.sets.held_out,
        begun_from=ready.first.words,
        init_from=None if request.init_from is None else str(request.init_from),
        device=device,
        threads=threads,
        host=platform.node(),
        versions=installed_versions(VERSIONS),
        notes=ready.notes,
        created=now(),
    )
    write_record(folder, record)
    made = ready.sets.made
    if made is None:
        return record
    table = folder / SPLITS
    try:
        write_table(made, table)
    except DeployBenchError:  # images in a file of many, or names that no cell can hold
        return record
    record = record.replaced(data_path=str(table.absolute()))
    write_record(folder, record)
    return record


def _usual_workers(device: str, devices: int) -> int:
    """Processes that read images, for each process that trains.

    Where the CPU trains, its cores are busy with that, and another process would only take their
    time. Beside a GPU they have nothing else to do.
    """
    if device == CPU:
        return 0
    return max(min(usable_cores() // devices - 1, MOST_WORKERS), 1)


def _silent(event: TrainingEvent) -> None:
    """Of several processes one tells."""
