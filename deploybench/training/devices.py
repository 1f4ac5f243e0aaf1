"""The devices that train: Lightning's Fabric, and its processes where there are several.

Of several devices each has a process of its own, which Fabric starts by running the same command
again (torch's DistributedDataParallel, NCCL between GPUs, gloo between CPUs). All of them do the
same steps on their part of each batch; the first one alone tells, decides and writes.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import __main__
from deploybench.errors import DeployBenchError
from deploybench.training.recipe import TrainingPrecision
from deploybench.training.request import TrainingRequest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PROGRAM = "deploybench"
RANK = "LOCAL_RANK"
"""The variable by which Fabric numbers the processes of a machine."""
FABRIC_PRECISION: dict[TrainingPrecision, Any] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def is_first_process(devices: int) -> bool:
    """Whether this process is the one that the user started."""
    return devices == 1 or os.environ.get(RANK, "0") == "0"


def device_for(request: TrainingRequest) -> Literal["cpu", "cuda"]:
    """The kind of device that trains.

    Raises DeployBenchError for devices that this machine does not have, or a precision that they do
    not compute in.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device: Literal["cpu", "cuda"] = "cuda"
    if request.device == "cpu" or (request.device == "auto" and not there):
        device = "cpu"
    if device == "cuda" and there < request.devices:
        raise DeployBenchError(
            f"--device cuda with --devices {request.devices}, and torch finds {there} here",
            expected="as many NVIDIA GPUs, and a build of torch for CUDA",
            action="deploybench doctor says what is missing; --device cpu trains on the CPU",
        )
    if device == "cpu" and request.recipe.precision == "fp16":
        raise DeployBenchError(
            "--precision fp16 on the CPU",
            expected="fp32 or bf16: fp16 needs its losses scaled, which GPUs alone do",
        )
    if request.devices > 1:
        _check_can_start_others()
    return device


def fabric_for(request: TrainingRequest, *, uses_all: bool) -> Fabric:
    """Fabric on the devices that are asked for; not launched. ``uses_all`` says that every
    parameter of the model takes part in a step: else the processes have to look for those."""
    from lightning_fabric import Fabric

    _quiet()
    strategy = "auto"
    if request.devices > 1:
        strategy = "ddp" if uses_all else "ddp_find_unused_parameters_true"
    return Fabric(
        accelerator=device_for(request),
        devices=request.devices,
        strategy=strategy,
        precision=FABRIC_PRECISION[request.recipe.precision],
    )


def launch(fabric: Fabric, devices: int) -> None:
    """Start the other processes, or join the first."""
    if devices > 1 and not is_first_process(devices):
        from deploybench.children.processes import die_with_parent

        die_with_parent()
    fabric.launch()


def _check_can_start_others() -> None:
    """Refuse several devices where what runs is not our command: running it again would not lead
    here."""
    spec = getattr(__main__, "__spec__", None)
    ours = spec is not None and spec.name.partition(".")[0] == PROGRAM
    if ours or Path(sys.argv[0]).stem == PROGRAM or RANK in os.environ:
        return
    raise DeployBenchError(
        "--devices over 1 from a program of your own",
        expected="the command: each device's process runs it again",
        action="deploybench train --devices N, or start your program with torchrun",
    )


def _quiet() -> None:
    """Fabric tells of what it finds in lines of its own; what matters is told by us. (Importing it
    sets the level of its log.)"""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
