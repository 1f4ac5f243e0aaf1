"""int8 for PyTorch's own compilers, by torchao's quantiser for x86 (PT2E).

Static: activations by tensor, weights by channel, ranges from the calibration images. What comes
out is a program with quantisation around float operators: TorchInductor makes 8-bit kernels of it
where it recognises the pattern, and computes the rest in float without a word. So the compiled code
is searched for these kernels, and refused where there is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from deploybench.contracts import ExportSpec
from deploybench.contracts.layers import module_name
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .bias_correction import Biases, norms_of
from .float_layers import Batch, Infer, Judge, float_layers
from .quantisation import images_of, kept_layers, range_of_weights

if TYPE_CHECKING:
    import torch

FREEZING = {"freezing": True}
"""TorchInductor packs 8-bit weights only where they are constants."""
KERNEL = re.compile(rb"aoti_torch_cpu_+(qconv|qlinear)\w*\(")
"""A call of one of oneDNN's 8-bit kernels, in the code of a package."""
KERNELS = "int8_kernels"
"""The fact of a manifest that counts them."""


def quantised_program(
    model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
) -> tuple[torch.export.ExportedProgram, dict[str, str | int], tuple[str, ...]]:
    """The program with quantisation in it; facts; and the layers that stay in float.

    Where the spec leaves these to be found, what is held against fp32 eager in the artifact's
    folder ``out`` is the program before it is compiled, whose rounding is that of the kernels.
    """
    try:
        import torchao
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
            X86InductorQuantizer,
            get_default_x86_inductor_quantization_config,
        )
    except ImportError as error:
        raise DeployBenchError(
            "int8 for PyTorch needs torchao 0.18 or later, which is not here",
            action='pip install "torchao>=0.18"',
        ) from error
    import torch

    from .torch_export import export_program

    judge = Judge.of(model, spec, out)
    biases = Biases(model, spec, norms_of(model, example))
    images = images_of(spec)
    batches = whole_batches(images.pixels, spec.batch or len(example))
    reduced, range_words = range_of_weights(spec)
    names = {}
    for path, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            names[path] = [module_name(path) or path]
    biases.leave_in_float(lambda: names)
    biases.quantise_only({name for known in names.values() for name in known})
    # The last attempt only: an earlier program shares its parameters with the model, whose biases
    # were changed since, and is no longer the one that was judged.
    last: dict[tuple[str, ...], tuple[torch.nn.Module, tuple[str, ...]]] = {}

    def attempt(layers: Sequence[str]) -> Infer:
        biases.correct(layers)
        kept = kept_layers(spec.keep_fp32, names, layers)
        quantizer = X86InductorQuantizer()
        quantizer.set_global(get_default_x86_inductor_quantization_config(reduce_range=reduced))
        for path in kept:
            quantizer.set_module_name_qconfig(path, None)
        prepared = prepare_pt2e(export_program(model, example, spec).module(), quantizer)
        for batch in batches:
            prepared(torch.from_numpy(batch))
        converted = convert_pt2e(prepared)
        last.clear()
        last[tuple(layers)] = converted, tuple(kept.values())
        return _runs(converted, spec)

    layers = float_layers(biases, spec, judge, attempt)
    if layers not in last:
        attempt(layers)
    converted, kept = last[layers]
    facts: dict[str, str | int] = {
        **biases.facts,
        "calibration": images.told.words,
        "int8_range": range_words,
        "torchao": torchao.__version__,
        "int8_layers": len(names) - len(kept),
    }
    return export_program(converted, example, spec), facts, kept


def _runs(program: torch.nn.Module, spec: ExportSpec) -> Infer:
    import torch

    def infer(batch: Batch) -> dict[str, Any]:
        with torch.no_grad():
            outputs = program(torch.from_numpy(batch))
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        return {
            name: output.numpy() for name, output in zip(spec.output_names, outputs, strict=True)
        }

    return infer


def kernels_in(package: Path) -> Counter[str]:
    """The calls of 8-bit kernels in the code of an AOTInductor package, by their kind."""
    found: Counter[str] = Counter()
    with ZipFile(package) as archive:
        for name in archive.namelist():
            if name.endswith(".cpp"):
                for call in KERNEL.finditer(archive.read(name)):
                    found[call[1].decode()] += 1
    return found


def check_kernels(kernels: Counter[str]) -> str:
    """The kernels in words. Raises DeployBenchError where there is none."""
    if not kernels:
        raise DeployBenchError(
            "TorchInductor compiled this int8 program without any 8-bit kernel",
            expected="convolutions or products in oneDNN's qconv or qlinear",
            action="export int8 for another backend: onnx, openvino",
        )
    return ", ".join(f"{count} {kind}" for kind, count in kernels.most_common())
