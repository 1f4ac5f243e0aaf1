"""What a baseline holds after it was kept: the newest runs, and what was measured last."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploybench.archive.places import LocalPlace, place_of
from deploybench.artifacts.artifact import MANIFEST, Artifact, file_entry
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.gating import keeping
from deploybench.gating.keeping import keep_baseline
from deploybench.results.record import Record
from deploybench.results.store import read_records, record_name, write_record
from tests.archive.made import packed, steady, written
from tests.artifacts.workspaces import ONNX, PYTORCH, add_copy, kept_workspace
from tests.comparisons import host, record
from tests.conftest import Cli, rewrite_manifest


def run_name(day: int) -> str:
    return f"202601{day:02}-000000-abcd"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return kept_workspace(tmp_path / "workspace", ONNX)


def exported_again(workspace: Workspace, key: str) -> Artifact:
    """Another artifact of the same form, as another version of a library makes it."""
    path = add_copy(workspace, ONNX, f"onnx-fp32-dynamic-{key * 8}", key=key * 64)
    return next(one for one in workspace.artifacts() if one.path == path)


def of_artifact(artifact: Artifact, day: int, **changes: object) -> Record:
    """A record of that day that says it was measured on the artifact."""
    return steady(
        10.0,
        run_name(day),
        artifact=str(artifact.path),
        artifact_key=artifact.manifest.key,
        **changes,
    )


def kept_keys(baseline: Path) -> set[str]:
    """The beginnings of the keys of the artifacts that lie there whole."""
    artifacts = Workspace(baseline).artifacts()
    for artifact in artifacts:
        artifact.check_files()
    return {artifact.manifest.key[:8] for artifact in artifacts}


def test_oldest_runs_go_and_nothing_else(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline"
    written(baseline, steady(10.0, "by-hand"))
    (baseline / "README.md").write_text("ours")
    for day in range(1, 6):
        done = keep_baseline(
            [steady(10.0, run_name(day))], place_of(str(baseline)), tmp_path / "none", runs=3
        )
    assert done.runs_removed == (run_name(2),)
    kept = {one.run for one in read_records(baseline)}
    assert kept == {"by-hand", *(run_name(day) for day in (3, 4, 5))}
    assert sorted(path.name for path in baseline.iterdir()) == sorted({*kept, "README.md"})


def test_records_are_kept_as_they_were_written(tmp_path: Path) -> None:
    original = write_record(steady(10.0, run_name(1)), tmp_path / "records" / run_name(1))
    keep_baseline(read_records(original), place_of(str(tmp_path / "baseline")), tmp_path)
    (kept,) = (tmp_path / "baseline" / run_name(1)).glob("*.json")
    assert (kept.name, kept.read_bytes()) == (original.name, original.read_bytes())


def test_what_has_no_number_and_a_pack_are_refused(tmp_path: Path) -> None:
    nothing = record([], run_name(1))
    with pytest.raises(DeployBenchError, match="none of the records has a number"):
        keep_baseline([nothing], place_of(str(tmp_path / "baseline")), tmp_path)
    folder = written(tmp_path / "records", steady(10.0, run_name(1)))
    pack = packed(folder, tmp_path / "pack")
    with pytest.raises(DeployBenchError, match="is a pack"):
        keep_baseline(read_records(folder), place_of(str(pack)), tmp_path)


def test_command_says_what_lies_there_now(tmp_path: Path, cli_here: Cli) -> None:
    written(tmp_path / "w" / "records", steady(10.0, run_name(1)))
    done = cli_here("results", "keep", "baseline", "--workspace", "w", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "1 record kept in baseline (1 VALID), with 0 new artifacts\n",
    )
    assert "of 1 record the artifact is not at hand" in done.stderr
    done = cli_here("results", "keep", "git:HEAD:speed", "--workspace", "w", cwd=tmp_path)
    assert done.returncode == 2


def test_command_says_that_noise_is_a_baseline_for_measuring_again_only(
    tmp_path: Path, cli_here: Cli
) -> None:
    noisy = record([10.0, 14.0, 9.0, 12.5, 10.1, 15.0, 9.5, 11.0], run_name(1))
    written(tmp_path / "w" / "records", noisy)
    done = cli_here("results", "keep", "baseline", "--workspace", "w", cwd=tmp_path)
    assert done.returncode == 0
    assert "gate --rerun-baseline measures both again" in done.stderr


def test_files_that_are_no_artifact_of_a_baseline_stay(
    workspace: Workspace, tmp_path: Path
) -> None:
    place = tmp_path / "repository"
    others = [
        "artifacts/train/run-1/model.pt",
        "artifacts/train/run-1/manifest.json",
        "artifacts/train/run-1/weights/best.pt",
        "artifacts/README.md",
    ]
    for name in others:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}")
    (artifact,) = workspace.artifacts()
    # An artifact that lies elsewhere than a baseline has it, and one that was made there.
    moved = place / "artifacts" / "mine" / "onnx-fp32-dynamic-88888888"
    shutil.copytree(exported_again(workspace, "8").path, moved)
    (moved / "signature.json").unlink()
    made = add_copy(workspace, PYTORCH, "made-there", key="9" * 64, backend="pytorch")
    there = place / "artifacts" / artifact.path.parent.name / "pytorch-fp32-dynamic-99999999"
    shutil.copytree(made, there)
    before = {path for path in place.rglob("*") if path.is_file()}
    for day in (1, 2, 3):
        keep_baseline([of_artifact(artifact, day)], place_of(str(place)), workspace.root, runs=1)
    assert before <= {path for path in place.rglob("*") if path.is_file()}


def test_of_an_artifact_that_goes_only_what_it_lists_goes(
    workspace: Workspace, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline"
    (old,) = workspace.artifacts()
    keep_baseline([of_artifact(old, 1)], place_of(str(baseline)), workspace.root, runs=1)
    notes = baseline / "artifacts" / old.path.relative_to(workspace.artifacts_folder) / "notes.txt"
    notes.write_text("ours")
    new = exported_again(workspace, "1")
    done = keep_baseline([of_artifact(new, 2)], place_of(str(baseline)), workspace.root, runs=1)
    assert (done.records_removed, done.runs_removed) == (1, (run_name(1),))
    assert kept_keys(baseline) == {"11111111"}
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_workspace_is_no_place_for_a_baseline(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifact,) = workspace.artifacts()
    kept = [of_artifact(artifact, 9)]
    other = kept_workspace(tmp_path / "other", ONNX)
    written(other.records_folder, *(steady(10.0, run_name(day)) for day in range(1, 4)))
    exported = kept_workspace(tmp_path / "exported", ONNX)
    (tmp_path / "link").symlink_to(other.records_folder)
    remote = "memory://workspaces/one"
    for path in (path for path in other.root.rglob("*") if path.is_file()):
        name = path.relative_to(other.root).as_posix()
        place_of(remote).write(name, path.read_bytes())
    monkeypatch.chdir(other.root)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for place in (
        str(workspace.root),
        str(workspace.records_folder),
        str(other.root),
        str(exported.root),
        str(tmp_path / "link"),
        ".",
        "records",
        remote,
        f"{remote}/records",
    ):
        with pytest.raises(DeployBenchError, match="is a workspace, or where one has its records"):
            keep_baseline(kept, place_of(place), workspace.root, runs=1)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_runs_are_counted_for_each_cell(tmp_path: Path) -> None:
    place = place_of(str(tmp_path / "baseline"))
    # What is of other work, of another machine, or evaluated, is another cell.
    machine = record([10.0] * 8, machine=host(cpu_model="another CPU")).host
    others = [
        steady(10.0, run_name(1), model="other"),
        steady(10.0, run_name(2), image_size=(384, 384), artifact_key="l" * 64),
        steady(10.0, run_name(3), artifact_key="m" * 64).replaced(host=machine),
        steady(10.0, run_name(4), artifact_key="n" * 64).replaced(profile="other"),
    ]
    keep_baseline(others, place, tmp_path / "none", runs=2)
    for day in range(5, 10):
        keep_baseline([steady(10.0, run_name(day))], place, tmp_path / "none", runs=2)
    kept = [one.run for one in read_records(tmp_path / "baseline")]
    assert sorted(kept) == [run_name(day) for day in (1, 2, 3, 4, 8, 9)]


def test_new_artifact_of_a_cell_is_no_other_cell(tmp_path: Path) -> None:
    place = place_of(str(tmp_path / "baseline"))
    for day in range(1, 4):
        kept = steady(10.0, run_name(day), artifact_key=str(day) * 64)
        keep_baseline([kept], place, tmp_path / "none", runs=1)
    assert [one.run for one in read_records(tmp_path / "baseline")] == [run_name(3)]


def test_run_that_is_kept_stays_though_newer_ones_are_there(
    workspace: Workspace, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline"
    (old,) = workspace.artifacts()
    new = exported_again(workspace, "1")
    keep_baseline([of_artifact(new, 2)], place_of(str(baseline)), workspace.root, runs=1)
    keep_baseline([of_artifact(old, 1)], place_of(str(baseline)), workspace.root, runs=1)
    assert {one.run for one in read_records(baseline)} == {run_name(1), run_name(2)}
    assert kept_keys(baseline) == {"11111111", old.manifest.key[:8]}


def test_record_that_does_not_read_stays_with_its_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline"
    (old,) = workspace.artifacts()
    first = of_artifact(old, 1)
    keep_baseline([first], place_of(str(baseline)), workspace.root)
    unread = baseline / run_name(1) / record_name(first)
    unread.write_text("{}")
    new = exported_again(workspace, "1")
    for day in (2, 3):
        keep_baseline([of_artifact(new, day)], place_of(str(baseline)), workspace.root, runs=1)
    assert unread.read_text() == "{}"
    assert kept_keys(baseline) == {"11111111", old.manifest.key[:8]}


def test_every_artifact_that_a_record_names_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline"
    (first,) = workspace.artifacts()
    # Two cells whose records have one name but for the key: of two sizes of images, say.
    second, third = exported_again(workspace, "1"), exported_again(workspace, "2")
    both = [of_artifact(first, 1), of_artifact(second, 1, image_size=(384, 384))]
    keep_baseline(both, place_of(str(baseline)), workspace.root)
    assert kept_keys(baseline) == {first.manifest.key[:8], "11111111"}
    # A record that somebody called something else names its artifact all the same.
    (baseline / "by-hand").mkdir()
    (path,) = (baseline / run_name(1)).glob("*-11111111.json")
    path.rename(baseline / "by-hand" / "vit.json")
    for day in (2, 3):
        keep_baseline([of_artifact(third, day)], place_of(str(baseline)), workspace.root, runs=1)
    assert kept_keys(baseline) == {"11111111", "22222222"}


@pytest.mark.attack(
    kind="Artifacts",
    attack="a record whose run is a path out of the baseline that it is kept in",
    before="written there: `results keep` took the run for a folder's name",
    now="refused: expected the name of a run; nothing is written",
)
@pytest.mark.parametrize(
    "run", ["../escaped", "..", ".", "", "/tmp/escaped", "a/b", "a\\b", "a\0b", "artifacts"]
)
def test_run_that_is_no_name_of_a_folder_is_refused(run: str, tmp_path: Path) -> None:
    place = place_of(str(tmp_path / "baselines" / "main"))
    both = [steady(10.0, run_name(1)), steady(10.0, run)]
    with pytest.raises(DeployBenchError, match="as its run"):
        keep_baseline(both, place, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_records_of_an_artifact_that_is_too_large_are_kept_without_it(
    workspace: Workspace, tmp_path: Path, cli_here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifact,) = workspace.artifacts()
    largest = max(file.size_bytes for file in artifact.manifest.files)
    monkeypatch.setattr(keeping, "MOST_BYTES", largest - 1)
    written(workspace.records_folder, of_artifact(artifact, 1), steady(10.0, run_name(1)))
    done = cli_here("results", "keep", "baseline", "--workspace", workspace.root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 records kept in baseline (2 VALID), with 0 new artifacts" in done.stdout
    assert "of 1 record the artifact was not kept, for a file of more than" in done.stderr
    assert not (tmp_path / "baseline" / "artifacts").exists()
    monkeypatch.setattr(keeping, "MOST_BYTES", largest)
    done = cli_here("results", "keep", "baseline", "--workspace", workspace.root, cwd=tmp_path)
    assert "with 1 new artifact\n" in done.stdout


def test_file_that_cannot_be_read_is_a_refusal(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path, most_bytes: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (artifact,) = workspace.artifacts()
    monkeypatch.setattr(keeping, "read_bytes", unreadable)
    with pytest.raises(DeployBenchError, match="could not be read: Permission denied"):
        keep_baseline([of_artifact(artifact, 1)], place_of(str(tmp_path / "b")), workspace.root)


class WatchedPlace(LocalPlace):
    """Sees after every step that no manifest stands beside files of another export."""

    steps = 0

    def write(self, path: str, content: bytes) -> None:
        super().write(path, content)
        self.look()

    def remove(self, path: str) -> None:
        super().remove(path)
        self.look()

    def look(self) -> None:
        self.steps += 1
        for artifact in Workspace(self.path).artifacts():
            artifact.check_files()


def test_artifact_that_is_replaced_is_never_torn(workspace: Workspace, tmp_path: Path) -> None:
    (artifact,) = workspace.artifacts()
    baseline = WatchedPlace("baseline", tmp_path / "baseline")
    (artifact.path / "only-before.bin").write_bytes(b"before")
    (artifact.path / "both.bin").write_bytes(b"before")
    again(artifact, "only-before.bin", "both.bin")
    keep_baseline([of_artifact(artifact, 1)], baseline, workspace.root)
    (artifact.path / "only-before.bin").unlink()
    (artifact.path / "both.bin").write_bytes(b"after it was exported again")
    again(artifact, "both.bin")
    before = baseline.steps
    done = keep_baseline([of_artifact(artifact, 2)], baseline, workspace.root)
    assert (done.artifacts, baseline.steps > before) == (1, True)
    (kept,) = Workspace(baseline.path).artifacts()
    assert (kept.path / "both.bin").read_bytes() == b"after it was exported again"
    assert (kept.path / MANIFEST).read_bytes() == (artifact.path / MANIFEST).read_bytes()
    assert not (kept.path / "only-before.bin").exists()


def again(artifact: Artifact, *more: str) -> None:
    """The artifact with these files beside its own, under the same key."""
    files = [file_entry(artifact.path / name, artifact.path) for name in more]
    rewrite_manifest(artifact.path, files=(*artifact.manifest.files, *files))


def test_object_store_keeps_and_loses_the_same(workspace: Workspace) -> None:
    place = place_of("memory://kept/main")
    place.write("artifacts/train/run-1/model.pt", b"somebody's")
    (old,) = workspace.artifacts()
    new = exported_again(workspace, "1")
    keep_baseline([of_artifact(old, 1)], place, workspace.root, runs=1)
    done = keep_baseline([of_artifact(new, 2)], place, workspace.root, runs=1)
    assert (done.artifacts, done.runs_removed) == (1, (run_name(1),))
    assert place.json_files() == [f"{run_name(2)}/{record_name(of_artifact(new, 2))}"]
    below = f"artifacts/{new.path.relative_to(workspace.artifacts_folder).as_posix()}"
    names = [MANIFEST, *(file.path for file in new.manifest.files)]
    ours = [f"{below}/{name}" for name in names]
    assert place.files("artifacts") == sorted([*ours, "artifacts/train/run-1/model.pt"])
