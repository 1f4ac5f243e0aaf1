"""int8 by torchao and AOTInductor: 8-bit kernels are in the compiled code, or it is refused."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.exporters.torch_quantised import check_kernels, kernels_in
from deploybench.hardware.host import missing_cxx_compiler
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job

pytest.importorskip("torchao")
SMALL = "timm:test_resnet"


def package_of(folder: Path, code: str) -> Path:
    path = folder / "model.pt2"
    with ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/model/c.wrapper.cpp", code)
        archive.writestr("model/weights", "aoti_torch_cpu__qconv_pointwise_tensor(")
    return path


def test_kernels_are_counted_where_the_code_calls_them(tmp_path: Path) -> None:
    code = """
    aoti_torch_cpu__qconv_pointwise_tensor(buf0);
    aoti_torch_cpu__qconv2d_pointwise_binary_tensor(buf1);
    aoti_torch_cpu__qlinear_pointwise_tensor(buf2);
    aoti_torch_cpu_convolution(buf3);
    """
    assert kernels_in(package_of(tmp_path, code)) == {"qconv": 2, "qlinear": 1}


def test_program_that_was_compiled_in_float_is_refused(tmp_path: Path) -> None:
    found = kernels_in(package_of(tmp_path, "aoti_torch_cpu_convolution(buf3);"))
    with pytest.raises(DeployBenchError, match="without any 8-bit kernel"):
        check_kernels(found)


@pytest.mark.skipif(missing_cxx_compiler() is not None, reason="AOTInductor compiles C++")
def test_package_of_a_residual_network_runs_in_8_bits(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    request = ExportRequest(
        model=ModelRequest(name=SMALL, image_size=(96, 96)),
        backend="aotinductor",
        precision="int8",
        calibration="synthetic",
        calibration_images=4,
    )
    result = export_one(request, workspace, ExportOptions())
    assert result.artifact is not None, result.error
    manifest = result.artifact.manifest
    assert manifest.facts["int8_kernels"] == "15 qconv, 1 qlinear"
    assert manifest.facts["int8_layers"] == 16
    launch = run_job(
        Job(
            artifact=str(result.artifact.path),
            runner="aotinductor",
            device="cpu",
            precision="int8",
            batch=1,
            threads=1,
            measure=False,
        )
    )
    assert launch.refused is None
    assert launch.facts is not None
    assert launch.facts.precision == "int8"
    assert "int8 kernels: 15 qconv, 1 qlinear" in " ".join(launch.facts.notes)
