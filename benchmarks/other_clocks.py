"""Clocks of others around the same artifacts, as residents: each question is a number of seconds,
the answer is what they call the median of a call, in ms. The first question says what to load.

Run by ``benchmarks/fidelity.py`` as ``python -m benchmarks.other_clocks``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier

Clock = Callable[[float], float]


def main() -> None:
    """Answer until nobody asks."""
    die_with_parent()
    reply = replier()
    asked = questions()
    wanted = json.loads(next(asked))
    artifact = open_artifact(Path(wanted["artifact"]))
    clock = CLOCKS[wanted["clock"]](artifact, wanted["threads"])
    clock(0.5)
    reply("ready")
    for question in asked:
        reply(f"{clock(float(question)):.6f}")


def _bare_onnxruntime(artifact: Artifact, threads: int) -> Clock:
    """A loop around ``InferenceSession.run`` and nothing else."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.add_free_dimension_override_by_name("batch", 1)
    session = onnxruntime.InferenceSession(
        str(artifact.entry), settings, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: _first_image(artifact)}

    def clock(seconds: float) -> float:
        for _ in range(2):
            session.run(None, feed)
        samples = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            session.run(None, feed)
            samples.append(time.perf_counter() - start)
        return 1e3 * statistics.median(samples)

    return clock


def _torch_timer(artifact: Artifact, threads: int) -> Clock:
    """``torch.utils.benchmark.Timer`` around the eager module."""
    import torch
    from torch.utils.benchmark import Timer

    from deploybench.models.loading import rebuild
    from deploybench.models.source import BuildOptions

    torch.set_num_interop_threads(1)
    model = artifact.manifest.model.name
    module = rebuild(model, BuildOptions(), artifact.entry, torch.float32)
    pixels = torch.from_numpy(_first_image(artifact))

    def call() -> object:
        with torch.inference_mode():
            return module(pixels)

    timer = Timer("call()", globals={"call": call}, num_threads=threads)

    def clock(seconds: float) -> float:
        call()
        return 1e3 * float(timer.blocked_autorange(min_run_time=seconds).median)

    return clock


def _first_image(artifact: Artifact) -> Any:
    return np.load(artifact.path / "reference.npz")["inputs"][:1]


CLOCKS = {"bare loop": _bare_onnxruntime, "torch.utils.benchmark": _torch_timer}


if __name__ == "__main__":
    main()
