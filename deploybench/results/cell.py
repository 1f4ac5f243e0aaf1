"""The cell: what was asked.

One artifact on one runner with one batch size, thread budget and precision.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, TypeVar

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


@dataclass(frozen=True)
class CellOption:
    """How an option of a cell is typed, shown and compared; it stands beside the field.

    ``flag`` is the option of ``deploybench run``; ``name`` is the short name that ``--allow``
    takes, and the mark of the option in tables and in the names of records; ``title`` says it in
    whole words. With ``same_means`` two cells that differ in it are never compared for a speed-up.
    """

    flag: str
    name: str
    title: str
    same_means: bool = False


class CellOptions(Document):
    """What a cell may ask for beyond what every runner obeys, each off unless it is asked for.

    An option is declared here, once: records, jobs, tables, ``compare`` and the command that
    repeats a cell follow from its :class:`CellOption`. ``docs/how-to-add-a-cell-option.md`` says
    what else it takes.
    """

    cuda_graph: Annotated[bool, CellOption("--cuda-graph", "graph", "CUDA graph")] = Field(
        False, description="every call of the engine is one launch of a captured CUDA graph"
    )

    @classmethod
    def declared(cls) -> dict[str, CellOption]:
        """Every option by the name of its field."""
        found = {}
        for name, field in cls.model_fields.items():
            for item in field.metadata:
                if isinstance(item, CellOption):
                    found[name] = item
        return found

    @property
    def option_values(self) -> dict[str, bool | int | str]:
        """The value of every option by the name of its field."""
        return {name: getattr(self, name) for name in self.declared()}

    @property
    def chosen_options(self) -> dict[str, bool | int | str]:
        """The options whose value is not the default."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in self.option_values.items()
            if value != fields[name].default
        }

    @property
    def option_marks(self) -> list[str]:
        """The chosen options in short, for a table: ``graph``."""
        declared = self.declared()
        return [_said(declared[name].name, value) for name, value in self.chosen_options.items()]

    @property
    def option_titles(self) -> list[str]:
        """The chosen options in whole words: ``CUDA graph``."""
        declared = self.declared()
        return [_said(declared[name].title, value) for name, value in self.chosen_options.items()]

    @property
    def option_arguments(self) -> list[str]:
        """The words of a command line that choose these options: ``--cuda-graph``."""
        declared = self.declared()
        words = []
        for name, value in self.chosen_options.items():
            words.append(declared[name].flag)
            if not isinstance(value, bool):
                words.append(str(value))
        return words

    def obeyed(self: C, names: Collection[str]) -> C:
        """Those of the options that stand in ``names``; the others have their defaults."""
        kept = {name: value for name, value in self.option_values.items() if name in names}
        return type(self).model_validate(kept)


def _said(words: str, value: bool | int | str) -> str:
    """A switch is said by its name alone."""
    return words if isinstance(value, bool) else f"{words} {value}"


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
        """What tells the cells of one run apart: the artifact itself, where two are of the same
        form."""
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
        options = self.declared()
        means = [
            *("device", "batch", "threads", "streams", "timing"),
            *(name for name in options if options[name].same_means),
        ]
        return all(getattr(self, name) == getattr(other, name) for name in means)

    def title(self) -> str:
        several = f" x {self.streams} streams" if self.streams > 1 else ""
        timing = f" {self.timing}" if self.timing != TIMINGS[0] else ""
        device = f" on {self.device}" if self.device != CPU else ""
        options = "".join(f" {words}" for words in self.option_titles)
        return (
            f"{self.model} {self.runner}{device} {self.precision} batch "
            f"{self.batch}{several}{timing}{options}"
        )
