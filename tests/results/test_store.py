"""Records on disk: a file each, found through links, and which run is the latest."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploybench.results.record import Record
from deploybench.results.store import latest_run, new_run_name, read_records, write_record
from deploybench.results.verdict import Judgement, Verdict
from tests.comparisons import record

MEDIANS = [10.0] * 6


def unmeasured(
    verdict: Verdict, run: str = "later", command: str = "again", **cell: object
) -> Record:
    made = record([], run, artifact=None, artifact_key=None, form="none", **cell)
    judgement = Judgement(verdict=verdict, reason="export: unsupported", advice="")
    return made.model_copy(update={"judgement": judgement, "command": command})


@pytest.mark.parametrize(
    "differing",
    [
        ({"image_size": (224, 224)}, {"image_size": (64, 64)}),
        ({"patch_size": 16}, {"patch_size": 32}),
        ({"weights_identity": "a"}, {"weights_identity": "b"}),
        ({"command": "export --target sm86"}, {"command": "export --target sm89"}),
    ],
)
def test_two_failed_exports_of_one_model_leave_two_records(
    differing: tuple[dict[str, object], dict[str, object]], tmp_path: Path
) -> None:
    for changes in differing:
        write_record(unmeasured(Verdict.FAILED, **changes), tmp_path)  # type: ignore[arg-type]
    assert len(read_records(tmp_path)) == 2
    write_record(unmeasured(Verdict.FAILED, **differing[0]), tmp_path)  # type: ignore[arg-type]
    assert len(read_records(tmp_path)) == 2, "the same failure again takes the place of the first"


def test_name_of_a_record_with_an_artifact_is_what_it_was(tmp_path: Path) -> None:
    path = write_record(record(MEDIANS, model="timm:vit", device="cuda:1"), tmp_path)
    assert path.name == "timm-vit-onnxruntime-cuda-1-fp32-b1-t2-s1-host-to-host-kkkkkkkk.json"


def test_records_are_read_through_links(tmp_path: Path) -> None:
    run = tmp_path / "records" / "before"
    write_record(record(MEDIANS), run)
    link = tmp_path / "baseline"
    link.symlink_to(run)
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "main").symlink_to(run)
    (folder / "loop").symlink_to(folder)
    (folder / "one.json").symlink_to(next(run.iterdir()))
    assert len(read_records(link)) == 1
    assert [item.run for item in read_records(folder)] == ["before"] * 2


def test_run_in_which_everything_was_skipped_is_not_the_latest(tmp_path: Path) -> None:
    assert latest_run(tmp_path) is None
    write_record(unmeasured(Verdict.SKIPPED), tmp_path / "0-skipped")
    assert latest_run(tmp_path) is None
    write_record(record(MEDIANS), tmp_path / "1-measured")
    write_record(unmeasured(Verdict.SKIPPED), tmp_path / "2-skipped")
    assert latest_run(tmp_path) == tmp_path / "1-measured"
    write_record(unmeasured(Verdict.FAILED), tmp_path / "3-tried")
    assert latest_run(tmp_path) == tmp_path / "3-tried"


def test_runs_that_begin_in_one_second_sort_as_they_began() -> None:
    names = []
    for _ in range(50):
        names.append(new_run_name())
        time.sleep(0.0005)
    assert names == sorted(names)
    assert len(set(names)) == 50
