"""The simulated fleet, small: the real placement loses nothing, and wastes little."""

from __future__ import annotations

import sys

import pytest

from benchmarks import fleet_simulated
from benchmarks.fleet_simulated import simulate


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_lost_and_the_bound_is_near(seed: int) -> None:
    result = simulate(cells=2000, nodes=100, seed=seed)

    assert result.finished + len(result.given_up) == 2000
    assert all(given_up.causes for given_up in result.given_up)
    assert result.losses > 20
    assert result.repeated == result.twice_at_once == 0
    assert result.over_bound < 1.10


def test_the_program_says_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleet_simulated", "--cells", "300", "--nodes", "15"])
    monkeypatch.setattr(fleet_simulated, "ALLOWED", 2.0)

    with pytest.raises(SystemExit) as ended:
        fleet_simulated.main()

    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "300 cells on 15 nodes (simulated)" in printed
    assert "over the bound" in printed
