"""``deploybench study``: what is said for one model, for all, and for a group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.errors import EXIT_REFUSED, EXIT_SOME_FAILED, DeployBenchError
from deploybench.evaluate.job import DataRequest
from deploybench.results.study import Failure, StudiedModel
from deploybench.runs import study as running
from deploybench.runs.study import StudyResult
from deploybench.runs.study_data import StudyData
from deploybench.runs.study_request import StudyRequest
from tests import studies
from tests.conftest import ROOT, Cli
from tests.report.test_study_table import whole_study

Ask = Callable[..., StudyRequest]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, cli_here: Cli) -> Ask:
    """What the command line asks for; nothing is trained."""
    seen: list[StudyRequest] = []

    def note(request: StudyRequest, on_event: object) -> StudyResult:
        seen.append(request)
        raise DeployBenchError("enough")

    monkeypatch.setattr(running, "carry_out_study", note)

    def ask(*arguments: str) -> StudyRequest:
        done = cli_here("study", "--data", "images", *arguments)
        assert done.returncode == EXIT_REFUSED, done.stderr
        assert "enough" in done.stderr, done.stderr
        return seen[-1]

    return ask


def test_a_group_stands_for_its_members_and_all_have_one_recipe(asked: Ask) -> None:
    request = asked("--models", "fair,resnet50", "--epochs", "7")
    names = [model.name for model in request.models]
    assert names == ["vit", "linformer", "performer", "fastformer", "xca", "resnet50"]
    assert request.recipe.epochs == 7
    assert all(model.recipe is None for model in request.models)
    assert all(request.recipe_of(model) is request.recipe for model in request.models)


def test_what_is_said_of_one_model_is_that_models_alone(asked: Ask) -> None:
    request = asked(
        *("--models", "vit,resnet50,swin", "--image-size", "96", "--image-size", "vit=64"),
        *("--patch-size", "vit=8", "--init-from", "resnet50=weights.safetensors"),
        *("--epochs", "swin=3", "--learning-rate", "swin=1e-3"),
    )
    vit, resnet50, swin = request.models
    assert [model.image_size for model in request.models] == [(64, 64), (96, 96), (96, 96)]
    assert [model.patch_size for model in request.models] == [8, None, None]
    assert resnet50.init_from == Path("weights.safetensors")
    assert (vit.recipe, resnet50.recipe) == (None, None)
    assert swin.recipe is not None
    assert (swin.recipe.epochs, swin.recipe.learning_rate) == (3, 1e-3)
    assert request.recipe.epochs != 3


def test_a_name_with_a_colon_is_a_model_too(asked: Ask) -> None:
    request = asked(
        *("--models", "timm:tf_efficientnet_lite0,vit"),
        *("--init-from", "timm:tf_efficientnet_lite0=lite0.safetensors"),
    )
    assert [model.init_from for model in request.models] == [Path("lite0.safetensors"), None]


def test_a_group_may_be_given_a_value(asked: Ask) -> None:
    request = asked("--models", "fair,resnet50", "--patch-size", "fair=8")
    assert {model.patch_size for model in request.models[:5]} == {8}
    assert request.models[5].patch_size is None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--image-size", "swin=96"), "unknown model in --image-size swin=96 'swin'"),
        (("--epochs", "vit=many"), "--epochs many"),
        (("--learning-rate", "0"), "--learning-rate 0"),
        (("--image-size", "96,128"), "--image-size 96,128"),
        (("--recipe", "defualt"), "unknown recipe 'defualt'"),
        (("--rank-by", "speed"), "--rank-by speed"),
        (("--train-device", "tpu"), "--train-device tpu"),
    ],
)
def test_values_that_cannot_be_are_refused(
    cli_here: Cli, arguments: tuple[str, ...], found: str
) -> None:
    done = cli_here("study", "--data", "images", "--models", "vit,resnet50", *arguments)
    assert done.returncode == EXIT_REFUSED
    assert found in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_is_printed_and_a_failed_model_makes_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, cli_here: Cli
) -> None:
    models, timed, evaluated = whole_study()
    failure = Failure(stage="training", reason="the loss is NaN")
    broken = StudiedModel(title="broken", name="broken", failures=(failure,))
    data = StudyData(DataRequest(path="images"), "test", "0" * 64, ("a note on the data",))
    result = StudyResult((*models, broken), tuple(timed), tuple(evaluated), data)
    monkeypatch.setattr(running, "carry_out_study", lambda request, on_event: result)
    done = cli_here("study", "--data", "images", "--models", "vit")
    assert done.returncode == EXIT_SOME_FAILED
    assert "a note on the data" in done.stdout
    assert "Is one order the other?" in done.stdout
    assert "the loss is NaN" in done.stdout
    assert "heavy" in done.stdout
    assert studies.model("heavy").trained is not None


@pytest.mark.parametrize(
    ("models", "name"),
    [("timm:tf_efficientnet_lite0,xca", "accuracy-demo"), ("fair", "fair-study")],
)
def test_the_recipe_of_an_example_reads_and_is_for_all_of_its_models(
    asked: Ask, models: str, name: str
) -> None:
    path = ROOT / "examples" / f"{name.replace('-', '_')}.json"
    request = asked("--models", models, "--recipe", str(path))
    assert request.recipe.name == name
    assert all(model.recipe is None for model in request.models)
