"""What a backend plug-in is: the exporter, the runner and the session, and the data that they
exchange.

A third party adds a backend by subclassing :class:`Exporter` and :class:`Runner` and naming the
classes in the entry-point groups ``deploybench.exporters`` and ``deploybench.runners``. A plug-in
module must import cheaply: it imports its runtime inside ``export`` and ``load`` only. All that a
plug-in needs is imported from here.
"""

from __future__ import annotations

from deploybench.contracts.exporter import (
    INPUT_NAME,
    OUTPUT_NAME,
    REPARAMETERISE,
    ExportedFiles,
    Exporter,
    ExportOption,
    ExportSpec,
    OptionValue,
)
from deploybench.contracts.foreign import ForeignFile, ForeignTensor, ForeignWork
from deploybench.contracts.layers import Layer, LayerTimes, ProfiledSession
from deploybench.contracts.plugin import Plugin
from deploybench.contracts.runner import Runner, RunOptions
from deploybench.contracts.serving import Serving
from deploybench.contracts.session import Arrays, Bound, Session, SessionFacts
from deploybench.hardware.precisions import PRECISIONS

__all__ = [
    "INPUT_NAME",
    "OUTPUT_NAME",
    "PRECISIONS",
    "REPARAMETERISE",
    "Arrays",
    "Bound",
    "ExportOption",
    "ExportSpec",
    "ExportedFiles",
    "Exporter",
    "ForeignFile",
    "ForeignTensor",
    "ForeignWork",
    "Layer",
    "LayerTimes",
    "OptionValue",
    "Plugin",
    "ProfiledSession",
    "RunOptions",
    "Runner",
    "Serving",
    "Session",
    "SessionFacts",
]
