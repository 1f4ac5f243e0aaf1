"""A plug-in whose library is too old is a listed row that says so."""

from __future__ import annotations

from importlib.metadata import EntryPoint

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
