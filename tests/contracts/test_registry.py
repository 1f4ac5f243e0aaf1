"""A plug-in whose library is too old, or that raises, is a listed row that says so."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from deploybench import versions
from deploybench.contracts import Runner, registry


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ("2.0.1+cu117", "needs torch 2.2 or later, found 2.0.1+cu117"),
        ("1.13", "needs torch 2.2 or later, found 1.13"),
        ("2.2", None),
        ("2.10.0a0", None),
    ],
)
def test_runner_is_unusable_when_its_library_is_older_than_it_needs(
    found: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "version", lambda name: found)
    point = EntryPoint(
        "torch-export", "deploybench.runners.torch_export:TorchExportRunner", registry.RUNNERS
    )
    entry = registry._load(point, Runner)
    assert entry.problem == problem
    assert entry.usable == (problem is None)


@pytest.mark.attack(
    kind="Code of others",
    attack="a plug-in that raises when it is imported",
    before="a row that says so",
    now="a row that says so; everything else works",
)
@pytest.mark.parametrize("asked", [True, False])
def test_traceback_of_a_plug_in_that_raises_is_kept_for_who_asks(
    asked: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DEPLOYBENCH_TRACEBACK", raising=False)
    if asked:
        monkeypatch.setenv("DEPLOYBENCH_TRACEBACK", "1")
    (tmp_path / "broken_plug_in.py").write_text("raise RuntimeError('this package is broken')")
    monkeypatch.syspath_prepend(str(tmp_path))

    entry = registry._load(EntryPoint("broken", "broken_plug_in:It", registry.RUNNERS), Runner)

    words = "broken_plug_in:It raised RuntimeError: this package is broken"
    if not asked:
        assert entry.problem == words
        assert not (tmp_path / "cache").exists()
        return
    (path,) = (tmp_path / "cache" / "deploybench" / "crashes").iterdir()
    assert entry.problem == f"{words} (traceback: {path})"
    assert "broken_plug_in.py" in path.read_text()
