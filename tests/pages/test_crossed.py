"""The caption of latency against image size says from where on an attention beats softmax."""

from __future__ import annotations

from deploybench.pages.machines import machines_of
from deploybench.pages.sweep_chart import SIZES, sweep_views
from tests.analysis.test_crossover import family


def caption_of(times: dict[int, float]) -> str:
    (machine,) = machines_of(family(times), None, 0.02)
    (view,) = sweep_views(machine.runs[0], SIZES, "")
    return view.caption


def test_caption_says_from_how_many_tokens_on_softmax_is_beaten() -> None:
    caption = caption_of({197: 12.0, 577: 39.0, 1025: 60.0})
    assert "xca on onnxruntime is faster than softmax from 577 tokens on." in caption


def test_caption_does_not_call_it_beaten_where_the_most_tokens_are_slower() -> None:
    caption = caption_of({197: 9.0, 577: 30.0, 1025: 120.0})
    assert "not clearly faster than softmax at 1025 tokens" in caption
