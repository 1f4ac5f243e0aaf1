"""A distribution that knows only the public contract adds a backend; a broken one is a row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from tests.attacks.hostile import attack
from tests.conftest import TINY, run_cli

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "toybackend"
version = "1.0"
[project.entry-points."deploybench.exporters"]
toy = "toybackend:ToyExporter"
broken = "toybackend_broken:Exporter"
[project.entry-points."deploybench.runners"]
toy = "toybackend:ToyRunner"
[tool.setuptools]
py-modules = ["toybackend", "toybackend_broken"]
"""
PLUGIN = '''
"""Answers every image by its nearest reference image."""
import numpy as np
from deploybench.contracts import ExportedFiles, Exporter, ExportOption, Runner, Session
from deploybench.contracts import SessionFacts


class ToyExporter(Exporter):
    name = "toy"
    requires = ("torch",)
    options = (ExportOption("rounded", int, "to how many decimals", least=0),)

    def export(self, model, example, spec, out):
        reference = np.load(out / "reference.npz")
        outputs = reference["outputs"].round(spec.option("rounded") or 6)
        np.savez(out / "table.npz", inputs=reference["inputs"], outputs=outputs)
        return ExportedFiles("table.npz", {"rounded": spec.option("rounded")})


class ToySession(Session):
    def __init__(self, artifact, options):
        super().__init__(artifact.batch_shape(options.batch))
        table = np.load(artifact.entry)
        self.inputs, self.outputs, self.threads = table["inputs"], table["outputs"], options.threads

    def _infer(self, inputs):
        distances = [[np.abs(a - b).sum() for b in self.inputs] for a in inputs["input"]]
        return {"logits": self.outputs[np.argmin(distances, axis=1)]}

    def facts(self):
        return SessionFacts("fp32", self.threads, "toy", "cpu")


class ToyRunner(Runner):
    name = "toy"
    formats = frozenset({"toy"})

    def load(self, artifact, options):
        return ToySession(artifact, options)
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the toy distribution is installed beside the others."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "toybackend.py").write_text(PLUGIN)
    (source / "toybackend_broken.py").write_text("raise RuntimeError('this package is broken')")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
    ]
    subprocess.run([*command, str(target), str(source)], check=True, capture_output=True)
    return {"PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])}


def test_third_party_backend_exports_runs_and_has_its_row(
    toy: dict[str, str], tmp_path: Path
) -> None:
    assert len(PLUGIN.strip().splitlines()) <= 60
    ask = ("export", "-w", tmp_path, "-m", TINY, "-b", "toy", "--json", "--option")
    refused = run_cli(*ask, "rounded=yes", environment=toy)
    assert refused.returncode == 2
    assert "rounded: to how many decimals; a whole number from 0" in refused.stderr
    exported = run_cli(*ask, "rounded=7", environment=toy)
    assert exported.returncode == 0, exported.stderr
    assert json.loads(exported.stdout)[0]["verified"]
    (artifact,) = Workspace(tmp_path).artifacts()
    assert artifact.manifest.request["rounded"] == artifact.manifest.facts["rounded"] == 7
    done = run_cli(
        "run",
        "-w",
        tmp_path,
        "-r",
        "toy",
        "--duration",
        "50ms",
        "--rounds",
        "1",
        "--json",
        environment=toy,
    )
    (row,) = json.loads(done.stdout)
    assert (row["runner"], row["provider"], row["launches"], row["verdict"]) == (
        "toy",
        "toy",
        1,
        "UNSTABLE",
    )


@attack(
    "Code of others",
    "a plug-in that raises when it is imported",
    "a row that says so",
    "a row that says so; everything else works",
)
def test_plug_in_that_raises_at_import_is_a_row_with_its_cause(toy: dict[str, str]) -> None:
    done = run_cli("backends", "--json", environment=toy)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    rows = {row["name"]: row for row in json.loads(done.stdout) if row["kind"] == "exporter"}
    broken = rows["broken"]
    assert not broken["usable"]
    assert "RuntimeError: this package is broken" in broken["problem"]
    assert broken["package"] == "toybackend"
    assert rows["toy"]["usable"]
    assert rows["onnx"]["usable"]


def test_broken_backend_is_refused_with_its_cause_when_asked_for(
    toy: dict[str, str], tmp_path: Path
) -> None:
    done = run_cli("export", "-w", tmp_path, "-m", TINY, "-b", "broken", environment=toy)
    assert done.returncode == 1
    assert "this package is broken" in " ".join(done.stdout.split()), "the table wraps"
