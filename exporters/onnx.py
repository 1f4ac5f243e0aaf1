"""ONNX by PyTorch's dynamo exporter, at a chosen opset and IR version.

Old runtimes read opset 17 at most (TensorRT 8.x; onnxruntime 1.14 reads 18 and IR 8), and the
dynamo exporter writes 18 and later, so opset 17 is lowered from 18 by :mod:`.onnx_opset17`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts import (
    INPUT_NAME,
    REPARAMETERISE,
    ExportedFiles,
    Exporter,
    ExportOption,
    ExportSpec,
)
from deploybench.errors import DeployBenchError

from .bias_correction import Biases, norms_of
from .float_layers import Judge
from .onnx_bf16 import narrow_weights
from .onnx_opset17 import OPSET as OLDEST_OPSET
from .onnx_opset17 import lower_to_opset17
from .onnx_optimised import OPTIONS as OPTIMISATIONS
from .onnx_optimised import optimised
from .onnx_outputs import name_outputs
from .onnx_quantised import quantise_for
from .quantisation import INT8, RANGE_OPTION, identity_of_range, images_of, range_of_weights
from .torch_export import dynamic_shapes
from .tracing import frozen_reads, refusal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

ENTRY = "model.onnx"
OLDEST_NATIVE_OPSET = 18
LARGEST_PROTOBUF_BYTES = 2_000_000_000


class OnnxExporter(Exporter):
    name: ClassVar[str] = "onnx"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "fp16", "int8"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "onnx", "onnxscript")
    install: ClassVar[str] = "deploybench[torch,onnx]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript")
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.6"}
    calibrates: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    options: ClassVar[tuple[ExportOption, ...]] = (
        ExportOption("opset", int, "the operators' version", least=OLDEST_OPSET),
        ExportOption("ir_version", int, "the version of the file's own format", least=1),
        *OPTIMISATIONS,
        REPARAMETERISE,
        RANGE_OPTION,
    )

    def distributions_for(self, precision: str) -> tuple[str, ...]:
        if precision == INT8:
            return (*self.distributions, "onnxruntime")
        return self.distributions

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        return identity_of_range(spec)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        if spec.precision != INT8:
            return self.export_float(model, example, spec, out)
        images = images_of(spec)
        reduced, range_words = range_of_weights(spec)
        judge = Judge.of(model, spec, out)
        biases = Biases(model, spec, norms_of(model, example))
        with TemporaryDirectory(prefix="deploybench-float-") as folder:
            exports: list[ExportedFiles] = []

            def export() -> Path:
                exports.append(self.export_float(model, example, spec, Path(folder)))
                return Path(folder) / exports[-1].entry

            kept = quantise_for(
                export,
                out / ENTRY,
                spec,
                biases,
                judge,
                for_cpu=True,
                reduced=reduced,
            )
        facts = {
            **exports[-1].facts,
            **biases.facts,
            "calibration": images.told.words,
            "int8_range": range_words,
        }
        return ExportedFiles(ENTRY, facts, kept_fp32=kept)

    def export_float(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import onnx
        import torch

        wanted_opset = spec.number("opset")
        ir_version = spec.number("ir_version")
        native_opset = None  # PyTorch's own choice
        if wanted_opset is not None:
            if wanted_opset < OLDEST_OPSET:
                raise DeployBenchError(
                    f"opset {wanted_opset} cannot be written",
                    expected=f"opset {OLDEST_OPSET} or later",
                )
            native_opset = max(wanted_opset, OLDEST_NATIVE_OPSET)
        try:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=native_opset,
                dynamic_shapes=dynamic_shapes(spec),
                input_names=[INPUT_NAME],
                verbose=False,
            )
        except Exception as error:  # a branch on the data, in the words of torch's compiler
            reads = frozen_reads(model, example)
            if reads:
                raise refusal(reads, "an ONNX graph would have to fix") from error
            raise
        if program is None:
            raise DeployBenchError("torch.onnx.export returned nothing", expected="an ONNXProgram")
        document = program.model_proto
        name_outputs(document, spec.output_names)
        document, done = optimised(document, spec)
        if wanted_opset == OLDEST_OPSET:
            document = lower_to_opset17(document)
        if spec.precision == "bf16":
            narrow_weights(document)
        if ir_version is not None:
            document.ir_version = ir_version
        path = out / ENTRY
        onnx.save_model(
            document,
            path,
            save_as_external_data=document.ByteSize() > LARGEST_PROTOBUF_BYTES,
            location=f"{ENTRY}.data",
        )
        onnx.checker.check_model(path, full_check=True)
        opset = next(
            imported.version
            for imported in document.opset_import
            if imported.domain in ("", "ai.onnx")
        )
        if wanted_opset is not None and opset != wanted_opset:
            raise DeployBenchError(
                f"the exporter wrote opset {opset}", expected=f"opset {wanted_opset}"
            )
        facts = {
            "opset": opset,
            "ir_version": document.ir_version,
            "nodes": len(document.graph.node),
            **done,
        }
        return ExportedFiles(ENTRY, facts)

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]]:
        import numpy as np
        import onnx
        from onnx import TensorProto, numpy_helper

        floating = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
        tensors = {}
        for tensor in onnx.load(entry).graph.initializer:
            if tensor.data_type in floating:
                tensors[tensor.name] = numpy_helper.to_array(tensor).astype(np.float32)
        return tensors
