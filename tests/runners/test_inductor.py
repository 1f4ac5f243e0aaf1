"""What torch.compile found in Inductor's cache is told from what it compiled."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from deploybench.hardware.host import missing_python_headers
from deploybench.runners.inductor import InductorRunner, found_in_cache


@pytest.mark.parametrize(
    ("counters", "found"),
    [
        ({"fxgraph_cache_miss": 1, "extern_calls": 2}, False),
        ({"fxgraph_cache_hit": 2}, True),
        ({"fxgraph_cache_hit": 2, "fxgraph_cache_miss": 1}, False),
        ({"fxgraph_cache_hit": 1, "fxgraph_cache_bypass": 1}, False),
        ({"extern_calls": 2}, None),
    ],
)
def test_graphs_are_from_the_cache_where_none_of_them_was_compiled(
    counters: dict[str, int], found: bool | None
) -> None:
    assert found_in_cache(counters) is found


def test_python_without_its_headers_is_told_before_a_compiler_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian and Ubuntu deliver it: Triton's first kernel would end in a compiler's message."""
    get = sysconfig.get_config_var
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: tmp_path if name == "INCLUDEPY" else get(name)
    )
    found = InductorRunner().check()
    assert found is not None
    assert "Python.h" in found
    assert "-dev" in found
    (tmp_path / "Python.h").touch()
    assert InductorRunner().check() is None
    assert missing_python_headers(tmp_path) is None
