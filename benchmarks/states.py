"""Does the hop probe's state explain the launch's level? Launches of several cells over a long
time.

Each cell is launched again and again, in rounds, in random order, each launch in a fresh process
with the probes around it. Printed: for each cell and state the number of launches, their median and
how far their medians spread; and over all launches of a cell without the states. The rows go to a
CSV, the picture to a PNG.

    python -m benchmarks.states WORKSPACE [--models efficientnet-b0,vit-small] [--minutes 20]
        [--out docs/states]
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.trials import artifact_for, job_for, print_host
from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import flipped, hops_of, states_of
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.results.launch import Launch
from deploybench.statistics.levels import levels_of, nearest
from deploybench.statistics.samples import median, nearest_rank, spread

LAUNCHES = TypeAdapter(list[list[Launch]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="efficientnet-b0,vit-small")
    parser.add_argument("--runner", default="onnxruntime")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--duration", type=float, default=1.0, help="seconds of samples a launch")
    parser.add_argument(
        "--out", type=Path, default=Path("states"), help="path of the .csv and .png, without suffix"
    )
    parser.add_argument(
        "--read", type=Path, help="the .json of an earlier run: nothing is measured"
    )
    options = parser.parse_args()
    names = options.models.split(",")
    artifacts = [artifact_for(options.workspace, name, options.runner) for name in names]
    jobs = [job_for(artifact, options.runner, options.duration) for artifact in artifacts]
    print_host()
    if options.read is None:
        found = measure(jobs, options.minutes)
        options.out.with_suffix(".json").write_text(LAUNCHES.dump_json(found).decode())
    else:
        found = LAUNCHES.validate_json(options.read.read_bytes())
    levels = levels_of(
        [hop for launches in found for launch in launches for hop in hops_of(launch)]
    )
    for name, launches in zip(names, found, strict=True):
        print_cell(name, launches)
    rows = [
        row
        for name, launches in zip(names, found, strict=True)
        for row in rows_of(name, launches, levels)
    ]
    with options.out.with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, names, options.out.with_suffix(".png"))


def measure(jobs: list[Job], minutes: float) -> list[list[Launch]]:
    """The launches of each job, in rounds, until the time is over."""
    end = time.monotonic() + 60 * minutes
    found: list[list[Launch]] = [[] for _ in jobs]
    for finished in run_rounds(jobs, lambda index: time.monotonic() < end, seed=0):
        if not finished.launch.measured:
            sys.exit(str(finished.launch.error or finished.launch.refused))
        found[finished.index].append(finished.launch)
    return found


def print_cell(name: str, launches: list[Launch]) -> None:
    """The table of one cell: a line a state, then what a single number would hide."""
    states = states_of(launches)
    levels = levels_of([hop for launch in launches for hop in hops_of(launch)])
    mixed = [launch for launch in launches if flipped(launch, levels)]
    print(f"\n{name}: {len(launches)} launches, {len(mixed)} of them while the state changed")
    print(
        f"{'hop ns':>8} {'launches':>9} {'count':>6} {'p50 ms':>8} {'p10-p90 spread':>15} "
        f"{'quartile spread':>16}"
    )
    for state in states:
        print_line(
            f"{state.hop_ns or 0:.0f}",
            len(state.launches),
            [launch.median_ms for launch in state.counted],
        )
    print_line("pooled", len(launches), [launch.median_ms for launch in launches])


def print_line(title: str, launches: int, medians: list[float]) -> None:
    middle = median(medians)
    quartiles = (nearest_rank(medians, 0.75) - nearest_rank(medians, 0.25)) / middle
    print(
        f"{title:>8} {launches:9d} {len(medians):6d} {middle:8.2f} {spread(medians):15.1%} "
        f"{quartiles:16.1%}"
    )


def rows_of(name: str, launches: list[Launch], levels: list[float]) -> list[dict[str, object]]:
    rows = []
    for launch in launches:
        around = launch.surroundings
        assert around is not None
        first, last = around.before.hop_ns, around.after.hop_ns
        mixed = flipped(launch, levels)
        state = (
            "changed"
            if mixed or not hops_of(launch)
            else f"{nearest(levels, hops_of(launch)[0]):.0f}"
        )
        rows.append(
            {
                "started": launch.started,
                "model": name,
                "median_ms": round(launch.median_ms, 3),
                "state_hop_ns": state,
                "hop_before_ns": first and round(first, 1),
                "hop_after_ns": last and round(last, 1),
                "compute_us": around.before.compute_us,
                "memory_ms": around.before.memory_ms,
                "foreign_cpu_share": around.foreign_cpu_share,
                "steal_share": around.steal_share,
                "disturbed": "; ".join(found.what for found in disturbances(launch)),
            }
        )
    return rows


def draw(rows: list[dict[str, object]], names: list[str], path: Path) -> None:
    """Launch medians over time: calm launches coloured by the state that the probes saw, the others
    grey."""
    import matplotlib

    matplotlib.use("Agg")
    from datetime import datetime

    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(names), 1, figsize=(9, 2.8 * len(names)), sharex=True, squeeze=False
    )
    times = [datetime.fromisoformat(str(row["started"])) for row in rows]
    minutes = [(moment - min(times)).total_seconds() / 60 for moment in times]
    seen = sorted({str(row["state_hop_ns"]) for row in rows} - {"changed"}, key=float)
    colours = dict(zip(seen, ("tab:blue", "tab:orange", "tab:green", "tab:red"), strict=False))
    for axis, name in zip(axes[:, 0], names, strict=True):
        series: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
        for row, minute in zip(rows, minutes, strict=True):
            if row["model"] != name:
                continue
            if row["disturbed"]:
                key = ("disturbed", "x", "silver")
            elif row["state_hop_ns"] == "changed":
                key = ("state changed during the launch", "o", "silver")
            else:
                state = str(row["state_hop_ns"])
                key = (f"hop {state} ns", "o", colours.get(state, "black"))
            series.setdefault(key, []).append((minute, float(str(row["median_ms"]))))
        for (label, marker, colour), points in sorted(series.items()):
            axis.plot(*zip(*points, strict=True), marker, markersize=3, label=label, color=colour)
        calm = [
            ms
            for (label, _, _), points in series.items()
            if label.startswith("hop")
            for _, ms in points
        ]
        axis.set_ylim(0.9 * min(calm), 1.25 * max(calm))
        axis.set_ylabel(f"{name}\nlaunch median, ms")
        axis.legend(fontsize=7, loc="upper right", ncols=2)
    axes[-1, 0].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
