"""The cell: what was asked.

One artifact on one runner with one batch size, thread budget and precision.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import Field

from deploybench.documents import Document
from deploybench.hardware.devices import CPU

C = TypeVar("C", bound="CellOptions")

HOST_TO_HOST, ENGINE_ONLY, END_TO_END = "host-to-host", "engine-only", "end-to-end"
TIMINGS = (HOST_TO_HOST, ENGINE_ONLY, END_TO_END)
"""What a sample times; ``deploybench.measure.calls`` says what is in each."""
DEFAULT_BASELINE = "pytorch"
"""The runner that others are compared with, unless the user names another."""
BASELINE_PRECISION = "fp32"
MIXED = "mixed"
"""In the form of an int8 artifact, before how many of its layers stay in float."""


def precision_name(precision: str, form: str) -> str:
    """What people call the precision of an artifact of that form: int8 with layers in float is
    ``int8-mixed``."""
    if any(part.startswith(MIXED) for part in form.split("-")):
        return f"{precision}-{MIXED}"
    return precision


@dataclass(frozen=True)
class CellOption:
    """How an option of a cell is typed, shown and compared; it stands beside the field.

    ``flag`` is the option of ``deploybench run``; ``name`` is the short name that ``--allow``
    takes, and the mark of the option in tables and in the names of records; ``title`` says it in
    whole words. With ``same_means`` two cells that differ in it are never compared for a speed-up.
    With ``of_process`` it is an option of the worker's process, which the harness sees to: every
    runner obeys it.
    """

    flag: str
    name: str
    title: str
    same_means: bool = False
    of_process: bool = False


class CellOptions(Document):
    """What a cell may ask for beyond what every runner obeys, each off unless it is asked for.

    An option is declared here, once: records, jobs, tables, ``compare`` and the command that
    repeats a cell follow from its :class:`CellOption`. ``docs/how-to-add-a-cell-option.md`` says
    what else it takes.
    """

    cuda_graph: Annotated[bool, CellOption("--cuda-graph", "graph", "CUDA graph")] = Field(
        False, description="every call of the engine is one launch of a captured CUDA graph"
    )
    spinning: Annotated[
        Literal["default", "on", "off"], CellOption("--spinning", "spinning", "spinning")
    ] = Field("default", description="whether idle threads spin, or what the runtime does itself")
    arena: Annotated[Literal["on", "off"], CellOption("--arena", "arena", "memory arena")] = Field(
        "on", description="ONNX Runtime's arena of CPU memory, and its memory patterns with it"
    )
    graph_level: Annotated[
        Literal["all", "extended", "basic", "none"],
        CellOption("--graph-level", "level", "graph level"),
    ] = Field("all", description="how far ONNX Runtime optimises the graph when it loads it")
    openvino_hint: Annotated[
        Literal["latency", "throughput", "none"],
        CellOption("--openvino-hint", "hint", "performance hint"),
    ] = Field("latency", description="OpenVINO's performance hint")
    memory_format: Annotated[
        Literal["default", "channels_last", "contiguous"],
        CellOption("--memory-format", "layout", "memory format"),
    ] = Field("default", description="how PyTorch's runners lay out weights and images")
    allocator: Annotated[
        Literal["default", "jemalloc", "tcmalloc", "mimalloc"],
        CellOption("--allocator", "malloc", "allocator", of_process=True),
    ] = Field("default", description="whose malloc the worker's process uses")
    huge_pages: Annotated[
        Literal["default", "on"],
        CellOption("--huge-pages", "huge-pages", "huge pages", of_process=True),
    ] = Field("default", description="whether malloc asks for transparent huge pages")
    convolutions: Annotated[
        Literal["searched", "heuristic"],
        CellOption("--convolutions", "convolutions", "convolution algorithms"),
    ] = Field(
        "searched",
        description="how cuDNN's algorithms are chosen on a GPU: searched (each is timed when the "
        "model is loaded) or heuristic",
    )

    stack: Annotated[
        str, CellOption("--environment", "stack", "in the environment", of_process=True)
    ] = Field("present", description="the interpreter of the worker: see deploybench env list")

    @classmethod
    def declared(cls) -> dict[str, CellOption]:
        """Every option by the name of its field."""
        options = {}
        for name, field in cls.model_fields.items():
            for annotation in field.metadata:
                if isinstance(annotation, CellOption):
                    options[name] = annotation
        return options

    @classmethod
    def values_of(cls, field: str) -> tuple[str, ...]:
        """The only values of an option; empty where it is a switch or a number.

        KeyError for what is no option.
        """
        return get_args(cls.model_fields[field].annotation)

    @classmethod
    def of_process(cls) -> frozenset[str]:
        """The options that every runner obeys, because the harness sees to them."""
        return frozenset(name for name, option in cls.declared().items() if option.of_process)

    @property
    def option_values(self) -> dict[str, bool | int | str]:
        """The value of every option by the name of its field."""
        return {name: getattr(self, name) for name in self.declared()}

    @property
    def chosen_options(self) -> dict[str, bool | int | str]:
        """The options whose value is not the default."""
        fields = type(self).model_fields
        chosen = {}
        for name, value in self.option_values.items():
            if value != fields[name].default:
                chosen[name] = value
        return chosen

    @property
    def option_marks(self) -> list[str]:
        """The chosen options in short, for a table: ``graph``."""
        declared = self.declared()
        chosen = self.chosen_options.items()
        return [_with_value(declared[name].name, value) for name, value in chosen]

    @property
    def option_titles(self) -> list[str]:
        """The chosen options in whole words: ``CUDA graph``."""
        declared = self.declared()
        chosen = self.chosen_options.items()
        return [_with_value(declared[name].title, value) for name, value in chosen]

    @property
    def option_arguments(self) -> list[str]:
        """What on a command line chooses these options: ``--cuda-graph``."""
        declared = self.declared()
        arguments = []
        for name, value in self.chosen_options.items():
            arguments.append(declared[name].flag)
            if not isinstance(value, bool):
                arguments.append(str(value))
        return arguments

    def obeyed(self: C, names: Collection[str]) -> C:
        """Those of the options that stand in ``names``; the others have their defaults."""
        kept = {name: value for name, value in self.option_values.items() if name in names}
        return type(self).model_validate(kept)


def _with_value(option: str, value: bool | int | str) -> str:
    """The option with its value; a switch by its name alone."""
    if isinstance(value, bool):
        return option
    return f"{option} {value}"


class Cell(CellOptions):
    """What was asked: one artifact x runner x batch x streams x threads x precision on one device.

    ``threads`` is the budget of all ``streams`` together; ``timing`` says what one sample spans.
    """

    model: str
    weights: str
    weights_identity: str
    image_size: tuple[int, int]
    patch_size: int | None = Field(
        None, description="pixels, of a transformer whose attention sees all tokens"
    )
    backend: str
    form: str = Field(description="the artifact's own precision, batch and opset")
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    streams: int = 1
    timing: str = TIMINGS[0]
    image: str | None = Field(
        None, description="the file that end-to-end calls read: the start of its sha256"
    )
    artifact: str | None
    artifact_key: str | None

    @property
    def options(self) -> CellOptions:
        """The cell's options by themselves."""
        return CellOptions.model_validate(self.option_values)

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What has to be equal for two records to be of the same cell."""
        return (*self.work, self.form)

    @property
    def work(self) -> tuple[str | int, ...]:
        """The identity without the form of the artifact that does the work."""
        return (
            *self.group,
            self.backend,
            self.runner,
            self.device,
            self.precision,
            self.batch,
            self.threads,
            self.streams,
            self.timing,
            self.image or "",
            *self.option_values.values(),
        )

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What tells the cells of one run apart.

        That takes the artifact itself, because two of them may be of the same form.
        """
        return (self.artifact, *self.identity)

    @property
    def group(self) -> tuple[str | int, ...]:
        """Cells of one group do the same job: the same model, weights, image and patch size."""
        return (self.model, self.weights_identity, *self.image_size, self.patch_size or 0)

    def same_job(self, other: Cell) -> bool:
        """Whether both do the same work with the same means, on whatever runner."""
        return self.group == other.group and self.same_means(other)

    def same_means(self, other: Cell) -> bool:
        """Whether both have the same device and threads, and are timed alike."""
        for name, option in self.declared().items():
            if option.same_means and self.option_values[name] != other.option_values[name]:
                return False
        return self._means == other._means

    @property
    def _means(self) -> tuple[str | int, ...]:
        return (self.device, self.batch, self.threads, self.streams, self.timing)

    @property
    def precision_name(self) -> str:
        """The precision as it is shown: ``int8-mixed`` where layers stay in float."""
        return precision_name(self.precision, self.form)

    def title(self) -> str:
        """The cell in one line; what is as usual goes without saying."""
        parts = [self.model, self.runner]
        if self.device != CPU:
            parts.append(f"on {self.device}")
        parts += [self.precision_name, f"batch {self.batch}"]
        if self.streams > 1:
            parts.append(f"x {self.streams} streams")
        if self.timing != HOST_TO_HOST:
            parts.append(self.timing)
        return " ".join([*parts, *self.option_titles])
