"""The page in a real browser: an image goes in, both artifacts answer, nothing leaves here."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace
from tests.conftest import run_here
from tests.pages.browser import started

pytest.importorskip("gradio", reason="the extra demo is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with the two kept artifacts; it is ended by Ctrl-C."""
    workspace = kept_workspace(tmp_path_factory.mktemp("page") / "workspace", ONNX, PYTORCH)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploybench", "demo", "onnxruntime", "--beside", "· pytorch"),
            *("--no-browser", "--port", "0", "--trust", "--threads", "1", "--max-size", "1MB"),
            *("-w", str(workspace.root)),
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

        page.set_input_files("input[type=file]", pictures / "noise.png")
        page.get_by_text("noise.png").wait_for()
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
        page.set_input_files("input[type=file]", pictures / "broken.png")
        page.get_by_text("broken.png").wait_for()
        page.click("#look")
        page.wait_for_function(
            "document.querySelector('#facts-left textarea').value.startsWith('No answer')"
        )
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


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
