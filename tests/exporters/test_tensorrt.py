"""The classic exporter as far as no GPU is needed: what is refused, which flags are set, how
timings are kept.

The shared builder calls are held against a real library in test_tensorrt_rtx.py. Here the parts
that only older versions have: made-up modules have their enumerations, and the real configuration
of TensorRT-RTX has the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploybench.contracts import ExportedFiles, Exporter, ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.exporters import tensorrt_build, tensorrt_rtx
from deploybench.exporters.quantisation import WAY
from deploybench.exporters.tensorrt import TensorRtExporter, TimingCache
from deploybench.exporters.tensorrt_rtx import TensorRtRtxExporter
from deploybench.hardware.gpus import Gpu

PASCAL = Gpu(
    name="NVIDIA GeForce GTX 1080 Ti",
    compute_capability="6.1",
    memory_bytes=11 << 30,
    driver="535.1",
)


def test_module_imports_where_the_system_has_no_fcntl() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import deploybench.exporters.tensorrt"
    subprocess.run([sys.executable, "-c", code], check=True)


def gpu_at_hand(patch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    found = gpus, None if gpus else "no NVIDIA driver"
    patch.setattr("deploybench.exporters.tensorrt_build.find_gpus", lambda: found)
    patch.setattr("deploybench.exporters.tensorrt.find_gpus", lambda: found)


def version(number: str, flags: str, *, explicit_batch: bool = True) -> SimpleNamespace:
    """A module with the enumerations of one version."""
    named = SimpleNamespace(**{name: name for name in flags.split()})
    creation = SimpleNamespace(**({"EXPLICIT_BATCH": 0} if explicit_batch else {}))
    return SimpleNamespace(
        __version__=number, BuilderFlag=named, NetworkDefinitionCreationFlag=creation
    )


OLD = version("8.5.3.1", "FP16 INT8 TF32")
TEN = version("10.3.0", "FP16 BF16 INT8 TF32")
ELEVEN = version("11.4.0", "TF32", explicit_batch=False)


def test_host_without_a_gpu_says_so_before_the_library_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu_at_hand(monkeypatch)
    exporter = TensorRtExporter()
    assert "this host has no CUDA device: no NVIDIA driver" in str(exporter.check())
    with pytest.raises(DeployBenchError, match="no CUDA device") as refused:
        exporter.check_target("sm86")
    assert "tensorrt-rtx" in str(refused.value.action)


def test_engine_is_built_for_the_gpu_at_hand_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_at_hand(monkeypatch, PASCAL)
    exporter = TensorRtExporter()
    assert exporter.check() is None
    exporter.check_target(None)
    exporter.check_target("sm61")
    with pytest.raises(DeployBenchError, match="GTX 1080 Ti") as refused:
        exporter.check_target("sm86")
    assert "a GPU of sm86" in str(refused.value.expected)
    assert "535.1" in exporter.identity()["gpu"]


@pytest.mark.parametrize(
    ("library", "precision", "flag"),
    [
        (OLD, "fp16", "FP16"),
        (OLD, "int8", "INT8"),
        (OLD, "fp32", None),
        (OLD, "tf32", None),
        (TEN, "bf16", "BF16"),
        (ELEVEN, "fp16", None),
        (ELEVEN, "bf16", None),
        (ELEVEN, "int8", None),
    ],
)
def test_precision_is_a_flag_where_the_version_has_flags(
    library: SimpleNamespace, precision: str, flag: str | None
) -> None:
    assert tensorrt_build.precision_flag(library, precision) == flag


def test_version_without_bf16_refuses_it() -> None:
    with pytest.raises(DeployBenchError, match=r"TensorRT 8\.5\.3\.1 has no bf16"):
        tensorrt_build.precision_flag(OLD, "bf16")


@pytest.mark.parametrize(("library", "flags"), [(OLD, 1), (TEN, 1), (ELEVEN, 0)])
def test_batch_is_explicit_by_a_flag_where_there_is_one(
    library: SimpleNamespace, flags: int
) -> None:
    assert tensorrt_build.network_flags(library) == flags


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_tf32_is_on_for_tf32_alone(precision: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    config = trt.Builder(tensorrt_build.logger(trt)).create_builder_config()
    tensorrt_build.set_precision(trt, config, precision)
    assert config.get_flag(trt.BuilderFlag.TF32) == (precision == "tf32")


def test_gpu_without_fast_half_precision_is_no_silent_fp32() -> None:
    pascal = SimpleNamespace(platform_has_fast_fp16=False, platform_has_fast_int8=True)
    with pytest.raises(DeployBenchError, match="no fast fp16"):
        tensorrt_build.check_fast(pascal, "fp16")
    for precision in ("fp32", "int8", "bf16"):
        tensorrt_build.check_fast(pascal, precision)


def test_error_of_an_old_parser_is_its_words_and_of_a_new_one_names_the_node() -> None:
    old = SimpleNamespace(desc=lambda: "No importer\n registered")
    new = SimpleNamespace(desc=lambda: "no", node_name=lambda: "u", node_operator=lambda: "Unique")
    assert tensorrt_build.described(old) == "No importer registered"
    assert tensorrt_build.described(new) == "node 'u' (Unique): no"


def test_timings_are_kept_by_version_gpu_and_driver_and_damaged_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path))
    builder = trt.Builder(tensorrt_build.logger(trt))
    cache = TimingCache(trt, PASCAL)
    for part in (trt.__version__, "GTX-1080-Ti", "sm61", "535.1"):
        assert part in cache.path.name
    for content in (None, b"no timings"):
        if content is not None:
            cache.path.write_bytes(content)
        config = builder.create_builder_config()
        cache.lend(config)
        cache.keep()
        assert len(cache.path.read_bytes()) > len(b"no timings")
    assert TimingCache(trt, PASCAL.model_copy(update={"driver": "550.2"})).path != cache.path


@pytest.mark.parametrize("exporter", [TensorRtExporter(), TensorRtRtxExporter()])
def test_way_of_int8_is_in_the_key_and_this_cpu_is_not(exporter: Exporter) -> None:
    assert exporter.identity_for(ExportSpec(precision="int8")) == {"int8_way": WAY}
    assert exporter.identity_for(ExportSpec(precision="fp16")) == {}


def test_layers_in_float_are_told_of_a_plan_of_rtx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = SimpleNamespace(__version__="1.7", ComputeCapability=SimpleNamespace(SM86=86))
    written = ExportedFiles("model.engine", {"tensorrt": "1.7"}, "agrees", kept_fp32=("stem",))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library)
    monkeypatch.setattr(tensorrt_rtx, "write_engine", lambda *_: written)
    monkeypatch.setattr(tensorrt_rtx, "rtx_plan_version", lambda plan: "1.7.0.1")
    spec = ExportSpec(precision="int8", target="sm86")
    files = TensorRtRtxExporter().export(None, None, spec, tmp_path)  # type: ignore[arg-type]
    assert files.kept_fp32 == ("stem",)
    assert (files.checked, files.facts) == ("agrees", {"tensorrt": "1.7.0.1"})
