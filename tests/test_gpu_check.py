"""``make gpu-check`` tells what it did not test as plainly as what it did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.hardware.gpus import find_gpus
from tests import gpu_check
from tests.gpu_check import ROOT, Outcomes, report_of, run_beside_the_checkout
from tests.gpu_report import PAGE, markdown, page, read_report, told

pytest_plugins = ["pytester"]

FOUR_ENDINGS = """
import pytest

def test_good(record_property): record_property("milliseconds", 1.25)

def test_bad(): assert 1 == 2, "numbers differ"

@pytest.fixture
def card(): pytest.skip("needs sm_86")

def test_skipped(card): pass

@pytest.fixture
def broken(): raise OSError("no such library")

def test_broken(broken): pass
"""


def test_every_ending_is_listed_once_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_four=FOUR_ENDINGS)
    outcomes = Outcomes()
    pytester.inline_run(plugins=[outcomes])
    report = report_of(tuple(outcomes.results.values()))
    assert told(report) == [
        "1 passed, 2 failed, 1 skipped",
        "FAILED  test_four.py::test_bad: AssertionError: numbers differ",
        "FAILED  test_four.py::test_broken: OSError: no such library",
        "skipped test_four.py::test_skipped: needs sm_86",
        "passed  test_four.py::test_good",
        "1 figure in the report",
    ]
    text = markdown(report)
    assert "| test_four.py::test_good | milliseconds | 1.25 |" in text
    assert "| test_four.py::test_skipped | skipped | 0.0 | needs sm_86 |" in text
    assert outcomes.exit_code == 1


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def test_good(): pass", 0),
        ("import pytest\n@pytest.mark.skip(reason='no card')\ndef test_none(): pass", 1),
        ("import nothing_of_that_name\ndef test_good(): pass", 1),
        ("", 1),
    ],
)
def test_check_is_good_only_when_something_passed_and_nothing_failed(
    pytester: pytest.Pytester, source: str, code: int
) -> None:
    pytester.makepyfile(test_one=source)
    outcomes = Outcomes()
    pytester.inline_run(plugins=[outcomes])
    assert outcomes.exit_code == code


WITHOUT_GPU = pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")


@WITHOUT_GPU
def test_machine_without_a_gpu_is_told_so_and_its_report_says_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_check", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.startswith("no GPU was tested: ")
    assert "passed" not in done.stdout
    report = read_report(tmp_path / "gpu-check.json")
    assert report.summary == done.stdout.splitlines()[0]
    assert report.python.startswith(f"{sys.version_info.major}.")
    assert report.summary in (tmp_path / "gpu-check.md").read_text()


@WITHOUT_GPU
def test_wheel_that_the_checkout_would_hide_is_tested_from_a_folder_beside_it(
    tmp_path: Path,
) -> None:
    assert run_beside_the_checkout(["--out", str(tmp_path)]) == 2
    assert read_report(tmp_path / "gpu-check.json").refused


CHECK_WITH_A_CARD_IN_NAME = """
import sys
from pathlib import Path
from deploybench.hardware import gpus
from tests.records import gpu
gpus.find_gpus = lambda: ((gpu("NVIDIA H100", "9.0"),), None)
from tests.gpu_check import check
sys.exit(check(Path(sys.argv[1]), ["-k", "tf32_switches"]))
"""


@WITHOUT_GPU
def test_check_collects_the_tests_of_a_gpu_alone_and_reports_each_with_its_reason(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK_WITH_A_CARD_IN_NAME, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    report = read_report(tmp_path / "gpu-check.json")
    assert report.summary == "0 passed, 0 failed, 1 skipped"
    (test,) = report.tests
    assert test.name.startswith("tests/gpu/test_assumptions.py::")
    assert test.reason.startswith("no CUDA device: ")
    assert "0 passed, 0 failed, 1 skipped" in (tmp_path / "gpu-check.md").read_text()


def test_interpreter_that_lacks_something_is_told_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "NEEDED", ("numpy", "nothing_of_that_name"))
    assert "nothing_of_that_name missing for" in (gpu_check.missing() or "")

    def no_distribution(name: str) -> None:
        raise gpu_check.PackageNotFoundError(name)

    monkeypatch.setattr(gpu_check, "distribution", no_distribution)
    assert "DeployBench is not installed" in (gpu_check.missing() or "")


def test_every_test_of_a_gpu_lies_where_the_check_looks() -> None:
    marked = {
        path.relative_to(ROOT / "tests").parts[0]
        for path in (ROOT / "tests").rglob("*.py")
        if "pytest.mark." + "gpu" in path.read_text()
    }
    assert marked == {"gpu"}


def test_page_of_gpu_results_is_what_the_report_beside_it_says_or_that_there_is_none() -> None:
    kept = PAGE.with_suffix(".json")
    report = read_report(kept) if kept.exists() else None
    assert PAGE.read_text() == page(report)
