"""Short names: what an artifact is called, and which artifacts a name means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import open_artifact
from deploybench.artifacts.naming import (
    artifacts_named,
    differences_of,
    newest_of_each,
    only_artifact_named,
    short_names,
)
from deploybench.artifacts.tidy import stored_artifacts
from deploybench.artifacts.weights import Weights
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.report.workspace_table import workspace_report
from tests.artifacts.workspaces import KEPT, MODEL, ONNX, PYTORCH, add_copy, kept_workspace

LATER = "2027-01-01T00:00:00.000+00:00"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return kept_workspace(tmp_path / "workspace", ONNX, PYTORCH)


def names_in(workspace: Workspace) -> set[str]:
    return set(short_names(workspace.artifacts()))


def request_with(workspace: Workspace, name: str, **model: object) -> dict[str, object]:
    request = open_artifact(workspace.artifacts_folder / name).manifest.request
    return {**request, "model": {**request["model"], **model}}  # type: ignore[dict-item]


def test_a_short_name_is_model_and_backend_when_that_is_unique(workspace: Workspace) -> None:
    assert names_in(workspace) == {f"{MODEL}/onnx", f"{MODEL}/pytorch"}


def test_a_short_name_tells_what_is_not_usual(workspace: Workspace) -> None:
    request = request_with(workspace, ONNX)
    add_copy(
        workspace,
        ONNX,
        "onnx-fp16-b8-11111111",
        precision="fp16",
        batch=8,
        request={**request, "precision": "fp16", "batch": 8},
    )

    assert f"{MODEL}/onnx-fp16-b8" in names_in(workspace)
    assert f"{MODEL}/onnx" in names_in(workspace)


def test_two_sizes_of_one_model_are_told_by_their_size(workspace: Workspace) -> None:
    shape = open_artifact(workspace.artifacts_folder / ONNX).manifest.preprocessing
    add_copy(
        workspace,
        ONNX,
        "onnx-fp32-dynamic-22222222",
        key="2" * 64,
        preprocessing=shape.model_copy(update={"height": 96, "width": 128}),
        request=request_with(workspace, ONNX, image_size=[96, 128]),
    )

    assert {f"{MODEL}/onnx-64x64", f"{MODEL}/onnx-96x128"} <= names_in(workspace)
    with pytest.raises(DeployBenchError, match="means 2 artifacts") as refusal:
        only_artifact_named(f"{MODEL}/onnx", workspace)
    assert f"{MODEL}/onnx-64x64, {MODEL}/onnx-96x128" in refusal.value.found
    sized = only_artifact_named(f"{MODEL}/onnx-96x128", workspace)
    assert sized.manifest.key == "2" * 64


def test_what_is_superseded_has_its_key_in_its_name_and_the_short_name_means_the_newer(
    workspace: Workspace,
) -> None:
    newer = add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)

    assert names_in(workspace) == {f"{MODEL}/onnx", f"{MODEL}/onnx-6575a36b", f"{MODEL}/pytorch"}
    assert only_artifact_named(f"{MODEL}/onnx", workspace).path == newer
    older = only_artifact_named(f"{MODEL}/onnx-6575a36b", workspace)
    assert older.path == workspace.artifacts_folder / ONNX


def test_the_same_weights_from_another_file_or_with_other_labels_supersede(
    workspace: Workspace,
) -> None:
    newer = add_copy(
        workspace,
        ONNX,
        "onnx-fp32-dynamic-44444444",
        key="4" * 64,
        created=LATER,
        request=request_with(workspace, ONNX, labels="/other/names.txt"),
    )

    newest = [artifact.path for artifact in newest_of_each(workspace.artifacts())]

    assert newer in newest
    assert workspace.artifacts_folder / ONNX not in newest


def test_other_weights_supersede_only_under_the_same_request(workspace: Workspace) -> None:
    trained = Weights(kind="checkpoint", source="/a.pt", sha256="a")
    further = Weights(kind="checkpoint", source="/a.pt", sha256="b")
    request = request_with(workspace, ONNX, checkpoint="/a.pt")
    first = add_copy(workspace, ONNX, "onnx-fp32-dynamic-5", weights=trained, request=request)
    second = add_copy(
        workspace, ONNX, "onnx-fp32-dynamic-6", weights=further, request=request, created=LATER
    )

    newest = [artifact.path for artifact in newest_of_each(workspace.artifacts())]

    assert second in newest
    assert first not in newest
    assert workspace.artifacts_folder / ONNX in newest


@pytest.mark.parametrize(
    "name",
    [
        f"{MODEL}/onnx",
        "timm-test_efficientnet/onnx",
        f"{MODEL}/onnx-64x64",
        f"{MODEL}/onnx-6575a36b",
        ONNX,
        "*/onnx",
    ],
)
def test_every_way_to_write_a_name_means_the_artifact(name: str, workspace: Workspace) -> None:
    assert only_artifact_named(name, workspace).path == workspace.artifacts_folder / ONNX


def test_a_folder_is_taken_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = kept_workspace(tmp_path / "elsewhere", ONNX).artifacts_folder / ONNX

    assert artifacts_named(elsewhere, workspace)[0].path == elsewhere


def test_a_pattern_means_all_that_match_but_what_is_superseded(workspace: Workspace) -> None:
    add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)

    assert len(artifacts_named(f"{MODEL}/*", workspace)) == 2
    assert len(artifacts_named(f"{MODEL}/*", workspace, superseded=True)) == 3


def test_a_name_that_means_nothing_is_refused_with_the_nearest(workspace: Workspace) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        artifacts_named(f"{MODEL}/onxx", workspace)

    assert f"{MODEL}/onnx" in str(refusal.value.expected)
    assert "deploybench list" in str(refusal.value.action)


def test_a_folder_that_is_no_artifact_is_refused_as_such(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(DeployBenchError, match="is no artifact"):
        artifacts_named(tmp_path, workspace)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        pytest.param(
            {"weights": Weights(kind="checkpoint", source="/runs/a/best.pth", sha256="a")},
            {"weights": Weights(kind="checkpoint", source="/runs/a/last.pth", sha256="b")},
            ["best.pth", "last.pth"],
            id="two checkpoints",
        ),
        pytest.param(
            {"weights": Weights(kind="checkpoint", source="/runs/a/best.pth", sha256="a")},
            {"weights": Weights(kind="checkpoint", source="/runs/b/best.pth", sha256="b")},
            ["a/best.pth", "b/best.pth"],
            id="two checkpoints of one name",
        ),
        pytest.param(
            {"weights": Weights(kind="checkpoint", source="/a/best.pth", sha256="a")},
            {},
            ["best.pth", "random weights"],
            id="a checkpoint and none",
        ),
        pytest.param(
            {"asked": {"opset": 17}}, {"asked": {}}, ["opset 17", "default opset"], id="an option"
        ),
        pytest.param(
            {"model": {"num_classes": 3}},
            {"model": {"num_classes": 10}},
            ["3 classes", "10 classes"],
            id="classes",
        ),
        pytest.param(
            {"model": {"preprocessing": {"crop": 0.9, "mean": [0.1, 0.2]}}},
            {"model": {"labels": "/names.txt"}},
            ["preprocessing crop 0.9, mean 0.1 0.2", "default preprocessing"],
            id="preprocessing",
        ),
    ],
)
def test_what_only_a_key_tells_apart_is_said_in_few_words(
    first: dict[str, object], second: dict[str, object], words: list[str], tmp_path: Path
) -> None:
    workspace = kept_workspace(tmp_path / "workspace")
    request = open_artifact(KEPT / "artifacts" / ONNX).manifest.request
    model = request["model"]
    assert isinstance(model, dict)
    for digit, changes in (("1", first), ("2", second)):
        asked, changed = changes.pop("asked", {}), changes.pop("model", {})
        add_copy(
            workspace,
            ONNX,
            f"onnx-fp32-dynamic-{digit * 8}",
            key=digit * 64,
            request={**request, **asked, "model": {**model, **changed}},  # type: ignore[dict-item]
            created=f"2027-01-0{digit}T00:00:00.000+00:00",
            **changes,
        )
    artifacts = workspace.artifacts()

    assert differences_of(artifacts) == words
    stored = stored_artifacts(workspace)
    assert words[0] in str(workspace_report(stored, [], []).sections)
    if len(newest_of_each(artifacts)) == 2:
        with pytest.raises(DeployBenchError, match=re.escape(f"({words[0]}), ")):
            only_artifact_named(f"{MODEL}/onnx", workspace)


def test_what_its_name_tells_apart_needs_no_further_words(workspace: Workspace) -> None:
    stored = stored_artifacts(workspace)

    assert [artifact.difference for artifact in stored] == ["", ""]
    assert "told by" not in str(workspace_report(stored, [], []).sections)
