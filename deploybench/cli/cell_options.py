"""The options of a cell as they are typed. What each does stands in ``docs/options.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse

if TYPE_CHECKING:
    from deploybench.results.cell import CellOptions

CudaGraphOption = Annotated[
    bool,
    typer.Option(
        "--cuda-graph", help="Runners that can launch the engine as one CUDA graph do so."
    ),
]
SpinningOption = Annotated[
    str, typer.Option("--spinning", help="Whether idle threads spin: default, on, off.")
]
ArenaOption = Annotated[
    str, typer.Option("--arena", help="ONNX Runtime's arena of CPU memory: on, off.")
]
GraphLevelOption = Annotated[
    str,
    typer.Option(
        "--graph-level", help="How far ONNX Runtime optimises: all, extended, basic, none."
    ),
]
OpenVinoHintOption = Annotated[
    str,
    typer.Option("--openvino-hint", help="OpenVINO's hint: latency, throughput, none."),
]
MemoryFormatOption = Annotated[
    str,
    typer.Option(
        "--memory-format", help="Layout in PyTorch's runners: default, channels_last, contiguous."
    ),
]
AllocatorOption = Annotated[
    str,
    typer.Option("--allocator", help="Preloaded malloc: default, jemalloc, tcmalloc, mimalloc."),
]
HugePagesOption = Annotated[
    str, typer.Option("--huge-pages", help="malloc in transparent huge pages: default, on.")
]
ConvolutionsOption = Annotated[
    str,
    typer.Option(
        "--convolutions",
        help="On a GPU, how cuDNN's algorithms are chosen: searched (each is timed while loading) "
        "or heuristic.",
    ),
]
EnvironmentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--environment",
        help="Interpreters of deploybench env list, side by side: present,tensorrt85. "
        "[default: present]",
    ),
]


def read(**given: str | bool) -> CellOptions:
    """The options by the names of their fields.

    Raises DeployBenchError for a value that an option does not have.
    """
    from deploybench.results.cell import CellOptions

    declared = CellOptions.declared()
    for field, value in given.items():
        values = CellOptions.values_of(field)
        if values:
            parse.choice(str(value), declared[field].flag, values)
    return CellOptions.model_validate(given)
