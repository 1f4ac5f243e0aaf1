"""``deploybench models`` and the sizes of models, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import TINY, Cli


def test_models_lists_short_names_with_their_size_and_timm_s(cli_here: Cli) -> None:
    text = cli_here("models").stdout
    assert re.search(
        r"^linformer +fair ViT +224! +25\.57 +5\.21 +5\.21 +yes *$", text, re.MULTILINE
    )
    assert re.search(r"^resnet50 .* no *$", text, re.MULTILINE)
    assert "fair: vit, linformer, performer, fastformer, xca" in text
    listed = json.loads(cli_here("models", "--json").stdout)
    assert {row["model"] for row in listed["models"]} >= {"efficientnet-b7", "aa-wrn-28-10"}
    assert "timm:test_vit" in cli_here("models", "--timm", "test_v*").stdout


def test_models_show_splits_the_macs_by_kind_at_each_size(cli_here: Cli) -> None:
    done = cli_here(
        "models",
        "show",
        "xca",
        "--image-size",
        "224,384",
        "--patch-size",
        "16",
        "--num-classes",
        "10",
        "--json",
    )
    small, large = json.loads(done.stdout)["counts"]
    assert (small["tokens"], large["tokens"]) == (197, 577)
    assert small["parameters"] == 25_218_526
    kinds = [value for key, value in small.items() if key.startswith("macs_")]
    assert sum(kinds) == small["macs"] == small["flops"] // 2
    text = cli_here("models", "show", "aa-densenet-1x1").stdout
    assert "its weights belong to one image size" in text
    assert re.search(r"attention mixing +[\d,]+ +\d+%", text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fair",), "'fair' is a group of models"),
        (("vitt",), "did you mean"),
        (("vit", "--image-size", "16x"), "expected: pixels"),
        (("vit", "--patch-size", "0"), "expected: whole numbers"),
        (("resnet50", "--patch-size", "8"), "leave out --image-size, --patch-size"),
        (("timm:no_such_net",), "unknown timm model 'no_such_net'"),
    ],
)
def test_models_show_refuses_what_it_cannot_build(
    cli_here: Cli, arguments: tuple[str, ...], words: str
) -> None:
    done = cli_here("models", "show", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_sizes_are_exported_once_and_chosen_again(cli_here: Cli, tmp_path: Path) -> None:
    sizes = ("--image-size", "96,160", "--patch-size", "16,8")
    quick = ("--runner", "openvino", "--rounds", "1", "--duration", "50ms", "--json")
    everything = cli_here("run", "--model", TINY, *sizes, *quick, "-w", tmp_path)
    rows = json.loads(everything.stdout)
    assert {(row["image_size"], row["patch_size"]) for row in rows} == {
        ("96x96", 16),
        ("96x96", 8),
        ("160x160", 16),
        ("160x160", 8),
    }
    assert len({row["parameters"] for row in rows}) > 1
    few = cli_here("run", "--image-size", "96", "--patch-size", "8", *quick, "-w", tmp_path)
    assert [(row["image_size"], row["patch_size"]) for row in json.loads(few.stdout)] == [
        ("96x96", 8)
    ]
    again = cli_here("run", "--model", TINY, *sizes, *quick, "-w", tmp_path)
    assert "exporting" not in again.stderr
    none = cli_here("run", "--image-size", "64", *quick, "-w", tmp_path)
    assert none.returncode == 2
    assert "no artifact in that size" in none.stderr
