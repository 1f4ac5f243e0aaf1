"""What the two TensorRT exporters share: from a module to an engine.

The way is: module -> typed ONNX, checked -> network -> optimisation profile -> engine.

``trt`` is the module ``tensorrt`` (8.5 to 11) or ``tensorrt_rtx``: one API, of which the versions
have parts. The precision is a part of the ONNX: tensors of the module cast to fp16 or bf16,
quantisation for int8. Where the builder still has a flag for a precision (8.5 to 10) it is set,
too: without it those refuse such tensors, and with it they may run a layer wider. From 11 on, and
in TensorRT-RTX, networks are always strongly typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from deploybench.contracts import INPUT_NAME, ExportedFiles, ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.hardware.gpus import Gpu, find_gpus
from deploybench.hardware.precisions import FIRST_CAPABILITIES

from .bias_correction import Biases, norms_of
from .float_layers import Judge
from .onnx import OnnxExporter
from .onnx_agreement import agreement
from .onnx_quantised import quantise_for
from .quantisation import images_of

if TYPE_CHECKING:
    import torch

ENTRY = "model.engine"
REQUIRES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime")
DISTRIBUTIONS = ("torch", "onnx", "onnxscript", "onnxruntime")
PRECISIONS = frozenset({"fp32", "tf32", "bf16", "fp16", "int8"})
PORTABLE_OPSET = 18
BF16_OPSET = 22
"""The first whose convolutions and poolings take bf16 (ONNX operator changelog)."""
OLDEST_WITH_TF32 = 10 * FIRST_CAPABILITIES["tf32"][0] + FIRST_CAPABILITIES["tf32"][1]
"""The flag is ignored before it."""
PRECISION_FLAGS = {"fp16": "FP16", "bf16": "BF16", "int8": "INT8"}
MOST_ERRORS = 8

Configure = Callable[[Any], None]


@dataclass(frozen=True)
class BatchSizes:
    """The batch sizes that an engine takes, and the one that it is tuned for."""

    smallest: int
    tuned: int
    largest: int


DYNAMIC = BatchSizes(1, 8, 32)
"""What a free batch dimension becomes. ``--batch N`` makes the engine that is best at N."""


@dataclass(frozen=True)
class BuildTarget:
    """What an engine is for.

    ``sm`` is the compute capability (86 is 8.6), ``name`` the GPU's where it is built on one.
    """

    sm: int
    name: str = ""


def first_gpu() -> Gpu | None:
    """The GPU that an engine without a target is built for."""
    gpus, _ = find_gpus()
    if not gpus:
        return None
    return gpus[0]


def write_engine(
    trt: ModuleType,
    model: torch.nn.Module,
    example: torch.Tensor,
    spec: ExportSpec,
    out: Path,
    device: BuildTarget,
    configure: Configure,
) -> ExportedFiles:
    """Write ``model`` as an engine for ``device`` into ``out``.

    ``configure`` completes the builder's configuration.

    Raises DeployBenchError when the ONNX fails parity or the library refuses it, with the library's
    words.
    """
    precision_flag(trt, spec.precision)
    if spec.precision == "tf32" and device.sm < OLDEST_WITH_TF32:
        raise DeployBenchError(
            f"sm{device.sm} has no tf32", expected=f"sm{OLDEST_WITH_TF32} or later"
        )
    batches = DYNAMIC
    if spec.batch:
        batches = BatchSizes(spec.batch, spec.batch, spec.batch)
    with TemporaryDirectory(prefix="deploybench-onnx-") as folder:
        typed = _typed_onnx(model, example, spec, Path(folder), out)
        checked = agreement(typed.path, spec, out)
        shape = tuple(example.shape[1:])
        engine = build(trt, typed.path, spec.precision, batches, shape, configure)
    (out / ENTRY).write_bytes(engine)
    facts = {
        **typed.facts,
        "tensorrt": str(trt.__version__),
        "sm": device.sm,
        "gpu": device.name,
        "batch_min": batches.smallest,
        "batch_opt": batches.tuned,
        "batch_max": batches.largest,
    }
    return ExportedFiles(ENTRY, facts, checked, kept_fp32=typed.kept_fp32)


def build(
    trt: Any,
    source: Path,
    precision: str,
    batches: BatchSizes,
    shape: tuple[int, ...],
    configure: Configure,
) -> bytes:
    """The engine of the ONNX file ``source``.

    ``shape`` is that of one image: (channels, height, width).
    """
    log = logger(trt)
    log.errors.clear()
    builder = trt.Builder(log)
    check_fast(builder, precision)
    network = builder.create_network(network_flags(trt))
    # The parser owns the weights: it has to live until the engine is built.
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(source)):
        errors = [described(parser.get_error(index)) for index in range(parser.num_errors)]
        distinct = list(dict.fromkeys(errors))
        raise DeployBenchError(
            f"TensorRT's ONNX parser does not take the graph: {_joined(distinct)}"
        )
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    sizes = (batches.smallest, batches.tuned, batches.largest)
    profile.set_shape(INPUT_NAME, *((size, *shape) for size in sizes))
    config.add_optimization_profile(profile)
    set_precision(trt, config, precision)
    configure(config)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise DeployBenchError(f"TensorRT {trt.__version__} built no engine: {_joined(log.errors)}")
    return bytes(engine)


def precision_flag(trt: Any, precision: str) -> Any:
    """The builder's flag that allows the precision.

    None where networks are strongly typed, and for fp32 and tf32. Raises DeployBenchError where
    there are such flags, but none for this precision (bf16 before TensorRT 9).
    """
    name = PRECISION_FLAGS.get(precision)
    if name is None or not hasattr(trt.BuilderFlag, "FP16"):
        return None
    if not hasattr(trt.BuilderFlag, name):
        raise DeployBenchError(
            f"TensorRT {trt.__version__} has no {precision}",
            action="choose another --precision, or a newer TensorRT",
        )
    return getattr(trt.BuilderFlag, name)


def set_precision(trt: Any, config: Any, precision: str) -> None:
    """TF32 is on by default: fp32 is fp32 only when it is cleared."""
    flag = precision_flag(trt, precision)
    if flag is not None:
        config.set_flag(flag)
    if precision == "tf32":
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)


def check_fast(builder: Any, precision: str) -> None:
    """Refuse a precision that the GPU has no fast arithmetic for.

    The builder would silently take a wider one.
    """
    question = f"platform_has_fast_{precision}"
    if precision in PRECISION_FLAGS and not getattr(builder, question, True):
        raise DeployBenchError(
            f"this GPU has no fast {precision}: {question} is False, and TensorRT would compute in "
            f"fp32",
            action="choose another --precision",
        )


def network_flags(trt: Any) -> int:
    """Batch dimensions are explicit: by a flag up to TensorRT 10, always since."""
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    if explicit is None:
        return 0
    return 1 << int(explicit)


def described(error: Any) -> str:
    """``node 'u' (Unique): words``; the parser of TensorRT 8.5 gives the words alone."""
    description = " ".join(str(error.desc()).split())
    if not hasattr(error, "node_operator"):
        return description
    return f"node '{error.node_name()}' ({error.node_operator()}): {description}"


def _joined(errors: list[str]) -> str:
    shown = [" ".join(error.split()) for error in errors[:MOST_ERRORS]]
    more = len(errors) - MOST_ERRORS
    if more > 0:
        shown.append(f"and {more} more")
    return "; ".join(shown) or "it gave no reason"


@cache
def logger(trt: Any) -> Any:
    """The one logger of this process, which collects the lines of errors.

    There is one, because the library keeps the first that it was given.
    """

    class Errors(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Errors()


@dataclass(frozen=True)
class _TypedOnnx:
    """The ONNX file that says the precision by itself, and what there is to know of it."""

    path: Path
    facts: dict[str, str | int]
    kept_fp32: tuple[str, ...] = ()


def _typed_onnx(
    model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, folder: Path, out: Path
) -> _TypedOnnx:
    import onnx

    opset = PORTABLE_OPSET
    if spec.precision == "bf16":
        opset = BF16_OPSET
    opset = spec.number("opset") or opset
    facts: dict[str, str | int] = {"opset": opset}

    def export() -> Path:
        written = spec.with_options(opset=opset)
        return folder / OnnxExporter().export_float(model, example, written, folder).entry

    kept: tuple[str, ...] = ()
    if spec.precision == "int8":
        images = images_of(spec)
        source = folder / "quantised.onnx"
        judge = Judge.of(model, spec, out)
        biases = Biases(model, spec, norms_of(model, example))
        kept = quantise_for(export, source, spec, biases, judge)
        facts |= biases.facts
        facts["calibration"] = images.told.words
    else:
        source = export()
    facts["nodes"] = len(onnx.load(source, load_external_data=False).graph.node)
    return _TypedOnnx(source, facts, kept)
