"""What an int8 export needs beside a model: images to calibrate on, or the word that noise will
do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.calibration import (
    AUTO,
    NONE,
    SYNTHETIC,
    CalibrationImages,
    wanted_agreement,
)
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.contracts.registry import exporter
from deploybench.data.calibration import (
    IMAGES,
    SEED,
    calibration_images,
    choose_for_calibration,
    hash_of_calibration,
)
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest
from deploybench.hardware.precisions import INT8_MIXED

INT8 = "int8"


def calibrates(request: ExportRequest) -> bool:
    """Whether the request's exporter needs images for it."""
    plugin = exporter(request.backend).plugin
    return request.precision == INT8 and plugin is not None and plugin.calibrates


def check_quantisation(request: ExportRequest) -> None:
    """Refuse int8 without calibration, data without images, and numbers that are none."""
    if not calibrates(request):
        return
    if request.calibration is None:
        raise DeployBenchError(
            f"{request.model.name} in int8 by {request.backend}, without images to calibrate on",
            expected="--calibration DIR: images as the model will see them, its training's best",
            action=f"deploybench export --model {request.model.name} --backend {request.backend} "
            "--precision int8 --calibration DIR; noise instead of images has to be said: "
            "--calibration synthetic",
        )
    _check_kept(request.keep_fp32)
    count = request.calibration_images
    if count is not None and count < 1:
        raise DeployBenchError(f"--calibration-images {count}", expected="1 or more")
    seed = request.calibration_seed
    if seed is not None and seed < 0:
        raise DeployBenchError(f"--calibration-seed {seed}", expected="0 or more")
    if request.calibration != SYNTHETIC:
        choose_for_calibration(request.calibration, count or IMAGES, SEED if seed is None else seed)


def _check_kept(patterns: Sequence[str]) -> None:
    """Refuse ``none`` beside others, and a share of the images that is none."""
    if NONE in patterns and len(patterns) > 1:
        raise DeployBenchError(
            f"--keep-fp32 {' --keep-fp32 '.join(patterns)}", expected="none, or patterns of layers"
        )
    wanted_agreement(patterns)


def remark_on_layers(request: ExportRequest, artifact: Artifact) -> str | None:
    """That layers in float were looked for, as int8-mixed does, and none was needed."""
    searched = any(pattern.partition(":")[0] == AUTO for pattern in request.keep_fp32)
    if not searched or artifact.manifest.kept_fp32:
        return None
    return (
        f"{request.model.name} {request.backend} is {INT8}, not {INT8_MIXED}: layers to keep in "
        "float were looked for, and it takes none"
    )


def hash_of_images(request: ExportRequest) -> dict[str, str]:
    """What the images have in an artifact's key; nothing where none are used."""
    if request.precision != INT8 or request.calibration is None:
        return {}
    found = hash_of_calibration(
        request.calibration, request.calibration_images, request.calibration_seed
    )
    return {"calibration": found}


def images_for(request: ExportRequest, preprocessing: Preprocessing) -> CalibrationImages | None:
    """The images of the request, as the model's inputs; None where it needs none."""
    if request.precision != INT8 or request.calibration is None:
        return None
    return calibration_images(
        request.calibration, request.calibration_images, request.calibration_seed, preprocessing
    )


def absolute_source(source: str | None) -> str | None:
    """The data's path, which may be relative to the current folder; ``synthetic`` is none."""
    if source is None or source == SYNTHETIC:
        return source
    return str(Path(source).absolute())
