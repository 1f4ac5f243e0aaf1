"""A bundle gives the answers that were measured, with the options that were measured, and notices
what was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from deploybench.artifacts.artifact import Artifact
from deploybench.bundle.document import Bundle
from deploybench.evaluate.predict import predict_images
from tests.bundle.conftest import RUNNERS, Bundled, answers, serve
from tests.data.pictures import turned, with_hole, written

Artifacts = Callable[[str], Artifact]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """A photograph turned by its EXIF, a transparent one, and a grey one."""
    return [
        written(tmp_path, "turned.jpg", turned(6)),
        written(tmp_path, "hole.png", with_hole("RGBA")),
        written(tmp_path, "grey.png", Image.linear_gradient("L")),
    ]


@pytest.mark.parametrize("backend", RUNNERS)
def test_answers_are_those_of_predict(
    bundled: Bundled, tiny_artifact: Artifacts, images: list[Path], backend: str
) -> None:
    expected = predict_images(tiny_artifact(backend).path, images, threads=1)
    for seen, wanted in zip(answers(bundled(backend), *images), expected, strict=True):
        assert [one["index"] for one in seen["answers"]] == [
            one["index"] for one in wanted["classes"]
        ]
        for one, other in zip(seen["answers"], wanted["classes"], strict=True):
            assert one["name"] == other["name"]
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
        assert bool(seen["notes"]) == bool(wanted.get("notes"))


def test_prints_the_most_probable_classes_with_names(bundled: Bundled, images: list[Path]) -> None:
    done = serve(bundled("onnx"), images[0], "--top", "2")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == str(images[0])
    assert [line.split()[0] for line in lines[:2]] == ["1", "2"]
    assert "class " in lines[0]
    assert "note: turned as its EXIF orientation says" in lines[2]


def test_image_that_does_not_read_is_told_and_the_others_are_answered(
    bundled: Bundled, images: list[Path], tmp_path: Path
) -> None:
    broken = written(tmp_path, "broken.png", b"no image")
    done = serve(bundled("onnx"), broken, tmp_path / "missing.png", images[0])
    assert done.returncode == 1
    assert "broken.png is no image of a format that Pillow knows" in done.stderr
    assert "there is no file" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(images[0]) in done.stdout


def test_check_passes_and_says_how_close_the_answers_are(bundled: Bundled) -> None:
    done = serve(bundled("onnx"), "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reference inputs: output 'logits': largest difference 0, allowed" in done.stdout
    assert "sample inputs: output 'logits': largest difference 0, allowed" in done.stdout


@pytest.fixture
def copy(bundled: Bundled, tmp_path: Path) -> Path:
    return shutil.copytree(bundled("onnx"), tmp_path / "a copy, elsewhere")


def test_copy_elsewhere_works(copy: Path) -> None:
    assert serve(copy, "--check").returncode == 0


def test_changed_model_file_is_noticed(copy: Path) -> None:
    with (copy / "model" / "model.onnx").open("ab") as file:
        file.write(b"\x72\x00")  # a field that ONNX Runtime passes over
    done = serve(copy, "--check")
    assert done.returncode == 1
    assert "wrong: model/model.onnx was changed after the bundle was written" in done.stdout


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("crop_mode", "squash", "preprocessing.json was changed"),
        ("mean", [0.4, 0.5, 0.6], "expected/sample.png is preprocessed otherwise"),
    ],
)
def test_changed_preprocessing_is_noticed(copy: Path, part: str, value: object, words: str) -> None:
    path = copy / "preprocessing.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    done = serve(copy, "--check")
    assert done.returncode == 1
    assert words in done.stdout


def test_missing_file_is_noticed(copy: Path) -> None:
    (copy / "preprocess.py").rename(copy / "other.py")
    assert serve(copy, "--check").returncode == 1
    (copy / "other.py").rename(copy / "preprocess.py")
    (copy / "MODEL_CARD.md").unlink()
    done = serve(copy, "--check")
    assert done.returncode == 1
    assert "wrong: MODEL_CARD.md is missing" in done.stdout


def test_own_code_may_be_changed_and_the_answers_decide(copy: Path) -> None:
    program = copy / "serve.py"
    program.write_text(program.read_text() + "\n# mine\n")
    done = serve(copy, "--check")
    assert done.returncode == 0, done.stdout
    assert "note: serve.py was changed after the bundle was written" in done.stdout

    text = program.read_text()
    program.write_text(text.replace("{INPUT: images}", "{INPUT: images * np.float32(1.2)}"))
    program.write_text("import numpy as np\n" + program.read_text())
    done = serve(copy, "--check")
    assert done.returncode == 1
    assert "wrong: reference inputs: output 'logits': largest difference" in done.stdout


def test_document_says_what_is_served(bundled: Bundled, tiny_artifact: Artifacts) -> None:
    folder = bundled("onnx")
    document = Bundle.model_validate_json((folder / "bundle.json").read_bytes())
    manifest = tiny_artifact("onnx").manifest
    assert (document.model, document.artifact_key) == (manifest.model.name, manifest.key)
    assert (document.runner, document.threads, document.batch) == ("onnxruntime", 1, 1)
    listed = {file.path for file in document.files}
    lying = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert listed == lying - {"bundle.json"}
    pinned = (folder / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in pinned] == ["onnxruntime", "numpy", "pillow"]
