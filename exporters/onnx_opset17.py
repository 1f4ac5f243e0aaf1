"""Lowers an ONNX model from opset 18 to 17 by the differences that the specification lists.

An operator whose definition is the same in both opsets is left alone. Of those that changed:
``Reduce*`` took their axes from an attribute (from an input since 18); ``Pad`` gained optional
axes; ``Split`` gained ``num_outputs``, without which equal parts are implied; ``Resize`` gained
axes and antialiasing. Anything else is refused by name. (The converter that comes with the onnx
package has no step for ``Pad`` and loses models whose axes are not constants.)
"""

from __future__ import annotations

from typing import Any

from deploybench.errors import DeployBenchError

OPSET = 17
SOURCE_OPSET = 18
REDUCTIONS = frozenset(
    f"Reduce{name}"
    for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
NEW_RESIZE_ATTRIBUTES = frozenset({"antialias", "axes", "keep_aspect_ratio_policy"})


def lower_to_opset17(model: Any) -> Any:
    """The ``onnx.ModelProto`` at opset 17.

    Raises DeployBenchError naming the operator that has no such form.
    """
    import onnx

    # A constant is an initialiser or the output of a node; axes may be either.
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    if model.functions:
        raise DeployBenchError(
            "the graph holds local functions", expected="standard operators only at opset 17"
        )
    for node in model.graph.node:
        _lower_node(node, constants, onnx)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OPSET
    return model


def _lower_node(node: Any, constants: dict[str, Any], onnx: Any) -> None:
    if node.domain not in ("", "ai.onnx") or not _changed(node.op_type, onnx):
        return
    if node.op_type in REDUCTIONS:
        _axes_to_attribute(node, constants, onnx)
    elif node.op_type == "Pad" and len(node.input) < 4:
        return
    elif node.op_type == "Split":
        _drop_attributes(node, frozenset({"num_outputs"}))
    elif node.op_type == "Resize" and not _uses_new_resize(node):
        _drop_attributes(node, NEW_RESIZE_ATTRIBUTES)
    else:
        raise DeployBenchError(
            f"operator {node.op_type} (node {node.name}) has no form in opset {OPSET}",
            expected=f"operators that opset {OPSET} has",
            action=f"export with --opset {SOURCE_OPSET} or later for runtimes that read it",
        )


def _uses_new_resize(node: Any) -> bool:
    """Whether a Resize has one of opset 18's attributes at another value than its default."""
    for attribute in node.attribute:
        if attribute.name not in NEW_RESIZE_ATTRIBUTES:
            continue
        if attribute.i or attribute.ints or attribute.s not in (b"", b"stretch"):
            return True
    return False


def _changed(operator: str, onnx: Any) -> bool:
    """Whether the operator's definition differs between the two opsets, or is new."""
    try:
        old = onnx.defs.get_schema(operator, OPSET)
    except onnx.defs.SchemaError:
        return True
    return bool(old.since_version != onnx.defs.get_schema(operator, SOURCE_OPSET).since_version)


def _axes_to_attribute(node: Any, constants: dict[str, Any], onnx: Any) -> None:
    """Axes of a reduction that are an input, which must be constant, become an attribute."""
    noop = any(
        attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute
    )
    if len(node.input) > 1 and node.input[1]:
        axes = constants.get(node.input[1])
        if axes is None or noop:
            raise DeployBenchError(
                f"{node.op_type} (node {node.name}) has axes that are computed",
                expected=f"constant axes for opset {OPSET}",
            )
        values = onnx.numpy_helper.to_array(axes).reshape(-1).tolist()
        node.attribute.append(onnx.helper.make_attribute("axes", values))
    del node.input[1:]
    _drop_attributes(node, frozenset({"noop_with_empty_axes"}))


def _drop_attributes(node: Any, names: frozenset[str]) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)
