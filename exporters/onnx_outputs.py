"""The names of an ONNX graph's outputs.

The names come from the model's own code and may be those of values within the graph (``relu``); one
value may be two outputs, and an input may be handed on. In a graph every name is one value, so
values within give way, and an output that is none of its own is the copy of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def name_outputs(model: Any, names: Sequence[str]) -> None:
    """Give the outputs of an ``onnx.ModelProto`` these names, in order."""
    from onnx import helper

    graph = model.graph
    # PyTorch copies an input that is handed on to its own name.
    for node in [node for node in graph.node if list(node.input) == list(node.output)]:
        graph.node.remove(node)
    inputs = {value.name for value in graph.input}
    kept = {tensor.name for tensor in graph.initializer} | inputs
    produced = {output for node in graph.node for output in node.output}
    outputs = [value.name for value in graph.output]

    # A value that is one output and nothing else becomes that name; any other is copied to it.
    renamed: dict[str, str] = {}
    copies: list[tuple[str, str]] = []
    for value, name in zip(outputs, names, strict=True):
        if value in kept or value in renamed:
            copies.append((value, name))
        else:
            renamed[value] = name
    for value in sorted((produced | kept) & set(names)):
        if value not in renamed:
            renamed[value] = _free_name(value, produced | kept | set(names))
    _rename(graph, renamed)
    for value, name in copies:
        source = renamed.get(value, value)
        graph.node.append(helper.make_node("Identity", [source], [name], name=f"copy_to_{name}"))
    for value, name in zip(graph.output, names, strict=True):
        value.name = name


def _rename(graph: Any, renamed: Mapping[str, str]) -> None:
    """Let the values of a graph have other names, in the bodies of its branches and loops too."""
    for node in graph.node:
        for arguments in (node.input, node.output):
            for index, argument in enumerate(arguments):
                arguments[index] = renamed.get(argument, argument)
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                _rename(body, renamed)
                for value in body.output:
                    value.name = renamed.get(value.name, value.name)
    for value in (*graph.initializer, *graph.value_info):
        value.name = renamed.get(value.name, value.name)


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    free = f"{name}_{number}"
    taken.add(free)
    return free
