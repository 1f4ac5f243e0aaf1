"""Serving: how a program without this package opens an artifact as a cell did, and calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Serving:
    """The lines of Python that a runner gives for the ``serve.py`` of a bundle.

    They stand in a class: ``opening`` in its ``__init__``, ``calling`` in its method
    ``infer(self, images)``. Both see the constants ``MODEL`` (the path of the artifact's entry, a
    text), ``INPUT`` (the name of its input) and ``OUTPUTS`` (the names of its outputs, the main one
    first); ``images`` is the array that the input takes, of the batch size of the cell. ``calling``
    returns the outputs by name. ``imports`` are the lines that import what they use.

    ``options`` are the fields of :class:`~deploybench.contracts.RunOptions` beyond those that every
    runner obeys that the lines hold to: a cell that chose another is refused, never served in
    another way than it was measured. ``distributions`` is what pip has to install, ``packages``
    what a bare Debian lacks beside that, ``environment`` the variables that the runtime reads when
    it is imported. Every name or path of others is written by ``repr``.
    """

    imports: tuple[str, ...]
    opening: tuple[str, ...]
    calling: tuple[str, ...]
    distributions: tuple[str, ...]
    options: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
