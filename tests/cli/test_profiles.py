"""A profile of this machine is one file: written, shown, and measured under its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.hardware.profile import load_profile
from tests.conftest import Cli


@pytest.mark.measures
def test_new_profile_is_written_shown_and_measured_under_its_name(
    cli: Cli, tiny_workspace: Workspace, tmp_path: Path
) -> None:
    made = cli("profiles", "new", "rack-7", "--device", "cpu", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    path = tmp_path / "rack-7.toml"
    profile = load_profile(str(path))
    assert profile.sources["tflops.fp32"].startswith("measured on ")
    assert "measured on" in cli("profiles", "show", path).stdout
    arguments = (
        "-r",
        "onnxruntime",
        "--rounds",
        "1",
        "--duration",
        "50ms",
        "--min-samples",
        "8",
        "--json",
    )
    done = cli(
        "run", "--profile", "./rack-7.toml", "-w", tiny_workspace.root, *arguments, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)[0]
    assert row["profile"] == "rack-7"
    assert f"--profile {path}" in row["command"]
    assert row["bound_ms"] > 0
    # Of a launch during which the machine changed its state no time is told.
    if not row["launches_flipped"]:
        assert row["times_bound"] == row["p50_ms"] / row["bound_ms"]


def test_new_profile_overwrites_nothing_and_takes_no_built_in_name(
    cli_here: Cli, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("kept")
    for arguments, words in (
        (("mine",), "mine.toml is there already"),
        (("other", "-o", "mine.toml"), "mine.toml is there already"),
        (("rtx3090",), "there is a profile rtx3090 already"),
        (("mine2", "-o", "mine2.txt"), "a file name that ends in .toml"),
    ):
        done = cli_here("profiles", "new", *arguments, cwd=tmp_path)
        assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (
            2,
            True,
            False,
        ), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    assert (tmp_path / "mine.toml").read_text() == "kept"


def test_old_card_is_explained_to_a_person(cli_here: Cli) -> None:
    text = " ".join(cli_here("profiles", "show", "k80").stdout.split())
    for words in (
        "A K80 board is two GPUs",
        "4.37 TFLOP/s 2496 cores x 2 FLOP x 0.875 GHz boost",
        "unconfirmed: ",
        "fp16 no storage only",
        "R470, newer branches do not have this GPU",
        "the last wheel with sm_37 code",
    ):
        assert words in text
