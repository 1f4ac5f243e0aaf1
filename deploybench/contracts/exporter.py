"""The exporter: writes a model as an artifact of one format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts.plugin import Plugin
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from deploybench.artifacts.calibration import CalibrationImages
    from deploybench.artifacts.preprocessing import Preprocessing

INPUT_NAME = "input"
OUTPUT_NAME = "logits"
"""Of the one output of a model that returns no more; several have names of their own."""


OptionValue = bool | int | float | str


@dataclass(frozen=True)
class ExportOption:
    """An option that an exporter takes beside those of every export: ONNX's opset, say.

    On the command line it is ``--option NAME=VALUE``, in :attr:`ExportSpec.options` it stands by
    its ``name``. ``kind`` is ``int``, ``float``, ``str`` or ``bool``. ``allowed`` are the only
    values (empty: any of the kind), ``least`` is the smallest number. ``default`` is what the
    exporter is given when nobody says; None leaves it to the exporter, and is part of no key.
    """

    name: str
    kind: type[OptionValue]
    help: str
    allowed: Collection[OptionValue] = ()
    least: float | None = None
    default: OptionValue | None = None

    def read(self, value: OptionValue) -> OptionValue:
        """The value, from text where it came from a command line.

        Raises DeployBenchError for one that is not allowed.
        """
        read: OptionValue | None = value
        if isinstance(value, str):
            read = self._of_text(value)
        if read is None or not self._fits(read):
            raise DeployBenchError(f"{self.name} {value}", expected=self.described())
        return read

    def _fits(self, value: OptionValue) -> bool:
        if type(value) is not self.kind:  # isinstance would take True for a whole number
            return False
        if self.least is not None and not (isinstance(value, (int, float)) and value >= self.least):
            return False
        return not self.allowed or value in self.allowed

    def described(self) -> str:
        """What it takes, in words."""
        if self.allowed:
            return f"{self.name}: {self.help}; one of {', '.join(map(str, self.allowed))}"
        values = WORDS_OF_KINDS[self.kind]
        if self.least is not None:
            values += f" from {self.least:g}"
        return f"{self.name}: {self.help}; {values}"

    def _of_text(self, text: str) -> OptionValue | None:
        """The value that a text stands for; None where it stands for none of the kind."""
        if self.kind is bool:
            return {"true": True, "false": False}.get(text.lower())
        try:
            return self.kind(text)
        except ValueError:
            return None


REPARAMETERISE = ExportOption(
    "reparameterise", bool, "the branches of training blocks become one layer each, by timm"
)
"""Of an exporter of PyTorch modules: it is given the module so changed, and has nothing to do."""

WORDS_OF_KINDS: Mapping[type[OptionValue], str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


@dataclass(frozen=True)
class ExportSpec:
    """How an artifact is to be written. ``batch`` None means a dynamic batch dimension.

    ``threads`` is the CPU budget that the export process may use. ``target`` is the GPU to write
    for (``sm86``), None the one at hand. ``preprocessing`` says what the model's images are, for an
    exporter that calibrates on some. ``output_names`` are those of the tensors that the model
    returns, in order: one is a tensor, several are a tuple, the main one first;
    ``integer_outputs`` are those whose values are whole numbers. ``calibration`` are the
    images on which the ranges of int8 are found, ``keep_fp32`` patterns of the layers that stay in
    float there. ``options`` are those that the exporter declares, by name; :meth:`option` reads
    one. ``opset`` and ``ir_version`` are deprecated words for two of them.
    """

    precision: str = "fp32"
    batch: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    threads: int = 1
    target: str | None = None
    preprocessing: Preprocessing | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    output_names: tuple[str, ...] = (OUTPUT_NAME,)
    integer_outputs: frozenset[str] = frozenset()
    calibration: CalibrationImages | None = None
    keep_fp32: tuple[str, ...] = ()

    def option(self, name: str) -> OptionValue | None:
        """The value of an option; None where nobody gave one and it has no default."""
        deprecated = {"opset": self.opset, "ir_version": self.ir_version}.get(name)
        if deprecated is not None:
            return deprecated
        return self.options.get(name)

    def number(self, name: str) -> int | None:
        """The value of an option that is a whole number."""
        value = self.option(name)
        if value is None:
            return None
        return int(value)

    def with_options(self, **options: OptionValue) -> ExportSpec:
        """The same with other values for some options."""
        return replace(self, options={**self.options, **options}, opset=None, ir_version=None)


@dataclass(frozen=True)
class ExportedFiles:
    """What an exporter wrote: ``entry`` is the file that a runner opens, relative to the artifact.

    ``checked`` says what the exporter itself held against the reference, where the file may not run
    on its host. ``kept_fp32`` are the layers that were asked to stay in float, and did.
    """

    entry: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    checked: str = ""
    kept_fp32: tuple[str, ...] = ()


class Exporter(Plugin):
    """Writes an artifact of one format; the format is the exporter's name."""

    precisions: ClassVar[frozenset[str]] = frozenset({"fp32"})
    by_default: ClassVar[bool] = True
    """False: it writes only what ``--backend`` names."""
    takes_target: ClassVar[bool] = False
    """Whether what it writes is for one kind of GPU, which ``--target`` names."""
    options: ClassVar[tuple[ExportOption, ...]] = ()
    """What it takes beside the options of every export."""
    calibrates: ClassVar[bool] = False
    """Whether it writes int8 by ``spec.calibration`` and knows ``spec.keep_fp32``: it is then never
    asked for int8 without images."""
    preload: ClassVar[tuple[str, ...]] = ("torch",)
    """Modules that the process from which its exports are forked imports once for all of them."""

    def distributions_for(self, precision: str) -> tuple[str, ...]:
        """Those whose versions decide what it writes in a precision: part of the artifact key."""
        return self.distributions

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        """What of this host decides what it writes to that spec, beside :meth:`identity`: part of
        the artifact key. The spec has no images yet."""
        return {}

    def read_options(self, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """The options with the values that they stand for; texts are read.

        Raises DeployBenchError for one that it does not take, or for a value that is not allowed.
        """
        declared = {option.name: option for option in self.options}
        for name in given:
            if name not in declared:
                takes = "; ".join(option.described() for option in self.options)
                raise DeployBenchError(
                    f"the {self.name} exporter takes no option {name}",
                    expected=takes or "none: it has no options",
                )
        return {name: declared[name].read(value) for name, value in given.items()}

    def default_options(self) -> dict[str, OptionValue]:
        """What is given to :meth:`export` where nobody says."""
        defaults = {}
        for option in self.options:
            if option.default is not None:
                defaults[option.name] = option.default
        return defaults

    def check_target(self, target: str | None) -> None:
        """Raise DeployBenchError unless it can write here for that GPU (``sm86``).

        None is the one at hand, if any.
        """
        if target is not None:
            raise DeployBenchError(
                f"{self.name} artifacts are for no particular GPU, and --target asks for {target}",
                action=f"leave out --target, or --backend {self.name}",
            )

    def builds_for(self, target: str | None) -> bool:
        """Whether :meth:`check_target` finds nothing wrong with the target."""
        try:
            self.check_target(target)
        except DeployBenchError:
            return False
        return True

    @abstractmethod
    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        """Write ``model`` into the folder ``out``.

        ``model`` is in eval mode and takes and returns float32 whatever ``spec.precision`` is;
        ``example`` is a float32 batch of shape (batch, channels, height, width). The input is to be
        called :data:`INPUT_NAME` and the outputs ``spec.output_names`` where the format has names;
        where it has none, their order is kept.
        """

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]] | None:
        """The floating-point tensors of the file that it wrote, by their names in it, as float32.

        The export looks for the model's weights among them
        (:mod:`deploybench.artifacts.weights_audit`). None for a format that cannot be read.
        """
        return None
