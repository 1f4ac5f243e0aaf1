"""The pytest plug-in: the fixture ``deploybench_cell``, its options, and a summary of what it said.

pytest imports this module wherever this package is installed, so it imports nothing but pytest:
what measures is imported when the fixture is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from deploybench.testing.cells import DeployBenchCell

FIXTURE = "deploybench_cell"
MARKER = "deploybench"
PROPERTY = "deploybench"
"""Of a test's report, and of JUnit XML: what was measured, and what was said of it."""
POLICIES = ("fail", "skip", "xfail")
CURRENT = pytest.StashKey[pytest.Item]()
MEASURING = pytest.StashKey["DeployBenchCell"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("deploybench", "speed and memory of deployed models")
    group.addoption(
        "--deploybench-unknown",
        choices=POLICIES,
        help="what becomes of a test that the measurement cannot answer (ini: "
        "deploybench_unknown, default: fail)",
    )
    group.addoption(
        "--deploybench-keep",
        action="store_true",
        help="keep what is measured as the new baseline, instead of gating on the old one",
    )
    parser.addini(
        "deploybench_unknown",
        "a test that the measurement cannot answer (noise, no baseline): fail, skip or xfail",
        default="fail",
    )
    parser.addini(
        "deploybench_baseline",
        "the baseline of deploybench_cell.gate: a folder, or an address such as s3://BUCKET/main",
        default="deploybench-baseline",
    )
    parser.addini(
        "deploybench_workspace",
        "the folder of artifacts and records ($DEPLOYBENCH_WORKSPACE, else deploybench-workspace)",
        default="",
    )
    parser.addini(
        "deploybench_beside_others",
        "measure although other processes of pytest-xdist run beside",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARKER}: measures (every test that uses {FIXTURE} has it)"
    )
    policy = config.getini("deploybench_unknown")
    if policy not in POLICIES:
        raise pytest.UsageError(f"deploybench_unknown = {policy!r}: expected {', '.join(POLICIES)}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what measures before ``-m`` chooses: ``-m "not deploybench"`` leaves it out."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(MARKER)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The fixture is there for the whole session, and has to know whose report it adds to."""
    item.config.stash[CURRENT] = item
    yield
    del item.config.stash[CURRENT]


@pytest.fixture(scope="session")
def deploybench_cell(pytestconfig: pytest.Config) -> DeployBenchCell:
    """Measure a cell, and hold it against limits and against a baseline.

    ``cell = deploybench_cell(artifact="artifacts/net", runner="onnxruntime", budget="20s")``
    measures; ``deploybench_cell.meets(cell, p50="12ms")`` and ``deploybench_cell.gate(cell,
    baseline="baseline/", max_slowdown="5%")`` fail the test where that is known to be too slow, and
    do what ``deploybench_unknown`` says where it is not known.
    """
    from deploybench.testing.cells import DeployBenchCell

    measuring = DeployBenchCell(pytestconfig)
    pytestconfig.stash[MEASURING] = measuring
    return measuring


def pytest_sessionfinish(session: pytest.Session) -> None:
    measuring = session.config.stash.get(MEASURING, None)
    if measuring is not None:
        measuring.keep_what_was_measured()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Each measurement in a line, whatever became of its test."""
    lines: dict[str, None] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, words in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    lines[f"{report.nodeid}: {words}"] = None
    if lines:
        terminalreporter.section("deploybench")
        for line in lines:
            terminalreporter.write_line(line)
