"""``serve.py`` holds to the options of its cell: each is in its lines, and they run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploybench.artifacts.artifact import Artifact, TensorSpec, open_artifact
from deploybench.bundle import serve as programs
from deploybench.bundle.process import process_of
from deploybench.bundle.serve import feeding_lines, program
from deploybench.bundle.writing import write_bundle
from deploybench.contracts import Serving
from deploybench.contracts.registry import runner
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.bundle.conftest import serve
from tests.bundle.test_refusals import cell_of

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return open_artifact(kept_workspace(tmp_path / "workspace", ONNX).artifacts_folder / ONNX)


def options_of(artifact: Artifact, **more: object) -> Any:
    """What a cell asks of a runner, with options that are declared elsewhere."""
    plain: Mapping[str, object] = {
        "device": "cpu",
        "threads": 1,
        "threads_each": 1,
        "precision": "fp32",
        "batch": 1,
        "streams": 1,
    }
    return SimpleNamespace(**{**plain, **more})


def test_every_setting_of_a_session_is_in_its_lines(artifact: Artifact) -> None:
    from deploybench.runners.onnxruntime_serving import serving

    settings = onnxruntime.SessionOptions()
    settings.enable_cpu_mem_arena = False
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    lines = "\n".join(serving(settings, {"ba\"t'ch": 2}, ("onnxruntime",)).opening)
    assert "options.enable_cpu_mem_arena = False" in lines
    assert "= onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC" in lines
    assert "'session.intra_op.allow_spinning', '0'" in lines
    scope: dict[str, Any] = {"onnxruntime": onnxruntime}
    exec(lines.partition("self.session")[0], scope)
    again = scope["options"]
    assert again.enable_cpu_mem_arena is False
    assert again.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_openvino_is_compiled_with_the_settings_that_are_measured(artifact: Artifact) -> None:
    from deploybench.runners.openvino_serving import serving

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 3}
    lines = "\n".join(serving(artifact, (1, 3, 8, 8), settings, [1], ("openvino",)).opening)
    assert "    'PERFORMANCE_HINT': 'LATENCY',\n    'INFERENCE_NUM_THREADS': 3,\n" in lines
    assert "model.reshape([1, 3, 8, 8])" in lines


def test_options_of_pytorch_are_in_the_lines(artifact: Artifact) -> None:
    options = options_of(artifact, spinning="off", memory_format="channels_last")
    found = runner("torchscript").require().serving(artifact, options)
    assert found.environment == {"OMP_WAIT_POLICY": "PASSIVE"}
    assert "weight.contiguous(memory_format=torch.channels_last)" in "\n".join(found.opening)
    assert ".contiguous(memory_format=torch.channels_last)" in "\n".join(found.calling)
    assert found.options >= {"spinning", "memory_format"}
    plain = runner("torchscript").require().serving(artifact, options_of(artifact))
    assert plain.environment == {}
    assert "memory_format" not in "\n".join([*plain.opening, *plain.calling])
    text = program(artifact, cell_of(artifact), found)
    assert text.index("os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'") < text.index("import torch")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_process_starts_itself_again_with_its_variables(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = process_of({"huge_pages": "on"})
    assert chosen.variables == {
        "THP_MEM_ALLOC_ENABLE": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    monkeypatch.setattr(programs, "process_of", lambda _: chosen)
    folder = write_bundle(artifact, cell_of(artifact), tmp_path / "bundle")
    assert serve(folder, "--check").returncode == 0
    path = folder / "serve.py"
    shown = "print(os.environ['GLIBC_TUNABLES'])\nimport onnxruntime"
    path.write_text(path.read_text().replace("import onnxruntime", shown, 1))
    assert "glibc.malloc.hugetlb=1\n" in serve(folder, "--check").stdout


def test_allocator_that_is_not_there_ends_the_program_in_words(
    artifact: Artifact, tmp_path: Path
) -> None:
    chosen = process_of({"allocator": "mimalloc"})
    assert chosen.variables == {"LD_PRELOAD": "libmimalloc.so.2"}
    if shutil.which("ldconfig") is None or Path("/proc/self/maps").is_file() is False:
        pytest.skip("no Linux")
    path = tmp_path / "start.py"
    path.write_text(f"import os\nimport sys\nfrom pathlib import Path\n\n{chosen.lines}print(1)\n")
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "LD_LIBRARY_PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:  # this host has it
        assert done.stdout == "1\n"
        return
    assert "libmimalloc.so.2 is not here: apt-get install libmimalloc2.0" in done.stderr


def test_jemalloc_is_told_of_huge_pages_in_its_own_way() -> None:
    variables = process_of({"allocator": "jemalloc", "huge_pages": "on"}).variables
    assert variables["MALLOC_CONF"] == "thp:always,metadata_thp:auto"
    assert "GLIBC_TUNABLES" not in variables
    assert process_of({}).lines == ""


def test_images_are_laid_out_and_rounded_as_an_adopted_file_takes_them() -> None:
    spec = TensorSpec(name="x", dtype="uint8", shape=(1, 8, 8, 3), layout="nhwc")
    import numpy as np

    scope: dict[str, Any] = {
        "np": np,
        "images": np.array([[[[-3.0, 0.6]], [[254.7, 300]], [[1, 2]]]], np.float32),
    }
    exec("\n".join(feeding_lines(spec)), scope)
    assert scope["images"].tolist() == [[[[0, 255, 1], [1, 255, 2]]]]
    assert scope["images"].dtype == np.uint8
    assert feeding_lines(TensorSpec(name="x", dtype="float32", shape=(1, 3, 8, 8))) == []


def test_program_without_options_is_a_few_lines(artifact: Artifact) -> None:
    serving = Serving(("import onnxruntime",), ("pass",), ("return {}",), ("onnxruntime",))
    text = program(artifact, cell_of(artifact), serving)
    assert len(text.splitlines()) < 50
    assert "import os\n" not in text
