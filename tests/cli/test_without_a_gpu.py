"""What asks for a GPU is refused where there is none that works: found, expected, what to do, exit
code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.hardware.gpus import find_gpus
from tests.conftest import Cli
from tests.runners.cudart_double import build_double

pytestmark = pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_double(tmp_path_factory.mktemp("double"))


REFUSALS = {
    "no-driver": (
        "'tensorrt-rtx' cannot be used here: no NVIDIA driver",
        "do:       run on a machine with an NVIDIA GPU",
    ),
    "old-driver": (
        "supports CUDA 11.4, libcudart is of CUDA 13.2 (expected: a driver for CUDA 13.2",
        "do:       update",
    ),
    "no-device": (
        "cudaErrorNoDevice: no CUDA-capable device is detected",
        "do:       run on a machine with",
    ),
}


@pytest.mark.parametrize("mode", REFUSALS)
def test_runner_that_finds_no_gpu_is_refused_with_the_cause_and_what_to_do(
    mode: str, double: Path, cli: Cli, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    environment = {"LD_LIBRARY_PATH": str(double.parent), "DOUBLE_MODE": mode}
    done = cli("run", "-r", "tensorrt-rtx", environment=environment, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [word for word in REFUSALS[mode] if word not in done.stderr] == []


@pytest.mark.parametrize("profile", ["k80", "gtx1080ti", "rtx3090"])
def test_profile_of_a_gpu_is_refused_with_what_was_found_and_expected(
    profile: str, cli_here: Cli, tmp_path: Path
) -> None:
    done = cli_here("run", "--profile", profile, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for words in (
        "this host has no CUDA device",
        "expected: ",
        "do:       measure this machine with --profile host",
    ):
        assert words in done.stderr


def test_cuda_graphs_are_refused_where_no_runner_launches_them(
    cli_here: Cli, tmp_path: Path
) -> None:
    done = cli_here("run", "-r", "onnxruntime", "--cuda-graph", cwd=tmp_path)
    assert done.returncode == 2
    assert "none of onnxruntime obeys --cuda-graph (CUDA graph)" in done.stderr
    assert "leave out --cuda-graph" in done.stderr
