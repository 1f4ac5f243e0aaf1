"""The page in a real browser: an image goes in, both artifacts answer, nothing leaves here."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.export.order import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest
from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace
from tests.conftest import run_here
from tests.pages.browser import started

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="the extra demo is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with the two kept artifacts; it is ended by Ctrl-C."""
    workspace = kept_workspace(tmp_path_factory.mktemp("page") / "workspace", ONNX, PYTORCH)
    with served(workspace.root, "onnxruntime", "--beside", "· pytorch", "--trust") as address:
        yield address


@contextmanager
def served(workspace: Path, *options: str) -> Iterator[str]:
    """The command in a process of its own, until it is ended by Ctrl-C; its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploybench", "demo", *options),
            *("--no-browser", "--port", "0", "--threads", "1", "--max-size", "1MB"),
            *("-w", str(workspace)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.match(r"(http://127\.0\.0\.1:\d+) ", process.stdout.readline())
    assert found is not None
    yield found[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, a file that is none, and one that is larger than 1 MB."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    (folder / "broken.png").write_bytes((folder / "noise.png").read_bytes()[:300])
    (folder / "large.png").write_bytes((folder / "noise.png").read_bytes() + bytes(2 << 20))
    return folder


def give(page: Page, file: Path) -> None:
    """Give the page a file, and wait until it has it: its name stands there while it is uploaded,
    a link to it afterwards."""
    page.set_input_files("input[type=file]", file)
    page.locator(f"a[download='{file.name}']").wait_for()


def test_an_image_is_answered_by_both_artifacts_and_nothing_else_is_asked(
    address: str, pictures: Path
) -> None:
    asked: list[str] = []
    broken: list[str] = []
    with started() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda line: broken.append(line.text) if line.type == "error" else None,
        )
        # Beside other tests a file of a few kilobytes was seen to take half a minute.
        page.set_default_timeout(120_000)
        page.goto(address)
        page.click("#look")
        page.wait_for_function("document.querySelector('#remark textarea').value != ''")
        assert "Choose an image first." in page.locator("#remark textarea").input_value()

        give(page, pictures / "noise.png")
        page.click("#look")
        page.wait_for_function("document.querySelector('#verdict textarea').value != ''")
        verdict = page.locator("#verdict textarea").input_value()
        assert verdict.startswith("Both sides have the same first class; probabilities differ by <")
        for side in ("#facts-left", "#facts-right"):
            assert "ms a call" in page.locator(f"{side} textarea").input_value()
        assert page.locator("#left").inner_text().count("%") == 5
        assert page.locator("#picture img").count() == 1
        assert not broken

        page.get_by_label("Clear").first.click()
        # A file given to the old field is lost with it; the new one is there when the link is gone.
        page.locator("a[download='noise.png']").wait_for(state="detached")
        give(page, pictures / "broken.png")
        page.click("#look")
        page.wait_for_function(
            "document.querySelector('#facts-left textarea').value.startsWith('No answer')"
        )
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_overlay_that_cannot_be_had_is_said_on_the_page(address: str, pictures: Path) -> None:
    """The kept artifacts are of another version's random weights: their source is no more."""
    with started() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        give(page, pictures / "noise.png")
        page.click("#look")
        page.wait_for_function("document.querySelector('#what-left textarea').value != ''")
        words = page.locator("#what-left textarea").input_value()
        assert words.startswith("No overlay: its source holds other weights now")
        assert page.locator("#map-left img").count() == 0


@pytest.fixture(scope="module")
def vit_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with a vision transformer in two formats, whose source is there."""
    workspace = Workspace(tmp_path_factory.mktemp("vit") / "workspace")
    workspace.prepare()
    model = ModelRequest(name="timm:test_vit", num_classes=4)
    requests = [ExportRequest(model=model, backend=backend) for backend in ("onnx", "openvino")]
    for result in export_all(requests, workspace, ExportOptions(jobs=1)):
        assert result.ok, result.error
    with served(workspace.root, "onnxruntime") as address:
        yield address


def test_overlay_of_the_source_appears_and_follows_the_choice(
    vit_address: str, tmp_path: Path
) -> None:
    asked: list[str] = []
    broken: list[str] = []
    write_dicom(tmp_path / "scan.dcm")
    with started() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda line: broken.append(line.text) if line.type == "error" else None,
        )
        page.set_default_timeout(120_000)
        page.goto(vit_address)
        give(page, tmp_path / "scan.dcm")
        page.click("#look")
        page.locator("#map-left img").wait_for()
        words = page.locator("#what-left textarea").input_value()
        assert words.startswith("Grad-CAM: at ")
        assert "The PyTorch source has the artifact's first class" in words
        assert page.locator("#map-right img").count() == 0

        # Attention instead, and another backend beside it.
        choose(page, "Overlay", "attention")
        page.wait_for_function(
            "document.querySelector('#what-left textarea').value.startsWith('rollout')"
        )
        choose(page, "Beside it", "openvino")
        page.click("#look")
        page.locator("#map-right img").wait_for()
        there = page.locator("#what-right textarea").input_value()
        assert there.startswith("Made from the same source as the other side")
        assert "same first class" in page.locator("#verdict textarea").input_value()
        choose(page, "Overlay", "none")
        page.wait_for_function("document.querySelector('#what-left textarea').value == ''")
    assert not broken
    assert [url for url in asked if not url.startswith((vit_address, "data:", "blob:"))] == []


def choose(page: Any, label: str, part: str) -> None:
    """The option of a list whose name has that part."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option").filter(has_text=part).first.click()


def write_dicom(path: Path) -> None:
    """A small grey image of 16 bits in DICOM's form, with the window that says what is white."""
    import numpy as np
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    pixels = np.random.default_rng(0).integers(0, 1000, (64, 64), dtype=np.uint16)
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Modality = "MR"
    data.WindowCenter, data.WindowWidth = 500, 1000
    data.PixelData = pixels.tobytes()
    data.save_as(str(path))


def test_a_file_that_is_too_large_is_refused(address: str, pictures: Path) -> None:
    import httpx

    def upload(name: str) -> httpx.Response:
        with (pictures / name).open("rb") as file:
            return httpx.post(f"{address}/gradio_api/upload", files={"files": file})

    assert upload("noise.png").status_code == 200
    assert upload("large.png").status_code == 413


def test_what_cannot_be_served_is_refused_with_what_to_do(address: str, tmp_path: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    port = address.rpartition(":")[2]
    for options, words in (
        (("--port", port), f"127.0.0.1:{port} cannot be listened at"),
        (("--host", "192.0.2.1", "--port", "7999"), "an address of this machine"),
        (("vit",), "no artifact that can be shown is called vit"),
        (("--max-size", "20"), "--max-size 20"),
    ):
        refused = run_here("demo", "--no-browser", "-w", workspace.root, *options)
        assert refused.returncode == 2, options
        assert words in " ".join(refused.stderr.split()), options
