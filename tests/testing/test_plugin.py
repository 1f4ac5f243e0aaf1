"""The pytest plug-in: what it says in a session of pytest's own, and what it costs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.results.store import read_records
from tests.archive.made import steady, written
from tests.comparisons import record
from tests.testing.pretended import PRETENDED

FIRST = "20260101-000000-aaaa"
OTHER_PLUGINS = ("hypothesispytest", "anyio", "timeout")
"""What is installed beside ours. Hypothesis takes as long as all the rest of a short session."""
NOISY = [10.0, 14.0, 9.0, 12.5, 10.1, 15.0, 9.5, 11.0]
GATED = """
def test_speed(deploybench_cell):
    cell = deploybench_cell(artifact="net", runner="onnxruntime")
    deploybench_cell.gate(cell, "baseline", max_slowdown="10%", rerun_baseline=False)
"""


class Session:
    """A folder with tests of a user, whose measurements are made up beforehand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conftest.py").write_text(PRETENDED)
        self.configure("")

    def configure(self, lines: str) -> None:
        (self.folder / "pytest.ini").write_text(f"[pytest]\n{lines}\n")

    def measures(self, *records: object) -> None:
        """What the next measurements give, one after the other."""
        for number, made in enumerate(records):
            folder = self.folder / "measured"
            folder.mkdir(exist_ok=True)
            (folder / f"{number}.json").write_text(made.sealed().model_dump_json())  # type: ignore[attr-defined]

    def run(
        self, test: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        (self.folder / "test_speed.py").write_text(test)
        return in_pytest(self.folder, *arguments, **environment)


def in_pytest(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A session of pytest there, with the plug-in and no other that these tests are run with."""
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    left_out = ["cacheprovider", *OTHER_PLUGINS]
    if "-n" not in arguments:
        left_out.append("xdist")
    command = [sys.executable, "-m", "pytest", *arguments]
    command += [option for name in left_out for option in ("-p", f"no:{name}")]
    if not registered():
        command += ["-p", "deploybench.testing.plugin"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def registered() -> bool:
    from importlib.metadata import entry_points

    return any(one.name == "deploybench" for one in entry_points(group="pytest11"))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    written(tmp_path / "baseline", steady(10.0, FIRST))
    return Session(tmp_path)


def test_cell_that_is_as_fast_passes_and_is_in_the_summary(session: Session) -> None:
    session.measures(steady(10.0, "now"))
    done = session.run(GATED)
    assert done.returncode == 0, done.stdout
    assert "test_speed.py::test_speed: net onnxruntime fp32 batch 1: p50 " in done.stdout
    assert "test_speed.py::test_speed: gate PASS: " in done.stdout


def test_slower_cell_fails_with_the_interval_and_what_was_accepted(session: Session) -> None:
    session.measures(steady(15.0, "now"))
    done = session.run(GATED)
    assert done.returncode == 1
    assert "REGRESSION against" in done.stdout
    assert "at most 10 % slower is accepted" in done.stdout
    assert "95 % interval 1." in done.stdout
    assert "accepted up to 1.1" in done.stdout
    assert "between two runs" in done.stdout
    assert "Traceback" not in done.stdout
    assert "cells.py" not in done.stdout


@pytest.mark.parametrize(
    ("lines", "arguments", "code", "outcome"),
    [
        ("", (), 1, "1 failed"),
        ("deploybench_unknown = skip", (), 0, "1 skipped"),
        ("deploybench_unknown = xfail", (), 0, "1 xfailed"),
        ("deploybench_unknown = skip", ("--deploybench-unknown=fail",), 1, "1 failed"),
    ],
)
def test_noise_never_passes(
    session: Session, lines: str, arguments: tuple[str, ...], code: int, outcome: str
) -> None:
    session.configure(lines)
    session.measures(record(NOISY, "now"))
    done = session.run(GATED, *arguments)
    assert (done.returncode, outcome in done.stdout) == (code, True), done.stdout
    assert "not known: INCONCLUSIVE against" in done.stdout


def test_figure_of_a_noisy_cell_is_no_answer(session: Session) -> None:
    session.measures(record(NOISY, "now"))
    done = session.run(
        "def test_speed(deploybench_cell):\n"
        "    cell = deploybench_cell(artifact='net', runner='onnxruntime')\n"
        "    assert cell.record.summary is not None\n"
        "    assert cell.p50_ms < 1000\n"
    )
    assert done.returncode == 1
    assert "not known: net onnxruntime fp32 batch 1 is " in done.stdout


def test_policy_that_is_none_ends_the_session(session: Session) -> None:
    session.configure("deploybench_unknown = ignore")
    done = session.run(GATED)
    assert done.returncode == 4
    assert "deploybench_unknown = 'ignore': expected fail, skip, xfail" in done.stderr


@pytest.mark.parametrize(
    ("limit", "code", "words"),
    [
        ("p50='12ms'", 0, "1 passed"),
        ("p50='8ms'", 1, "FAILS: p50 "),
        ("p50='8ms'", 1, "asked for: at most 8 ms"),
        ("p50='10ms'", 1, "NOT KNOWN: p50 "),
        ("p50='12'", 1, "a time with its unit"),
        ("throughput='200/s'", 1, "asked for: at least 200 images/s"),
        ("size='8MB', memory='1GB'", 0, "1 passed"),
        ("", 1, "no limit was given"),
    ],
)
def test_limits_are_met_by_the_whole_interval(
    session: Session, limit: str, code: int, words: str
) -> None:
    session.measures(steady(10.0, "now"))
    done = session.run(
        "def test_speed(deploybench_cell):\n"
        "    cell = deploybench_cell(artifact='net', runner='onnxruntime')\n"
        f"    deploybench_cell.meets(cell, {limit})\n"
    )
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout


def test_missing_baseline_says_how_to_keep_one_and_keeping_makes_it(session: Session) -> None:
    test = GATED.replace('"baseline"', '"fresh"')
    run = "20260301-000000-abcd"
    session.measures(steady(10.0, run))
    done = session.run(test)
    assert done.returncode == 1
    assert "not known: there is no baseline: there are no records at" in done.stdout
    assert "pytest --deploybench-keep" in done.stdout
    assert "During handling" not in done.stdout
    done = session.run(test, "--deploybench-keep")
    assert done.returncode == 0, done.stdout
    assert "kept as the baseline in" in done.stdout
    assert list((session.folder / "fresh" / run).glob("*.json"))
    session.measures(steady(10.0, "20260302-000000-abcd", seed=4))
    assert session.run(test).returncode == 0


def test_keeping_one_cell_leaves_the_others_their_only_record(session: Session) -> None:
    # Each cell of a session is a run of its own.
    runs = {f"net{day}": f"202602{day:02}-000000-abcd" for day in range(1, 11)}
    others = [steady(10.0, run, model=model) for model, run in runs.items()]
    written(session.folder / "baseline", *others)
    session.measures(steady(10.0, "20260301-000000-abcd"))
    assert session.run(GATED, "--deploybench-keep").returncode == 0
    kept = {one.run for one in read_records(session.folder / "baseline")}
    assert kept == {FIRST, "20260301-000000-abcd", *runs.values()}


def test_cell_that_fails_is_a_failure_and_a_cell_of_another_test_is_not_missed(
    session: Session,
) -> None:
    written(session.folder / "baseline", steady(10.0, FIRST, runner="openvino"))
    session.measures(steady(10.0, "now"))
    assert session.run(GATED).returncode == 0
    session.measures(record([], "now"))
    done = session.run(GATED, "--deploybench-unknown=skip")
    assert (done.returncode, "is FAILED" in done.stdout) == (1, True), done.stdout


def test_beside_other_workers_nothing_is_measured(session: Session) -> None:
    session.measures(steady(10.0, "now"))
    done = session.run(GATED, "-n", "2", "--deploybench-unknown=skip", "-rs")
    assert (done.returncode, "1 skipped" in done.stdout) == (0, True), done.stdout
    assert "2 processes of pytest-xdist work beside each other" in done.stdout
    session.configure("deploybench_beside_others = true")
    assert "1 passed" in session.run(GATED, "-n", "2").stdout
    session.configure("")
    assert "1 passed" in session.run(GATED, "-n", "1").stdout


def test_what_measures_is_left_out_by_its_mark(session: Session) -> None:
    session.measures(steady(10.0, "now"))
    test = f"def test_other(): pass\n{GATED}"
    done = session.run(test, "-m", "not deploybench", "--strict-markers")
    assert "1 passed, 1 deselected" in done.stdout
    assert "1 passed, 1 deselected" in session.run(test, "-m", "deploybench").stdout


def test_one_measurement_serves_a_module_and_is_in_the_junit_report(session: Session) -> None:
    session.measures(steady(10.0, "now"))
    done = session.run(
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def cell(deploybench_cell):\n"
        "    return deploybench_cell(artifact='net', runner='onnxruntime')\n"
        "def test_quick(cell): assert cell.p50_ms < 11\n"
        "def test_known(cell): assert cell.p50_interval_ms[0] < cell.p50_ms\n",
        "--junit-xml=report.xml",
    )
    assert done.returncode == 0, done.stdout
    properties = ElementTree.parse(session.folder / "report.xml").iter("property")
    assert [one.get("value", "").split(":")[0] for one in properties] == [
        "net onnxruntime fp32 batch 1"
    ]


def test_words_of_a_record_do_nothing_in_the_terminal(session: Session) -> None:
    name = "net\x1b[31m\x1b]0;owned\x07"
    written(session.folder / "baseline", steady(10.0, FIRST, model=name))
    session.measures(steady(20.0, "now", model=name))
    done = session.run(GATED, "--color=no")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "net\\x1b[31m" in done.stdout


def test_plug_in_that_is_not_used_imports_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_imports():\n"
        "    heavy = {'torch', 'numpy', 'pydantic', 'typer', 'rich', 'duckdb'} & set(sys.modules)\n"
        "    assert heavy == set()\n"
        "    ours = {name for name in sys.modules if name.startswith('deploybench')}\n"
        "    assert ours <= {'deploybench', 'deploybench.testing', 'deploybench.testing.plugin'}\n"
    )
    done = in_pytest(tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.measures
def test_real_cell_is_measured_gated_beside_its_baseline_and_kept(
    tiny_workspace: Workspace, tiny_artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    artifact = tiny_artifact("onnx").path
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\ndeploybench_workspace = {tiny_workspace.root}\n"
    )
    (tmp_path / "test_speed.py").write_text(
        "def test_speed(deploybench_cell):\n"
        f"    cell = deploybench_cell(artifact={str(artifact)!r}, runner='onnxruntime',\n"
        "        threads=1, budget='8s')\n"
        "    assert cell.record.parity.passed\n"
        "    deploybench_cell.meets(cell, memory='4GB')\n"
        "    deploybench_cell.gate(cell, max_slowdown='400%', run_shift='1%')\n"
    )
    done = in_pytest(tmp_path, "--deploybench-keep")
    assert done.returncode == 0, done.stdout
    baseline = tmp_path / "deploybench-baseline"
    assert len(list(baseline.glob("*/*.json"))) == 1
    assert len(list(baseline.glob("artifacts/*/*/manifest.json"))) == 1
