"""What a command refuses, and what a run shows of an artifact that was changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from tests.conftest import Cli

QUICK = ("--duration", "50ms", "--min-samples", "8")


def test_damaged_artifact_is_an_invalid_row_and_the_others_go_on(
    tiny_workspace: Workspace, tmp_path: Path, cli_here: Cli
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "w" / "artifacts")
    victim = next((tmp_path / "w" / "artifacts").rglob("model.onnx"))
    victim.write_bytes(victim.read_bytes()[:-10])
    done = cli_here(
        "run", "-w", tmp_path / "w", "-r", "onnxruntime,openvino", *QUICK, "--rounds", "1", "--json"
    )
    assert done.returncode == 1
    by_runner = {row["runner"]: row for row in json.loads(done.stdout)}
    assert by_runner["onnxruntime"]["verdict"] == "INVALID"
    assert "model.onnx was changed or truncated" in by_runner["onnxruntime"]["reason"]
    assert by_runner["onnxruntime"]["p50_ms"] is None
    # A launch during which the machine changed its state is told as such.
    other = by_runner["openvino"]
    assert other["launches"] + other["launches_flipped"] == 1


@pytest.mark.parametrize("damage", ["truncate", "edit"])
def test_manifest_that_was_changed_is_an_invalid_row(
    damage: str, tiny_workspace: Workspace, tmp_path: Path, cli_here: Cli
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    manifest = next(tmp_path.glob("artifacts/*/onnx-*/manifest.json"))
    text = manifest.read_text()
    content = json.loads(text)
    content["model"]["macs"] = 1
    manifest.write_text(text[:300] if damage == "truncate" else json.dumps(content))
    done = cli_here("run", "-w", tmp_path, "-r", "onnxruntime", "--rounds", "1", "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)
    assert row["verdict"] == "INVALID"
    assert "manifest.json" in row["reason"]
    assert row["p50_ms"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "--model", "vitt"), ["unknown model 'vitt'", "did you mean vit"]),
        (("export", "--model", "vit", "--backend", "onx"), ["unknown backend 'onx'", "onnx"]),
        (("export", "--model", "vit", "--precision", "fp23"), ["unknown precision 'fp23'", "fp32"]),
        (("export", "--model", "vit", "--batch", "zero"), ["--batch zero", "expected"]),
        (("export", "--model", "vit", "--image-size", "big"), ["--image-size big", "224x320"]),
        (("run", "--profile", "rtx309"), ["unknown profile 'rtx309'", "rtx3090"]),
        (
            ("run", "--profile", "rtx3090"),
            ["no CUDA device", "NVIDIA GeForce RTX 3090", "--profile host"],
        ),
        (("run", "--device", "gpu"), ["--device gpu", "cpu, cuda or cuda:N"]),
        (("run", "--device", "cpu,cuda:1"), ["cuda:1", "no CUDA device", "doctor"]),
        (("run", "--profile", "xeon", "--device", "cuda"), ["expected"]),
        (("run", "--runner", "onnxruntim"), ["unknown runner", "onnxruntime"]),
        (("run", "--duration", "soon"), ["--duration soon", "500ms"]),
        (("run", "--budget", "0s"), ["--budget 0s", "a time"]),
        (("run", "--precision-target", "1"), ["--precision-target 1", "with its sign: 5%"]),
        (("run", "--precision-target", "-1%"), ["--precision-target -1%", "5%"]),
        (("run", "--margin", "nan%"), ["--margin nan%", "5%"]),
        (("run", "--streams", "0"), ["--streams 0", "1,8,32"]),
        (("run", "--streams", "two"), ["--streams two", "1,8,32"]),
        (("run", "--batch", "1,x"), ["--batch 1,x", "1,8,32"]),
        (("run", "--end-to-end", "--image", "no.jpg"), ["there is no image no.jpg"]),
        (("run", "--baseline", "pytorhc"), ["unknown runner 'pytorhc'", "pytorch"]),
        (("run", "-w", "/proc/nowhere"), ["cannot be written", "--workspace"]),
        (("run", "-w", "/dev/null/x"), ["cannot be written", "--workspace"]),
        (("run", "--artifact", "/tmp"), ["is no artifact", "deploybench export"]),
        (("show", "nothing", "-w", "/tmp/empty-workspace"), ["no records at nothing"]),
        (("compare", "a", "b", "-w", "/tmp/empty-workspace"), ["no records at a"]),
        (("profiles", "show", "k8"), ["unknown profile 'k8'", "k80"]),
        (("predict", "/tmp", "x.png"), ["is no artifact"]),
    ],
)
def test_bad_input_is_refused_in_three_lines_with_exit_code_2(
    arguments: tuple[str, ...], words: list[str], cli_here: Cli, tmp_path: Path
) -> None:
    done = cli_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert [word for word in words if word not in done.stderr] == []


def test_empty_workspace_says_what_to_type(cli_here: Cli, tmp_path: Path) -> None:
    done = cli_here("run", "-w", tmp_path)
    assert done.returncode == 2
    assert "deploybench export --model" in done.stderr
