"""Trains a model on ``benchmarks.parts`` in minutes of two cores, for what needs sure answers.

A plain loop in bf16 and channels last, with one thread (two that wait for each other lose more than
they win on a shared machine). ``deploybench train`` is for everything else.

    python -m benchmarks.train_on_parts MODEL PARTS OUT.safetensors [--epochs 8] [--lr 5e-4]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions

BATCH = 16


def read(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The images (images x 3 x 224 x 224, in [-1, 1]) and the number of each one's class."""
    pixels, classes = [], []
    for number, place in enumerate(sorted(folder.iterdir())):
        for path in sorted(place.glob("*.png")):
            with Image.open(path) as opened:
                pixels.append(np.asarray(opened, np.float32) / 127.5 - 1)
            classes.append(number)
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last), torch.tensor(classes)


def train(module: torch.nn.Module, parts: Path, epochs: int, rate: float) -> None:
    images, classes = read(parts / "train")
    module = module.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.05)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for epoch in range(epochs):
        began = time.monotonic()
        order = torch.randperm(len(images))
        losses = []
        for first in range(0, len(images) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            batch = images[chosen]
            if torch.rand(()) < 0.5:
                batch = batch.flip(3)
            with torch.autocast("cpu", torch.bfloat16):
                logits = module(batch)
            loss = torch.nn.functional.cross_entropy(
                logits.float(), classes[chosen], label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    module.eval()
    images, classes = read(parts / "test")
    with torch.inference_mode():
        right = sum(
            int((module(images[first : first + 25]).argmax(1) == classes[first : first + 25]).sum())
            for first in range(0, len(images), 25)
        )
    print(f"{right} of {len(images)} parts of the split 'test' are right")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("parts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    count = len(list((asked.parts / "train").iterdir()))
    options = BuildOptions(num_classes=count)
    built, _ = load_model(asked.model, options, None, allow_partial=False)
    module = built.module.requires_grad_(True)
    train(module, asked.parts, asked.epochs, asked.lr)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, asked.out)
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()
