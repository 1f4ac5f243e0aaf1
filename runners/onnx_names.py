"""Which PyTorch modules the nodes of an optimised ONNX graph compute.

torch.onnx writes with every node which module it was traced in, and most weights keep the names of
their parameters. ONNX Runtime fuses nodes and gives the new ones names of its own, but the values
that pass between what is left keep theirs. So the nodes that one optimised node stands for are
found by walking the original graph back from its outputs, up to the values that other optimised
nodes produce. What cannot be followed so has no modules.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploybench.contracts.layers import module_name, unique

SCOPES = "pkg.torch.onnx.name_scopes"
BLOCKED = "_nchwc"
"""ONNX Runtime's convolutions in blocks of channels are called VALUE_nchwc, after the value that
they take the place of."""
INPUTS_OF_A_CONVOLUTION = 3
"""Its image, its weights, its bias."""
PARAMETERS = (".weight", ".bias")
FIRST_INPUT_ALONE = frozenset(
    {"Expand", "Pad", "ReduceMean", "Reshape", "Resize", "Slice", "Split", "Squeeze", "Tile"}
    | {"Unsqueeze"}
)
"""Their other inputs are sizes: what computes those is no part of the layer."""


def modules_by_node(original: Path, optimised: Path | None) -> Mapping[str, tuple[str, ...]]:
    """By the name of a node of the ``optimised`` graph, the modules that it computes.

    None: no optimised graph was written; only nodes that kept their names are known then.
    """
    import onnx

    graph = onnx.load(original, load_external_data=False).graph
    if optimised is None:
        return {node.name: _modules_of([node], graph) for node in graph.node}
    left = onnx.load(optimised, load_external_data=False).graph
    return modules_of_optimised(graph, left.node)


def modules_of_optimised(graph: Any, optimised: Sequence[Any]) -> Mapping[str, tuple[str, ...]]:
    """The same of graphs that were read: ``optimised`` are the nodes that are left."""
    producers = {value: node for node in graph.node for value in node.output if value}
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)
    names = {node.name: node for node in graph.node if node.name}
    produced = {}
    for node in optimised:
        values = list(_values(node, producers, names))
        produced[node.name] = _after_fusion(node, values, producers, consumers)
    known = {value for values in produced.values() for value in values}
    found = {}
    for node in optimised:
        covered = _covered(produced[node.name], known, producers)
        found[node.name] = _modules_of(covered, graph)
    return found


def _values(node: Any, producers: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[str]:
    """The values of the original graph that an optimised node produces."""
    own = [value for value in node.output if value in producers]
    if own:
        yield from own
        return
    replaced = node.name.removesuffix(BLOCKED)
    if replaced in producers:
        yield replaced
        return
    # A fusion adds its own name to that of the last node in it: node_MatMul_12/MatMulAddFusion.
    fused = names.get(node.name) or names.get(node.name.partition("/")[0])
    if fused is not None:
        yield from fused.output


def _after_fusion(
    node: Any,
    values: Sequence[str],
    producers: Mapping[str, Any],
    consumers: Mapping[str, Sequence[Any]],
) -> list[str]:
    """The values after a sum and an activation that were fused behind a convolution in blocks.

    It keeps the name of the value before them. A fourth input is the other half of the sum; an
    attribute names the activation.
    """
    if not node.name.endswith(BLOCKED) or node.op_type != "Conv" or len(values) != 1:
        return list(values)
    [value] = values
    if len(node.input) > INPUTS_OF_A_CONVOLUTION:
        value = _next(value, "Add", consumers) or value
    activation = _activation(node)
    if activation and producers[value].op_type != activation:
        value = _next(value, activation, consumers) or value
    return [value]


def _next(value: str, operator: str, consumers: Mapping[str, Sequence[Any]]) -> str | None:
    """What the only node that takes the value puts out, if it is such an operator."""
    following = consumers.get(value, ())
    if len(following) == 1 and following[0].op_type == operator:
        return str(following[0].output[0])
    return None


def _activation(node: Any) -> str:
    for attribute in getattr(node, "attribute", ()):
        if attribute.name == "activation":
            return str(attribute.s.decode())
    return ""


def _covered(
    values: Sequence[str], known: Collection[str], producers: Mapping[str, Any]
) -> list[Any]:
    """The original nodes between ``values`` and what is ``known``, from the end of the graph on."""
    waiting = list(values)
    covered: dict[int, Any] = {}
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or id(node) in covered:  # an input or a weight; or seen before
            continue
        covered[id(node)] = node
        inputs = list(node.input)
        if node.op_type in FIRST_INPUT_ALONE:
            inputs = inputs[:1]
        waiting += [value for value in inputs if value not in known]
    return list(covered.values())


def _modules_of(nodes: Sequence[Any], graph: Any) -> tuple[str, ...]:
    """The modules of nodes: first those of their weights, then those that they were traced in.

    Of these the last node's comes first, then the others in the order of the graph.
    """
    weights = {tensor.name for tensor in graph.initializer}
    modules: list[str | None] = []
    for node in nodes:
        for value in node.input:
            owner = _owner(value)
            if value in weights and owner:
                modules.append(module_name(owner))
    modules += [module_name(_scope(node)) for node in (*nodes[:1], *reversed(nodes[1:]))]
    return unique(modules)


def _owner(value: str) -> str:
    """The module whose parameter has that name; nothing where it is not named so."""
    for ending in PARAMETERS:
        if value.endswith(ending):
            return value.removesuffix(ending)
    return ""


def _scope(node: Any) -> str:
    """The module that a node was traced in, as torch.onnx wrote it: a list of names from the
    outside in, the operator last."""
    for entry in getattr(node, "metadata_props", ()):
        if entry.key != SCOPES:
            continue
        try:
            scopes = ast.literal_eval(entry.value)
        except (ValueError, SyntaxError):
            return ""
        if len(scopes) > 1:
            return str(scopes[-2])
    return ""
