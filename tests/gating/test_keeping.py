"""What a baseline holds after it was kept: the newest runs, and what was measured last."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.archive.places import place_of
from deploybench.errors import DeployBenchError
from deploybench.gating.keeping import keep_baseline
from deploybench.results.store import read_records, write_record
from tests.archive.made import packed, steady, written
from tests.comparisons import record
from tests.conftest import Cli


def run_name(day: int) -> str:
    return f"202601{day:02}-000000-abcd"


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
