"""A set like the brain MRI of RadImageNet: its ten classes and their imbalance, patients, splits.

The images are drawn (:mod:`deploybench.data.made.brain_image`) on an average brain. They show that
a pipeline works, and whether one model learns more than another; they are not medical data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.radimagenet import BRAIN_MRI
from deploybench.data.made.brain_image import ImageOrder, brain_image
from deploybench.data.made.making import MadeWords, MakeRequest, Progress
from deploybench.data.sources import ImageFiles
from deploybench.data.splits import split_data
from deploybench.data.written import write_table
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import usable_cores

COUNTS: Mapping[str, int] = {
    "acute_infarct": 513,
    "arteriovenous_anomaly": 272,
    "chronic_infarct": 2307,
    "edema": 125,
    "extra": 1259,
    "focal_flair_hyper": 751,
    "intra": 1721,
    "normal": 27374,
    "pituatary_lesion": 83,
    "white_matter_changes": 10266,
}
"""Of the original; 44,671 in all."""
USUAL_IMAGES, USUAL_PIXELS = 3000, 224
LEAST_OF_A_CLASS = 3
"""One for each split."""
LEAST_IMAGES = LEAST_OF_A_CLASS * len(BRAIN_MRI)
MOST_IMAGES = 200_000
IMAGES_OF_A_PATIENT = 3
MOST_PROCESSES = 8
FEW = 100
"""So many are made in this process: others take a second to start."""
AT_ONCE = 16
TABLE = "manifest.csv"
SYNTHETIC = (
    "drawn by a program on an average brain (MNI152); no patient, no diagnosis; not for medical use"
)
README = """# Synthetic brain MRI: not medical data

Every image in this folder was **drawn by a program** (`deploybench data make brain-mri-synthetic`).
No image shows a patient, and no label is a diagnosis. Use them to see that a pipeline works, or to
compare models on the same task; never to learn or to claim anything about medicine.

The brain is MNI152 2009a, the average of 152 healthy people (Fonov et al., 2009 and 2011), as the
Python package nilearn ships it. Names of classes and their imbalance are those of the brain MRI of
RadImageNet (Mei et al., 2022), of which nothing else is in here. The spelling of `pituatary_lesion`
is theirs.

The template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University. Permission to use, copy, modify, and distribute it for
any purpose and without fee is granted by them, provided that this copyright notice appears in all
copies; they make no representations about its suitability for any purpose, and provide it "as is"
without express or implied warranty.

- {images} images of {pixels} x {pixels} pixels, 8 bits, grey; {patients} made-up patients
- made with seed {seed}; the same seed makes the same images with the same versions
- `manifest.csv` lists path, label, split and patient; no patient is in two splits
- `dataset.json` says the same for programs: `synthetic`
"""


def make_brain_mri(request: MakeRequest, folder: Path, progress: Progress) -> MadeWords:
    """Draw the set into a folder. Raises DeployBenchError."""
    request.refuse("archive")
    images = request.images or USUAL_IMAGES
    pixels = request.image_size or USUAL_PIXELS
    seed = request.seed or 0
    if not LEAST_IMAGES <= images <= MOST_IMAGES:
        raise DeployBenchError(
            f"--images {images}",
            expected=f"from {LEAST_IMAGES} ({LEAST_OF_A_CLASS} a class) to {MOST_IMAGES}",
        )
    orders = planned_orders(images, pixels, seed)
    data = _split(folder, orders, seed)
    jobs = []
    for order, example in zip(orders, data.examples, strict=True):
        path = folder / example.key
        path.parent.mkdir(parents=True, exist_ok=True)
        jobs.append((order, str(path)))
    for done in _made(jobs):
        progress("drawing", done, images)
    write_table(data, folder / TABLE)
    patients = len({order.patient for order in orders})
    return MadeWords(
        synthetic=SYNTHETIC,
        source="MNI152 2009a of nilearn; classes and imbalance of RadImageNet's brain MRI",
        readme=README.format(images=images, pixels=pixels, patients=patients, seed=seed),
        seed=seed,
    )


def counts_for(images: int) -> Mapping[str, int]:
    """So many images in the shares of the original, at least three of each class; what is left
    over goes to the classes whose share was cut most (largest remainder)."""
    spare = images - LEAST_IMAGES
    total = sum(COUNTS.values())
    exact = {name: spare * count / total for name, count in COUNTS.items()}
    counts = {name: LEAST_OF_A_CLASS + math.floor(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: math.floor(exact[name]) - exact[name])
    for name in by_rest[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def planned_orders(images: int, pixels: int, seed: int) -> list[ImageOrder]:
    """Which images are made. A patient has one finding, in up to three images."""
    orders: list[ImageOrder] = []
    patient = 0
    for finding, count in counts_for(images).items():
        # A class is of three patients at least, so that each split can have one.
        each = min(IMAGES_OF_A_PATIENT, max(1, count // LEAST_OF_A_CLASS))
        for number in range(count):
            if number % each == 0:
                patient += 1
            orders.append(ImageOrder(finding, patient, len(orders), seed, pixels))
    return orders


def _split(folder: Path, orders: Sequence[ImageOrder], seed: int) -> DataSet:
    """The set with its splits, and the paths that belong to them."""
    examples = [
        Example(
            f"{order.finding}/p{order.patient:05d}_{order.image:06d}.png",
            labels=(BRAIN_MRI.index(order.finding),),
            group=f"p{order.patient:05d}",
        )
        for order in orders
    ]
    data = DataSet(
        name=folder.name,
        form="",
        root=folder,
        class_names=BRAIN_MRI,
        task="single-label",
        examples=tuple(examples),
        images=ImageFiles(folder),
    )
    split = split_data(data, seed=seed).data
    placed = [
        Example(
            f"{example.split}/{example.key}",
            labels=example.labels,
            group=example.group,
            split=example.split,
        )
        for example in split.examples
    ]
    return split.with_examples(placed)


def _made(jobs: Sequence[tuple[ImageOrder, str]]) -> Iterator[int]:
    """Make the images; how many are done, after each."""
    if len(jobs) <= FEW:
        for done, job in enumerate(jobs, 1):
            _make(job)
            yield done
        return
    workers = min(usable_cores(), MOST_PROCESSES)
    # Spawned: a process of many threads may not fork safely.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for done, _ in enumerate(pool.map(_make, jobs, chunksize=AT_ONCE), 1):
                yield done
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _make(job: tuple[ImageOrder, str]) -> None:
    """Draw one image and write it, with words in the file that say what it is."""
    from PIL.Image import fromarray
    from PIL.PngImagePlugin import PngInfo

    order, path = job
    info = PngInfo()
    info.add_text("Description", f"SYNTHETIC, not medical data: {SYNTHETIC}")
    fromarray(brain_image(order)).save(path, "PNG", pnginfo=info)
