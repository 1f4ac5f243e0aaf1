"""Artifacts with a made-up engine: what a TensorRT exporter writes, around the plan ``plan``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deploybench.artifacts.artifact import (
    MANIFEST,
    Artifact,
    Manifest,
    ModelInfo,
    TensorSpec,
    file_entry,
    open_artifact,
)
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.references import REFERENCE
from deploybench.artifacts.weights import Weights
from deploybench.documents import now

IMAGES = 4
FACTS: dict[str, str | int] = {
    "tensorrt": "11.4.0.106",
    "sm": 86,
    "gpu": "NVIDIA GeForce RTX 3090",
    "batch_min": 1,
    "batch_opt": 4,
    "batch_max": 8,
    "opset": 17,
    "nodes": 1,
}


def engine_artifact(
    folder: Path, *, side: int = 8, backend: str = "tensorrt", **facts: str | int
) -> Artifact:
    """An engine that hands on images of 3 x ``side`` x ``side``; ``facts`` replace some of
    :data:`FACTS`."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).standard_normal((IMAGES, 3, side, side), dtype=np.float32)
    np.savez(folder / REFERENCE, inputs=images, outputs=images)
    (folder / "model.engine").write_bytes(b"plan")
    image = TensorSpec(name="input", dtype="float32", shape=("batch", 3, side, side))
    manifest = Manifest(
        key="e" * 64,
        backend=backend,
        precision="fp32",
        batch=None,
        model=ModelInfo(
            name="handed-on",
            arguments={},
            num_classes=side,
            parameters=0,
            macs=10**9,
            flops=2 * 10**9,
        ),
        weights=Weights(kind="random", source="seed 0", sha256="0" * 64),
        inputs=(image,),
        outputs=(image.model_copy(update={"name": "logits"}),),
        preprocessing=Preprocessing(
            channels=3,
            height=side,
            width=side,
            crop_fraction=1,
            interpolation="bicubic",
            mean=(0, 0, 0),
            std=(1, 1, 1),
        ),
        entry="model.engine",
        facts={**FACTS, **facts},
        files=tuple(file_entry(folder / name, folder) for name in ("model.engine", REFERENCE)),
        versions={},
        parity=None,
        parity_note="",
        parity_runner=None,
        export_s=0,
        created=now(),
        command=f"deploybench export --model handed-on --backend {backend}",
        request={},
    )
    (folder / MANIFEST).write_text(manifest.sealed().model_dump_json())
    return open_artifact(folder)
