"""Packs: what goes in comes out again, only what is new is added, and hostile packs are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploybench.archive.layout import MARK, RECORDS
from deploybench.archive.packing import pack_results, unpack_results
from deploybench.archive.places import MARKER, Place, place_of
from deploybench.archive.query import query
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.results.store import write_record
from tests.archive.made import packed, steady, written
from tests.conftest import Cli
from tests.qualities import evaluation, quality


def at(path: Path) -> Place:
    return place_of(str(path))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))
    }


def run_of(name: str, month: str = "11") -> list[Record]:
    created = f"2026-{month}-02T00:00:00"
    return [
        steady(10.0, name, runner="pytorch", created=created),
        steady(5.0, name, runner="onnxruntime", created=created),
        evaluation(quality([True, False]), name, created=created),
    ]


def count(pack: Path, view: str) -> object:
    with query(f"SELECT count(*) FROM {view}", [at(pack)]) as found:
        return next(found.rows)[0]


def test_what_was_packed_comes_out_byte_for_byte(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", *run_of("one"), *run_of("two", "12"))
    # Written by hand, with blanks that no program would write the same again.
    (folder / "by hand.json").write_text(
        "\n\n" + steady(3.0, "by hand").model_dump_json(indent=7) + "\n \n"
    )
    pack = packed(folder, tmp_path / "pack")
    assert unpack_results(at(pack), tmp_path / "out") == (7, 0)
    assert contents(tmp_path / "out") == contents(folder)
    assert unpack_results(at(pack), tmp_path / "out") == (0, 7)


def test_parts_lie_by_profile_and_month(tmp_path: Path) -> None:
    other = steady(1.0, "two").replaced(profile="a/b ../c", created="2026-12-02T00:00:00")
    folder = written(tmp_path / "records", *run_of("one"), other)
    pack = packed(folder, tmp_path / "pack")
    places = {
        str(path.parent.relative_to(pack / RECORDS)) for path in pack.rglob(f"{RECORDS}/*/*/*")
    }
    assert places == {"profile=host/month=2026-11", "profile=a%2Fb ..%2Fc/month=2026-12"}
    with query("SELECT profile, month FROM rows WHERE runner = 'onnxruntime'", [at(pack)]) as found:
        assert set(found.rows) == {("host", "2026-11"), ("a/b ../c", "2026-12")}


def test_packing_again_adds_only_what_is_new(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", *run_of("one"))
    pack = packed(folder, tmp_path / "pack")
    before = {path: path.read_bytes() for path in pack.rglob("*.parquet")}
    again = pack_results(at(folder), at(pack))
    assert (again.added, again.known, again.parts) == (0, 3, 0)
    written(folder, *run_of("two"))
    more = pack_results(at(folder), at(pack))
    assert (more.added, more.known, more.parts) == (3, 3, 1)
    assert {path: path.read_bytes() for path in before} == before
    assert (count(pack, "rows"), count(pack, "quality")) == (4, 2)


def test_a_record_that_comes_later_knows_the_baseline_of_its_run(tmp_path: Path) -> None:
    baseline, faster, _ = run_of("one")
    folder = written(tmp_path / "records", baseline)
    pack = packed(folder, tmp_path / "pack")
    written(folder, faster)
    pack_results(at(folder), at(pack))
    with query("SELECT runner, round(speedup) FROM rows ORDER BY runner", [at(pack)]) as found:
        assert list(found.rows) == [("onnxruntime", 2.0), ("pytorch", None)]


def test_a_part_that_was_never_finished_is_not_read_and_is_made_anew(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", *run_of("one"))
    pack = packed(folder, tmp_path / "pack")
    for part in (pack / RECORDS).rglob("*.parquet"):
        part.unlink()  # as a kill leaves it: the records are written last
    assert count(pack, "rows") == 0
    assert pack_results(at(folder), at(pack)).added == 3
    assert count(pack, "rows") == 2


def test_an_interrupted_run_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    unfinished = steady(10.0, "one").replaced(complete=False)
    folder = written(tmp_path / "records", unfinished, steady(9.0, "one", batch=8))
    done = pack_results(at(folder), at(tmp_path / "pack"))
    assert (done.added, done.incomplete) == (1, 1)
    done = pack_results(at(folder), at(tmp_path / "pack"), incomplete=True)
    assert (done.added, done.known) == (1, 1)


def test_what_does_not_read_is_named_and_the_rest_is_packed(tmp_path: Path, cli_here: Cli) -> None:
    folder = written(tmp_path / "records", *run_of("one"))
    (folder / "one" / "broken.json").write_text("{")
    outcome = cli_here("results", "pack", folder, "-o", tmp_path / "pack")
    assert outcome.returncode == 1
    assert "3 records packed" in outcome.stdout
    assert "broken.json" in outcome.stderr
    again = cli_here("results", "unpack", tmp_path / "pack", "-o", tmp_path / "out")
    assert "3 records written" in again.stdout


def hostile(pack: Path, path: str, content: bytes = b"{}", digest: str | None = None) -> Place:
    """A pack whose one record says to lie at ``path``."""
    folder = pack / RECORDS / "profile=host" / "month=2026-11"
    folder.mkdir(parents=True)
    (pack / MARKER).write_text(json.dumps(MARK))
    table = pa.table(
        {
            "sha256": [digest or hashlib.sha256(content).hexdigest()],
            "path": [path],
            "json": pa.array([content], pa.large_binary()),
        }
    )
    pq.write_table(table, folder / "part.parquet")
    return at(pack)


@pytest.mark.parametrize(
    "path",
    [
        "/tmp/stolen.json",
        "../stolen.json",
        "a/../../stolen.json",
        "a\\..\\x.json",
        "x.py",
        "a\0.json",
    ],
)
def test_a_pack_that_names_a_path_outside_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="names"):
        unpack_results(hostile(tmp_path / "pack", path), tmp_path / "below" / "out")
    assert not list(tmp_path.rglob("stolen.json"))


def test_a_record_that_was_changed_within_a_pack_is_refused(tmp_path: Path) -> None:
    pack = hostile(tmp_path / "pack", "a.json", b'{"faster": 10}', digest="0" * 64)
    with pytest.raises(DeployBenchError, match="was changed"):
        unpack_results(pack, tmp_path / "out")


def test_another_file_of_that_name_is_never_written_over(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", steady(10.0, "one"))
    pack = packed(folder, tmp_path / "pack")
    (own,) = folder.rglob("*.json")
    target = tmp_path / "out" / own.relative_to(folder)
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    with pytest.raises(DeployBenchError, match="is there already"):
        unpack_results(at(pack), tmp_path / "out")
    assert target.read_text() == "mine"


def test_a_link_in_a_pack_is_no_part_of_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", *run_of("one"))
    pack = packed(folder, tmp_path / "pack")
    (part,) = (pack / "rows").rglob("*.parquet")
    other = packed(written(tmp_path / "others", *run_of("two")), tmp_path / "other")
    (elsewhere,) = (other / "rows").rglob("*.parquet")
    part.with_name("link.parquet").symlink_to(elsewhere)
    assert count(pack, "rows") == 2


def test_a_folder_of_other_parquet_files_is_not_taken_for_a_pack(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", steady(10.0, "one"))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "mine.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.parquet").rename(tmp_path / "out" / "mine.parquet")
    with pytest.raises(DeployBenchError, match="no pack of results"):
        pack_results(at(folder), at(tmp_path / "out"))
    with pytest.raises(DeployBenchError, match="is no pack"):
        unpack_results(at(folder), tmp_path / "x")


def test_parts_that_do_not_read_are_refused_in_words(tmp_path: Path) -> None:
    folder = written(tmp_path / "records", *run_of("one"))
    pack = packed(folder, tmp_path / "pack")
    for part in pack.rglob("*.parquet"):
        part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(DeployBenchError):
        unpack_results(at(pack), tmp_path / "out")
    with pytest.raises(DeployBenchError):
        count(pack, "rows")


def test_a_number_that_no_column_holds_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    write_record(steady(10.0, "one").replaced(parameters=10**19), folder)
    with pytest.raises(DeployBenchError, match="no column"):
        pack_results(at(folder), at(tmp_path / "pack"))
