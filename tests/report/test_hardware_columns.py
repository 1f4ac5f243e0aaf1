"""What a row says of the hardware: the bound, the GPU, and that a double stood in for it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from deploybench.report.detail_tables import detail_sections
from deploybench.report.run_table import run_table
from deploybench.report.table import Report
from deploybench.report.terminal import print_sections, print_table
from deploybench.results.launch import EnergyReading, Facts, GpuReading, Launch
from deploybench.results.record import Bound, Record
from deploybench.rows.row import Row, to_csv
from deploybench.rows.rows import rows_of
from tests.records import gpu, host, launch, record, surroundings

GIB = 2**30
BOUND = Bound(
    roof="rtx3090",
    precision="fp32",
    batch=1,
    flops=2 * 10**8,
    moved_bytes=4_500_000,
    compute_ms=2.0,
    memory_ms=0.5,
    unfused_bytes=10**7,
    unfused_ms=3.0,
)


def reading(**changes: object) -> GpuReading:
    made = GpuReading(
        own_bytes=2 * GIB,
        other_processes=0,
        other_bytes=0,
        sm_clock_mhz=1695,
        memory_clock_mhz=9501,
        temperature_c=61,
        power_w=310.0,
        throttle_reasons=(),
        missing={},
        graphics_processes=1,
        used_bytes=3 * GIB,
        pcie_generation=4,
        pcie_width=8,
        ecc=False,
    )
    return made.model_copy(update=changes)


def on_gpu(*readings: GpuReading) -> Record:
    launches = [
        launch([8.0] * 20, number=n, surroundings=surroundings(gpu=one))
        for n, one in enumerate(readings)
    ]
    return record(launches, device="cuda")


def table(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    print_table(run_table(rows), Console(file=stream, width=112, highlight=False))
    return stream.getvalue()


def details(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    report = Report(tuple(detail_sections(rows)))
    print_sections(report, Console(file=stream, width=140, highlight=False))
    return stream.getvalue()


def test_row_has_the_bound_and_how_many_times_it_the_cell_took() -> None:
    made = record([launch([8.0] * 20, number=n) for n in range(6)], macs=10**8).model_copy(
        update={"bound": BOUND}
    )
    (row,) = rows_of([made])
    assert (row.bound_ms, row.bound_limited_by, row.times_bound) == (
        2.0,
        "compute",
        pytest.approx(4.0),
    )
    assert (row.unfused_ms, row.moved_bytes) == (3.0, 4_500_000)
    line = next(line for line in table([row]).splitlines() if line.startswith("pytorch"))
    assert " 4.00 " in line
    assert "×bound" in table([row])
    assert "compute" in details([row])
    assert "bound_ms" in to_csv([row])


def test_cell_without_a_bound_has_no_column_for_it() -> None:
    (row,) = rows_of([record([launch([8.0] * 20, number=n) for n in range(6)])])
    assert (row.bound_ms, row.times_bound) == (None, None)
    assert "bound" not in table([row])
    assert "least time" not in details([row])


def test_row_of_a_gpu_has_medians_and_whatever_was_seen_in_any_launch() -> None:
    slowed = reading(
        temperature_c=83, other_processes=1, throttle_reasons=("hardware thermal slowdown",)
    )
    (row,) = rows_of([on_gpu(reading(), slowed, reading(throttle_reasons=("idle",)))])
    assert (row.gpu_temperature_c, row.gpu_sm_clock_mhz, row.gpu_used_mib) == (61, 1695, 3072)
    assert (row.gpu_other_processes, row.gpu_graphics_processes) == (1, 1)
    assert row.gpu_throttle_reasons == "hardware thermal slowdown, idle"
    assert (row.gpu_pcie, row.gpu_ecc, row.gpu_missing) == ("4.0 x8", False, "")
    text = details([row])
    assert "4.0 x8" in text
    assert "hardware thermal slowdown, idle" in text


def test_what_the_gpu_does_not_tell_is_a_dash_with_its_reason() -> None:
    silent = reading(
        ecc=None, power_w=None, missing={"ecc": "Not Supported", "power_w": "Not Supported"}
    )
    (row,) = rows_of([on_gpu(silent)])
    assert (row.gpu_power_w, row.gpu_ecc) == (None, None)
    assert "not told: ecc: Not Supported; power_w: Not Supported" in details([row])


def test_row_of_a_cpu_says_nothing_of_a_gpu() -> None:
    (row,) = rows_of([record([launch([8.0] * 20)])])
    assert (row.gpu_sm_clock_mhz, row.gpu_missing) == (None, "")
    assert "SM MHz" not in details([row])


@pytest.mark.parametrize(
    "made",
    [
        on_gpu(reading(), reading(provenance="simulated")),
        record([launch([8.0] * 20)]).model_copy(
            update={"host": host(gpus=(gpu("Tesla K80", "3.7", provenance="simulated"),))}
        ),
        record(
            [
                launch(
                    [8.0] * 20,
                    energy=EnergyReading(joules=2.0, source="NVML", provenance="simulated"),
                )
            ]
        ),
        record(
            [
                launch(
                    [8.0] * 20,
                    facts=Facts(precision="fp32", threads=2, provider="x", device="cuda"),
                )
            ]
        ).model_copy(
            update={
                "launches": (
                    Launch(
                        facts=Facts(
                            precision="fp32",
                            threads=2,
                            provider="x",
                            device="cuda",
                            provenance="simulated",
                        )
                    ),
                )
            }
        ),
    ],
)
def test_record_that_a_double_had_a_part_in_is_simulated_wherever_it_is_shown(made: Record) -> None:
    assert made.provenance == "simulated"
    (row,) = rows_of([made])
    assert row.provenance == "simulated"
    assert "simulated" in table([row])
    assert "simulated" in to_csv([row])


def test_record_of_real_hardware_is_measured() -> None:
    (row,) = rows_of([on_gpu(reading())])
    assert row.provenance == "measured"
    assert "simulated" not in table([row])


def test_verdict_says_when_other_work_on_the_gpu_could_not_be_seen() -> None:
    hidden = reading(other_processes=None, missing={"other_processes": "in a container"})
    seen, unseen = (rows_of([on_gpu(*[one] * 6)])[0] for one in (reading(), hidden))
    assert (seen.verdict, unseen.verdict) == ("VALID", "VALID")
    assert "could not be seen" not in seen.reason
    assert "other work on the GPU could not be seen" in unseen.reason


@pytest.mark.parametrize(("pinned", "shown"), [((0, 1, 2, 8), "0-2,8"), (None, None)])
def test_details_have_the_cpus_that_the_processes_were_kept_on(
    pinned: tuple[int, ...] | None, shown: str | None
) -> None:
    (row,) = rows_of([record([launch([8.0] * 20, number=n, pinned=pinned) for n in range(6)])])
    assert row.pinned_cpus == shown
    text = details([row])
    assert ("pinned to" in text) == (shown is not None)
    assert (shown or "") in text
    assert "pinned_cpus" in to_csv([row])
