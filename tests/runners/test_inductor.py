"""What torch.compile found in Inductor's cache is told from what it compiled."""

from __future__ import annotations

import pytest

from deploybench.runners.inductor import found_in_cache


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
