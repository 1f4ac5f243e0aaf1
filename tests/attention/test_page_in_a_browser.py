"""The page of ``attend`` in a real browser: at both widths, light and dark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.attention.page import html_of
from deploybench.attention.study import study
from deploybench.models.source import BuildOptions
from tests.pages import browser


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two models, one with attention, and three images."""
    folder = tmp_path_factory.mktemp("page")
    generator = np.random.default_rng(3)
    for number in range(3):
        pixels = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"scan{number}.png")
    found = study(
        ["timm:test_vit", "timm:test_resnet"],
        sorted(folder.glob("*.png")),
        checkpoints={},
        options=BuildOptions(num_classes=4),
    )
    path = folder / "attention.html"
    path.write_text(html_of(found), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_asks_nothing_and_has_no_serious_fault(
    page_path: Path, width: int, scheme: str
) -> None:
    asked: list[str] = []
    broken: list[str] = []
    with browser.started() as chromium:
        page = chromium.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
        )
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda line: broken.append(line.text) if line.type == "error" else None,
        )
        page.goto(page_path.as_uri())
        assert page.locator("h2").all_inner_texts() == [
            *("timm:test_vit", "timm:test_resnet", "Numbers")
        ]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(page.evaluate("[...document.images].map((image) => image.naturalWidth > 100)"))
        if browser.AXE.is_file():
            page.evaluate(browser.AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run()")
            serious = [
                (fault["id"], [node["html"][:120] for node in fault["nodes"]][:3])
                for fault in found["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
            assert serious == []
            assert found["passes"]
    assert broken == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
