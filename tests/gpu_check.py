"""Runs every test that needs a CUDA device and prints what passed, for a person to paste into an
issue.

python -m tests.gpu_check    (make gpu-check)

Exit 0: some passed and none failed. 1: one failed, or none ran. 2: no CUDA device answers here, so
nothing was tested.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploybench.contracts.registry import recorded_distributions
from deploybench.errors import EXIT_REFUSED, EXIT_SOME_FAILED
from deploybench.hardware.gpus import Gpu, find_gpus
from deploybench.hardware.host import describe_host

ROOT = Path(__file__).parent.parent


@dataclass
class Outcomes:
    """A pytest plug-in that keeps the name of each test, with the reason where it did not pass."""

    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = _reason(report)
        elif report.failed:
            self.failed[report.nodeid] = _reason(report)
        elif report.when == "call":
            self.passed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = _reason(report)

    @property
    def exit_code(self) -> int:
        return 0 if self.passed and not self.failed else EXIT_SOME_FAILED

    def lines(self) -> list[str]:
        """The verdict first, then every test that ran or did not, with its reason."""
        counts = (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        )
        described = [f"FAILED  {name}: {reason}" for name, reason in self.failed.items()]
        described += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        return [counts, *described, *(f"passed  {name}" for name in self.passed)]


def main() -> None:
    gpus, note = find_gpus()
    if not gpus:
        print(f"no GPU was tested: {note or 'the driver lists no device'}")
        print("expected: a CUDA device and its driver; docs/running-on-your-gpu.md has the steps")
        sys.exit(EXIT_REFUSED)
    outcomes = Outcomes()
    pytest.main(["-m", "gpu", "--rootdir", str(ROOT), str(ROOT / "tests")], plugins=[outcomes])
    print("\n".join(["", "DeployBench GPU check", *machine_lines(gpus), *outcomes.lines()]))
    sys.exit(outcomes.exit_code)


def machine_lines(gpus: tuple[Gpu, ...]) -> list[str]:
    """Which devices, driver, system and libraries."""
    host = describe_host(recorded_distributions())
    versions = ", ".join(f"{name} {version}" for name, version in host.versions.items())
    cards = [
        f"GPU {index}: {gpu.name}, compute capability {gpu.compute_capability}, "
        f"{gpu.memory_bytes / 2**30:.1f} GiB, "
        f"driver {gpu.driver}"
        for index, gpu in enumerate(gpus)
    ]
    return [*cards, f"host: {host.cpu_model}, {host.os}, Python {host.python}", f"with: {versions}"]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The last line of what pytest would print, which is the error or the words of a skip."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    lines = report.longreprtext.strip().splitlines()
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.splitlines()[0] if crash else (lines[-1] if lines else "no message")


if __name__ == "__main__":
    main()
