"""The chart of layers against MACs: what it says, what stands side by side, what is left out."""

from __future__ import annotations

import pytest

from deploybench.pages.compose import page_of
from deploybench.pages.layers_chart import layers_section, layers_view
from deploybench.pages.page import Chart, View
from deploybench.report.table import Prose
from deploybench.results.explanation import Explanation
from deploybench.results.layers import LayerProfile
from tests.explanations import explained, explanation
from tests.pages import made


def views(*found: Explanation) -> tuple[View, ...]:
    [chart] = [block for block in layers_section(found).blocks if isinstance(block, Chart)]
    return chart.views


def texts(view: View) -> list[list[str]]:
    return [[cell.text for cell in line.cells] for line in view.table.lines]


def test_caption_names_where_flops_lie_and_how_the_layers_sum_up() -> None:
    [view] = views(explanation())
    first, *rest = view.caption.splitlines()
    assert "of the time is not where the MACs are; most of all body.attn" in first
    said = " ".join(rest)
    assert "layers 10.200 ms, un-profiled call 10.400 ms" in said
    assert "not mapped: 0.200 ms" in said
    assert "2026-01-01" in said


def test_table_holds_every_module_with_its_shares() -> None:
    [view] = views(explanation())
    by_name = {line[0]: line for line in texts(view)}
    assert list(by_name) == ["body.attn", "body.conv", "stem", "head.fc", "head.norm"]
    assert by_name["body.attn"][3:6] == ["4.500", "44.1%", "5.9%"]


def test_module_without_macs_is_drawn_on_a_scale_that_has_a_zero() -> None:
    [view] = views(explanation())
    values = view.spec["data"]["values"]
    assert 0 in [value["mmac"] for value in values]
    scales = [layer["encoding"]["x"]["scale"] for layer in view.spec["layer"]]
    assert {scale["type"] for scale in scales} == {"symlog"}


def test_line_gives_each_number_of_macs_its_share_of_the_time() -> None:
    [view] = views(explanation())
    points = view.spec["layer"][0]["data"]["values"]
    whole_ms, whole_mmac = 10.2, 101.0
    for point in points:
        share = point["line_mmac"] / whole_mmac
        assert point["line_ms"] / whole_ms == pytest.approx(share, rel=1e-4)


def test_two_artifacts_that_were_explained_together_stand_on_one_view() -> None:
    [view] = views(explanation(explained(), explained("openvino", 0.5)))
    sides = {value["side"] for value in view.spec["data"]["values"]}
    assert sides == {
        "A: onnxruntime fp32",
        "B: openvino fp32",
    }
    assert view.caption.startswith("A: ")
    assert "layers together: A 10.200 ms, B 5.100 ms" in view.caption


def test_artifacts_that_were_explained_one_by_one_are_laid_side_by_side_first() -> None:
    later = "2026-01-02T10:00:00.000+00:00"
    one = explanation()
    other = explanation(explained("openvino", 0.5), created=later)
    pair, *singles = views(one, other)
    assert "A: net/onnxruntime" in pair.caption
    assert "B: net/openvino" in pair.caption
    assert len(singles) == 2


@pytest.mark.parametrize("changes", [{"threads": 1}, {"batch": 8}, {"model": "another"}])
def test_artifacts_that_were_explained_otherwise_are_never_laid_side_by_side(
    changes: dict[str, object],
) -> None:
    other = explanation(explained("openvino", **changes))
    assert len(views(explanation(), other)) == 2


def test_artifacts_whose_modules_do_other_work_are_never_laid_side_by_side() -> None:
    """As of another image size: the names of the modules are the same, their MACs are not."""
    one = explanation()
    larger = tuple(module.replaced(macs=4 * module.macs) for module in one.work)
    other = explanation(explained("openvino"), work=larger)
    assert len(views(one, other)) == 2
    # A third is laid beside the one whose work it has.
    pair, *_ = views(one, other, explanation(explained("pytorch"), work=larger))
    assert "A: net/openvino" in pair.caption
    assert "B: net/pytorch" in pair.caption


def test_artifact_that_was_explained_again_is_drawn_once_as_it_was_last() -> None:
    again = explanation(explained(factor=2.0), created="2026-02-01T10:00:00.000+00:00")
    [view] = views(explanation(), again)
    assert "2026-02-01" in view.caption


def test_artifact_whose_modules_could_not_be_counted_has_no_chart() -> None:
    found = explanation(work=(), uncounted="torch is not installed")
    assert layers_view(found, "net") is None
    assert layers_section([found]).blocks == ()


def test_artifact_that_failed_is_said_and_not_drawn() -> None:
    failed = explanation(explained(profile=LayerProfile(error="killed by SIGKILL")))
    [said] = layers_section([failed]).blocks
    assert isinstance(said, Prose)
    assert "net/onnxruntime on onnxruntime in fp32 was not profiled: killed" in said.lines[0]


def test_page_has_the_section_only_where_something_was_explained() -> None:
    records = made.one_run()[:2]
    assert "layers" not in [section.key for section in page_of(records).sections]
    assert "layers" in [
        section.key for section in page_of(records, layers=[explanation()]).sections
    ]
