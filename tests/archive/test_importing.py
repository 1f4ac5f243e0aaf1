"""Results of other tools: what their files tell in our units, and what of them is refused."""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploybench.archive.imported import Imported
from deploybench.archive.importing import AUTO, FORMATS, import_file, write_imported
from deploybench.archive.peers.source import LONGEST_MS, Said
from deploybench.errors import DeployBenchError
from tests.archive.made import packed, steady, written
from tests.conftest import Cli

PEERS = Path(__file__).parents[1] / "fixtures" / "peers"
REFUSED = {
    "benchmark_app-layers.csv": "a report of layers",
    "benchmark_app-error.json": "ended with an error",
    "optimum-benchmark_config.json": "a configuration alone",
    "trtexec-profile.json": "without a time of a call",
}


def read(name: str, format_name: str = AUTO, **said: object) -> Imported:
    (result,) = import_file(PEERS / name, format_name, Said(**said))  # type: ignore[arg-type]
    return result


def refusal(path: Path, format_name: str = AUTO, said: Said | None = None) -> DeployBenchError:
    with pytest.raises(DeployBenchError) as caught:
        import_file(path, format_name, said or Said())
    return caught.value


def changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (PEERS / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("path", sorted(PEERS.iterdir()), ids=lambda path: path.name)
def test_every_kind_of_file_is_known_by_its_content(path: Path) -> None:
    if path.name in REFUSED:
        assert REFUSED[path.name] in refusal(path).found
        return
    (result,) = import_file(path, AUTO, Said())
    assert path.name.startswith(result.tool)
    assert result.p50_ms or result.p90_ms or result.throughput_images_per_s


def test_seconds_of_optimum_benchmark_become_milliseconds() -> None:
    result = read("optimum-benchmark.json")
    told = json.loads((PEERS / "optimum-benchmark.json").read_text())
    values = told["report"]["forward"]["latency"]["values"]
    assert result.samples_ms == pytest.approx([value * 1e3 for value in values])
    # By this program's rule, a sample; theirs is interpolated.
    assert result.p50_ms in result.samples_ms
    assert result.p50_ms == pytest.approx(statistics.median(values) * 1e3, rel=0.02)
    assert result.p99_ms is None  # of 60 samples it is not known
    assert result.load_s == pytest.approx(0.8123)
    assert (result.model, result.batch, result.threads) == ("google/vit-base-patch16-224", 1, 2)
    assert result.tool_version == "0.6.0"
    assert result.peak_memory_mib is None  # theirs is the whole process: another thing than ours
    assert result.told["largest RSS (MB)"] == "1320.554496"


def test_a_report_without_its_configuration_has_the_name_of_the_file() -> None:
    result = read("optimum-benchmark_report.json")
    assert result.model == "optimum-benchmark_report"
    assert "model" in result.not_told
    assert read("optimum-benchmark_report.json", model="vit").model == "vit"


def test_other_units_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "optimum-benchmark_report.json", '"unit": "s"', '"unit": "ms"')
    text = path.read_text().replace('"unit": "s"', '"unit": "ms"')
    path.write_text(text)
    assert "is in 'ms'" in refusal(path).found


def test_samples_in_another_unit_than_their_mean_are_refused(tmp_path: Path) -> None:
    report = json.loads((PEERS / "optimum-benchmark_report.json").read_text())
    latency = report["forward"]["latency"]
    latency["values"] = [value * 1e3 for value in latency["values"]]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(report))
    assert "its samples have a mean of" in refusal(path).found


def test_the_latency_of_trtexec_is_that_of_the_host_in_ms() -> None:
    result = read("trtexec-times.json")
    assert result.samples == 400
    assert result.p50_ms == pytest.approx(1.288, abs=0.005)
    assert result.p99_ms in result.samples_ms
    assert result.throughput_images_per_s is None  # queries, of a batch that is not told
    queries_per_s = float(result.told["throughput (queries/s)"])
    with_batch = read("trtexec-times.json", batch=8, model="resnet", precision="fp16")
    assert with_batch.throughput_images_per_s == pytest.approx(8 * queries_per_s, rel=1e-4)
    assert with_batch.said == {"model": "resnet", "batch": "8", "precision": "fp16"}


def test_an_old_trtexec_says_that_the_warm_up_may_be_in_it() -> None:
    assert any("warm-up" in words for words in read("trtexec-times-8.5.json").not_told)
    assert not any("warm-up" in words for words in read("trtexec-times.json").not_told)


def test_queries_whose_parts_do_not_add_up_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "trtexec-times.json", '"computeMs" : 1.', '"computeMs" : 1001.')
    assert "add up to" in refusal(path).found


def test_a_percentile_of_benchmark_app_is_not_taken_for_the_median() -> None:
    result = read("benchmark_app-cpp.json")
    assert (result.p50_ms, result.p90_ms) == (None, 7.96)
    assert result.precision is None  # u8 is what its input is
    assert result.told["precision (of the input)"] == "u8"
    assert (result.batch, result.streams, result.device) == (4, 2, "cpu")
    assert result.throughput_images_per_s == 1070.5


def test_the_reports_of_the_python_tool_tell_their_figures() -> None:
    by_json = read("benchmark_app-latency.json")
    assert (by_json.p50_ms, by_json.mean_ms, by_json.batch) == (24.54, 26.19, 1)
    assert (by_json.samples, by_json.throughput_images_per_s) == (38, 37.88)
    assert by_json.load_s == pytest.approx(0.58142)
    by_csv = read("benchmark_app-sync.csv")
    assert (by_csv.p50_ms, by_csv.mean_ms, by_csv.samples) == (31.73, 31.53, 32)
    of_90 = read("benchmark_app-p90.csv")
    assert (of_90.p50_ms, of_90.p90_ms, of_90.batch) == (None, 176.65, 4)
    assert "2 at a time: waiting for cores is in it" in of_90.times


def test_the_name_of_a_graph_gives_way_to_that_of_the_model() -> None:
    assert read("benchmark_app-sync.csv").model == "Model1"
    named = read("benchmark_app-sync.csv", model="efficientnet_lite0")
    assert named.model == "efficientnet_lite0"
    assert named.told["topology"] == "Model1"


def test_a_time_that_was_rounded_to_nothing_is_not_known(tmp_path: Path) -> None:
    path = changed(
        tmp_path, "benchmark_app-cpp.json", '"latency_median": 7.96', '"latency_median": 0'
    )
    (result,) = import_file(path, AUTO, Said())
    assert (result.p50_ms, result.p90_ms) == (None, None)
    assert "latency: written as 0.00" in result.not_told


def test_groups_of_shapes_leave_the_first_average_and_an_unknown_one(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(
        "Configuration setup\ntopology;net\nbatch size;{1, 2}\nAPI;sync\n\n"
        "Execution results\nlatency (ms);2.00\navg latency;2.10\ngroup;a\navg latency;9.00\n"
        "throughput;400.00\n"
    )
    (result,) = import_file(path, AUTO, Said())
    assert (result.p50_ms, result.mean_ms, result.batch) == (2.0, None, None)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mark_of_the_byte_order_and_other_line_ends_change_nothing(
    tmp_path: Path, line_end: str, mark: str
) -> None:
    for name in ("mlperf-singlestream-summary.txt", "mlperf-singlestream-detail.txt"):
        path = tmp_path / name
        text = (PEERS / name).read_text()
        path.write_bytes((mark + text.replace("\n", line_end)).encode())
        (result,) = import_file(path, AUTO, Said())
        assert result.p50_ms == pytest.approx(2.61525)


def test_nanoseconds_of_loadgen_become_milliseconds_alike_in_both_logs() -> None:
    for scenario in ("singlestream", "multistream", "offline"):
        summary = read(f"mlperf-{scenario}-summary.txt")
        detail = read(f"mlperf-{scenario}-detail.txt")
        assert summary.p50_ms == detail.p50_ms
        assert summary.p99_ms == detail.p99_ms
        assert summary.mean_ms == detail.mean_ms
        if scenario == "multistream":
            assert summary.throughput_images_per_s is None  # LoadGen gives none
            continue
        assert summary.throughput_images_per_s == pytest.approx(
            detail.throughput_images_per_s, rel=1e-3
        )
    single = read("mlperf-singlestream-detail.txt")
    assert (single.tool_says, single.tool_version) == ("VALID", "LoadGen 6.0.17")
    assert single.created == "2026-11-27T20:41:48+00:00"


def test_a_place_in_the_offline_queue_is_no_latency() -> None:
    result = read("mlperf-offline-summary.txt")
    assert result.p50_ms is result.p99_ms is result.mean_ms is None
    assert result.throughput_images_per_s == pytest.approx(379.542)
    assert read("mlperf-offline-detail.txt").samples is None  # one query of many images


def test_what_loadgen_itself_calls_invalid_says_so() -> None:
    assert read("mlperf-server-summary.txt").tool_says == "INVALID"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("Mode     : PerformanceOnly", "Mode     : AccuracyOnly", "its mode is"),
        ("(ns)   : 2615250", "(ns)   : -5", "50.00 percentile latency is"),
        ("(ns)   : 2615250", "(ns)   : 1e400", "50.00 percentile latency is"),
        ("(ns)   : 2615250", "(ns)   : NaN", "neither a latency nor a rate"),
        ("(ns)   : 2615250", "(ns)   : 9999999999", "do not ascend"),
        ("Result is : VALID", "", "did not end"),
        ("Scenario : SingleStream", "Scenario : Else", "its scenario is"),
    ],
)
def test_a_summary_that_no_test_writes_is_refused(
    tmp_path: Path, old: str, new: str, found: str
) -> None:
    path = changed(tmp_path, "mlperf-singlestream-summary.txt", old, new)
    if new.endswith("NaN"):
        text = path.read_text().replace("QPS w/ loadgen overhead         : 372.40", "")
        path.write_text(text)
    assert found in refusal(path).found


def test_a_detail_log_that_was_cut_off_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mlperf_log_detail.txt"
    content = (PEERS / "mlperf-singlestream-detail.txt").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "broken off" in refusal(path).found


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1.0", "0", "1" + "0" * 400, "1e999", '"x"'])
def test_numbers_that_no_measurement_gives_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(f'[{{"latencyMs": {value}}}]')
    error = refusal(path)
    assert "latencyMs[0]" in error.found
    assert len(error.found) < 300


def test_a_pipe_a_folder_and_bytes_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "a pipe" in refusal(tmp_path / "pipe.json").found
    assert "a folder" in refusal(tmp_path).found
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00\x01")
    assert "no text" in refusal(tmp_path / "x.json").found
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "of no format" in refusal(tmp_path / "deep.json").found


def test_the_wrong_format_is_refused_by_each_reader() -> None:
    for name in FORMATS:
        for path in PEERS.iterdir():
            if not path.name.startswith(name.replace("benchmark-app", "benchmark_app")):
                assert refusal(path, name).expected


def test_what_is_said_against_the_file_is_refused() -> None:
    error = refusal(PEERS / "optimum-benchmark.json", said=Said(batch=8))
    assert "tells the batch 1" in error.found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(1e-6, LONGEST_MS / 1e3, allow_nan=False), min_size=1, max_size=80))
def test_whatever_times_there_are_percentiles_are_samples_that_ascend(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float]
) -> None:
    path = tmp_path_factory.mktemp("times") / "benchmark_report.json"
    mean = math.fsum(seconds) / len(seconds)
    latency = {"unit": "s", "values": seconds, "mean": mean}
    path.write_text(json.dumps({"forward": {"latency": latency}}))
    (result,) = import_file(path, AUTO, Said(batch=3))
    known = [result.p50_ms, result.p90_ms, result.p95_ms, result.p99_ms]
    there = [value for value in known if value is not None]
    assert there == sorted(there)
    assert all(value in result.samples_ms for value in there)
    assert result.samples_ms == pytest.approx([second * 1e3 for second in seconds])
    assert Imported.read(result.model_dump_json().encode(), "x") == result


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(path.name for path in PEERS.iterdir())),
    st.integers(0, 40_000),
    st.binary(max_size=12),
)
def test_a_changed_file_is_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: int, put: bytes
) -> None:
    content = (PEERS / name).read_bytes()
    path = tmp_path_factory.mktemp("changed") / "file"
    path.write_bytes(content[:place] + put + content[place + len(put) :])
    results: list[Imported] = []
    with contextlib.suppress(DeployBenchError):
        results = import_file(path, AUTO, Said())
    for result in results:
        assert Imported.read(result.model_dump_json().encode(), "x") == result


def test_importing_again_changes_nothing_unless_something_else_is_said(tmp_path: Path) -> None:
    (first,) = write_imported([read("trtexec-times.json", model="r")], tmp_path)
    content = first.path.read_bytes()
    (second,) = write_imported([read("trtexec-times.json", model="r")], tmp_path)
    assert (first.how, second.how) == ("new", "known")
    assert first.path.read_bytes() == content
    (third,) = write_imported([read("trtexec-times.json", model="r", batch=4)], tmp_path)
    assert (third.how, third.path) == ("replaced", first.path)


def test_imported_results_are_shown_beside_records_and_compared_with_none(
    tmp_path: Path, cli_here: Cli
) -> None:
    folder = written(tmp_path / "all", steady(10.0, "one"))
    done = cli_here("results", "import", PEERS / "trtexec-times.json", "--out", folder / "peers")
    assert done.returncode == 0
    assert "imported" in done.stdout
    (path,) = (folder / "peers").iterdir()
    alone = cli_here("show", path)
    assert alone.returncode == 0
    assert "computed from the raw times" in " ".join(alone.stdout.split())
    both = cli_here("show", folder)
    assert "Measured by other tools" in both.stdout
    for words in (("compare", path, folder), ("compare", folder, path), ("gate", path)):
        refused = cli_here(*words)
        assert refused.returncode == 2, words
        assert "Traceback" not in refused.stderr
    assert "another tool measured it" in cli_here("compare", path, folder).stderr
    sql = "SELECT tool, p50_ms FROM imported"
    for place in (folder, packed(folder, tmp_path / "pack")):
        found = cli_here("results", "query", sql, "--from", place, "--json")
        assert json.loads(found.stdout)[0]["tool"] == "trtexec"
    markdown = cli_here("report", folder, "--markdown")
    assert "Measured by other tools" in markdown.stdout


def test_the_page_has_a_section_of_its_own_for_them(tmp_path: Path, cli_here: Cli) -> None:
    folder = written(tmp_path / "all", steady(10.0, "one"))
    cli_here("results", "import", PEERS / "trtexec-times.json", "--out", folder, "--model", "<b>x")
    page = tmp_path / "page.html"
    assert cli_here("report", folder, "-o", page).returncode == 0
    html = page.read_text()
    assert "Measured by other tools" in html
    assert "<b>x" not in html
    assert "trtexec: a query on the device" in html


def test_a_folder_of_good_and_bad_files_imports_the_good_ones(
    tmp_path: Path, cli_here: Cli
) -> None:
    done = cli_here(
        "results",
        "import",
        PEERS / "trtexec-profile.json",
        PEERS / "trtexec-times.json",
        "--out",
        tmp_path / "peers",
    )
    assert done.returncode == 1
    assert "--exportProfile" in done.stderr
    assert len(list((tmp_path / "peers").iterdir())) == 1
