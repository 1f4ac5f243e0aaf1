"""s3:// against a server in a process of its own: packed, queried, compared and given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from deploybench.archive.comparing import BulkRequest, compare_in_bulk
from deploybench.archive.packing import pack_results, unpack_results
from deploybench.archive.places import place_of
from deploybench.archive.query import query
from deploybench.errors import DeployBenchError
from tests.archive.made import steady, written
from tests.archive.object_store import bucket
from tests.conftest import Cli


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with bucket("results") as url:
        yield url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(
        tmp_path_factory.mktemp("records"),
        steady(10.0, "before", runner="pytorch"),
        steady(5.0, "before", runner="onnxruntime"),
        steady(4.0, "after", runner="onnxruntime"),
    )


@pytest.fixture(scope="module")
def pack(store: str, folder: Path) -> str:
    url = f"{store}/team/pack"
    pack_results(place_of(str(folder)), place_of(url))
    return url


def test_a_pack_in_a_bucket_is_queried_and_nothing_else_of_the_bucket(
    store: str, pack: str
) -> None:
    filesystem = fsspec.filesystem("s3")
    filesystem.pipe_file("results/secret.csv", b"a\n1\n")
    with query("SELECT runner, round(p50_ms) FROM rows ORDER BY p50_ms", [place_of(pack)]) as found:
        assert list(found.rows) == [("onnxruntime", 4.0), ("onnxruntime", 5.0), ("pytorch", 10.0)]
    for sql in (
        f"SELECT * FROM read_csv('{store}/secret.csv')",
        f"SELECT * FROM read_csv('{pack}/rows/../../../secret.csv')",
        f"SELECT * FROM read_parquet('{pack}/records/*/*/*.parquet')",
        "SELECT * FROM read_text('/etc/passwd')",
        f"COPY (SELECT 1) TO '{pack}/rows/stolen.csv'",
    ):
        with (
            pytest.raises(DeployBenchError, match=r"refused|does not work"),
            query(sql, [place_of(pack)]) as found,
        ):
            list(found.rows)
    assert not filesystem.exists(f"{pack}/rows/stolen.csv")


def test_packing_again_adds_what_is_new_and_all_of_it_comes_back(
    pack: str, folder: Path, tmp_path: Path
) -> None:
    again = pack_results(place_of(str(folder)), place_of(pack))
    assert (again.added, again.known) == (0, 3)
    assert unpack_results(place_of(pack), tmp_path) == (3, 0)
    for path in folder.rglob("*.json"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_plain_records_in_a_bucket_are_queried_and_compared(
    store: str, folder: Path, pack: str
) -> None:
    fsspec.filesystem("s3").put(f"{folder}/before", f"{store}/plain/", recursive=True)
    plain = place_of(f"{store}/plain")
    with query("SELECT count(*) FROM rows", [plain]) as found:
        assert list(found.rows) == [(2,)]
    request = BulkRequest([plain], [place_of(pack)], candidate_where="run = 'after'")
    with compare_in_bulk(request) as compared:
        answers = {line["title"]: line["answer"] for line in compared.lines()}
    assert answers["net onnxruntime fp32 batch 1"] == "FASTER"


def test_the_command_reads_a_bucket_by_the_environment(pack: str, cli_here: Cli) -> None:
    done = cli_here("results", "query", "SELECT count(*) AS n FROM rows", "--from", pack, "--csv")
    assert done.stdout.splitlines() == ["n", "3"]


def test_a_bucket_that_is_not_there_is_words(store: str, cli_here: Cli) -> None:
    done = cli_here("results", "query", "SELECT 1", "--from", "s3://no-such-bucket/pack")
    assert done.returncode == 2
    assert "no-such-bucket" in done.stderr
    assert "Traceback" not in done.stderr
