"""SQL over results: what it answers, and what it is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploybench.archive.columns import schema_of
from deploybench.archive.database import Limits
from deploybench.archive.imported import Imported
from deploybench.archive.layout import IMPORTED, QUALITY, ROWS
from deploybench.archive.places import place_of
from deploybench.archive.query import query
from deploybench.errors import DeployBenchError
from deploybench.rows.row import field_names
from tests.archive.made import packed, steady, written
from tests.conftest import Cli
from tests.qualities import evaluation, quality


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("results") / "records"
    written(
        place,
        steady(10.0, "one", runner="pytorch", created="2026-11-02T00:00:00"),
        steady(5.0, "one", runner="onnxruntime", created="2026-11-02T00:00:00"),
        steady(9.0, "two", runner="pytorch", created="2026-12-02T00:00:00"),
    )
    return place


@pytest.fixture(scope="module")
def pack(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(folder, tmp_path_factory.mktemp("results") / "pack")


def answer(sql: str, *places: Path, limits: Limits | None = None) -> list[tuple[object, ...]]:
    with query(sql, [place_of(str(place)) for place in places], limits or Limits()) as found:
        return list(found.rows)


def refusal(sql: str, *places: Path, limits: Limits | None = None) -> DeployBenchError:
    with pytest.raises(DeployBenchError) as caught:
        answer(sql, *places, limits=limits)
    return caught.value


def test_a_folder_and_its_pack_give_the_same_answer(folder: Path, pack: Path) -> None:
    sql = (
        "SELECT run, runner, month, round(p50_ms), round(speedup), verdict, arena, created_utc "
        "FROM rows ORDER BY run, runner"
    )
    rows = answer(sql, folder)
    assert rows == answer(sql, pack)
    assert [row[:6] for row in rows] == [
        ("one", "onnxruntime", "2026-11", 5.0, 2.0, "VALID"),
        ("one", "pytorch", "2026-11", 10.0, None, "VALID"),
        ("two", "pytorch", "2026-12", 9.0, None, "VALID"),
    ]
    assert rows[0][6] == "on"


def test_several_places_are_one_view(folder: Path, pack: Path) -> None:
    assert answer("SELECT count(*) FROM rows", folder, pack) == [(6,)]


def test_the_columns_are_those_of_the_neutral_row(pack: Path) -> None:
    columns = [row[0] for row in answer("DESCRIBE rows", pack)]
    assert columns == ["created_utc", "month", "record", *field_names()]
    assert schema_of(ROWS).field("p50_ms").type == "double"
    assert schema_of(ROWS).field("batch").type == "int64"
    assert schema_of(ROWS).field("complete").type == "bool"


def test_accuracy_has_a_view_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, evaluation(quality([True, False, True])))
    assert answer("SELECT count(*) FROM rows", tmp_path) == [(0,)]
    (row,) = answer("SELECT model, verdict, images IS NOT NULL FROM quality", tmp_path)
    assert row == ("net", "VALID", True)
    assert schema_of(QUALITY).field("accuracy").type == "double"


def test_what_others_measured_is_in_no_view_of_ours(tmp_path: Path) -> None:
    written(tmp_path, steady(10.0, "one"))
    result = Imported(
        tool="trtexec",
        tool_version="10.1",
        file="times.json",
        file_sha256="0" * 64,
        created="2026-11-02T00:00:00",
        imported="2026-11-03T00:00:00",
        model="net",
        times="host latency",
        p50_ms=0.1,
    )
    (tmp_path / "imported.json").write_text(result.model_dump_json(indent=1))
    assert answer("SELECT count(*) FROM rows", tmp_path) == [(1,)]
    (row,) = answer("SELECT p50_ms, provenance, tool, verdict, reason FROM imported", tmp_path)
    assert row[:4] == (0.1, "imported", "trtexec", None)
    assert "not by deploybench" in str(row[4])
    assert "tool_version" in schema_of(IMPORTED).names


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd', header = false)",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'http://127.0.0.1/x.parquet'",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "COPY rows TO 'stolen.csv'",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "ATTACH 'stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPORT DATABASE 'stolen'",
        "SET enable_external_access = true",
        "CREATE TABLE stolen AS SELECT * FROM rows",
        "DROP VIEW rows",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT 1; COPY rows TO 'stolen.csv'",
        "PRAGMA database_list",
        "",
        "SELEC 1",
        "SELECT nothing_of_the_kind FROM rows",
        "SELECT * FROM Path",
        "SELECT (" * 5000,
    ],
)
def test_whatever_does_more_than_read_is_refused_in_words(
    sql: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(pack.rglob("*"))
    error = refusal(sql, pack)
    assert error.found
    assert error.expected
    assert not list(tmp_path.iterdir())
    assert sorted(pack.rglob("*")) == before


def test_a_pack_is_read_where_it_lies_and_nothing_beside_it(pack: Path) -> None:
    beside = pack.parent / "beside.csv"
    beside.write_text("a\n1\n")
    error = refusal(f"SELECT * FROM read_csv('{pack}/rows/../../beside.csv')", pack)
    assert "refused" in error.found
    assert "refused" in refusal(f"SELECT * FROM read_csv('{beside}')", pack).found


def test_writing_into_the_pack_itself_is_refused(pack: Path) -> None:
    target = pack / "rows" / "stolen.csv"
    assert "COPY is refused" in refusal(f"COPY rows TO '{target}'", pack).found
    assert not target.exists()


def test_a_query_that_takes_too_long_is_ended(pack: Path) -> None:
    endless = "SELECT count(*) FROM range(1000000000000) a, range(1000) b"
    error = refusal(endless, pack, limits=Limits(time_s=0.3))
    assert "longer than 0.3 s" in error.found


def test_a_query_that_takes_too_much_memory_is_ended(pack: Path) -> None:
    greedy = "SELECT list(repeat('x', 1000) || a::VARCHAR) FROM range(100000000) t(a)"
    assert "memory" in refusal(greedy, pack, limits=Limits(memory_gib=0.1)).found


def test_a_file_that_does_not_read_is_named_and_the_others_are_queried(tmp_path: Path) -> None:
    written(tmp_path, steady(10.0, "one"))
    (tmp_path / "one" / "broken.json").write_text('{"run": 1')
    with query("SELECT count(*) FROM rows", [place_of(str(tmp_path))]) as found:
        assert list(found.rows) == [(1,)]
        assert "broken.json" in found.problems[0].found


def test_a_pivot_is_a_select(folder: Path) -> None:
    sql = "PIVOT rows ON runner USING round(avg(p50_ms)) GROUP BY run ORDER BY run"
    assert answer(sql, folder) == [("one", 5.0, 10.0), ("two", None, 9.0)]


def test_a_place_that_is_not_there_and_an_unknown_kind_of_url_are_refused(tmp_path: Path) -> None:
    assert "no results at" in refusal("SELECT 1", tmp_path / "nowhere").found
    for url in ("http://host/x", "github://a:b@c/", "zip://x::s3://b/y"):
        with pytest.raises(DeployBenchError, match="no place"):
            place_of(url)


def test_the_command_prints_a_table_json_and_csv(folder: Path, cli_here: Cli) -> None:
    sql = "SELECT runner, p50_ms AS ms, 'a=b' AS x, '=1+1' AS y FROM rows ORDER BY p50_ms LIMIT 2"
    table = cli_here("results", "query", sql, "--from", folder)
    assert table.returncode == 0
    assert "onnxruntime" in table.stdout
    as_json = cli_here("results", "query", sql, "--from", folder, "--json")
    entries = json.loads(as_json.stdout)
    assert [entry["runner"] for entry in entries] == ["onnxruntime", "pytorch"]
    assert entries[0]["ms"] == pytest.approx(5, rel=0.01)
    as_csv = cli_here("results", "query", sql, "--from", folder, "--csv")
    assert as_csv.stdout.splitlines()[0] == "runner,ms,x,y"
    assert "'=1+1" in as_csv.stdout


def test_a_syntax_error_on_the_command_line_is_words(folder: Path, cli_here: Cli) -> None:
    done = cli_here("results", "query", "SELEC", "--from", folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "syntax error" in done.stderr


def test_a_pipe_among_records_is_named_and_nothing_waits_for_it(tmp_path: Path) -> None:
    written(tmp_path, steady(10.0, "one"))
    os.mkfifo(tmp_path / "one" / "pipe.json")
    with query("SELECT count(*) FROM rows", [place_of(str(tmp_path))]) as found:
        assert list(found.rows) == [(1,)]
        assert "pipe.json" in found.problems[0].found
