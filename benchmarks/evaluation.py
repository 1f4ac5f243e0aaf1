"""What does an evaluation cost beside a bare loop over the same session and the same images?

Photographs of 224 x 224 pixels are made up and written as JPEG; a model is evaluated on ONNX
Runtime by ``deploybench evaluate``'s own worker, process start, proof and journal included, and by
a loop that reads a batch and infers it, one after the other. In turn, so that both meet the same
machine. The hash that tells which images they are, which every evaluation computes first, is part
of its time; the figures that follow from labels are not.
Prints the times, their ratio (wanted: at most 1.15), and the memory of the process after every
tenth of the images, proportional (PSS) and of it what belongs to no file: it may rise while caches
and pools of memory fill, and has to be level in the second half.

    python -m benchmarks.evaluation [FOLDER] [--images 5000] [--rounds 3] [--model resnet50]

``--rounds 0`` shows the memory alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
LOOK_EVERY_S = 0.05
MOST_GROWTH = 1.05
"""Of the memory from half of the images to all of them."""
SMAPS = Path("/proc/self/smaps_rollup")
Look = tuple[int, float, float]
"""Images done with, MiB of the process (PSS), and of it what belongs to no file."""


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
    open_data(images, unlabelled=True).sha256()
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
    assert journal.done() == count


def watched(artifact: Artifact, images: Path, count: int, threads: int) -> None:
    """An evaluation, and the memory of its process meanwhile, written beside the images."""
    journal = Journal(images.parent / "journal", numbers_of(artifact))
    with _looking(journal) as looks:
        evaluation(artifact, images, count, threads)
    (images.parent / "memory.json").write_text(json.dumps(looks))


@contextmanager
def _looking(journal: Journal) -> Iterator[list[Look]]:
    looks: list[Look] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            looks.append((journal.done(), *memory_mib()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


def memory_mib() -> tuple[float, float]:
    """The proportional memory of this process, and of it what belongs to no file."""
    sizes = {}
    for line in SMAPS.read_text().splitlines()[1:]:
        name, size, _ = line.split()
        sizes[name] = int(size) / 1024
    return sizes["Pss:"], sizes["Anonymous:"]


def by_tenths(looks: list[Look], count: int) -> list[Look]:
    """The first look after each tenth of the images, and the first at the most that was seen."""
    chosen = []
    most = max(look[0] for look in looks)
    for tenth in range(1, 11):
        wanted = min(tenth * count / 10, most)
        chosen.append(next(look for look in looks if look[0] >= wanted))
    return chosen


def _in_process(way: str, artifact: Artifact, images: Path, count: int, threads: int) -> None:
    ways = {"bare": bare_loop, "evaluation": evaluation, "watched": watched}
    ways[way](artifact, images, count, threads)


def timed(way: str, artifact: Artifact, images: Path, count: int) -> float:
    """Seconds of a process of its own."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=_in_process, args=(way, artifact, images, count, usable_cores())
    )
    began = time.monotonic()
    process.start()
    process.join()
    seconds = time.monotonic() - began
    assert process.exitcode == 0, way
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="resnet50")
    asked = parser.parse_args()
    images = asked.folder / f"{asked.images}" / "images"
    if not images.is_dir():
        write_images(images, asked.images)
    artifact = exported(asked.folder, asked.model)
    ratios = []
    for number in range(asked.rounds):
        bare_s = timed("bare", artifact, images, asked.images)
        own_s = timed("evaluation", artifact, images, asked.images)
        ratios.append(own_s / bare_s)
        print(f"round {number + 1}: bare {bare_s:.1f} s, evaluation {own_s:.1f} s", flush=True)
    ratio = 0.0
    if ratios:
        ratio = statistics.median(ratios)
        print(f"evaluation / bare loop: {ratio:.2f}; wanted: at most {MOST_TIMES}")
    timed("watched", artifact, images, asked.images)
    looks = [tuple(look) for look in json.loads((images.parent / "memory.json").read_text())]
    tenths = by_tenths(looks, asked.images)
    print("images  memory, MiB (PSS)  of no file")
    for done, memory, anonymous in tenths:
        print(f"{done:6}  {memory:17.0f}  {anonymous:10.0f}")
    half, whole = tenths[len(tenths) // 2 - 1][1], tenths[-1][1]
    growth = whole / half
    print(f"from half of the images to all: {growth:.3f}; wanted: at most {MOST_GROWTH}")
    sys.exit(int(ratio > MOST_TIMES or growth > MOST_GROWTH))


if __name__ == "__main__":
    main()
