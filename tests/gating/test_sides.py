"""A baseline wherever it lies (a pack, a bucket, a revision), and the artifacts beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from deploybench.archive.packing import pack_results
from deploybench.archive.places import place_of
from deploybench.artifacts.signature import SIGNATURE
from deploybench.artifacts.workspace import MEASURED_AGAIN, Workspace
from deploybench.errors import DeployBenchError
from deploybench.gating.keeping import keep_baseline
from deploybench.gating.sides import side_of
from deploybench.results.record import Record
from deploybench.results.store import NoRecordsError
from tests.archive.made import steady, written
from tests.archive.object_store import bucket
from tests.conftest import Cli, rewrite_manifest
from tests.gating.stores import git, repository

FIRST, SECOND = "20260101-000000-aaaa", "20260102-000000-bbbb"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with bucket("speed") as url:
        yield url


@pytest.fixture
def workspace(tiny_workspace: Workspace, tmp_path: Path) -> Workspace:
    copied = Workspace(tmp_path / "workspace")
    shutil.copytree(tiny_workspace.artifacts_folder, copied.artifacts_folder)
    copied.prepare()
    return copied


def of_artifact(workspace: Workspace, backend: str, run: str = FIRST, ms: float = 10.0) -> Record:
    """A record that says it was measured on the workspace's artifact."""
    artifact = next(one for one in workspace.artifacts() if one.manifest.backend == backend)
    return steady(
        ms,
        run,
        backend=backend,
        artifact=str(artifact.path),
        artifact_key=artifact.manifest.key,
    )


def keys(records: list[Record]) -> set[str | None]:
    return {record.cell.artifact_key for record in records}


def test_gate_holds_against_a_pack_and_against_a_bucket(
    store: str, tmp_path: Path, cli_here: Cli
) -> None:
    records = written(tmp_path / "records", steady(10.0, FIRST))
    pack_results(place_of(str(records)), place_of(str(tmp_path / "pack")))
    pack_results(place_of(str(records)), place_of(f"{store}/pack"))
    fsspec.filesystem("s3").put(f"{records}/", f"{store}/plain/", recursive=True)
    written(tmp_path, steady(10.0, SECOND), steady(15.0, "slow"))
    for baseline in (str(tmp_path / "pack"), f"{store}/pack", f"{store}/plain"):
        for candidate, code, words in ((SECOND, 0, "PASS: 1 of 1"), ("slow", 1, "REGRESSION")):
            asked = ("gate", str(tmp_path / candidate), "--baseline", baseline)
            done = cli_here(*asked, "--max-regression", "10%", cwd=tmp_path)
            assert (done.returncode, words in done.stdout) == (code, True), done.stdout


def test_empty_prefix_is_no_baseline_and_passes_only_where_that_is_said(
    store: str, tmp_path: Path, cli_here: Cli
) -> None:
    written(tmp_path, steady(10.0, SECOND))
    asked = ("gate", str(tmp_path / SECOND), "--baseline", f"{store}/nothing")
    done = cli_here(*asked, cwd=tmp_path)
    assert done.returncode == 3
    assert f"no baseline: there are no results at {store}/nothing" in done.stdout
    done = cli_here(*asked, "--pass-without-baseline", cwd=tmp_path)
    assert (done.returncode, "INCONCLUSIVE: no baseline" in done.stdout) == (0, True)


def test_inconclusive_passes_only_where_that_is_said(tmp_path: Path, cli_here: Cli) -> None:
    written(tmp_path, steady(10.0, FIRST), steady(10.4, SECOND))
    asked = ("gate", SECOND, "--baseline", FIRST, "--max-regression", "4%")
    assert cli_here(*asked, cwd=tmp_path).returncode == 3
    done = cli_here(*asked, "--pass-inconclusive", cwd=tmp_path)
    assert (done.returncode, "INCONCLUSIVE: 1 inconclusive" in done.stdout) == (0, True)
    slow = written(tmp_path, steady(20.0, "slow")) / "slow"
    done = cli_here("gate", slow, "--baseline", FIRST, "--pass-inconclusive", cwd=tmp_path)
    assert done.returncode == 1


def test_checkpoint_that_the_baseline_left_behind_is_not_missed(
    tmp_path: Path, cli_here: Cli
) -> None:
    """Its runs stay for a while, and tell by how much whole runs shift."""
    for day, weights in ((1, "first"), (2, "second"), (3, "second")):
        created = f"2026-01-0{day}T00:00:00"
        record = steady(10.0, f"run-{day}", weights_identity=weights, created=created)
        written(tmp_path / ("baseline" if day < 3 else "."), record)
    done = cli_here("gate", "run-3", "--baseline", "baseline", "--max-regression=10%", cwd=tmp_path)
    assert (done.returncode, "PASS: 1 of 1" in done.stdout) == (0, True), done.stdout


def test_revision_is_read_and_not_the_working_tree(
    tmp_path: Path, cli_here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "repository")
    monkeypatch.chdir(folder)
    with pytest.raises(NoRecordsError, match="no results at git:HEAD:speed"):
        side_of("git:HEAD:speed", None)
    written(folder / "speed", steady(10.0, FIRST))
    git(folder, "add", "speed")
    git(folder, "commit", "-qm", "baseline")
    # The change under test also writes another baseline, and leaves a third one unstaged.
    shutil.rmtree(folder / "speed")
    written(folder / "speed", steady(20.0, SECOND))
    git(folder, "add", "-A", "speed")
    written(folder / "speed", steady(10.0, "unstaged"))
    (folder / "inner").mkdir()
    for below in (folder, folder / "inner"):
        monkeypatch.chdir(below)
        assert [one.run for one in side_of("git:HEAD:speed", None).records] == [FIRST]
        assert [one.run for one in side_of("git::speed", None).records] == [SECOND]
    done = cli_here("gate", "git::speed", "--baseline", "git:HEAD:speed", cwd=folder)
    assert (done.returncode, "REGRESSION: 1 regressed" in done.stdout) == (1, True)
    (name,) = (folder / "speed" / SECOND).glob("*.json")
    git(folder, "commit", "-qm", "slower")
    one = side_of(f"git:main:speed/{SECOND}/{name.name}", None).records
    assert [record.run for record in one] == [SECOND]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("git:nowhere:speed", "knows no commit nowhere"),
        ("git:--output=x:speed", "is no place in a git repository"),
        ("git:HEAD", "is no place in a git repository"),
        ("git:HEAD:../speed", "is no place in a git repository"),
    ],
)
def test_mistyped_revision_is_refused(name: str, words: str, tmp_path: Path, cli_here: Cli) -> None:
    folder = repository(tmp_path)
    written(folder, steady(10.0, SECOND))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    done = cli_here("gate", SECOND, "--baseline", name, cwd=folder)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_links_that_are_committed_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "repository")
    written(tmp_path / "outside", steady(10.0, SECOND))
    written(folder / "speed", steady(10.0, FIRST))
    (folder / "speed" / "linked.json").symlink_to(next((tmp_path / "outside").rglob("*.json")))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    monkeypatch.chdir(folder)
    assert [one.run for one in side_of("git:HEAD:speed", None).records] == [FIRST]


def test_kept_baseline_comes_back_with_what_was_measured(
    store: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = of_artifact(workspace, "onnx")
    folder = repository(tmp_path / "repository")
    monkeypatch.chdir(folder)
    for place in (f"{store}/kept", str(folder / "speed")):
        kept = keep_baseline([record], place_of(place), workspace.root)
        assert (kept.records, kept.artifacts, kept.without_artifact) == (1, 1, 0)
        assert keep_baseline([record], place_of(place), workspace.root).artifacts == 0
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "baseline")
    for number, name in enumerate((f"{store}/kept", "git:HEAD:speed")):
        elsewhere = Workspace(tmp_path / f"elsewhere-{number}")
        side = side_of(name, elsewhere.root)
        assert keys(side.records) == keys([record])
        (artifact,) = side.artifacts_beside(elsewhere.root)

        assert artifact.path.is_relative_to(elsewhere.root / MEASURED_AGAIN)
        artifact.check_files()
        # Somebody else made it, so its code would need consent.
        assert not (artifact.path / SIGNATURE).exists()


def test_what_the_candidate_has_too_is_not_fetched(
    store: str, workspace: Workspace, tmp_path: Path
) -> None:
    record = of_artifact(workspace, "onnx")
    keep_baseline([record], place_of(f"{store}/same"), workspace.root)
    elsewhere = Workspace(tmp_path / "elsewhere")
    side_of(f"{store}/same", elsewhere.root).artifacts_beside(elsewhere.root, [record])
    assert not elsewhere.root.exists()


def test_what_was_fetched_of_one_address_is_not_another_s(
    store: str, workspace: Workspace, tmp_path: Path
) -> None:
    """One key, of which the second address has another export, and the third no artifact."""
    record = of_artifact(workspace, "onnx")
    elsewhere = Workspace(tmp_path / "elsewhere")
    keep_baseline([record], place_of(f"{store}/one"), workspace.root)
    rewrite_manifest(Path(record.cell.artifact or ""), created="2026-01-09T00:00:00")
    keep_baseline([record], place_of(f"{store}/two"), workspace.root)
    keep_baseline([record], place_of(f"{store}/three"), workspace.root)
    filesystem = fsspec.filesystem("s3")
    found = [
        side_of(f"{store}/{name}", elsewhere.root).artifacts_beside(elsewhere.root)
        for name in ("one", "two", "three")
    ]
    (first,), (second,), (_,) = found
    assert first.path != second.path
    assert "2026-01-09" not in first.manifest.created
    # taken away there: what was fetched before is none of it
    filesystem.rm(f"{store}/three/artifacts", recursive=True)
    filesystem.invalidate_cache()
    assert side_of(f"{store}/three", elsewhere.root).artifacts_beside(elsewhere.root) == []


def test_artifact_that_was_changed_in_the_store_is_refused(
    store: str, workspace: Workspace, tmp_path: Path
) -> None:
    keep_baseline([of_artifact(workspace, "onnx")], place_of(f"{store}/bad"), workspace.root)
    filesystem = fsspec.filesystem("s3")
    (path,) = [one for one in filesystem.find(f"{store}/bad") if one.endswith(".onnx")]
    filesystem.pipe_file(path, filesystem.cat_file(path)[:-1] + b"!")
    elsewhere = Workspace(tmp_path / "elsewhere")
    side = side_of(f"{store}/bad", elsewhere.root)
    with pytest.raises(DeployBenchError, match="was changed or truncated") as refusal:
        side.artifacts_beside(elsewhere.root)
    assert f"{store}/bad/artifacts/" in refusal.value.found
    assert not list(elsewhere.root.rglob("*.onnx"))


@pytest.mark.attack(
    kind="Artifacts",
    attack="a baseline in a bucket whose artifact names a file outside of it",
    before="new: gates read no artifacts from object stores",
    now="refused: which is outside the artifact; nothing is written",
)
def test_artifact_that_leads_out_of_its_folder_is_refused(
    store: str, workspace: Workspace, tmp_path: Path
) -> None:
    record = of_artifact(workspace, "onnx")
    artifact = Path(record.cell.artifact or "")
    keep_baseline([record], place_of(f"{store}/slip"), workspace.root)
    (first, *others) = next(iter(workspace.artifacts())).manifest.files
    rewrite_manifest(artifact, files=(first.replaced(path="../../escaped.txt"), *others))
    below = artifact.relative_to(workspace.root).as_posix()
    filesystem = fsspec.filesystem("s3")
    filesystem.put(str(artifact / "manifest.json"), f"{store}/slip/{below}/manifest.json")
    filesystem.pipe_file(f"{store}/slip/{below}/../../escaped.txt", b"out")
    elsewhere = Workspace(tmp_path / "elsewhere")
    side = side_of(f"{store}/slip", elsewhere.root)
    with pytest.raises(DeployBenchError, match="outside the artifact"):
        side.artifacts_beside(elsewhere.root)
    assert list(tmp_path.rglob("escaped.txt")) == []


def test_same_files_pass_where_they_are_insisted_on_and_other_files_do_not(
    store: str, workspace: Workspace, cli_here: Cli, tmp_path: Path
) -> None:
    before, after = of_artifact(workspace, "onnx"), of_artifact(workspace, "onnx", SECOND, 10.4)
    keep_baseline([before], place_of(f"{store}/files"), workspace.root)
    keep_baseline([before], place_of(str(tmp_path / "files")), workspace.root)
    written(tmp_path, after)
    for baseline in (f"{store}/files", "files"):
        asked = ("gate", SECOND, "--baseline", baseline, "--workspace", str(workspace.root))
        done = cli_here(*asked, "--rerun-baseline", cwd=tmp_path)
        assert (done.returncode, "the same files, byte for byte" in done.stdout) == (0, True)
        # Nobody insists: the records are judged, and cannot tell.
        assert cli_here(*asked, cwd=tmp_path).returncode == 3
    newer = steady(
        10.4,
        SECOND,
        backend="onnx",
        artifact=after.cell.artifact,
        artifact_key=after.cell.artifact_key,
        versions={"onnxruntime": "1.31"},
    )
    written(tmp_path, newer)
    asked = ("gate", SECOND, "--baseline", "files", "--workspace", str(workspace.root))
    done = cli_here(*asked, "--rerun-baseline", cwd=tmp_path)
    assert (done.returncode, "the same files" in done.stdout) == (3, False), done.stdout
