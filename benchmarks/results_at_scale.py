"""How long many results take: a million packed records queried and compared, and ten thousand plain
JSON records compared; each in a process of its own, from its start to its last line.

    python -m benchmarks.results_at_scale [--records 1000000] [--plain 10000] [--folder DIR]

Records are synthetic: half of the cells' records belong to a run ``before``, half to a run
``after``, of launches around a made-up time. The pack's rows have every column filled of one real
row with its own times and names; its JSON is one whole record for each, with its own names.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deploybench.archive.columns import schema_of
from deploybench.archive.layout import MARK, RECORDS, ROWS, SIDES
from deploybench.archive.lean import read_lean
from deploybench.archive.places import MARKER
from deploybench.archive.sides import sides_schema, sides_table
from deploybench.results.record import Record
from deploybench.rows.row import row_data
from deploybench.rows.rows import rows_of
from tests import comparisons

RUNS = ("before", "after")
RUNNERS, BATCHES, PRECISIONS, THREADS = 5, 5, 2, 2
PART = 50_000
QUERIES = {
    "count by runner and verdict": "SELECT runner, verdict, count(*) FROM rows GROUP BY ALL",
    "the fastest runner of each model": "SELECT model, arg_min(runner, p50_ms), min(p50_ms) "
    "FROM rows WHERE verdict = 'VALID' GROUP BY model ORDER BY 3 LIMIT 20",
    "percentiles by month": "SELECT month, quantile_cont(p50_ms, [0.1, 0.5, 0.9]) FROM rows "
    "GROUP BY month",
}


@dataclass(frozen=True)
class Took:
    """A process: its wall time and the largest memory that it held resident."""

    what: str
    seconds: float
    memory_gib: float
    last_line: str


def main(arguments: Sequence[str] | None = None) -> list[Took]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--plain", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only-make", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.only_make:
        make_pack(asked.folder / "pack", asked.records)
        make_plain(asked.folder / "plain", asked.plain)
        return []
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        pack, plain = folder / "pack", folder / "plain"
        started = time.perf_counter()
        # In a process of its own: what a process holds counts as its children's largest, too.
        counts = ["--records", str(asked.records), "--plain", str(asked.plain)]
        module = "benchmarks.results_at_scale"
        subprocess.run(
            [sys.executable, "-m", module, *counts, "--folder", str(folder), "--only-make"],
            check=True,
        )
        made_s = time.perf_counter() - started
        print(f"{os.cpu_count()} CPUs; made in {made_s:.0f} s")
        print(
            f"pack: {asked.records} records, {json_bytes()} bytes of JSON each, "
            f"{_size(pack) / 1e6:.0f} MB of Parquet"
        )
        print(f"plain: {asked.plain} records, {_size(plain) / max(asked.plain, 1):.0f} bytes each")
        took = []
        for name, sql in QUERIES.items():
            took.append(run(f"query: {name}", ["query", sql, "--from", str(pack)]))
        sides = ["--baseline-where", "run = 'before'", "--candidate-where", "run = 'after'"]
        took.append(run("compare the pack", ["compare", str(pack), *sides]))
        plain_sides = [str(plain / run) for run in RUNS]
        for number in range(3):
            took.append(run(f"compare plain JSON, {number + 1}", ["compare", *plain_sides]))
    for one in took:
        print(f"{one.what:45} {one.seconds:6.2f} s  {one.memory_gib:5.2f} GiB")
    return took


def json_bytes() -> int:
    """Of one record in the pack, about."""
    return len(example(RUNS[0]).model_dump_json())


def run(what: str, arguments: list[str]) -> Took:
    """The command in a process of its own; a failure ends the benchmark."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "deploybench", "results", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{what}: {output}")
    return Took(what, seconds, _resident_gib(usage), output.strip().splitlines()[0])


def _resident_gib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20)  # KiB on Linux


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cells(count: int) -> Iterator[dict[str, Any]]:
    """What tells one cell from the others, as the fields of a cell."""
    for number in range(count):
        rest, runner = divmod(number, RUNNERS)
        rest, batch = divmod(rest, BATCHES)
        rest, precision = divmod(rest, PRECISIONS)
        model, threads = divmod(rest, THREADS)
        yield {
            "model": f"net{model}",
            "runner": f"runner{runner}",
            "batch": 1 << batch,
            "precision": ("fp32", "fp16")[precision],
            "threads": 1 + threads,
        }


def example(run: str) -> Record:
    """A VALID record of eight launches."""
    draw = random.Random(run)
    medians = [10 * draw.lognormvariate(0, 0.004) for _ in range(8)]
    return comparisons.record(medians, run, created="2026-11-02T00:00:00")


def make_plain(folder: Path, count: int) -> None:
    """That many records, half of them in each run."""
    for run in RUNS:
        (folder / run).mkdir(parents=True)
        template = json.loads(example(run).model_dump_json(exclude={"seal"}))
        for number, cell in enumerate(cells(count // 2)):
            template["cell"].update(cell)
            path = folder / run / f"{number}.json"
            path.write_text(json.dumps(sealed(template), indent=1, ensure_ascii=False))


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its seal, as a run writes it: every reader checks that."""
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return {**document, "seal": hashlib.sha256(compact.encode()).hexdigest()}


def make_pack(pack: Path, count: int) -> None:
    """A pack of that many records."""
    pack.mkdir(parents=True)
    (pack / MARKER).write_text(json.dumps(MARK))
    for run in RUNS:
        some = list(cells(count // 2))
        for start in range(0, len(some), PART):
            _write_part(pack, run, start, some[start : start + PART])


def _write_part(pack: Path, run: str, start: int, some: list[dict[str, Any]]) -> None:
    record = example(run)
    count = len(some)
    draw = np.random.default_rng(start)
    factors = np.exp(draw.normal(0, 0.05 if run == "after" else 0.004, count))
    text = record.model_dump_json()
    contents, digests = [], []
    for cell in some:
        content = text.replace('"model":"net"', f'"model":"{cell["model"]}"')
        content = content.replace('"runner":"onnxruntime"', f'"runner":"{cell["runner"]}"', 1)
        contents.append(content.encode())
        digests.append(hashlib.sha256(f"{run}{start}{cell}".encode()).hexdigest())

    rows = row_data(rows_of([record])[0])
    schema = schema_of(ROWS)
    columns: dict[str, Any] = {}
    for field in schema:
        value = rows.get(field.name)
        columns[field.name] = pa.array([getattr(value, "value", value)] * count, field.type)
    columns["month"] = pa.array(["2026-11"] * count)
    columns["record"] = pa.array(digests)
    for name in ("model", "runner", "batch", "precision"):
        columns[name] = pa.array([cell[name] for cell in some], schema.field(name).type)
    for name in ("p50_ms", "p50_low_ms", "p50_high_ms"):
        columns[name] = pa.array(rows[name] * factors)

    (known,) = sides_table([("", read_lean(text.encode(), run))]).to_pylist()
    sides: dict[str, Any] = {}
    for field in sides_schema():
        sides[field.name] = pa.array([known[field.name]] * count, field.type)
    medians = np.asarray(known["launch_medians_ms"])[None, :] * factors[:, None]
    keys = [hashlib.sha256(str(cell).encode()).hexdigest()[:32] for cell in some]
    sides |= {
        "origin": pa.array(digests),
        "cell": pa.array(keys),
        "thing": pa.array(keys),
        "title": pa.array([" ".join(map(str, cell.values())) for cell in some]),
        "model": columns["model"],
        "runner": columns["runner"],
        "p50_ms": pa.array(np.median(medians, axis=1)),
        "launch_medians_ms": pa.array(medians.tolist(), pa.list_(pa.float64())),
    }
    records = {
        "sha256": pa.array(digests),
        "path": pa.array([f"{run}/{start + number}.json" for number in range(count)]),
        "json": pa.array(contents, pa.large_binary()),
    }
    place = f"profile=host/month=2026-11/{run}-{start}.parquet"
    for name, table in ((ROWS, columns), (SIDES, sides), (RECORDS, records)):
        buffer = io.BytesIO()
        pq.write_table(pa.table(table), buffer, compression="zstd")
        path = pack / name / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
