"""What does parity not see? The share of single wrong tensors that pass it, by kind and precision.

A model is built with the random weights that an export gives it. Then one tensor at a time is made
wrong, as an exporter's fault would: dropped (zeros; ones where it is the weight of a norm or a
variance), of the other sign, transposed (square matrices), exchanged with another tensor of its
shape, or 5 % too large. The faulty model's outputs, computed in fp32 or with every number rounded
to fp16 or bf16, go through the product's own parity against the right model's fp32 outputs and the
precision's cost on the right model. ``unseen`` is the share of the faults that pass. A fault that
moves the fp32 outputs by less than float32 rounds (two biases that are added to the same sum,
exchanged) is no fault: it is counted by itself, as ``none``.

The last column is the audit of the weights: the share of the same faults that it would not refuse
in a format that keeps the tensors' names.

    python -m benchmarks.blind_spots [--models resnet18@96,test_vit] [--faults 40] [--seed 0]

``NAME@PIXELS`` is a timm model at that image size. ``--faults`` are of each kind and model.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmarks.trials import print_host
from deploybench.artifacts.parity import compare_outputs, plain_images
from deploybench.artifacts.weights_audit import audit_weights
from deploybench.models.loading import load_model, reference_images
from deploybench.models.precision_cost import DTYPES, exact, outputs_in
from deploybench.models.source import BuildOptions, BuiltModel

MODELS = (
    "resnet18@64,mobilenetv3_small_050@96,vit_tiny_patch16_224@64,test_convnext@64,"
    "xcit_nano_12_p16_224@64,regnetx_002@64,efficientnet_b0@96,densenet121@64,poolformer_s12@64,"
    "resmlp_12_224@64,test_vit@64,levit_128s@64,repvgg_a0@64,ghostnet_050@64,test_efficientnet@64"
)
KINDS = ("dropped", "sign", "transposed", "swapped", "x1.05")
PRECISIONS = ("fp32", "fp16", "bf16")
NO_EFFECT = 1e-5
"""Of the spread, in fp32: below it a fault changes nothing that float32 itself does not."""


@dataclass(frozen=True)
class Fault:
    """A tensor by name, and the one that it is exchanged with."""

    kind: str
    name: str
    other: str = ""


@dataclass
class Counts:
    """Of one kind: how many had an effect, had none, passed parity, and passed the audit."""

    tried: int = 0
    no_effect: int = 0
    unseen: dict[str, int] | None = None
    unaudited: int = 0


def faults_of(module: torch.nn.Module, each: int, seed: int) -> list[Fault]:
    """At most ``each`` faults of every kind, drawn from all that the tensors allow."""
    tensors = floating(module)
    draw = random.Random(seed)
    by_kind: dict[str, list[Fault]] = {kind: [] for kind in KINDS}
    for name, tensor in tensors.items():
        variance = name.endswith("running_var")
        by_kind["dropped"].append(Fault("dropped", name))
        by_kind["x1.05"].append(Fault("x1.05", name))
        if not variance:  # the root of a negative variance is NaN, which anybody sees
            by_kind["sign"].append(Fault("sign", name))
        if tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]:
            by_kind["transposed"].append(Fault("transposed", name))
        last = name.rpartition(".")[2]
        alike = [
            other
            for other, values in tensors.items()
            if other != name and values.shape == tensor.shape and other.endswith(f".{last}")
        ]
        if alike:
            by_kind["swapped"].append(Fault("swapped", name, draw.choice(alike)))
    chosen = []
    for faults in by_kind.values():
        chosen += draw.sample(faults, min(each, len(faults)))
    return chosen


@contextmanager
def faulty(module: torch.nn.Module, fault: Fault) -> Iterator[None]:
    """The module with the fault, until the block ends."""
    tensors = floating(module)
    tensor = tensors[fault.name]
    kept = tensor.clone()
    if fault.kind == "dropped":
        last = fault.name.rpartition(".")[2]
        is_scale = last == "running_var" or (last == "weight" and tensor.dim() == 1)
        tensor.fill_(float(is_scale))
    elif fault.kind == "sign":
        tensor.neg_()
    elif fault.kind == "transposed":
        tensor.copy_(kept.t())
    elif fault.kind == "swapped":
        tensor.copy_(tensors[fault.other])
        tensors[fault.other].copy_(kept)
    else:
        tensor.mul_(1.05)
    try:
        yield
    finally:
        if fault.other:
            tensors[fault.other].copy_(tensor)
        tensor.copy_(kept)


def floating(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: t for name, t in module.state_dict().items() if t.is_floating_point()}


@torch.no_grad()
def try_faults(built: BuiltModel, each: int, seed: int) -> dict[str, Counts]:
    """How parity and the audit judge every fault of the model."""
    module = built.module
    images = reference_images(built.preprocessing)
    plain = plain_images(images.numpy())
    reference = module(images).numpy()
    exact_outputs = exact(module, images).float().numpy()
    costs = {precision: outputs_in(module, images, precision).numpy() for precision in DTYPES}
    source = {name: tensor.numpy().copy() for name, tensor in floating(module).items()}
    counts = {kind: Counts(unseen=dict.fromkeys(PRECISIONS, 0)) for kind in KINDS}
    for fault in faults_of(module, each, seed):
        count = counts[fault.kind]
        with faulty(module, fault):
            outputs = module(images).numpy()
            report = compare_outputs(reference, outputs, "fp32", plain, rounded=exact_outputs)
            if report.max_error is not None and report.max_error < NO_EFFECT:
                count.no_effect += 1
                continue
            count.tried += 1
            assert count.unseen is not None
            count.unseen["fp32"] += report.passed
            for precision, cost in costs.items():
                outputs = outputs_in(module, images, precision).numpy()
                report = compare_outputs(reference, outputs, precision, plain, rounded=cost)
                count.unseen[precision] += report.passed
            stored = {name: tensor.numpy() for name, tensor in floating(module).items()}
            count.unaudited += not audit_weights(source, stored, (), "fp32").wrong
    return counts


def row(name: str, kind: str, count: Counts) -> str:
    assert count.unseen is not None
    shares = [_share(count.unseen[precision], count.tried) for precision in PRECISIONS]
    cells = [name, kind, str(count.tried), str(count.no_effect), *shares]
    return f"| {' | '.join([*cells, _share(count.unaudited, count.tried)])} |"


def _share(unseen: int, tried: int) -> str:
    if not tried:
        return "-"
    return f"{100 * unseen / tried:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_host()
    columns = ("model", "fault", "tried", "none", *(f"unseen {p}" for p in PRECISIONS), "audit")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    totals = {kind: Counts(unseen=dict.fromkeys(PRECISIONS, 0)) for kind in KINDS}
    for named in options.models.split(","):
        name, _, pixels = named.partition("@")
        size = None
        if pixels:
            size = (int(pixels), int(pixels))
        build = BuildOptions(image_size=size)
        built, _ = load_model(f"timm:{name}", build, None, allow_partial=False)
        for kind, count in try_faults(built, options.faults, options.seed).items():
            print(row(named, kind, count), flush=True)
            total = totals[kind]
            total.tried += count.tried
            total.no_effect += count.no_effect
            total.unaudited += count.unaudited
            for precision in PRECISIONS:
                assert total.unseen is not None
                assert count.unseen is not None
                total.unseen[precision] += count.unseen[precision]
    for kind, total in totals.items():
        print(row("all", kind, total), flush=True)


if __name__ == "__main__":
    main()
