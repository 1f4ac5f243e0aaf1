"""int8 for CPUs: calibrated on photographs, run in 8 bits, and refused where either lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import ExportSpec, RunOptions
from deploybench.contracts.registry import exporters, runners
from deploybench.data.calibration import choose_for_calibration
from deploybench.data.references import PHOTOGRAPH
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOrder, requests_of
from deploybench.export.pipeline import ExportOptions, check_requests, export_one
from deploybench.export.quantisation import hash_of_images
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.exporters.quantisation import WAY
from deploybench.hardware.host import describe_host
from deploybench.measure.proof import prove, reference_batches
from deploybench.plan.cells import form_of
from deploybench.report.export_table import export_report
from deploybench.runners.onnxruntime_int8 import kernels_of_8_bits

Image = pytest.importorskip("PIL.Image")
load_sample_images = pytest.importorskip("sklearn.datasets").load_sample_images
IMAGES = 24
CELLS = [
    ("onnx", "timm:test_resnet"),
    ("onnx", "timm:test_vit"),
    ("openvino", "timm:test_resnet"),
    ("openvino", "timm:test_vit"),
]
RUNNERS = {"onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of three photographs, ours and those of scikit-learn, in two classes."""
    folder = tmp_path_factory.mktemp("photographs")
    with np.load(PHOTOGRAPH) as archive:
        photographs = [archive[name] for name in archive.files]
    photographs += load_sample_images().images
    for index in range(IMAGES):
        photograph = photographs[index % len(photographs)]
        generator = np.random.default_rng(index)
        height, width = photograph.shape[:2]
        side = int(min(height, width) * generator.uniform(0.4, 1))
        top = generator.integers(0, height - side + 1)
        left = generator.integers(0, width - side + 1)
        part = Image.fromarray(photograph[top : top + side, left : left + side])
        place = folder / ("left" if index % 2 else "right")
        place.mkdir(exist_ok=True)
        part.resize((160, 160)).save(place / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.prepare()
    return workspace


def request_of(backend: str, model: str, calibration: Path | str | None) -> ExportRequest:
    source = None if calibration is None else str(calibration)
    return ExportRequest(
        model=ModelRequest(name=model), backend=backend, precision="int8", calibration=source
    )


def exported(request: ExportRequest, workspace: Workspace, *, force: bool = False) -> Artifact:
    result = export_one(request, workspace, ExportOptions(force=force))
    assert result.artifact is not None, result.error
    return result.artifact


@pytest.mark.parametrize(("backend", "model"), CELLS)
def test_int8_agrees_with_fp32_and_runs_in_8_bits(
    backend: str, model: str, photographs: Path, workspace: Workspace
) -> None:
    artifact = exported(request_of(backend, model, photographs), workspace)
    manifest = artifact.manifest
    assert manifest.verified, manifest.parity_note
    assert manifest.calibration is not None
    assert (manifest.calibration.images, manifest.calibration.asked) == (IMAGES, 128)
    assert "128 were asked for" in manifest.calibration.words
    options = RunOptions(device="cpu", precision="int8", batch=1, threads=1)
    with runners()[RUNNERS[backend]].require().load(artifact, options) as session:
        proof = prove(session, artifact, options, reference_batches(artifact, 1))
    assert proof.holds, proof
    assert proof.facts.precision == "int8"
    assert any(f"{IMAGES} images" in note for note in proof.facts.notes)


def test_noise_is_said_in_the_table_and_on_the_row(workspace: Workspace) -> None:
    request = request_of("onnx", "timm:test_resnet", "synthetic")
    result = export_one(request, workspace, ExportOptions())
    artifact = result.artifact
    assert artifact is not None, result.error
    assert "calibrated on noise" in str(export_report([result]).sections)
    options = RunOptions(device="cpu", precision="int8", batch=1, threads=1)
    with runners()["onnxruntime"].require().load(artifact, options) as session:
        proof = prove(session, artifact, options, reference_batches(artifact, 1))
    assert any("calibrated on noise" in note for note in proof.facts.notes)


def test_same_images_and_seed_give_the_same_bytes(photographs: Path, workspace: Workspace) -> None:
    request = request_of("onnx", "timm:test_resnet", photographs)
    first = exported(request, workspace).manifest.content_sha256
    assert exported(request, workspace, force=True).manifest.content_sha256 == first


def test_pick_belongs_to_the_seed_and_takes_every_class(photographs: Path) -> None:
    def picked(seed: int) -> list[str]:
        chosen = choose_for_calibration(str(photographs), 4, seed)
        return [example.key for example in chosen.data]

    assert picked(1) == picked(1)
    assert len({tuple(picked(seed)) for seed in range(5)}) > 1
    assert sorted(key.split("/")[0] for key in picked(3)) == ["left", "left", "right", "right"]


def test_artifact_that_is_not_near_enough_says_what_else_may_be_done(
    tmp_path: Path, workspace: Workspace
) -> None:
    """One grey image excites nothing: what it finds for ranges does not hold on any other."""
    Image.new("RGB", (160, 160), (128, 128, 128)).save(tmp_path / "grey.png")
    request = request_of("openvino", "timm:test_vit", tmp_path)
    result = export_one(request, workspace, ExportOptions())
    assert result.artifact is not None, result.error
    assert not result.ok
    said = str(export_report([result]).sections)
    assert "parity: max error" in said
    assert "--accept-by accuracy" in said
    assert "--keep-fp32" in said


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_host_decides_the_range_of_int8_and_that_is_in_the_key(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = exporters()[backend].require()
    with_vnni = describe_host().replaced(isa=("avx2", "avx512_vnni"))
    without = describe_host().replaced(isa=("avx2",))
    found = []
    for host in (with_vnni, without):
        monkeypatch.setattr("deploybench.exporters.quantisation.describe_host", lambda h=host: h)
        found.append(exporter.identity_for(ExportSpec(precision="int8")))
        assert not exporter.identity_for(ExportSpec(precision="fp32"))
    assert found == [
        {"int8_way": WAY, "int8_range": "full"},
        {"int8_way": WAY, "int8_range": "reduced"},
    ]
    asked = ExportSpec(precision="int8", options={"int8_range": "full"})
    assert exporter.identity_for(asked) == {
        "int8_way": WAY
    }  # the range is in the key as it was asked for


def test_libraries_that_quantise_are_in_no_other_artifacts_key() -> None:
    for backend, library in (("onnx", "onnxruntime"), ("openvino", "nncf")):
        exporter = exporters()[backend].require()
        assert exporter.distributions_for("fp32") == exporter.distributions
        assert library not in exporter.distributions_for("fp32")
        assert library in exporter.distributions_for("int8")


def test_images_decide_the_key(photographs: Path) -> None:
    request = request_of("onnx", "vit", photographs)
    base = hash_of_images(request)
    assert hash_of_images(request.replaced(calibration_images=4)) != base
    assert hash_of_images(request.replaced(calibration_seed=2)) == base  # the same, all of them
    assert hash_of_images(request.replaced(precision="fp32")) == {}


def test_set_that_is_faulty_is_not_taken_without_its_labels(tmp_path: Path) -> None:
    for split in ("train/cat", "train/dog", "others"):
        (tmp_path / split).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "1.png")
    with pytest.raises(DeployBenchError, match="folders of splits"):
        choose_for_calibration(str(tmp_path), 4, 1)
    assert len(choose_for_calibration(str(tmp_path / "others"), 4, 1).data) == 1
    one_class = tmp_path / "train"
    shutil.rmtree(one_class / "dog")
    assert len(choose_for_calibration(str(one_class), 4, 1).data) == 1


def test_run_of_int8_that_was_never_exported_says_how(workspace: Workspace) -> None:
    result = export_one(
        request_of("openvino", "timm:test_resnet", None), workspace, ExportOptions()
    )
    assert result.error is not None
    assert "--precision int8 --calibration DIR" in str(result.error.action)


def test_graph_without_8_bit_kernels_is_not_called_int8() -> None:
    assert kernels_of_8_bits(b"\x22\x04Conv") == ()
    assert kernels_of_8_bits(b"\x22\x0bQLinearConv") == ("QLinearConv",)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_int8_without_calibration_is_refused(backend: str) -> None:
    order = ExportOrder(models=["vit"], backends=[backend], precisions=["int8"])
    with pytest.raises(DeployBenchError, match="without images to calibrate on") as refused:
        check_requests(requests_of(order))
    assert "--calibration synthetic" in str(refused.value.action)


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="--calibration"):
        check_requests([request_of("onnx", "vit", tmp_path)])


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_layers_that_are_kept_are_listed_and_a_wrong_pattern_is_refused(
    backend: str, photographs: Path, workspace: Workspace
) -> None:
    request = request_of(backend, "timm:test_resnet", photographs)
    artifact = exported(request.replaced(keep_fp32=("layer1",)), workspace)
    kept = artifact.manifest.kept_fp32
    assert kept
    assert form_of(artifact).endswith(f"-mixed{len(kept)}")
    if backend == "openvino":
        assert all("layer1." in name for name in kept)
    result = export_one(request.replaced(keep_fp32=("layr1",)), workspace, ExportOptions())
    assert result.error is not None
    assert "matches no layer" in result.error.found
    assert "layer1" in str(result.error.expected)


def test_request_that_says_nothing_of_it_is_stored_as_before() -> None:
    stored = ExportRequest(model=ModelRequest(name="vit"), backend="onnx").model_dump()
    assert not {"calibration", "calibration_seed", "keep_fp32"} & stored.keys()
