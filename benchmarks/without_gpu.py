"""Every model of the zoo on a GPU that is not there: what would stay on the CPU is found here, not
on the user's card.

    python -m benchmarks.without_gpu [--models zoo] [--out docs/without-gpu.md]

Three forms of each model are moved as the runners move them, and run: the module itself and the
program of torch.export on PyTorch's fake tensors, which compute shapes and devices and no numbers,
with the device ``cuda:0``; the TorchScript that the exporter writes, which fake tensors do not
reach, on the device ``meta``, unoptimised. An operator that is given tensors of two devices fails
as it would on a card. Needs a PyTorch that was built for CUDA; no GPU and no driver. An operator
that PyTorch does not have for the device ``meta`` says nothing of a GPU: such a form was not tried.
Exit 1 where a form of a model fails. Rows of models that were not asked for stay as they are in the
file.
"""

from __future__ import annotations

import argparse
import gc
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from deploybench.contracts import ExportSpec
from deploybench.exporters.torch_export import export_program
from deploybench.exporters.torchscript import frozen_trace
from deploybench.hardware.devices import CPU
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions, expand_groups
from deploybench.runners.torch_export import moved
from deploybench.runners.torchscript import numbers_of_sizes, read_script

GPU, NOWHERE = "cuda:0", "meta"
IMAGES = 2
GOOD = "ok"
UNTRIED = "not tried"
Problem = str | None
INTRODUCTION = """# The zoo on a GPU that is not there

`python -m benchmarks.without_gpu` moves every model of the zoo to a GPU and runs it, on a machine
without one. The module and the program of torch.export run on PyTorch's fake tensors with the
device `cuda:0`: shapes and devices are computed, numbers are not. The TorchScript that is
exported runs on the device `meta`. An operator that is given tensors of two devices fails here as
it would on a card, so a constant that stays on the CPU is found; one by which sizes are counted has
to stay there, or every call would wait for the GPU. Kernels, numbers, memory and times are not
tried: [gpu-results.md](gpu-results.md) is for these.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="zoo")
    parser.add_argument("--out", type=Path, default=Path("docs/without-gpu.md"))
    options = parser.parse_args()
    if torch.version.cuda is None:
        sys.exit(f"PyTorch {torch.__version__} is a build for the CPU: install one for CUDA")
    rows = {}
    if options.out.exists():
        rows = rows_in(options.out.read_text())
    failed = False
    for name in expand_groups(options.models.split(",")):
        found = problems_of(name)
        failed |= any(problem and not problem.startswith(UNTRIED) for problem in found.values())
        rows[name] = row(name, found)
        print(rows[name], flush=True)
        options.out.write_text(document(rows))
        gc.collect()
    sys.exit(1 if failed else 0)


def problems_of(name: str) -> dict[str, Problem]:
    """What stops each form of the model on a GPU, by the form; None where nothing does."""
    built, _ = load_model(name, BuildOptions(), None, allow_partial=False)
    spec = built.preprocessing
    images = torch.zeros(IMAGES, spec.channels, spec.height, spec.width)
    return {form: problem_of(try_out, built.module, images) for form, try_out in FORMS.items()}


def run_module(module: nn.Module, images: torch.Tensor) -> None:
    """The module with its parameters and buffers on the GPU: what ``module.to`` moves."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        tensors = {
            name: mode.from_tensor(tensor, static_shapes=True).to(GPU)
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
        }
        there = torch.empty(images.shape, device=GPU)
        torch.func.functional_call(module, tensors, (there,))


def run_program(module: nn.Module, images: torch.Tensor) -> None:
    """The exported program, moved as its runner moves it."""
    program = export_program(module, images, ExportSpec())
    traced = [node.meta["val"] for node in program.graph.nodes if "val" in node.meta]
    # The tensors that the graph was traced with belong to a mode of their own; two do not mix.
    mode = traced[0].fake_mode
    for part in (program.state_dict, program.constants):
        for name, tensor in part.items():
            if isinstance(tensor, torch.Tensor):
                part[name] = mode.from_tensor(tensor, static_shapes=True)
    with mode:
        moved(program, GPU).module()(torch.empty(images.shape, device=GPU))


def run_script(module: nn.Module, images: torch.Tensor) -> None:
    """The frozen graph, written, read and moved as its exporter and its runner do it."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the format's age
        torch.jit.save(frozen_trace(module, images), written)
    written.seek(0)
    here = read_script(written, CPU)
    numbers = [constant.t("value") for constant in numbers_of_sizes(here.graph)]
    written.seek(0)
    with _constants_told_apart():
        script = read_script(written, NOWHERE, numbers)
    # As it stands: what makes a graph faster looks at numbers that are not there.
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        script(torch.empty(images.shape, device=NOWHERE))


@contextmanager
def _constants_told_apart() -> Iterator[None]:
    """Within it two tensors on the device meta are equal where they are one.

    Where TorchScript reads a graph, it looks for constants that are equal, to keep one of them.
    Without numbers nobody can tell: then it keeps both, which computes the same.
    """
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("equal", lambda one, other: one is other, "Meta")
        yield


FORMS: dict[str, Callable[[nn.Module, torch.Tensor], None]] = {
    "module": run_module,
    "torch-export": run_program,
    "torchscript": run_script,
}


def problem_of(
    try_out: Callable[[nn.Module, torch.Tensor], None], module: nn.Module, images: torch.Tensor
) -> Problem:
    """What stops one form of the module, in a line; None where it runs."""
    try:
        try_out(module, images)
    except NotImplementedError as error:
        missing = re.search(r"(aten::\S+): attempted to run this operator with Meta", str(error))
        if missing is None:
            return f"NotImplementedError: {str(error).splitlines()[-1]}"
        return f"{UNTRIED}: {missing[1]} has no form for the device meta"
    except Exception as error:  # torch may raise anything; the row carries its words
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
    return None


def row(name: str, problems: dict[str, Problem]) -> str:
    """A line of the table."""
    cells = [(problems[form] or GOOD).replace("|", "\\|") for form in FORMS]
    return f"| {' | '.join([name, *cells])} |"


def rows_in(text: str) -> dict[str, str]:
    """The lines of the table in a document, by the model."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines[1:]}


def document(rows: Mapping[str, str]) -> str:
    """The Markdown of the table, with how many forms of how many models ran, and which models of
    the zoo were not tried."""
    good = sum(line.count(f"| {GOOD} ") for line in rows.values())
    counted = f"{good} of {len(rows) * len(FORMS)} forms of {len(rows)} models ran"
    summary = f"PyTorch {torch.__version__}: {counted}."
    untried = [name for name in expand_groups(["zoo"]) if name not in rows]
    if untried:
        summary += f" Not tried: {', '.join(untried)}."
    head = [f"| model | {' | '.join(FORMS)} |", "|---" * (len(FORMS) + 1) + "|"]
    return "\n".join([INTRODUCTION, summary, "", *head, *rows.values(), ""])


if __name__ == "__main__":
    main()
