"""The node's side: what comes is checked by its hash, what was measured is not measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import ChildOutcome
from deploybench.errors import DeployBenchError
from deploybench.fleet import station as stations
from deploybench.fleet.placement import Assignment, Node, Task
from deploybench.fleet.planning import Wanted, place_of, plan_tickets
from deploybench.fleet.station import Station
from deploybench.fleet.ticket import Answer, Look, Ticket
from deploybench.fleet.worker import answer
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.attacks.hostile import attack
from tests.fleet.made_up import answer_to

SHORT = Look(rounds=1, duration_s=0.05, min_samples=3, threads=1)


def ticket_of(tmp_path: Path, profile: str = "host", **changes: object) -> tuple[Ticket, Path]:
    """A ticket for the kept ONNX artifact, and where its pack lies."""
    workspace = kept_workspace(tmp_path / "driver", ONNX)
    wanted = Wanted([place_of(profile)], runners=["onnxruntime"])
    made = plan_tickets("fleet", workspace.artifacts(), wanted, SHORT, tmp_path / "packs")
    (ticket,) = made.tickets
    assert ticket.pack is not None
    return ticket.replaced(**changes), made.paths[ticket.pack.sha256]


def test_a_cell_is_measured_on_a_node_that_had_nothing(tmp_path: Path) -> None:
    ticket, pack = ticket_of(tmp_path)
    station = Station(tmp_path / "node")
    assert ticket.pack is not None

    assert station.lacking(ticket) == [ticket.pack]
    content = pack.read_bytes()
    station.receive(ticket.pack, [content[:1000], content[1000:]])
    assert station.lacking(ticket) == []
    measured = station.measure(ticket)

    assert measured.lost is None
    assert measured.answer is not None
    told = Answer.model_validate_json(measured.answer)
    assert told.refusal is None
    assert told.record is not None
    assert told.record.launches[0].samples_ns
    assert ticket.is_of(told.record)
    assert told.folder is not None
    assert Path(told.folder).is_relative_to(tmp_path / "node")


def test_a_cell_is_measured_with_its_options_and_where_its_environment_is(tmp_path: Path) -> None:
    plain, pack = ticket_of(tmp_path)
    station = Station(tmp_path / "node")
    assert plain.pack is not None
    station.receive(plain.pack, [pack.read_bytes()])
    without = plain.replaced(name="arena", cell=plain.cell.replaced(arena="off"))
    told = Answer.model_validate_json(station.measure(without).answer or "")
    assert told.record is not None
    assert told.record.cell.options.arena == "off"
    assert without.is_of(told.record)
    assert not plain.is_of(told.record)
    elsewhere = plain.replaced(name="stack", cell=plain.cell.replaced(stack="nowhere"))
    told = Answer.model_validate_json(station.measure(elsewhere).answer or "")
    assert told.refusal is not None
    assert "nowhere" in told.refusal.found


def test_a_node_that_is_not_what_the_profile_names_refuses(tmp_path: Path) -> None:
    ticket, _ = ticket_of(tmp_path, "rtx3090")
    told = answer(ticket, tmp_path / "node")

    assert told.record is None
    assert told.refusal is not None
    assert "this host has" in told.refusal.found
    assert "rtx3090" in (told.refusal.action or "")


def test_an_answer_that_was_given_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver died before it had the answer, and the next one asks again."""
    ticket, _ = ticket_of(tmp_path)
    runs = []

    def run(module: str, request: str, **_: object) -> ChildOutcome:
        runs.append(module)
        return ChildOutcome(answer_to(ticket).model_dump_json().encode(), None, "")

    monkeypatch.setattr(stations, "run_child", run)
    station = Station(tmp_path / "node")
    first = station.measure(ticket)

    assert Station(tmp_path / "node").measure(ticket) == first
    assert len(runs) == 1


def test_a_process_that_dies_is_a_loss_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, _ = ticket_of(tmp_path)
    died = ChildOutcome(None, "killed by SIGKILL (often: out of memory)", "")
    monkeypatch.setattr(stations, "run_child", lambda *_, **__: died)

    measured = Station(tmp_path / "node").measure(ticket)

    assert measured.answer is None
    assert measured.lost == "killed by SIGKILL (often: out of memory)"
    assert not (tmp_path / "node" / "answers").exists()


def test_a_file_that_changed_on_its_way_is_refused_and_not_kept(tmp_path: Path) -> None:
    ticket, pack = ticket_of(tmp_path)
    station = Station(tmp_path / "node")
    assert ticket.pack is not None

    with pytest.raises(DeployBenchError, match="came to this node with the SHA-256"):
        station.receive(ticket.pack, [pack.read_bytes(), b"more"])
    assert station.lacking(ticket) == [ticket.pack]


def test_a_pack_without_the_artifact_is_refused(tmp_path: Path) -> None:
    ticket, pack = ticket_of(tmp_path)
    cell = ticket.cell.replaced(artifact_key="another")
    assert ticket.pack is not None
    Station(tmp_path / "node").receive(ticket.pack, [pack.read_bytes()])

    told = answer(ticket.replaced(cell=cell), tmp_path / "node")

    assert told.refusal is not None
    assert "does not hold the artifact another" in told.refusal.found


def test_jobs_of_a_batch_system_measure_by_submitit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With submitit's executor for this machine, which runs each job in a process of its own."""
    from deploybench.fleet.jobs_cluster import LOCAL, JobsCluster

    monkeypatch.setenv("DEPLOYBENCH_FLEET_CACHE", str(tmp_path / "node"))
    ticket, pack = ticket_of(tmp_path)
    assert ticket.pack is not None
    paths = {ticket.pack.sha256: pack}
    jobs = JobsCluster(LOCAL, tmp_path / "jobs", {ticket.name: ticket}, paths, {})
    assert jobs.nodes() == [Node("host-0", "host")]
    assignment = Assignment(Task(ticket.name, "host"), jobs.nodes()[0], 1)
    jobs.start(assignment)
    (reply,) = jobs.replies(120.0)

    assert reply.lost is None
    assert reply.assignment == assignment
    assert reply.result is not None
    assert reply.result.record is not None
    assert ticket.is_of(reply.result.record)


def test_a_job_that_ends_without_an_answer_is_lost_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploybench.fleet.jobs_cluster import LOCAL, JobsCluster

    monkeypatch.setenv("DEPLOYBENCH_FLEET_CACHE", str(tmp_path / "node"))
    ticket, _ = ticket_of(tmp_path)
    jobs = JobsCluster(LOCAL, tmp_path / "jobs", {ticket.name: ticket}, {}, {})
    jobs.start(Assignment(Task(ticket.name, "host"), jobs.nodes()[0], 1))
    (reply,) = jobs.replies(60.0)

    assert reply.result is None
    assert reply.lost is not None
    assert reply.lost.startswith("job ")
    assert "KeyError" in reply.lost


@attack(
    "Code of others",
    "a fleet by submitit whose folder of jobs others can write to: its results are pickles",
    "loaded, by its code",
    "a new folder for each run, this user's alone; refused where it became another's",
)
def test_folder_of_jobs_is_new_private_and_looked_at_again(tmp_path: Path) -> None:
    from deploybench.fleet.jobs_cluster import OwnFolder

    jobs = tmp_path / "jobs"
    jobs.mkdir(mode=0o777)
    jobs.chmod(0o777)
    planted = jobs / "1_0_result.pkl"
    planted.write_bytes(b"a pickle of somebody's")

    folder = OwnFolder(jobs)

    assert list(folder.path.iterdir()) == [], "what was there before is not among the results"
    for path in (jobs, folder.path):
        assert path.stat().st_mode & 0o077 == 0
    folder.check()
    folder.path.chmod(0o770)
    with pytest.raises(DeployBenchError, match="others may write to it"):
        folder.check()
    folder.path.chmod(0o700)
    aside = folder.path.rename(tmp_path / "aside")
    folder.path.mkdir(mode=0o700)
    with pytest.raises(DeployBenchError, match="another folder than the one that was made"):
        folder.check()
    folder.path.rmdir()
    folder.path.symlink_to(aside)
    with pytest.raises(DeployBenchError, match="it is no folder"):
        folder.check()


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (["rtx3090:partition=gpu,gres=gpu:2"], {"rtx3090": {"partition": "gpu", "gres": "gpu:2"}}),
        (["--account=me", "k80:qos=long"], {"": {"account": "me"}, "k80": {"qos": "long"}}),
    ],
)
def test_options_of_slurm_belong_to_a_profile(
    asked: list[str], options: dict[str, dict[str, str]]
) -> None:
    from deploybench.fleet.jobs_cluster import read_options

    assert read_options(asked) == options


def test_what_is_no_option_of_slurm_is_refused() -> None:
    from deploybench.fleet.jobs_cluster import read_options

    with pytest.raises(DeployBenchError, match="--slurm gpu"):
        read_options(["gpu"])


def test_an_artifact_is_built_on_the_node_from_its_request(
    tmp_path: Path, tiny_workspace: Workspace
) -> None:
    """Formats that fit one machine only are not sent: the node makes them (here: ONNX)."""
    onnx = [one for one in tiny_workspace.artifacts() if one.manifest.backend == "onnx"][:1]
    wanted = Wanted([place_of("host")], runners=["onnxruntime"], build=["onnx"])
    made = plan_tickets("fleet", onnx, wanted, SHORT, tmp_path / "packs")
    (ticket,) = made.tickets

    told = answer(ticket, tmp_path / "node")

    assert told.refusal is None
    assert told.record is not None
    assert ticket.is_of(told.record)
    assert (tmp_path / "node" / "built" / "artifacts").is_dir()
