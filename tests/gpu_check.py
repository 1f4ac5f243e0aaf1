"""Runs every test that needs a CUDA device and writes one report that a person can send.

python3 -m tests.gpu_check [--out FOLDER] [PYTEST OPTIONS]    (make gpu-check, in a checkout)

Needs DeployBench installed in this interpreter, as a wheel or editable, with pytest; no network and
no environment of its own. Writes gpu-check.json and gpu-check.md. What follows the known options
goes to pytest: ``-k tf32``. Exit 0: some passed and none failed. 1: one failed, or none ran. 2: no
CUDA device answers here, or something is missing, so nothing was tested.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.gpu_report import Figure, GpuReport, TestResult

ROOT = Path(__file__).parent.parent
REFUSED, SOME_FAILED = 2, 1  # as deploybench.errors has them, which may be missing here
NEEDED = ("numpy", "pydantic", "psutil", "filelock", "typer", "pytest")


@dataclass(eq=False)  # pytest puts its plug-ins into sets
class Outcomes:
    """A pytest plug-in that keeps how each test ended, with the reason where it did not pass."""

    results: dict[str, TestResult] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._keep(report.nodeid, "skipped", _reason(report))
        elif report.failed:
            self._keep(report.nodeid, "failed", _reason(report), report)
        elif report.when == "call":
            self._keep(report.nodeid, "passed", "", report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._keep(report.nodeid, "failed", _reason(report))

    def _keep(
        self, name: str, outcome: str, reason: str, report: pytest.TestReport | None = None
    ) -> None:
        from tests.gpu_report import TestResult

        seconds = 0.0
        figures: dict[str, Figure] = {}
        if report is not None:
            seconds = report.duration
            figures = {key: _plain(value) for key, value in report.user_properties}
        self.results[name] = TestResult(
            name=name, outcome=outcome, reason=reason, seconds=seconds, figures=figures
        )

    @property
    def exit_code(self) -> int:
        outcomes = {result.outcome for result in self.results.values()}
        return 0 if "passed" in outcomes and "failed" not in outcomes else SOME_FAILED


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the report")
    options, for_pytest = parser.parse_known_args()
    out = options.out.absolute()
    problem = missing()
    if problem is not None:
        print(f"no GPU was tested: {problem}")
        sys.exit(REFUSED)
    if find_spec("deploybench.exporters") is None:
        sys.exit(run_beside_the_checkout(["--out", str(out), *for_pytest]))
    sys.exit(check(out, for_pytest))


def missing() -> str | None:
    """What this interpreter lacks, and what to do about it; None where nothing does."""
    try:
        distribution("deploybench")
    except PackageNotFoundError:
        return (
            f"DeployBench is not installed for {sys.executable}; do: "
            "python3 -m pip install --no-deps --no-build-isolation ."
        )
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        return (
            f"{', '.join(absent)} missing for {sys.executable}; "
            f"do: python3 -m pip install {' '.join(absent)}"
        )
    return None


def run_beside_the_checkout(arguments: list[str]) -> int:
    """The same check with the tests in a folder of their own; its exit code.

    In a checkout the folder ``deploybench`` hides an installed wheel, and has no exporters: these
    lie beside it there.
    """
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "tests", folder / "tests")
        shutil.copy(ROOT / "pyproject.toml", folder)
        command = [sys.executable, "-m", "tests.gpu_check", *arguments]
        return subprocess.run(command, cwd=folder, check=False).returncode


def check(out: Path, for_pytest: list[str]) -> int:
    """Run the tests, print and write the report; the exit code."""
    import pytest

    from deploybench.hardware.gpus import find_gpus
    from tests.gpu_report import told

    out.mkdir(parents=True, exist_ok=True)
    gpus, note = find_gpus()
    if not gpus:
        reason = note or "the driver lists no device"
        write(report_of((), reason), out)
        print(f"no GPU was tested: {reason}")
        print("expected: a CUDA device and its driver; docs/running-on-your-gpu.md has the steps")
        return REFUSED
    outcomes = Outcomes()
    where = ["--rootdir", str(ROOT), str(ROOT / "tests" / "gpu")]
    pytest.main(["-m", "gpu", *where, *for_pytest], plugins=[outcomes])
    report = report_of(tuple(outcomes.results.values()))
    write(report, out)
    for line in ("", "DeployBench GPU check", *machine_lines(report), *told(report)):
        print(line)
    print(f"report: {out / 'gpu-check.json'}")
    return outcomes.exit_code


def report_of(tests: tuple[TestResult, ...], refused: str = "") -> GpuReport:
    """The report with the description of this machine."""
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.documents import now
    from deploybench.hardware.host import describe_host
    from tests.gpu_report import GpuReport

    host = describe_host(recorded_distributions())
    return GpuReport(
        written=now(),
        gpus=host.gpus,
        machine=f"{host.cpu_model}, {host.os}",
        python=host.python,
        versions=host.versions,
        refused=refused,
        tests=tests,
    )


def write(report: GpuReport, out: Path) -> None:
    from tests.gpu_report import markdown

    (out / "gpu-check.json").write_text(report.model_dump_json(indent=1) + "\n")
    (out / "gpu-check.md").write_text(markdown(report))


def machine_lines(report: GpuReport) -> list[str]:
    """Which devices, driver, system and libraries."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    cards = [
        f"GPU {gpu.index}: {gpu.name}, compute capability {gpu.compute_capability}, "
        f"{gpu.memory_bytes / 2**30:.1f} GiB, driver {gpu.driver}"
        for gpu in report.gpus
    ]
    return [*cards, f"host: {report.machine}, Python {report.python}", f"with: {versions}"]


def _plain(value: object) -> Figure:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The last line of what pytest would print, which is the error or the words of a skip."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    lines = report.longreprtext.strip().splitlines()
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.splitlines()[0] if crash else (lines[-1] if lines else "no message")


if __name__ == "__main__":
    main()
