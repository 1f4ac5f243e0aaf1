"""From how many tokens on an attention beats softmax: from paired launches of one run, and never from less."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deploybench.crossover import crossovers
from deploybench.ratios import Answer
from deploybench.report.crossover_table import print_crossovers
from deploybench.results import Record
from tests.records import launch, record

SIZES = {197: 224, 577: 384, 1025: 512}


def member(
    model: str, tokens: int, ms: float, *, rounds: int = 8, runner: str = "onnxruntime", run: str = "r"
) -> Record:
    launches = [launch([ms * (1 + 0.001 * number)] * 30, number=number) for number in range(rounds)]
    made = record(launches, model=model, image_size=(SIZES[tokens], SIZES[tokens]), runner=runner)
    return made.model_copy(update={"tokens": tokens, "run": run, "macs": tokens * (10 if model == "vit" else 9)})


def family(xca: dict[int, float], softmax: dict[int, float] | None = None) -> list[Record]:
    softmax = softmax or {197: 10.0, 577: 40.0, 1025: 100.0}
    return [member("vit", tokens, ms) for tokens, ms in softmax.items()] + [
        member("xca", tokens, ms) for tokens, ms in xca.items()
    ]


@pytest.mark.parametrize(
    ("times", "beats_from"),
    [
        ({197: 12.0, 577: 39.0, 1025: 60.0}, 577),
        ({197: 9.0, 577: 30.0, 1025: 60.0}, 197),
        ({197: 12.0, 577: 50.0, 1025: 120.0}, None),
        ({197: 9.0, 577: 30.0, 1025: 120.0}, None),
        ({197: 9.0, 577: 50.0, 1025: 60.0}, 1025),
    ],
)
def test_beats_softmax_from_the_fewest_tokens_after_which_it_is_always_faster(
    times: dict[int, float], beats_from: int | None
) -> None:
    (found,) = crossovers(family(times))
    assert found.beats_from == beats_from
    assert [point.tokens for point in found.points] == sorted(times)


def test_speedup_is_over_softmax_at_the_same_tokens() -> None:
    (found,) = crossovers(family({197: 5.0, 577: 80.0}))
    assert [point.ratio.value for point in found.points] == [pytest.approx(2), pytest.approx(0.5)]
    assert [point.answer for point in found.points] == [Answer.FASTER, Answer.SLOWER]


def test_too_few_rounds_are_ambiguous_and_beat_nothing() -> None:
    few = [member(name, tokens, ms, rounds=3) for name, ms in (("vit", 10.0), ("xca", 5.0)) for tokens in (197, 577)]
    (found,) = crossovers(few)
    assert {point.answer for point in found.points} == {Answer.AMBIGUOUS}
    assert found.beats_from is None


def test_one_size_another_run_or_no_softmax_gives_no_crossover() -> None:
    assert crossovers(family({197: 5.0}, {197: 10.0})) == []
    assert crossovers([member("xca", tokens, 5.0) for tokens in SIZES]) == []
    apart = [member("vit", tokens, 10.0, run="other") for tokens in SIZES] + [
        member("xca", tokens, 5.0) for tokens in SIZES
    ]
    assert crossovers(apart) == []


def test_table_has_a_column_a_size_and_says_where_softmax_is_beaten() -> None:
    stream = io.StringIO()
    print_crossovers(crossovers(family({197: 12.0, 577: 39.0, 1025: 60.0})), Console(file=stream, width=160))
    text = stream.getvalue()
    assert "onnxruntime · fp32 · batch 1" in text
    assert all(f"{tokens} tokens" in text for tokens in SIZES)
    assert "from 577 tokens" in text
    assert "×0.83" in text
    assert "-10%" in text
    stream.truncate(0)
    print_crossovers(crossovers(family({197: 12.0, 577: 50.0})), Console(file=stream, width=160))
    assert "not up to 577 tokens" in stream.getvalue()


def test_nothing_is_printed_for_a_run_about_something_else() -> None:
    stream = io.StringIO()
    print_crossovers(crossovers([record([launch([1.0] * 9)])]), Console(file=stream))
    assert stream.getvalue() == ""
