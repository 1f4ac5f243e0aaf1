"""TensorRT where there is a GPU for it: an engine built for the device at hand agrees with eager
fp32 and is timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploybench.contracts.registry import exporters, runners
from tests.conftest import TINY, Cli

pytestmark = pytest.mark.gpu


def skip_unless_usable(backend: str) -> None:
    for kind, entry in (("exporter", exporters().get(backend)), ("runner", runners().get(backend))):
        if entry is None or not entry.usable:
            pytest.skip(f"no {backend} {kind}: {entry.problem if entry else 'not installed'}")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("backend", ["tensorrt-rtx", "tensorrt"])
def test_engine_for_the_gpu_at_hand_is_verified_and_measured(
    backend: str, precision: str, tmp_path: Path, cli: Cli
) -> None:
    skip_unless_usable(backend)
    if precision not in exporters()[backend].require().precisions:
        pytest.skip(f"the {backend} exporter writes no {precision}")
    place = ("--workspace", tmp_path)
    exported = cli(
        "export",
        *place,
        "--model",
        TINY,
        "--backend",
        backend,
        "--precision",
        precision,
        *(("--calibration", "synthetic") if precision == "int8" else ()),
        timeout=500,
    )
    assert exported.returncode == 0, exported.stdout + exported.stderr
    ran = cli(
        "run",
        *place,
        "--device",
        "cuda",
        "--runner",
        backend,
        "--host-to-host",
        "--engine-only",
        "--rounds",
        1,
        "--duration",
        "100ms",
        "--json",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads(ran.stdout)
    assert {row["timing"] for row in rows} == {"host-to-host", "engine-only"}
    for row in rows:
        assert row["runner"] == backend
        assert row["device"].startswith("cuda")
        assert row["precision"] == precision
        assert row["p50_ms"] > 0
        assert row["parity_max_error"] is not None
