"""Several processes train one model, and devices that are not here are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deploybench.errors import DeployBenchError
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions
from deploybench.training.devices import device_for
from deploybench.training.images import EvaluationImages
from deploybench.training.job import result_in
from deploybench.training.scores import scores_of
from deploybench.training.sets import training_sets
from tests.conftest import Cli
from tests.training.small import request

NET = "tests.training.nets:dropping"


def test_two_processes_on_a_cpu_train_one_model_and_judge_the_one_that_comes_out(
    colours: Path, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "out"
    options = ("--model", NET, "--data", colours, "--out", out, "--image-size", "32")
    options += ("--epochs", "2", "--batch", "8", "--lr", "2e-3", "--ema", "0.9")
    done = cli("train", *options, "--device", "cpu", "--devices", "2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("deploybench export") == 1, "one process tells"
    assert "find_unused" not in done.stderr
    result = result_in(out)
    assert result.record.steps_made == 8, "as many as one process makes"
    # Evaluated here, by one process: the norms' averages are those of the weights that came out.
    built, _ = load_model(NET, BuildOptions(), out, allow_partial=False)
    data = training_sets(request(colours, out)).evaluation
    batches = EvaluationImages(data, built.preprocessing, batch=4, workers=0).batches()
    with torch.no_grad():
        logits = torch.cat([built.module(batch.pixels) for batch in batches])
    found = scores_of(logits, data)
    assert found.top1 == result.best.top1
    assert found.loss == pytest.approx(result.best.eval_loss, rel=1e-5)


def test_several_devices_are_for_the_command(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="from a program of your own"):
        device_for(request(colours, tmp_path, devices=2))


def test_a_gpu_that_is_not_here_is_refused_and_auto_takes_what_is(
    colours: Path, tmp_path: Path
) -> None:
    here = torch.cuda.is_available()
    assert device_for(request(colours, tmp_path, device="auto")) == ("cuda" if here else "cpu")
    with pytest.raises(DeployBenchError, match="--devices 99"):
        device_for(request(colours, tmp_path, device="cuda", devices=99))
