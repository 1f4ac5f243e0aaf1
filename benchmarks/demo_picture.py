"""The picture of docs/demo.md: the demo in a Chromium, after it was given a cup of coffee.

``python -m benchmarks.demo_picture demo-workspace`` starts ``deploybench demo`` on what `make demo`
left, shows two artifacts of the trained model the image coffee.png of scikit-image, waits for
both answers and both overlays, and writes docs/demo/page.png. Needs playwright and a Chromium.
Nothing is measured: the page says itself that its times are none.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = "timm:tf_efficientnet_lite0"
SCREEN = {"width": 1160, "height": 900}
PATIENCE_MS = 300_000
"""For an answer: every process imports its runtime first, and the overlay's imports torch."""
ENDS_S = 60.0
COLOURS = 128
"""Of the written picture: a page of few colours and one photograph, at a third of the size."""


@contextmanager
def served(workspace: Path) -> Iterator[str]:
    """The demo with two artifacts side by side, until the block ends; its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploybench", "demo", f"{MODEL}/onnx"),
            *("--beside", f"{MODEL}/openvino", "--no-browser", "--port", "0"),
            *("-w", str(workspace)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(process.wait(ENDS_S))  # it has said why on standard error
        yield line.split()[0]
    finally:
        # Not Ctrl-C: in the background of a shell nobody hears that.
        process.terminate()
        process.wait(ENDS_S)


def pictured(address: str, image: Path) -> bytes:
    """A PNG of the whole page after it answered."""
    from playwright.sync_api import sync_playwright

    from tests.pages.browser import QUIET, chromium

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_page(viewport=SCREEN, color_scheme="light")  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.set_input_files("input[type=file]", image)
        page.get_by_text(image.name).wait_for()
        page.click("#look")
        # The words come with the overlay or in its place; which of the two is for whoever looks.
        page.wait_for_function("document.querySelector('#what-right textarea').value != ''")
        page.mouse.move(0, 0)
        page.wait_for_timeout(1_000)
        for field in ("#remark", "#what-left", "#what-right"):
            print(f"{field}: {page.locator(f'{field} textarea').input_value()}")
        taken = page.screenshot(full_page=True)
        browser.close()
    return taken


def main() -> None:
    """Write the picture, and say where."""
    import skimage
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/demo/page.png")
    asked = parser.parse_args()
    image = Path(skimage.__path__[0]) / "data/coffee.png"
    with served(asked.workspace) as address:
        taken = pictured(address, image)
    picture = Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS)
    picture.save(asked.out, optimize=True)
    print(
        f"{asked.out}: {picture.width} x {picture.height}, {asked.out.stat().st_size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
