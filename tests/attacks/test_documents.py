"""Profiles, records, packs and arrays that were written to break what reads them."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploybench.artifacts.arrays import read_arrays
from deploybench.artifacts.artifact import MANIFEST
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.hardware.patterns import LONGEST_TEXT, check_pattern, found_in
from deploybench.hardware.profile import load_profile, parse_profile, profile_names
from deploybench.results.record import Record
from deploybench.results.store import read_records, write_record
from tests.attacks.hostile import CRASHED, FIRST_SCHEMA, attack, put, record_document
from tests.comparisons import record

PROFILES, RECORDS, ARCHIVES = "Profiles", "Records", "Archives"
PROFILE = """name = "mine"
title = "t"
device = "cpu"
precisions = ["fp32"]
[match]
cpu_vendor = {pattern}
[peaks]
tflops = {{fp32 = 1.0}}
memory_gb_per_s = 1.0
memory_gb = 1.0
"""
GOOD_PROFILE = PROFILE.format(pattern="'x'")


def hostile_profile(what: str, text: str, words: str, before: str) -> Any:
    return pytest.param(
        text, words, id=what, marks=attack(PROFILES, what, before, f"refused: '{words}'")
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        hostile_profile(
            "arrays within arrays, 50,000 deep",
            "a = " + "[" * 50_000 + "]" * 50_000,
            "too deep within each other",
            CRASHED,
        ),
        hostile_profile(
            "tables within tables, 20,000 deep",
            "a = " + "{a = " * 20_000 + "1" + "}" * 20_000,
            "too deep within each other",
            CRASHED,
        ),
        hostile_profile(
            "a number of 5,000 digits", "n = " + "9" * 5000, "is not a valid profile", CRASHED
        ),
        hostile_profile(
            "a key of 50,000 parts",
            "a" + ".a" * 50_000 + " = 1",
            "dots",
            "20 s, and gigabytes of memory",
        ),
        hostile_profile(
            "5,000 parentheses within each other in a regular expression",
            PROFILE.format(pattern="'" + "(" * 5000 + ")" * 5000 + "'"),
            "characters; at most",
            CRASHED,
        ),
        hostile_profile(
            "a regular expression that takes 2^n steps: (a+)+$",
            PROFILE.format(pattern="'(([A-Za-z]+)+)+!$'"),
            "itself repeats or chooses",
            "taken; its steps double with each letter of a name",
        ),
        hostile_profile(
            "a regular expression of twenty .*",
            PROFILE.format(pattern="'" + ".*" * 20 + "ZZ'"),
            "repeats 20 parts",
            "9 s and more, by the name of the processor",
        ),
        hostile_profile(
            "a title of a million characters",
            GOOD_PROFILE.replace('"t"', f'"{"t" * 1_000_000}"'),
            "at most 200 characters",
            "printed whole",
        ),
    ],
)
def test_hostile_profile_is_refused_at_once(text: str, words: str) -> None:
    started = time.monotonic()
    with pytest.raises(DeployBenchError) as refusal:
        parse_profile(text, "mine.toml")
    assert words in refusal.value.found
    assert len(refusal.value.found) < 400
    assert time.monotonic() - started < 5


def test_patterns_that_people_write_are_accepted_and_end() -> None:
    parse_profile(GOOD_PROFILE, "mine.toml")
    for name in profile_names():
        load_profile(name)
    for pattern in ("Xeon.*Gold.*61[0-9]+", r"RTX (30|40)90( Ti)?$", r"^Arm.*\(v[89]\)", "a|b|c"):
        check_pattern(pattern)
    for pattern in ("(a|aa)*$", "(a*)*", "(?:a?){20}", "[", "a" * 201, "(?:x+)+", r"(\(+)*"):
        with pytest.raises(ValueError, match=r"pattern|repeats|regular"):
            check_pattern(pattern)
    slowest = ".*" * 3 + "Z"
    check_pattern(slowest)
    started = time.monotonic()
    assert not found_in(slowest, "a" * 10 * LONGEST_TEXT)
    assert time.monotonic() - started < 10


def hostile_record(what: str, path: list[str | int], value: object, before: str) -> Any:
    return pytest.param(
        path, value, id=what, marks=attack(RECORDS, what, before, "refused, with the field's name")
    )


STATES: list[str | int] = ["summary", "states", "*"]
SAMPLES: list[str | int] = ["launches", "*", "samples_ns"]
HISTOGRAM = {"relative_width": 0.001, "bins": [1, 2], "counts": [3, 4], "smallest": 1, "largest": 2}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        hostile_record(
            "a hop of 0 between two cores",
            ["launches", "*", "surroundings", "before", "hop_ns"],
            0,
            "shown",
        ),
        hostile_record("a hop of a state of 0", [*STATES, "hop_ns"], 0, CRASHED),
        hostile_record("samples of 0 ns", SAMPLES, [0] * 12, CRASHED),
        hostile_record("samples before their beginning", SAMPLES, [-3] * 12, CRASHED),
        hostile_record("a median of 0 ms", [*STATES, "p50_ms"], 0, CRASHED),
        hostile_record("a median of -1 ms", [*STATES, "p50_ms"], -1, "shown"),
        hostile_record("0 images per second", [*STATES, "throughput_per_s"], 0, CRASHED),
        hostile_record(
            "an interval that ends before it begins", [*STATES, "p50_low_ms"], 1e9, "shown"
        ),
        hostile_record("a batch of 0", ["cell", "batch"], 0, CRASHED),
        hostile_record("0 streams", ["cell", "streams"], 0, CRASHED),
        hostile_record("fewer parameters than none", ["parameters"], -1, "shown"),
        hostile_record("a peak of 0", ["peak_gflops"], 0, "shown"),
        hostile_record("more warm-up than samples", ["launches", 0, "warm_up"], 10**9, CRASHED),
        hostile_record(
            "a name of a megabyte", ["cell", "model"], "m " * 500_000, "3 MB printed, over 10 s"
        ),
        *(
            hostile_record(
                what,
                ["launches", "*", "steady_histogram"],
                {**HISTOGRAM, **change},
                CRASHED,
            )
            for what, change in {
                "a histogram whose bins have no width": {"relative_width": -1},
                "a histogram of bin 10^9": {"bins": [10**9, 10**9 + 1]},
                "a histogram with fewer samples than none": {"counts": [-1, -2]},
                "a histogram of nothing": {"bins": [], "counts": []},
                "a histogram of as many bins as it has no counts of": {"counts": [1]},
            }.items()
        ),
    ],
)
def test_record_that_no_measurement_gives_is_refused(
    path: list[str | int], value: object, tmp_path: Path
) -> None:
    content = record_document()
    put(content, path, value)
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(DeployBenchError) as refusal:
        read_records(tmp_path / "x.json")
    assert "does not read as a record" in refusal.value.found
    assert len(refusal.value.found) < 300


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(
            number,
            words,
            id=words,
            marks=attack(RECORDS, f"a sample of {named}", before, f"refused: '{words}'"),
        )
        for number, named, words, before in [
            ("1" + "0" * 400, "10^400 ns", "it holds the number 10000000…", CRASHED),
            ("1" + "0" * 5000, "10^5000 ns", "(5001 characters)", "refused, in a text of 5 KB"),
            ("Infinity", "Infinity", "it holds the number Infinity", "refused"),
            ("NaN", "NaN", "it holds the number NaN", "refused"),
            ("1e999", "1e999", "it holds the number 1e999", "refused"),
        ]
    ],
)
def test_numbers_that_no_computer_counts_with(number: str, words: str, tmp_path: Path) -> None:
    content = record_document()
    put(content, SAMPLES, ["here"] * 12)
    text = json.dumps(content).replace('"here"', number)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DeployBenchError) as refusal:
        read_records(tmp_path / "x.json")
    assert words in refusal.value.found


@pytest.mark.timeout(30)
@attack(RECORDS, "values 200,000 deep within each other", "refused", "refused")
def test_deep_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 200_000)
    with pytest.raises(DeployBenchError, match="does not read as a record"):
        read_records(tmp_path / "x.json")


@attack(
    RECORDS,
    "a record that somebody edited: ten times faster",
    "shown and compared like any other",
    "refused: 'was edited after it was written'",
)
def test_edited_record_is_told_from_what_was_written(tmp_path: Path) -> None:
    path = write_record(record([10.0, 10.1, 9.9]), tmp_path)
    (read,) = read_records(path)
    assert read.intact
    assert read.seal
    text = path.read_text()

    # The same content in other words is the same content.
    path.write_text(json.dumps(json.loads(text)))
    assert read_records(path)[0].intact

    edited = json.loads(text)
    put(edited, [*STATES, "p50_ms"], 1.0)
    path.write_text(json.dumps(edited))
    with pytest.raises(DeployBenchError, match="was edited after it was written"):
        read_records(path)


def test_record_from_before_there_were_seals_still_reads(tmp_path: Path) -> None:
    records = read_records(FIRST_SCHEMA / "records")
    assert all(old.intact and not old.seal for old in records)
    content = json.loads(write_record(record([10.0]), tmp_path).read_text())
    del content["seal"]
    assert Record.model_validate(content).intact


@pytest.mark.timeout(30)
@attack(
    ARCHIVES,
    "a manifest of 10 MB in a pack: five million numbers in a field that there is not",
    "14 s and 3.4 GB, then refused",
    "refused before it is read: 'or one of over 4 MiB'",
)
def test_large_manifest_in_a_pack(tmp_path: Path) -> None:
    path = tmp_path / "x.dbpack"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"model/artifact/{MANIFEST}", b'{"a": [' + b"1," * 5_000_000 + b"1]}")
    with pytest.raises(DeployBenchError, match="or one of over 4 MiB"):
        read_pack(path, Workspace(tmp_path))


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    header = io.BytesIO()
    described = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


@pytest.mark.timeout(60)
@attack(
    ARCHIVES,
    "a reference.npz of 2 MB that unpacks to 4.4 GB",
    "unpacked: 4.4 GB of memory",
    "refused before it is unpacked: 'would unpack from'",
)
def test_arrays_that_would_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("inputs.npy", "w") as entry,
    ):
        entry.write(npy_header((300, 1 << 18)))
        for _ in range(300):
            entry.write(bytes(1 << 20))
    with pytest.raises(DeployBenchError, match="would unpack from"):
        read_arrays(path)


@attack(
    ARCHIVES,
    "an array whose header promises terabytes",
    "a traceback (MemoryError)",
    "refused: 'has 0 bytes of values, and is said to be'",
)
def test_array_that_is_not_what_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    for shape in ((1 << 40,), (1 << 62, 28, 28), (-1, 28)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inputs.npy", npy_header(shape))
        with pytest.raises(DeployBenchError, match="has 0 bytes of values"):
            read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inputs.npy", npy_header((1,), "|O") + b"\x80\x02N.")
    with pytest.raises(DeployBenchError, match="Python objects"):
        read_arrays(path)


def test_arrays_come_out_as_they_went_in(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.ones((3, 2)))}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    for name, array in read_arrays(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    with pytest.raises(DeployBenchError, match="lacks the array c"):
        read_arrays(path, ["c"])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DeployBenchError, match="does not read"):
        read_arrays(path)
