"""OpenVINO on the CPU.

Its default is to compute fp32 models in bf16 where the CPU can; here fp32 means fp32. Of weights in
8 bits its default is to round the activations beside them to 8 bits, too, as they come (dynamic
quantisation); here int8-weights means products in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.contracts import (
    Arrays,
    Bound,
    ForeignFile,
    ForeignWork,
    ProfiledSession,
    Runner,
    RunOptions,
    Serving,
    Session,
    SessionFacts,
)
from deploybench.hardware.host import describe_host
from deploybench.hardware.precisions import INT8_WEIGHTS, cpu_lacking
from deploybench.plurals import counted

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
NO_HINT = "none"
KNOWN_HINTS = frozenset({"latency", "throughput"})
PRODUCTS = frozenset({"Convolution", "FullyConnected", "MatMul", "Deconvolution"})
EIGHT_BITS = frozenset({"i8", "u8", "I8", "U8"})
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
DYNAMIC_QUANTISATION = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
"""How many activations share a scale where they are rounded as they come; 0: none are rounded."""


class OpenVinoRunner(Runner):
    name: ClassVar[str] = "openvino"
    formats: ClassVar[frozenset[str]] = frozenset({"openvino"})
    requires: ClassVar[tuple[str, ...]] = ("openvino",)
    install: ClassVar[str] = "deploybench[openvino]"
    distributions: ClassVar[tuple[str, ...]] = ("openvino",)
    engine_only: ClassVar[bool] = True
    runs_code: ClassVar[bool] = False
    profiles_layers: ClassVar[bool] = True
    cell_options: ClassVar[frozenset[str]] = frozenset({"openvino_hint"})
    adopts: ClassVar[Mapping[str, str]] = {".xml": "openvino"}
    converts: ClassVar[frozenset[str]] = frozenset({"onnx"})

    def look_into(self, file: Path) -> ForeignFile:
        from .openvino_files import look_into

        return look_into(file)

    def work_in(self, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
        from .openvino_files import work_in

        return work_in(file, shapes)

    def convert(
        self, file: Path, out: Path, *, inputs: Sequence[str], outputs: Sequence[str]
    ) -> Path:
        from .openvino_files import convert

        return convert(file, out, inputs, outputs)

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        if artifact_precision == "int8":
            return frozenset({"int8"}) - cpu_lacking(describe_host().isa).keys()
        if artifact_precision == INT8_WEIGHTS:
            return frozenset({INT8_WEIGHTS})
        # Where the CPU lacks a precision, OpenVINO ignores the hint for it and computes in fp32.
        return frozenset(HINTS) - cpu_lacking(describe_host().isa).keys()

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        return self.load_streams(artifact, options)[0]

    def load_streams(self, artifact: Artifact, options: RunOptions) -> list[Session]:
        engine = self.engine(artifact, options)
        return [OpenVinoSession(artifact, engine, options) for _ in range(options.streams)]

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        from .openvino_layers import COUNTERS, ProfiledOpenVinoSession

        engine = self.engine(artifact, options, COUNTERS)
        return ProfiledOpenVinoSession(artifact, engine, options)

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        from .openvino_serving import serving

        engine = self.engine(artifact, options)
        places = places_of(artifact.manifest)
        return serving(artifact, engine.reshaped, engine.settings, places, self.distributions)

    def engine(
        self, artifact: Artifact, options: RunOptions, more: Mapping[str, object] | None = None
    ) -> OpenVinoEngine:
        """The artifact's model with the settings of a cell, and ``more``."""
        import openvino

        core = openvino.Core()
        model = core.read_model(artifact.entry)
        free = artifact.manifest.batch is None
        if artifact.manifest.adopted is not None:
            name_tensors(model, artifact.manifest)
            free = free or model.is_dynamic()
        shape = None
        if free:
            shape = next(iter(artifact.batch_shape(options.batch).values()))
            model.reshape(shape)
        settings: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": HINTS.get(options.precision, HINTS["fp32"]),
            "INFERENCE_NUM_THREADS": options.threads_each * options.streams,
            "NUM_STREAMS": options.streams,
        }
        if options.precision == INT8_WEIGHTS:
            settings[DYNAMIC_QUANTISATION] = 0
        if options.openvino_hint != NO_HINT:
            settings["PERFORMANCE_HINT"] = options.openvino_hint.upper()
        return OpenVinoEngine(core, model, {**settings, **(more or {})}, shape)


class OpenVinoEngine:
    """A model that is compiled once, for as many streams as ``settings`` say.

    ``reshaped`` is the shape that its input was given, None where the file's own is kept.
    """

    def __init__(
        self,
        core: Any,
        model: Any,
        settings: Mapping[str, object],
        reshaped: tuple[int, ...] | None = None,
    ) -> None:
        self._core = core
        self._model = model
        self.settings = settings
        self.reshaped = reshaped
        self._compiled: Any = None

    def stores_8_bits(self) -> bool:
        """Whether the file has weights of 8 bits; to be asked before it is compiled."""
        return any(_holds_8_bits(node) for node in self._model.get_ops())

    def compiled(self) -> Any:
        if self._compiled is None:
            self._compiled = self._core.compile_model(self._model, "CPU", self.settings)
            self._model = None  # its memory is not the compiled model's
        return self._compiled


class OpenVinoSession(Session):
    """One infer request.

    Inputs are read in place and outputs are views into the request's memory.
    """

    def __init__(self, artifact: Artifact, engine: OpenVinoEngine, options: RunOptions) -> None:
        super().__init__(artifact.batch_shape(options.batch), artifact.input_dtypes())
        self._engine = engine
        self._quantised = artifact.manifest.precision == "int8"
        self._weights_alone = artifact.manifest.precision == INT8_WEIGHTS
        self._stores_8_bits = self._weights_alone and engine.stores_8_bits()
        self._outputs = [output.name for output in artifact.manifest.outputs]
        self._places = places_of(artifact.manifest)
        self._hinted = options.openvino_hint != NO_HINT

    def _compile(self) -> None:
        self._request = self._engine.compiled().create_infer_request()

    def _infer(self, inputs: Arrays) -> Arrays:
        results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return {
            name: results[place] for name, place in zip(self._outputs, self._places, strict=True)
        }

    def _bind(self, inputs: Arrays) -> Bound:
        """A request of its own, so that ``infer`` does not replace its inputs."""
        import openvino

        request = self._engine.compiled().create_infer_request()
        for name, array in inputs.items():
            request.set_tensor(name, openvino.Tensor(array))

        def outputs() -> Arrays:
            return {
                name: request.get_output_tensor(place).data.copy()
                for name, place in zip(self._outputs, self._places, strict=True)
            }

        return Bound(lambda: request.infer(share_outputs=True), outputs)

    def facts(self) -> SessionFacts:
        compiled = self._engine.compiled()
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        hint = str(compiled.get_property("PERFORMANCE_HINT")).rpartition(".")[2].lower()
        effective = PRECISIONS.get(precision, precision)
        notes: tuple[str, ...] = ()
        if self._quantised:
            count, total = _in_8_bits(compiled)
            notes = (f"{count} of {total} products run in int8, the rest in {effective}",)
            if count:
                effective = "int8"
        if self._weights_alone:
            effective, notes = self._told_of_weights(compiled, effective)
        return SessionFacts(
            precision=effective,
            threads=int(compiled.get_property("INFERENCE_NUM_THREADS"))
            // int(compiled.get_property("NUM_STREAMS")),
            provider=f"OpenVINO {compiled.get_property('EXECUTION_DEVICES')[0]}",
            device="cpu",
            notes=(*notes, *self._notes(hint)),
            options={"openvino_hint": hint} if self._hinted and hint in KNOWN_HINTS else {},
        )

    def _told_of_weights(self, compiled: Any, products: str) -> tuple[str, tuple[str, ...]]:
        """What an artifact with weights of 8 bits runs as, and how many keep them so in memory."""
        if not self._stores_8_bits:
            return products, ("no weight of the file is stored in 8 bits",)
        if int(compiled.get_property(DYNAMIC_QUANTISATION)):
            return "int8", ("OpenVINO rounds activations to 8 bits as they come",)
        kept, total = _in_8_bits(compiled)
        note = (
            f"weights stored in 8 bits, products in {products}; {kept} of "
            f"{counted(total, 'product')} have them in 8 bits in memory, the others in float"
        )
        return INT8_WEIGHTS if products == "fp32" else products, (note,)

    def _notes(self, hint: str) -> tuple[str, ...]:
        """What OpenVINO takes for a hint where it was given none."""
        if self._hinted:
            return ()
        return (f"given no performance hint, OpenVINO took {hint}",)


def _holds_8_bits(node: Any) -> bool:
    """Whether a node of a file is a constant of 8 bits with the shape of weights."""
    if node.get_type_name() != "Constant" or len(node.get_output_shape(0)) < 2:
        return False
    return str(node.get_output_element_type(0).get_type_name()) in EIGHT_BITS


def _in_8_bits(compiled: Any) -> tuple[int, int]:
    """How many of the layers that multiply run in 8 bits, as the plug-in's own graph says; of how
    many.

    Where dynamic quantisation is off, and activations are in float, it says so of layers whose
    weights alone are in 8 bits.
    """
    products = []
    for node in compiled.get_runtime_model().get_ops():
        told = {name: str(_plain(value)) for name, value in node.get_rt_info().items()}
        if told.get("layerType") in PRODUCTS:
            products.append(told.get("runtimePrecision", ""))
    return sum(precision in EIGHT_BITS for precision in products), len(products)


def _plain(value: Any) -> Any:
    """The value of an attribute, which some versions wrap."""
    return getattr(value, "value", value)


def name_tensors(model: Any, manifest: Manifest) -> None:
    """Give the input of an adopted file its name where the file has none."""
    tensor = model.inputs[0].tensor
    if not tensor.names:
        tensor.set_names({manifest.inputs[0].name})


def places_of(manifest: Manifest) -> list[int]:
    """Which results of the model the outputs are: of an adopted file some may be left out."""
    places = []
    for index, output in enumerate(manifest.outputs):
        place = index
        if manifest.adopted is not None and output.path:
            place = int(output.path[0][1])
        places.append(place)
    return places
