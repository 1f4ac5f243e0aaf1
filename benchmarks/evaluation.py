"""What does an evaluation cost beside a bare loop over the same session and the same images?

Photographs of 224 x 224 pixels are made up and written as JPEG; a model is evaluated on ONNX
Runtime by ``deploybench evaluate``'s own worker, process start, proof and journal included, and by
a loop that reads a batch and infers it, one after the other. In turn, so that both meet the same
machine.
Prints the times, their ratio (wanted: at most 1.15), and the largest resident memory of a process
that evaluates few images and of one that evaluates all.

    python -m benchmarks.evaluation [FOLDER] [--images 5000] [--rounds 3] [--model resnet50]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runner
from deploybench.data.opening import open_data
from deploybench.data.postprocess import main_output
from deploybench.evaluate.job import DataRequest, EvaluationJob
from deploybench.evaluate.journal import Journal
from deploybench.evaluate.worker import evaluated, numbers_of
from deploybench.export.order import ExportOrder, export_models
from deploybench.hardware.host import usable_cores

RUNNER = "onnxruntime"
MOST_TIMES = 1.15
BATCH = 8
FEW = 500
"""Images of the process whose memory all images are held against."""


def write_images(folder: Path, count: int) -> None:
    """So many different photograph-like JPEGs of 224 x 224 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    for number in range(count):
        image = Image.fromarray(small[number]).resize((224, 224), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:05}.jpg", quality=90)


def exported(folder: Path, model: str) -> Artifact:
    order = ExportOrder(models=[model], backends=["onnx"], workspace=folder / "workspace")
    (result,) = export_models(order)
    assert result.artifact is not None, result.error
    return result.artifact


def bare_loop(artifact: Artifact, images: Path, count: int, threads: int) -> None:
    """Read a batch, infer it, keep the outputs."""
    data = open_data(images, unlabelled=True)
    spec = artifact.manifest.preprocessing
    name = artifact.manifest.inputs[0].name
    options = RunOptions("cpu", threads, "fp32", BATCH)
    kept = []
    with runner(RUNNER).require().load(artifact, options) as session:
        session.compile()
        session.prepare_thread()
        for first in range(0, count, BATCH):
            examples = data.examples[first : min(first + BATCH, count)]
            pixels = [data.input(example, spec).pixels for example in examples]
            pixels += [pixels[-1]] * (BATCH - len(pixels))
            outputs = session.infer({name: np.stack(pixels)})
            kept.append(np.array(main_output(outputs, artifact.manifest))[: len(examples)])


def evaluation(artifact: Artifact, images: Path, count: int, threads: int) -> None:
    """What the worker of an evaluation does, the journal included."""
    folder = images.parent / "journal"
    shutil.rmtree(folder, ignore_errors=True)
    journal = Journal(folder, numbers_of(artifact))
    journal.prepare({})
    job = EvaluationJob(
        artifact=str(artifact.path),
        runner=RUNNER,
        device="cpu",
        precision="fp32",
        batch=BATCH,
        threads=threads,
        readers=threads,
        data=DataRequest(path=str(images), unlabelled=True),
        images=count,
        folder=str(folder),
    )
    launch = evaluated(job)
    assert launch.error is None, launch.error
    assert launch.refused is None, launch.refused
    assert journal.read().count == count


def _in_process(way: str, artifact: Artifact, images: Path, count: int, threads: int) -> None:
    ways = {"bare": bare_loop, "evaluation": evaluation}
    ways[way](artifact, images, count, threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (images.parent / "peak.txt").write_text(str(peak))


def timed(way: str, artifact: Artifact, images: Path, count: int) -> tuple[float, float]:
    """Seconds and the largest resident MiB of a process of its own."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=_in_process, args=(way, artifact, images, count, usable_cores())
    )
    began = time.monotonic()
    process.start()
    process.join()
    seconds = time.monotonic() - began
    assert process.exitcode == 0, way
    return seconds, int((images.parent / "peak.txt").read_text()) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="resnet50")
    asked = parser.parse_args()
    all_images = asked.folder / f"{asked.images}" / "images"
    few_images = asked.folder / f"{FEW}" / "images"
    for folder, count in ((all_images, asked.images), (few_images, FEW)):
        if not folder.is_dir():
            write_images(folder, count)
    artifact = exported(asked.folder, asked.model)
    ratios = []
    peak = 0.0
    for number in range(asked.rounds):
        bare_s, _ = timed("bare", artifact, all_images, asked.images)
        own_s, peak = timed("evaluation", artifact, all_images, asked.images)
        ratios.append(own_s / bare_s)
        print(f"round {number + 1}: bare {bare_s:.1f} s, evaluation {own_s:.1f} s", flush=True)
    _, few_peak = timed("evaluation", artifact, few_images, FEW)
    ratio = statistics.median(ratios)
    print(f"evaluation / bare loop: {ratio:.2f}; wanted: at most {MOST_TIMES}")
    print(f"largest memory: {few_peak:.0f} MiB of {FEW} images, {peak:.0f} of {asked.images}")
    sys.exit(int(ratio > MOST_TIMES or peak > 1.1 * few_peak))


if __name__ == "__main__":
    main()
