"""Rewriting an exported ONNX graph: onnxslim's clean-up, and ONNX Runtime's transformer fusions.

Both keep what the graph computes up to rounding; parity judges, as of every export. The fusions
write operators of ONNX Runtime's own (domain com.microsoft), which no other runtime reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deploybench.contracts import ExportOption, ExportSpec
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import onnx

SIMPLIFY, FUSE = "simplify", "fuse"
ONNXSLIM, TRANSFORMER = "onnxslim", "transformer"
OWN_DOMAIN = "com.microsoft"
MODEL_TYPE = "vit"
"""Of ``onnxruntime.transformers.optimizer``: the fusions of an encoder without masks."""
OPTIONS = (
    ExportOption(SIMPLIFY, str, "cleans up the graph", allowed=(ONNXSLIM,)),
    ExportOption(
        FUSE, str, "attention and norms as operators of ONNX Runtime", allowed=(TRANSFORMER,)
    ),
)


def optimised(document: onnx.ModelProto, spec: ExportSpec) -> tuple[Any, Mapping[str, str]]:
    """The graph as the export's options ask for it, and facts on what was done to it.

    Raises DeployBenchError where a package is missing, where the precision is not float32 (for the
    fusions), and where nothing could be fused.
    """
    done: dict[str, str] = {}
    simplify, fuse = spec.option(SIMPLIFY), spec.option(FUSE)
    if simplify == ONNXSLIM:
        before = len(document.graph.node)
        document = _slim(document)
        done["onnxslim"] = f"{before} nodes became {len(document.graph.node)}"
    if fuse == TRANSFORMER:
        document, fused = _fused(document, spec)
        operators = [f"{count} {name}" for name, count in fused.most_common()]
        done["transformer fusions"] = ", ".join(operators)
    return document, done


def _slim(document: onnx.ModelProto) -> Any:
    if find_spec("onnxslim") is None:
        raise DeployBenchError(
            f"{SIMPLIFY}={ONNXSLIM} needs the package onnxslim, which is not installed",
            action="pip install onnxslim",
        )
    import onnxslim

    return onnxslim.slim(document)


def _fused(document: onnx.ModelProto, spec: ExportSpec) -> tuple[Any, Counter[str]]:
    if spec.precision != "fp32":
        raise DeployBenchError(
            f"{FUSE}={TRANSFORMER} with --precision {spec.precision}",
            expected="--precision fp32: the fused operators are checked in float32",
        )
    if find_spec("onnxruntime") is None:
        raise DeployBenchError(
            f"{FUSE}={TRANSFORMER} needs ONNX Runtime, which is not installed",
            action="pip install onnxruntime",
        )
    from onnxruntime.transformers import optimizer

    # Level 0: these fusions alone. What ONNX Runtime does by itself it does when it loads.
    rewritten = optimizer.optimize_model(document, MODEL_TYPE, opt_level=0).model
    fused = Counter(node.op_type for node in rewritten.graph.node if node.domain == OWN_DOMAIN)
    if not fused:
        raise DeployBenchError(
            f"{FUSE}={TRANSFORMER} found nothing to fuse in this graph",
            expected="a transformer: attention, layer norms after sums, or GELU after a bias",
            action=f"leave out --option {FUSE}={TRANSFORMER}",
        )
    if all(imported.domain != OWN_DOMAIN for imported in rewritten.opset_import):
        rewritten.opset_import.add(domain=OWN_DOMAIN, version=1)
    return rewritten, fused
