"""The page about Python: its example runs, and its tables are whole."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import deploybench
from deploybench.errors import DeployBenchError
from deploybench.runs.request import RunRequest

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"


def test_example_exports_runs_reads_the_answer_and_writes_tables(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pytorch is verified\nonnx is verified\n" in done.stdout
    assert "round 3: timm:test_vit onnxruntime fp32 batch 1\n" in done.stdout
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["runner"] for row in rows} == {"pytorch", "onnxruntime"}
    assert len(json.loads((tmp_path / "table.json").read_text())) == len(rows)
    assert "timm:test_vit fastest: " in done.stdout
    assert "| onnxruntime |" in (tmp_path / "table.md").read_text()


def test_every_public_name_is_on_the_page() -> None:
    shown = set(re.findall(r"\w+", PAGE.read_text()))
    assert [name for name in deploybench.__all__ if name not in shown] == []


def test_every_public_name_is_there_and_no_other() -> None:
    for name in deploybench.__all__:
        assert getattr(deploybench, name).__module__.startswith("deploybench.")
    assert set(deploybench.__all__) <= set(dir(deploybench))
    with pytest.raises(AttributeError, match="no attribute 'carry_in'"):
        deploybench.carry_in  # noqa: B018


def test_import_brings_nothing_heavy() -> None:
    code = "import sys, deploybench; print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'deploybench'" in done.stdout
    for name in ("numpy", "pydantic", "rich", "typer", "torch"):
        assert f"'{name}'" not in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precisions": ["fp31"]}, "unknown precision 'fp31'"),
        ({"timings": ["engine"]}, "unknown timing 'engine'"),
        ({"batches": [1, 0]}, "batch sizes: 0"),
        ({"streams": [-1]}, "streams: -1"),
        ({"threads": 0}, "threads: 0"),
        ({"rounds": 0}, "rounds: 0"),
        ({"min_samples": 0}, "samples of a launch: 0"),
        ({"precision_target": 0.0}, "a precision target of 0"),
        ({"budget_s": float("nan")}, "a budget of nan s"),
        ({"duration_s": 0.0}, "a duration of 0 s"),
    ],
)
def test_request_of_what_no_run_can_do_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        RunRequest(**changes)  # type: ignore[arg-type]


def test_every_field_of_a_request_says_what_it_means() -> None:
    source = Path("deploybench/runs/request.py")
    text = (PAGE.parents[1] / source).read_text()
    for field in fields(RunRequest):
        assert re.search(rf'^    {field.name}: [^\n]*\n    """', text, re.MULTILINE), field.name
