"""The simulation of visits, with few trials: what is VALID is true, and what cannot be known is
not."""

from __future__ import annotations

import sys

import pytest

from benchmarks import visits_simulated
from benchmarks.visits_simulated import KINDS, Result, simulate

TRIALS = 12


def found(kind: str) -> Result:
    return simulate(kind, TRIALS, seed=0)


@pytest.mark.parametrize("kind", ["independent", "AR(1) 0.6", "two states, seen", "contended"])
def test_what_is_valid_covers_the_truth(kind: str) -> None:
    result = found(kind)

    assert result.valid >= 0.9 * 2 * TRIALS
    assert result.covered >= 0.85 * result.valid
    assert result.alarms == 0


@pytest.mark.parametrize("kind", ["never calm", "AR(1) 0.97"])
def test_what_cannot_be_known_is_seldom_valid(kind: str) -> None:
    assert found(kind).valid <= 0.25 * 2 * TRIALS


def test_every_kind_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits_simulated, "ROUNDS", 40)
    for kind in KINDS:
        assert simulate(kind, 1, seed=1).trials == 1


def test_the_program_prints_a_line_for_each_kind_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["visits_simulated", "--trials", "2", "--kind", "independent"])
    visits_simulated.main()

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("independent")
