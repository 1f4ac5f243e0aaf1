"""Files that an export is asked for: refused before anything starts, named as they were typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.errors import EXIT_REFUSED, DeployBenchError
from deploybench.export import pipeline
from deploybench.export.files import check_files, seen_from_here
from deploybench.export.order import ExportOrder, export_models
from deploybench.export.request import ModelRequest
from deploybench.files import from_here
from deploybench.models.checkpoint_files import read_weights
from tests.conftest import Cli
from tests.models import checkpoint_forms as forms

MODEL = "timm:test_resnet"


def pointer(folder: Path) -> Path:
    return forms.written(forms.LFS)(folder)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        pytest.param(forms.truncated, "is damaged or truncated", id="truncated"),
        pytest.param(
            forms.truncated_safetensors, "is damaged or truncated", id="truncated safetensors"
        ),
        pytest.param(pointer, "is no checkpoint but a Git LFS pointer", id="Git LFS pointer"),
    ],
)
def test_a_checkpoint_that_does_not_read_is_refused_before_anything_is_exported(
    form: Callable[[Path], Path],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = form(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "export_one", pytest.fail)
    order = ExportOrder(
        models=[MODEL],
        backends=["onnx", "torchscript"],
        image_sizes=[(64, 64), (96, 96)],
        checkpoint=Path(path.name),
    )

    with pytest.raises(DeployBenchError, match=words) as refusal:
        export_models(order)

    assert refusal.value.found.startswith(path.name)
    assert refusal.value.action


@pytest.mark.trust(
    item=5,
    case="a checkpoint that does not read, for several backends",
    before="a row FAILED for each backend after 14 s of starting, and exit code 1",
    now="refused once, before anything is exported, with the exit code of bad input",
)
def test_the_exit_code_is_that_of_bad_input(cli_here: Cli, tmp_path: Path) -> None:
    pointer(tmp_path).rename(tmp_path / "best.pth")

    refused = cli_here("export", "--model", MODEL, "--checkpoint", "best.pth", cwd=tmp_path)

    assert refused.returncode == EXIT_REFUSED
    assert refused.stderr.startswith("error:    best.pth is no checkpoint but a Git LFS pointer")


@pytest.mark.parametrize("option", ["checkpoint", "labels"])
def test_a_file_in_a_folder_that_may_not_be_entered_is_refused(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    model = ModelRequest.model_validate({"name": MODEL, option: "/closed/weights.pth"})

    with pytest.raises(DeployBenchError, match=r"^/closed/weights.pth cannot be read: Perm"):
        check_files(model)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")

    def denied(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)

    with pytest.raises(DeployBenchError, match=r"weights.pth cannot be read: Permission denied"):
        read_weights(path)


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(b"caf\xe9\n")

    with pytest.raises(DeployBenchError, match=r"is no text: invalid continuation byte at byte 3"):
        check_files(ModelRequest(name=MODEL, labels=str(labels)))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("weights/best.pth", "weights/best.pth"),
        ("{here}/weights/best.pth", "weights/best.pth"),
        ("{here}-of-others/best.pth", "../project-of-others/best.pth"),
        ("/data/best.pth", "/data/best.pth"),
    ],
)
def test_a_path_is_shown_as_it_is_typed_from_here(
    path: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)

    assert from_here(path.format(here=here)) == shown


def test_a_refusal_names_files_as_they_are_typed_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ModelRequest(name=MODEL, checkpoint=str(tmp_path / "my weights/best.pth"))
    error = DeployBenchError(
        f"{tmp_path}/my weights/best.pth lacks {tmp_path}/my weights/shard-2.pth",
        expected=f"as {tmp_path}/my weights/best.pth.index.json says",
        action=f"reproduce: --checkpoint '{tmp_path}/my weights/best.pth'",
    )

    seen = seen_from_here(error, [model])

    assert seen.found == "my weights/best.pth lacks my weights/shard-2.pth"
    assert seen.expected == "as my weights/best.pth.index.json says"
    assert seen.action == "reproduce: --checkpoint 'my weights/best.pth'"
