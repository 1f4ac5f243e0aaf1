"""The record of one scenario on one cell.

It lives in ``scenarios/`` of the workspace, beside the records of runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.workspace import Workspace
from deploybench.documents import Document, read_document_file
from deploybench.files import slug, write_whole
from deploybench.hardware.host import Host
from deploybench.provenance import Provenance
from deploybench.results.cell import Cell
from deploybench.results.launch import Facts
from deploybench.results.verdict import Judgement
from deploybench.scenarios.loadgen import LoadGenResult
from deploybench.scenarios.settings import ScenarioSettings
from deploybench.statistics.samples import nearest_rank


class Trial(Document):
    """One fresh process: what ran, and LoadGen's test if it came to that.

    ``facts`` are those of one instance.
    """

    error: str | None = None
    refused: str | None = None
    load_s: float | None = Field(default=None, description="of all instances, one after another")
    facts: Facts | None = None
    parity: ParityReport | None = None
    loadgen: LoadGenResult | None = None
    pinned: tuple[int, ...] | None = Field(
        default=None,
        description="the CPUs that the process was kept on; None: it was left to the system",
    )

    @property
    def provenance(self) -> Provenance:
        """Simulated where a double stood in for the device's library."""
        return "measured" if self.facts is None else self.facts.provenance

    def percentile_ms(self, fraction: float) -> float | None:
        """The percentile of the raw latencies, ms; None where nothing was measured."""
        if self.loadgen is None:
            return None
        return nearest_rank(self.loadgen.latencies_ns, fraction) / 1e6


class Probe(Document):
    """One rate that a search tried."""

    target_qps: float
    passed: bool
    unmet: tuple[str, ...]
    percentile_ms: float | None
    query_count: int


class ScenarioRecord(Document):
    """One scenario on one cell.

    ``probes`` are the rates that a search tried, in order; the trial is its last one.
    """

    schema_version: Literal[1] = 1
    run: str
    created: str
    cell: Cell
    settings: ScenarioSettings
    trial: Trial
    probes: tuple[Probe, ...]
    judgement: Judgement
    host: Host
    versions: dict[str, str]
    command: str


def scenarios_folder(workspace: Workspace) -> Path:
    return workspace.root / "scenarios"


def write_scenario(record: ScenarioRecord, folder: Path) -> Path:
    """Write the record whole into ``folder``, named after its scenario and cell."""
    cell = record.cell
    scenario = record.settings.scenario.value
    name = f"{scenario}-{cell.model}-{cell.runner}-{cell.precision}-b{cell.batch}"
    path = folder / f"scenario-{slug(name)}-{(cell.artifact_key or 'none')[:8]}.json"
    write_whole(path, record.model_dump_json(indent=1))
    return path


def read_scenario(path: Path) -> ScenarioRecord:
    """The record in a file. Raises DeployBenchError for a file that does not read."""
    expected = "a record of schema version 1 that deploybench scenario wrote"
    action = "deploybench scenario writes one"
    return read_document_file(
        ScenarioRecord, path, what="a scenario's record", expected=expected, action=action
    )
