"""The steps of a Dockerfile as an interpreter carries them out, and what is left out by name."""

from __future__ import annotations

import pytest

from docker.pins import DOCKER, ROOT, build_file, profiles
from docker.without_docker import (
    COLUMNS,
    Found,
    commands_of,
    document,
    not_found,
    pip_words,
    rows_in,
    steps_of,
    wanted_python,
)


@pytest.mark.parametrize("profile", profiles())
def test_every_step_of_an_image_is_carried_out_or_named(profile: str) -> None:
    steps = steps_of((DOCKER / profile / "Dockerfile").read_text())
    assert wanted_python(steps) in ("3.10", "3.11")
    commands = [command for keyword, text in steps for command in commands_of(keyword, text)]
    installed = [words for command in commands if (words := pip_words(command, profile))]
    pins = str(DOCKER / profile / "requirements.txt")
    builders = [str(build_file(profile))] if build_file(profile).exists() else []
    assert [words[-1] for words in installed] == [*builders, pins, str(ROOT)]
    for words in installed[:-1]:
        assert "--require-hashes" in words, "what comes is what was pinned, or nothing"
    others = {command.split()[0] for command in commands if pip_words(command, profile) is None}
    assert others <= {"apt-get", "rm", "find", "ldconfig", "useradd", "install"}


def test_continued_lines_are_one_step_and_comments_are_none() -> None:
    text = "# FROM nothing\nFROM python:3.10.14-slim\nRUN a --b \\\n    # why\n    && c d\n"
    assert steps_of(text) == [("FROM", "python:3.10.14-slim"), ("RUN", "a --b && c d")]
    assert commands_of("RUN", "a --b && c d") == ["a --b", "c d"]


def test_libraries_that_are_missing_are_named_but_those_of_the_driver() -> None:
    text = (
        "\tlibcurand.so.10 => not found\n\tlibcuda.so.1 => not found\n"
        "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0)\n"
    )
    assert not_found(text) == {"libcurand.so.10"}


def test_rows_stay_and_images_that_were_not_tried_are_named() -> None:
    row = Found("k80", "3.10.13", left_out=["useradd", "useradd"]).row()
    assert row.count("|") == len(COLUMNS) + 1
    assert row.endswith("| useradd |")
    text = document({"k80": row})
    assert rows_in(text) == {"k80": row}
    assert "Not tried: gtx1080ti, rtx3090, xeon." in text
