"""DeployBench: verified artifacts of a vision model for every backend, and measurements that can be
trusted.

``docs/python-api.md`` shows how to use what this module hands out. Each name is looked up when it
is first used, so that ``import deploybench`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploybench.analysis.advice import Advice, advise
    from deploybench.analysis.amounts import Quantity
    from deploybench.analysis.answers import ModelAnswer, answers_of
    from deploybench.analysis.candidates import Choice, choices_of
    from deploybench.analysis.comparison import compare_records
    from deploybench.analysis.constraints import Constraint
    from deploybench.bundle.writing import write_bundle
    from deploybench.data.preprocessing_options import PreprocessingOptions
    from deploybench.errors import DeployBenchError
    from deploybench.evaluate.predict import predict_images
    from deploybench.export.order import (
        ExportFinished,
        ExportOrder,
        ExportsPlanned,
        ExportStarted,
        export_models,
    )
    from deploybench.export.request import ExportResult
    from deploybench.report.markdown import report_markdown
    from deploybench.report.run_report import run_report
    from deploybench.results.cell import CellOptions
    from deploybench.results.record import Record
    from deploybench.results.store import read_records
    from deploybench.rows.row import Row, to_csv, to_json
    from deploybench.rows.rows import rows_of
    from deploybench.runs.again import AgainRequest, compare_again
    from deploybench.runs.evaluation import (
        EvaluationRequest,
        EvaluationResult,
        carry_out_evaluation,
    )
    from deploybench.runs.events import (
        LaunchedAfresh,
        LaunchStarted,
        PeaksMeasured,
        RecordUpdated,
        RunPlanned,
        SpeedRemarked,
        SweepStarted,
        VisitLost,
        VisitsMade,
    )
    from deploybench.runs.request import RunRequest, RunResult, carry_out
    from deploybench.scenarios.events import ScenarioFinished, ScenariosPlanned, TestStarted
    from deploybench.scenarios.request import ScenarioRequest, ScenarioResult, run_scenarios
    from deploybench.scenarios.settings import Scenario
    from deploybench.telemetry.alone import WaitingForOther
    from deploybench.tuning.request import TuneRequest
    from deploybench.tuning.tune import TuneResult, tune

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "AgainRequest",
    "CellOptions",
    "Choice",
    "Constraint",
    "DeployBenchError",
    "EvaluationRequest",
    "EvaluationResult",
    "ExportFinished",
    "ExportOrder",
    "ExportResult",
    "ExportStarted",
    "ExportsPlanned",
    "LaunchStarted",
    "LaunchedAfresh",
    "ModelAnswer",
    "PeaksMeasured",
    "PreprocessingOptions",
    "Quantity",
    "Record",
    "RecordUpdated",
    "Row",
    "RunPlanned",
    "RunRequest",
    "RunResult",
    "Scenario",
    "ScenarioFinished",
    "ScenarioRequest",
    "ScenarioResult",
    "ScenariosPlanned",
    "SpeedRemarked",
    "SweepStarted",
    "TestStarted",
    "TuneRequest",
    "TuneResult",
    "VisitLost",
    "VisitsMade",
    "WaitingForOther",
    "advise",
    "answers_of",
    "carry_out",
    "carry_out_evaluation",
    "choices_of",
    "compare_again",
    "compare_records",
    "export_models",
    "predict_images",
    "read_records",
    "report_markdown",
    "rows_of",
    "run_report",
    "run_scenarios",
    "to_csv",
    "to_json",
    "tune",
    "write_bundle",
]

_HOMES = {
    "analysis.advice": ("Advice", "advise"),
    "analysis.amounts": ("Quantity",),
    "analysis.answers": ("ModelAnswer", "answers_of"),
    "analysis.candidates": ("Choice", "choices_of"),
    "analysis.comparison": ("compare_records",),
    "analysis.constraints": ("Constraint",),
    "bundle.writing": ("write_bundle",),
    "data.preprocessing_options": ("PreprocessingOptions",),
    "errors": ("DeployBenchError",),
    "evaluate.predict": ("predict_images",),
    "export.order": (
        "ExportFinished",
        "ExportOrder",
        "ExportStarted",
        "ExportsPlanned",
        "export_models",
    ),
    "export.request": ("ExportResult",),
    "report.markdown": ("report_markdown",),
    "report.run_report": ("run_report",),
    "results.cell": ("CellOptions",),
    "results.record": ("Record",),
    "results.store": ("read_records",),
    "rows.row": ("Row", "to_csv", "to_json"),
    "rows.rows": ("rows_of",),
    "runs.again": ("AgainRequest", "compare_again"),
    "runs.evaluation": ("EvaluationRequest", "EvaluationResult", "carry_out_evaluation"),
    "runs.events": (
        "LaunchStarted",
        "LaunchedAfresh",
        "PeaksMeasured",
        "RecordUpdated",
        "RunPlanned",
        "SpeedRemarked",
        "SweepStarted",
        "VisitLost",
        "VisitsMade",
    ),
    "runs.request": ("RunRequest", "RunResult", "carry_out"),
    "scenarios.events": ("ScenarioFinished", "ScenariosPlanned", "TestStarted"),
    "scenarios.request": ("ScenarioRequest", "ScenarioResult", "run_scenarios"),
    "scenarios.settings": ("Scenario",),
    "telemetry.alone": ("WaitingForOther",),
    "tuning.request": ("TuneRequest",),
    "tuning.tune": ("TuneResult", "tune"),
}
"""The module below this one that each name comes from."""


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"deploybench.{module}"), name)
    raise AttributeError(f"module 'deploybench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
