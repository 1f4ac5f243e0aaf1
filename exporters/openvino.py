"""OpenVINO IR, converted from the PyTorch module; weights are compressed where that is asked for
(int8-weights), never behind the user's back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts import (
    INPUT_NAME,
    REPARAMETERISE,
    ExportedFiles,
    Exporter,
    ExportOption,
    ExportSpec,
)
from deploybench.hardware.precisions import INT8_WEIGHTS

from .bias_correction import Biases, norms_of
from .float_layers import Judge
from .openvino_quantised import SMOOTHING_OPTION, quantised_to_agree
from .openvino_weights import weights_of_8_bits, with_weights_of_8_bits
from .quantisation import INT8, RANGE_OPTION, identity_of_range
from .tracing import keeping_branches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import openvino
    import torch

ANY = -1


class OpenVinoExporter(Exporter):
    name: ClassVar[str] = "openvino"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "fp16", "int8", INT8_WEIGHTS})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "openvino")
    install: ClassVar[str] = "deploybench[torch,openvino]"
    calibrates: ClassVar[bool] = True
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    distributions: ClassVar[tuple[str, ...]] = ("torch", "openvino")
    options: ClassVar[tuple[ExportOption, ...]] = (
        RANGE_OPTION,
        SMOOTHING_OPTION,
        REPARAMETERISE,
    )

    def distributions_for(self, precision: str) -> tuple[str, ...]:
        if precision in (INT8, INT8_WEIGHTS):
            return (*self.distributions, "nncf")
        return self.distributions

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        return identity_of_range(spec)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        # The converter uploads usage data unless this package is absent; hiding it selects its own
        # stub.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        facts: dict[str, str | int] = {}
        kept: tuple[str, ...] = ()
        if spec.precision == INT8:
            judge = Judge.of(model, spec, out)
            norms = norms_of(model, example)
            made = quantised_to_agree(
                lambda: _converted(model, example, spec),
                Biases(model, spec, norms),
                spec,
                judge,
                norms,
            )
            converted, facts, kept = made.model, made.facts, made.kept_fp32
        else:
            converted = _converted(model, example, spec)
        if spec.precision == INT8_WEIGHTS:
            compressed = with_weights_of_8_bits(converted)
            converted, facts = compressed.model, compressed.facts
        openvino.save_model(converted, out / "model.xml", compress_to_fp16=False)
        facts["nodes"] = len(converted.get_ops())
        return ExportedFiles("model.xml", facts, kept_fp32=kept)

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]]:
        """The constants of the graph: the converter's names for them are its own. Weights of 8 bits
        are what products take them for."""
        import numpy as np
        import openvino

        tensors = {}
        for node in openvino.Core().read_model(entry).get_ops():
            weights = weights_of_8_bits(node)
            if weights is not None:
                tensors[f"weights {node.get_friendly_name()}"] = weights
            if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
                continue
            tensors[f"constant {node.get_friendly_name()}"] = node.get_data().astype(np.float32)
        return tensors


def _converted(model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec) -> openvino.Model:
    """OpenVINO's graph of the module as it is, with our names of its input and outputs."""
    import openvino

    shape = [spec.batch or ANY, *example.shape[1:]]
    converted = keeping_branches(
        model,
        example,
        lambda module: openvino.convert_model(module, example_input=example, input=shape),
    )
    converted.inputs[0].tensor.set_names({INPUT_NAME})
    for output, name in zip(converted.outputs, spec.output_names, strict=True):
        output.tensor.set_names({name})
    converted.validate_nodes_and_infer_types()
    return converted
