"""TensorRT where there is a GPU for it: an engine built for the device at hand agrees with eager
fp32 and is timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TINY, Cli
from tests.gpu.unsupported import compiler_says_no, engines_unsupported

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("backend", ["tensorrt-rtx", "tensorrt"])
def test_engine_for_the_gpu_at_hand_is_verified_and_measured(
    backend: str, precision: str, tmp_path: Path, cli: Cli
) -> None:
    unsupported = engines_unsupported(backend, precision)
    if unsupported is not None:
        pytest.skip(unsupported)
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
    unsupported = compiler_says_no(exported.stdout + exported.stderr)
    if exported.returncode and unsupported is not None:
        pytest.skip(unsupported)
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
