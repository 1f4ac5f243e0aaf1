"""Faults of what goes on where it was ended: an evaluation, a tuning, a training."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from deploybench.artifacts.artifact import MANIFEST
from tests.faults.faults import fault
from tests.faults.place import MODEL, Place, has, promise
from tests.faults.workers import went_on

KIND = "What goes on"
IMAGES = 48
CLASSES = ("tench", "goldfish")
CALL = "call-30"
"""After the calls of the proof, among those of the images."""


def write_images(folder: Path) -> Path:
    """Small images of random colours, in folders of two classes that the model knows."""
    from PIL import Image

    generator = random.Random(0)
    for number in range(IMAGES):
        home = folder / CLASSES[number % 2]
        home.mkdir(parents=True, exist_ok=True)
        colour = tuple(generator.randrange(256) for _ in range(3))
        Image.new("RGB", (64, 64), colour).save(home / f"{number:03}.png")
    return folder


def evaluation(place: Place, data: Path) -> tuple[str, ...]:
    """The words of an evaluation by the faulty runner, an image a call."""
    here = ("evaluate", "-w", str(place.workspace.root), "--data", str(data), "-r", "faulty")
    return (*here, "--threads", "1", "--batch", "1", "--no-eager", "--json")


@fault(KIND, "kill -9 of evaluate among its images", often=True)
def killed_evaluation(place: Place, number: int) -> str:
    asked = evaluation(place, write_images(place.folder / "data"))
    place.fault(f"{CALL}:wait")
    started = place.start(*asked)
    place.wait_for(place.reached.exists, "it is among the images", started)
    before = place.files()
    started.kill()
    place.check(before)
    place.mended()
    done = place.run(*asked)
    (row,) = done.rows
    promise(row["images_evaluated"] == IMAGES, f"{row['images_evaluated']} images: {done.refusal}")
    place.check(before)
    return "nothing is left; the same command goes on, and has every image once"


@fault(KIND, "kill -9 of evaluate's worker among its images")
def killed_evaluator(place: Place, number: int) -> str:
    asked = evaluation(place, write_images(place.folder / "data"))
    place.fault(f"{CALL}:kill")
    done = place.run(*asked)
    promise(done.code == 1, f"exit code {done.code}")
    (row,) = done.rows
    sees = has(str(row), "SIGKILL")
    place.check({})
    place.mended()
    (row,) = place.run(*asked).rows
    promise(row["images_evaluated"] == IMAGES, f"{row['images_evaluated']} images")
    place.check({})
    return f"{row_words(sees)}; the same command goes on"


def row_words(text: str) -> str:
    """The part of a row's text that says the cause."""
    start = text.index("SIGKILL") - len("killed by ")
    return text[start : start + 60].partition(";")[0]


@fault(KIND, "kill -9 of tune while it measures")
def killed_tuning(place: Place, number: int) -> str:
    data = write_images(place.folder / "data")
    (manifest,) = place.workspace.artifacts_folder.glob(f"*/onnx-*/{MANIFEST}")
    asked = (
        *("tune", "-w", str(place.workspace.root), "--data", str(data), "--budget", "20s"),
        *("--artifact", str(manifest.parent), "-r", "faulty,onnxruntime", "--threads", "1"),
        *("--no-runtime-options", "--json", "--max-accuracy-drop", "5%"),
    )
    started = place.start(*asked)

    def begun() -> bool:
        journals = list(place.workspace.root.glob("tuned/*/journal.json"))
        return bool(journals) and bool(json.loads(journals[0].read_bytes())["rounds"])

    place.wait_for(begun, "a round of measuring is in the journal", started)
    time.sleep(random.Random(number).uniform(0, 2))
    before = {name: text for name, text in place.files().items() if "journal" not in name}
    started.kill()
    place.check(before)
    done = place.run(*asked)
    # 3 where it is not known which is best: in so short a budget, on a machine with others.
    promise(done.code in (0, 1, 3), f"exit code {done.code}: {done.refusal}")
    promise(done.output.strip(), done.refusal)
    place.check(before)
    return "nothing is left; the same command goes on after the rounds that were finished"


@fault(KIND, "kill -9 of train among its steps")
def killed_training(place: Place, number: int) -> str:
    data = write_images(place.folder / "data")
    out = place.folder / "trained"
    asked = (
        *("train", "--model", MODEL, "--data", str(data), "--out", str(out), "--epochs", "6"),
        *("--batch", "8", "--image-size", "32", "--seed", "0"),
    )
    started = place.start(*asked)
    place.wait_for(lambda: list(out.glob("epochs.jsonl")), "it has a curve", started)
    time.sleep(random.Random(number).uniform(0, 2))
    before = place.files()
    started.kill()
    place.check(before)
    done = place.run(*asked, "--resume")
    promise(done.code == 0, f"exit code {done.code}: {done.refusal}")
    promise(list(out.glob("*.safetensors")), "no weights are there")
    place.check(before)
    return "nothing is left; --resume goes on"


@fault(KIND, "kill -9 of run, and show of what it had")
def killed_run_is_shown(place: Place, number: int) -> str:
    done = place.run(*place.measured())
    went_on(done)
    before = place.files()
    started = place.start(*place.measured("--budget", "20s", "--precision-target", "0.01%"))
    place.wait_for(lambda: len(place.resting()) >= 2, "two workers rest", started)
    started.kill()
    place.check(before)
    shown = place.run("show", "-w", str(place.workspace.root), "--json")
    promise(shown.code == 0, shown.refusal)
    promise(len(shown.rows) == 2, f"{len(shown.rows)} rows")
    place.check(before)
    return "the rows of the killed run, as far as they had come, marked as not complete"
