"""What ``predict`` says of a runtime that raises."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from deploybench.errors import DeployBenchError
from deploybench.evaluate import predict
from deploybench.tracebacks import VARIABLE
from tests.artifacts.workspaces import ONNX, kept_workspace


class Broken:
    """A runner whose library cannot load anything."""

    name = "broken"
    runs_code = False

    def default_precision(self, precision: str) -> str:
        return precision

    def load(self, *asked: object) -> NoReturn:
        raise RuntimeError("no such kernel")


@pytest.mark.parametrize("asked", ["1", ""])
def test_traceback_of_what_a_runtime_raised_is_kept_for_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    artifact = kept_workspace(tmp_path / "workspace", ONNX).artifacts_folder / ONNX
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, asked)
    monkeypatch.setattr(predict, "_runner_for", lambda artifact, name: Broken())

    with pytest.raises(DeployBenchError) as refused:
        predict.predict_images(artifact, [tmp_path / "x.png"])

    words = f"broken could not run {artifact}: RuntimeError: no such kernel"
    kept = list((tmp_path / "deploybench" / "crashes").glob("*"))
    if not asked:
        assert kept == []
        assert refused.value.found == words
        return
    (path,) = kept
    assert refused.value.found == f"{words} (traceback: {path})"
    assert "in load" in path.read_text()
