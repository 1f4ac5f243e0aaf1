"""A fleet run by one call, on a cluster that is made up: every cell ends as a row, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from deploybench.artifacts.signature import sign
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.fleet.placement import Node
from deploybench.fleet.request import (
    LATEST,
    Clusters,
    FleetPlanned,
    FleetRequest,
    carry_out_fleet,
)
from deploybench.fleet.ticket import Ticket
from deploybench.hardware.profile_toml import profile_toml
from deploybench.results.cell import CellOptions
from deploybench.results.store import read_records
from deploybench.results.verdict import Verdict
from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace
from tests.fleet.made_up import MadeUpCluster, refusing

XEON, OTHER, K80 = Node("one", "xeon"), Node("two", "xeon"), Node("three", "k80")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An ONNX and an eager artifact of one model, made here."""
    workspace = kept_workspace(tmp_path / "workspace", ONNX, PYTORCH)
    for name in (ONNX, PYTORCH):
        sign(workspace.artifacts_folder / name, "made")
    return workspace


def request_for(workspace: Workspace, **changes: Any) -> FleetRequest:
    asked: dict[str, Any] = {
        "profiles": ["xeon"],
        "runners": ["onnxruntime", "pytorch"],
        "batches": [1, 2],
        "workspace": workspace.root,
        "patience_s": 3.0,
    }
    return FleetRequest(**{**asked, **changes})


class Made:
    """Makes the cluster, and keeps it for the test to look at."""

    def __init__(self, *nodes: Node, **how: Any) -> None:
        self.nodes = list(nodes)
        self.how = how
        self.cluster: MadeUpCluster | None = None

    def __call__(self, tickets: dict[str, Ticket], paths: dict[str, Path]) -> MadeUpCluster:
        self.cluster = MadeUpCluster(tickets, paths, self.nodes, **self.how)
        return self.cluster

    @property
    def started(self) -> list[tuple[str, str]]:
        assert self.cluster is not None
        return self.cluster.started


def nothing_starts(tickets: dict[str, Ticket], paths: dict[str, Path]) -> MadeUpCluster:
    raise AssertionError("nothing is left to measure")


def test_every_cell_of_every_profile_is_an_ordinary_record(workspace: Workspace) -> None:
    made: Clusters = Made(XEON, OTHER, Node("four", "host"))
    result = carry_out_fleet(request_for(workspace, profiles=["xeon", "host"]), made)

    assert len(result.records) == 8
    assert not result.failed
    assert [folder.name for folder in result.folders] == [
        f"{result.fleet}-xeon",
        f"{result.fleet}-host",
    ]
    for folder in result.folders:
        records = read_records(folder)
        assert len(records) == 4
        assert {record.run for record in records} == {folder.name}
    # The artifact is the driver's again, from which the command measures the cell.
    for record in result.records:
        assert record.cell.artifact is not None
        assert Path(record.cell.artifact).is_relative_to(workspace.artifacts_folder)
        assert record.command == f"deploybench run --artifact {record.cell.artifact}"


def test_options_and_environments_are_asked_of_the_cells_that_obey_them(
    workspace: Workspace,
) -> None:
    made = Made(XEON)
    asked = request_for(
        workspace,
        batches=[1],
        options=CellOptions(arena="off"),
        environments=["present", "tensorrt85"],
    )
    result = carry_out_fleet(asked, made)

    assert made.cluster is not None
    assert len(result.records) == 4
    cells = [ticket.cell for ticket in made.cluster.tickets.values()]
    assert {(cell.runner, cell.options.arena, cell.options.stack) for cell in cells} == {
        ("onnxruntime", "off", "present"),
        ("onnxruntime", "off", "tensorrt85"),
        ("pytorch", "on", "present"),
        ("pytorch", "on", "tensorrt85"),
    }


def test_an_option_that_no_runner_obeys_is_refused(workspace: Workspace) -> None:
    asked = request_for(workspace, options=CellOptions(openvino_hint="none"))
    with pytest.raises(DeployBenchError, match="none of onnxruntime, pytorch obeys"):
        carry_out_fleet(asked, nothing_starts)


def test_an_artifact_is_packed_once_for_all_its_cells(workspace: Workspace) -> None:
    made = Made(XEON)
    carry_out_fleet(request_for(workspace), made)

    assert made.cluster is not None
    packs = [ticket.pack for ticket in made.cluster.tickets.values()]
    assert len(packs) == 4
    assert len({pack.sha256 for pack in packs if pack is not None}) == 2
    assert len(made.cluster.paths) == 2


@pytest.mark.parametrize("replies", [0, 1, 3])
def test_a_driver_that_was_ended_is_resumed_and_nothing_is_measured_twice(
    workspace: Workspace, replies: int
) -> None:
    first = Made(XEON, OTHER, stops_after=replies)
    with pytest.raises(KeyboardInterrupt):
        carry_out_fleet(request_for(workspace), first)
    kept = len(list(workspace.records_folder.glob("*/*.json")))
    assert kept == replies

    second = Made(XEON, OTHER)
    events: list[object] = []
    resumed = FleetRequest(workspace=workspace.root, resume=LATEST)
    result = carry_out_fleet(resumed, second, events.append)

    assert len(result.records) == 4
    assert isinstance(events[0], FleetPlanned)
    assert (events[0].cells, events[0].done) == (4, replies)
    ended = first.started[:replies]
    under_way = first.started[replies:]
    # Whoever had a cell under way is asked for it; what had ended is not begun again.
    assert second.started[: len(under_way)] == under_way
    assert not {name for name, _ in ended} & {name for name, _ in second.started}
    assert max(Counter(name for name, _ in second.started).values()) == 1


def test_what_is_complete_is_not_measured_again(workspace: Workspace) -> None:
    result = carry_out_fleet(request_for(workspace), Made(XEON))

    again = carry_out_fleet(
        FleetRequest(workspace=workspace.root, resume=result.fleet), nothing_starts
    )

    assert again.records == tuple(record.sealed() for record in result.records)


def test_what_a_node_refuses_is_a_row_with_its_words(workspace: Workspace) -> None:
    result = carry_out_fleet(request_for(workspace), Made(XEON, answers=refusing))

    assert result.failed
    judgement = result.records[0].judgement
    assert judgement.verdict is Verdict.FAILED
    assert "this host has a Zilog; expected: a Xeon" in judgement.reason
    assert judgement.advice == "buy one"
    assert result.records[0].summary is None


def test_a_profile_without_a_node_is_a_row_and_is_measured_once_one_has_come(
    workspace: Workspace,
) -> None:
    result = carry_out_fleet(request_for(workspace, batches=[1]), Made(K80))

    judgements = [record.judgement for record in result.records]
    assert {judgement.verdict for judgement in judgements} == {Verdict.SKIPPED}
    assert judgements[0].reason == "no node of the fleet carries the profile xeon"
    assert "fleet start-node --profile xeon" in judgements[0].advice

    later = FleetRequest(workspace=workspace.root, resume=result.fleet)
    again = carry_out_fleet(later, Made(XEON))
    assert all(record.summary is not None for record in again.records)


def test_a_cell_that_is_lost_again_and_again_is_a_row_with_every_cause(
    workspace: Workspace,
) -> None:
    def out_of_memory(ticket: Ticket) -> str | None:
        return "out of memory" if ticket.cell.batch == 2 else None

    made = Made(XEON, OTHER, loses=out_of_memory)
    result = carry_out_fleet(request_for(workspace), made)

    failed = [record for record in result.records if record.summary is None]
    assert {record.cell.batch for record in failed} == {2}
    assert len(failed) == 2
    for record in failed:
        assert record.judgement.verdict is Verdict.FAILED
        assert record.judgement.reason == (
            "lost 3 times: out of memory; out of memory; out of memory"
        )


def test_two_drivers_of_one_fleet_run_are_refused(workspace: Workspace) -> None:
    result = carry_out_fleet(request_for(workspace), Made(XEON))
    with (
        FileLock(workspace.root / "fleet" / result.fleet / "lock"),
        pytest.raises(DeployBenchError, match="another process drives the fleet run"),
    ):
        carry_out_fleet(FleetRequest(workspace=workspace.root, resume=result.fleet), nothing_starts)


def test_code_that_was_not_made_here_is_sent_to_no_node_without_consent(tmp_path: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", PYTORCH)
    (workspace.artifacts_folder / PYTORCH / "signature.json").unlink(missing_ok=True)

    with pytest.raises(DeployBenchError) as refused:
        carry_out_fleet(request_for(workspace, runners=["pytorch"]), nothing_starts)

    assert "fleet run" in str(refused.value)
    assert "--trust" in str(refused.value)


def test_a_profile_of_a_file_travels_with_its_cells(workspace: Workspace, tmp_path: Path) -> None:
    from deploybench.hardware.profile import load_profile

    path = tmp_path / "mine.toml"
    path.write_text(profile_toml(load_profile("xeon").replaced(name="mine")))
    made = Made(Node("one", "mine"))
    carry_out_fleet(request_for(workspace, profiles=[str(path)]), made)

    assert made.cluster is not None
    for ticket in made.cluster.tickets.values():
        assert ticket.profile == "mine"
        assert ticket.profile_text == path.read_text()


def test_what_is_built_on_the_node_sends_no_artifact(workspace: Workspace) -> None:
    made = Made(XEON)
    asked = request_for(workspace, runners=["onnxruntime"], build=["onnx"], batches=[1])
    result = carry_out_fleet(asked, made)

    assert made.cluster is not None
    (ticket,) = made.cluster.tickets.values()
    assert ticket.pack is None
    assert ticket.built is not None
    assert ticket.built.backend == "onnx"
    assert result.records[0].cell.artifact_key == "measured"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"profiles": []}, "no profile"),
        ({"profiles": ["xeno"]}, "unknown profile 'xeno'"),
        ({"runners": ["onnx"]}, "unknown runner 'onnx'"),
        ({"resume": "never"}, "there is no plan of a fleet run"),
        ({"resume": LATEST}, "has no fleet run to resume"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    workspace: Workspace, changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(DeployBenchError, match=found):
        carry_out_fleet(request_for(workspace, **changes), nothing_starts)


def test_a_line_of_the_journal_that_a_kill_cut_short_is_passed_over(workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry_out_fleet(request_for(workspace), Made(XEON, stops_after=1))
    (journal,) = (workspace.root / "fleet").glob("*/journal.jsonl")
    with journal.open("a") as stream:
        stream.write('{"at": "2026-')

    result = carry_out_fleet(FleetRequest(workspace=workspace.root, resume=LATEST), Made(XEON))

    assert len(result.records) == 4
