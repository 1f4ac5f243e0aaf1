"""What does parity not see? The share of single wrong tensors that pass it, by kind and precision.

A model is built with the random weights that an export gives it. Then one tensor at a time is made
wrong, as an exporter's fault would: dropped (zeros; ones where it is the weight of a norm or a
variance), of the other sign, transposed (square matrices), exchanged with another tensor of its
shape, or 5 % too large. The faulty model's outputs, computed in fp32 or with every number rounded
to fp16 or bf16, go through the product's own parity against the right model's fp32 outputs and the
precision's cost on the right model. ``unseen`` is the share of the faults that pass. A fault that
moves the fp32 outputs by less than float32 rounds (two biases that are added to the same sum,
exchanged) is no fault: it is counted by itself, as ``none``.

That is parity alone. The audit of the weights has columns of its own. ``audit named`` is the share
of the same faults that it does not refuse in a format that keeps the names of all tensors, as a
pytorch artifact does. ``audit onnx`` is its share in the ONNX graph that the product's exporter
writes of the model in fp16, where the matrices of linear layers are stored transposed, under other
names; a tensor that is wrong there is named as not found, which refuses nothing. ``onnx fp16`` and
``onnx bf16`` are what neither parity nor that audit refuses.

    python -m benchmarks.blind_spots [--models resnet18@96,test_vit] [--faults 40] [--seed 0]

``NAME@PIXELS`` is a timm model at that image size. ``--faults`` are of each kind and model.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.trials import print_host
from deploybench.artifacts.parity import compare_outputs, plain_images
from deploybench.artifacts.weights_audit import WRAPPER, Array, Folded, audit_weights
from deploybench.contracts import ExportSpec
from deploybench.contracts.registry import exporter
from deploybench.models.folding import find_folds
from deploybench.models.loading import load_model, reference_images
from deploybench.models.outputs import NamedOutputs
from deploybench.models.precision_cost import DTYPES, exact, outputs_in
from deploybench.models.source import BuildOptions, BuiltModel

MODELS = (
    "resnet18@64,mobilenetv3_small_050@96,vit_tiny_patch16_224@64,test_convnext@64,"
    "xcit_nano_12_p16_224@64,regnetx_002@64,efficientnet_b0@96,densenet121@64,poolformer_s12@64,"
    "resmlp_12_224@64,test_vit@64,levit_128s@64,repvgg_a0@64,ghostnet_050@64,test_efficientnet@64"
)
KINDS = ("dropped", "sign", "transposed", "swapped", "x1.05")
PRECISIONS = ("fp32", "fp16", "bf16")
COUNTED = (*PRECISIONS, "audit named", "audit onnx", "onnx fp16", "onnx bf16")
"""What a fault may pass: parity in a precision, an audit, or both."""
NO_EFFECT = 1e-5
"""Of the spread, in fp32: below it a fault changes nothing that float32 itself does not."""


@dataclass(frozen=True)
class Fault:
    """A tensor by name, and the one that it is exchanged with."""

    kind: str
    name: str
    other: str = ""


def _none_yet() -> dict[str, int]:
    return dict.fromkeys(COUNTED, 0)


@dataclass
class Counts:
    """Of one kind: how many had an effect, had none, and passed, by column of the table."""

    tried: int = 0
    no_effect: int = 0
    unseen: dict[str, int] = field(default_factory=_none_yet)

    def add(self, others: Counts) -> None:
        self.tried += others.tried
        self.no_effect += others.no_effect
        for column, unseen in others.unseen.items():
            self.unseen[column] += unseen


@dataclass(frozen=True)
class Graph:
    """What the ONNX exporter writes of a model in fp16: its tensors by the names in the file.

    ``source`` are the model's, cast; ``own`` says under which name of the file each stands there as
    it is.
    """

    stored: Mapping[str, Array]
    source: Mapping[str, Array]
    own: Mapping[str, str]
    folds: tuple[Folded, ...]

    @classmethod
    def of(cls, module: torch.nn.Module, images: torch.Tensor) -> Graph:
        folds = find_folds(module, images[:1])
        half = NamedOutputs(copy.deepcopy(module), torch.float16, [()]).eval()
        plugin = exporter("onnx").require()
        with tempfile.TemporaryDirectory() as folder:
            spec = ExportSpec(precision="fp16", options=plugin.default_options())
            files = plugin.export(half, images[:2].contiguous(), spec, Path(folder))
            stored = plugin.stored_tensors(Path(folder) / files.entry)
        assert stored is not None
        source = {name: half_precision(tensor) for name, tensor in floating(module).items()}
        own = {}
        for stored_name, tensor in stored.items():
            name = stored_name.removeprefix(WRAPPER)
            if name in source and np.array_equal(source[name], tensor):
                own[name] = stored_name
        return cls(stored, source, own, folds)

    def is_refused(self, fault: Fault, faulty_tensors: Mapping[str, torch.Tensor]) -> bool:
        """Whether the audit refuses the file with the fault in it.

        What the file has under another name is left right there: the audit would not find the
        wrong values, which it says, and refuses nothing.
        """
        stored = dict(self.stored)
        for name in (fault.name, fault.other):
            if name in self.own:
                stored[self.own[name]] = half_precision(faulty_tensors[name])
        return bool(audit_weights(self.source, stored, self.folds, "fp16").wrong)


def half_precision(tensor: torch.Tensor) -> Array:
    values: Array = tensor.half().float().numpy()
    return values


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
    graph = Graph.of(module, images)
    counts = {kind: Counts() for kind in KINDS}
    for fault in faults_of(module, each, seed):
        count = counts[fault.kind]
        with faulty(module, fault):
            outputs = module(images).numpy()
            report = compare_outputs(reference, outputs, "fp32", plain, rounded=exact_outputs)
            if report.max_error is not None and report.max_error < NO_EFFECT:
                count.no_effect += 1
                continue
            count.tried += 1
            count.unseen["fp32"] += report.passed
            tensors = floating(module)
            unaudited = not graph.is_refused(fault, tensors)
            count.unseen["audit onnx"] += unaudited
            for precision, cost in costs.items():
                outputs = outputs_in(module, images, precision).numpy()
                report = compare_outputs(reference, outputs, precision, plain, rounded=cost)
                count.unseen[precision] += report.passed
                count.unseen[f"onnx {precision}"] += report.passed and unaudited
            stored = {name: tensor.numpy() for name, tensor in tensors.items()}
            count.unseen["audit named"] += not audit_weights(source, stored, (), "fp32").wrong
    return counts


def row(name: str, kind: str, count: Counts) -> str:
    shares = [_share(count.unseen[column], count.tried) for column in COUNTED]
    cells = [name, kind, str(count.tried), str(count.no_effect), *shares]
    return f"| {' | '.join(cells)} |"


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
    columns = ("model", "fault", "tried", "none", *COUNTED)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    totals = {kind: Counts() for kind in KINDS}
    for named in options.models.split(","):
        name, _, pixels = named.partition("@")
        size = None
        if pixels:
            size = (int(pixels), int(pixels))
        build = BuildOptions(image_size=size)
        built, _ = load_model(f"timm:{name}", build, None, allow_partial=False)
        for kind, count in try_faults(built, options.faults, options.seed).items():
            print(row(named, kind, count), flush=True)
            totals[kind].add(count)
    for kind, total in totals.items():
        print(row("all", kind, total), flush=True)


if __name__ == "__main__":
    main()
