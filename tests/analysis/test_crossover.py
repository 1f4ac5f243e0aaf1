"""From how many tokens on an attention beats softmax: from paired launches of one run, and never
from less."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deploybench.analysis import crossover
from deploybench.analysis.crossover import Crossover
from deploybench.report.crossover_table import crossover_tables
from deploybench.report.terminal import print_table
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.rows.rows import FAIR_FAMILY, rows_of
from deploybench.statistics.ratios import Answer
from tests.records import launch, record

SIZES = {197: 224, 577: 384, 1025: 512}


def crossovers(records: list[Record]) -> list[Crossover]:
    """Within the fair family."""
    return crossover.crossovers(records, FAIR_FAMILY)


def member(
    model: str, tokens: int, ms: float, *, rounds: int = 8, run: str = "r", **cell: object
) -> Record:
    launches = [launch([ms * (1 + 0.001 * number)] * 30, number=number) for number in range(rounds)]
    size = SIZES.get(tokens, 448)
    named = {"image_size": (size, size), "patch_size": 16, "runner": "onnxruntime", **cell}
    made = record(launches, model=model, **named)
    return made.model_copy(
        update={"tokens": tokens, "run": run, "macs": tokens * (10 if model == "vit" else 9)}
    )


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
    assert [point.shape.tokens for point in found.points] == sorted(times)


def test_speedup_is_over_softmax_at_the_same_tokens() -> None:
    (found,) = crossovers(family({197: 5.0, 577: 80.0}))
    assert [point.ratio.value for point in found.points] == [pytest.approx(2), pytest.approx(0.5)]
    assert [point.answer for point in found.points] == [Answer.FASTER, Answer.SLOWER]
    assert [round(point.softmax_ms) for point in found.points] == [10, 40]


def test_same_tokens_by_another_patch_size_are_another_point() -> None:
    """448 pixels in patches of 16 and 224 in patches of 8 are both 785 tokens."""
    large = [member("vit", 785, 100.0), member("xca", 785, 60.0)]
    small = [member("vit", 785, 50.0, image_size=(224, 224), patch_size=8)]
    found = crossovers([*large, *small, member("vit", 197, 10.0), member("xca", 197, 20.0)])
    assert [point.ratio.value for point in found[0].points] == [
        pytest.approx(0.5),
        pytest.approx(100 / 60),
    ]


def test_cells_that_were_timed_otherwise_take_no_part() -> None:
    host = family({197: 12.0, 577: 39.0})
    engine = [
        member(name, tokens, 1.0, timing="engine-only")
        for name in ("vit", "xca")
        for tokens in (197, 577)
    ]
    streams = [
        member(name, tokens, 1.0, streams=2) for name in ("vit", "xca") for tokens in (197, 577)
    ]
    assert crossovers([*host, *engine, *streams]) == crossovers(host)
    assert (
        len(
            crossovers(
                [
                    *host,
                    *[
                        made.model_copy(update={"cell": made.cell.model_copy(update={"batch": 8})})
                        for made in host
                    ],
                ]
            )
        )
        == 2
    )


def test_too_few_rounds_are_ambiguous_and_beat_nothing() -> None:
    few = [
        member(name, tokens, ms, rounds=3)
        for name, ms in (("vit", 10.0), ("xca", 5.0))
        for tokens in (197, 577)
    ]
    (found,) = crossovers(few)
    assert {point.answer for point in found.points} == {Answer.AMBIGUOUS}
    assert found.beats_from is None
    stream = io.StringIO()
    (table,) = crossover_tables([found])
    print_table(table, Console(file=stream, width=160))
    assert "not settled at 577 tokens: more rounds" in stream.getvalue()


def test_times_are_those_of_the_state_that_the_ratio_is_of() -> None:
    def mixed(near_ms: float, far_ms: float, near: int) -> list[Launch]:
        return [
            launch(
                [near_ms if number < near else far_ms] * 30,
                number=number,
                hop_ns=100.0 if number < near else 220.0,
            )
            for number in range(13)
        ]

    softmax = record(mixed(50.0, 60.0, 7), model="vit", patch_size=16)
    xca = record(mixed(25.0, 40.0, 7), model="xca", patch_size=16)
    sized = [(one, 197, (224, 224)) for one in (softmax, xca)] + [
        (one, 577, (384, 384)) for one in (softmax, xca)
    ]
    records = [
        one.model_copy(
            update={"tokens": tokens, "cell": one.cell.model_copy(update={"image_size": image})}
        )
        for one, tokens, image in sized
    ]
    (found,) = crossovers(records)
    assert [(point.softmax_ms, point.p50_ms) for point in found.points] == [(50.0, 25.0)] * 2


def test_one_size_another_run_or_no_softmax_gives_no_crossover() -> None:
    assert crossovers(family({197: 5.0}, {197: 10.0})) == []
    assert crossovers([member("xca", tokens, 5.0) for tokens in SIZES]) == []
    apart = [member("vit", tokens, 10.0, run="other") for tokens in SIZES] + [
        member("xca", tokens, 5.0) for tokens in SIZES
    ]
    assert crossovers(apart) == []


def test_table_has_a_column_a_size_and_says_where_softmax_is_beaten() -> None:
    stream = io.StringIO()
    (table,) = crossover_tables(crossovers(family({197: 12.0, 577: 39.0, 1025: 60.0})))
    print_table(table, Console(file=stream, width=160))
    text = stream.getvalue()
    assert "onnxruntime · fp32-dynamic · run as fp32 · batch 1 · 2 threads" in text
    assert all(f"{tokens} tokens" in text for tokens in SIZES)
    assert "from 577 tokens" in text
    assert "×0.83" in text
    assert "-10%" in text
    stream.truncate(0)
    (table,) = crossover_tables(crossovers(family({197: 12.0, 577: 50.0})))
    print_table(table, Console(file=stream, width=160))
    assert "not up to 577 tokens" in stream.getvalue()


def test_rows_carry_the_speedup_over_softmax() -> None:
    rows = rows_of(family({197: 5.0, 577: 80.0}))
    told = {(row.model, row.tokens): (row.softmax_speedup, row.softmax_answer) for row in rows}
    assert told["xca", 197] == (pytest.approx(2), "FASTER")
    assert told["xca", 577] == (pytest.approx(0.5), "SLOWER")
    assert told["vit", 197] == (None, None)


def test_nothing_is_printed_for_a_run_about_something_else() -> None:
    assert crossover_tables(crossovers([record([launch([1.0] * 9)])])) == []
