"""docs/data.md names options, forms and columns that are there."""

from __future__ import annotations

import re

import typer

from deploybench.cli.main import application
from deploybench.data.dicom_files import DICOM_SUFFIXES
from deploybench.data.forms.cifar import FORMS
from deploybench.data.forms.columns import NAMES
from deploybench.data.forms.folders import SPLIT_NAMES
from deploybench.data.image_files import IMAGE_SUFFIXES
from deploybench.data.opening import MANIFEST_NAMES
from deploybench.data.unpacked import FREELY_UNPACKED, MOST_TIMES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


def options_of_data() -> set[str]:
    """Every option of every command of ``deploybench data``."""
    group = typer.main.get_command(application(["data"])).commands["data"]  # type: ignore[attr-defined]
    return {
        name
        for command in group.commands.values()
        for parameter in command.params
        for name in parameter.opts
        if name.startswith("--")
    }


def test_every_option_on_the_page_is_one_of_data() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named - options_of_data() == set()


def test_every_option_of_data_that_says_what_is_meant_is_on_the_page() -> None:
    assert {"--column", "--uncertain", "--class-names", "--unlabelled", "--window"} <= set(
        re.findall(r"--[a-z-]+", PAGE)
    )


def test_names_on_the_page_are_those_of_the_code() -> None:
    for name in MANIFEST_NAMES | {"valid", "validation", "dev"}:
        assert f"`{name}`" in PAGE
    assert {"valid", "validation", "dev"} <= set(SPLIT_NAMES)
    line = next(text for text in PAGE.splitlines() if text.startswith("- The columns are found"))
    for use, words in zip(("path", "label", "split", "patient"), line.split(";"), strict=True):
        for word in re.findall(r"`(\w+)`", words):
            assert word in NAMES[use]  # type: ignore[index]
    for form in FORMS:
        assert form.name.split()[0] in PAGE
    for suffix in ("png", "jpeg", "tiff", "webp", "bmp", "gif", "ppm"):
        assert f".{suffix}" in IMAGE_SUFFIXES
    assert ".dcm" in DICOM_SUFFIXES
    assert FREELY_UNPACKED == 1 << 30
    assert f"more than {MOST_TIMES} times its size" in PAGE
