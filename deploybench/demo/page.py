"""The page: Gradio's, with nothing that leaves this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.data.dicom_files import DICOM_SUFFIXES
from deploybench.data.image_files import IMAGE_SUFFIXES
from deploybench.demo.answers import (
    ATTENTION_CHOICE,
    GRAD_CAM_CHOICE,
    difference_rows,
    overlay_of,
    picture_of,
    shown,
    verdict_words,
)
from deploybench.demo.questions import Seen
from deploybench.demo.sides import Sides
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import gradio

TITLE = "DeployBench: what the artifacts see"
NONE = "none"
SAME_SOURCE = "Made from the same source as the other side, so that the map is the same."
MOST_CLASSES = 10
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # else it asks for its newest version, and counts
    "HF_HUB_OFFLINE": "1",
}
SUFFIXES = [*IMAGE_SUFFIXES, *sorted(DICOM_SUFFIXES)]
WORDS = (
    "Drop an image. It is prepared as each artifact's manifest says, and the artifacts themselves "
    "answer. What a model looks at is shown of the PyTorch source that they were made from, where "
    "it is still there. Nothing leaves this machine, and nothing here is a measurement or a "
    "medical finding."
)


@dataclass(frozen=True)
class Answered:
    """What was asked last on one page, and what it was answered; an overlay is of these."""

    image: Path
    left: str
    one: Seen
    right: str = ""
    other: Seen | None = None


def build_page(sides: Sides, first: str | None = None, second: str | None = None) -> gradio.Blocks:
    """The page with these sides to choose from; ``first`` and ``second`` are chosen at the start.

    Raises DeployBenchError where Gradio is not installed.
    """
    os.environ.update(QUIET)
    try:
        import gradio
    except ImportError:
        raise DeployBenchError(
            "Gradio is not installed",
            expected="the package gradio",
            action='pip install "deploybench[demo]"',
        ) from None

    def look(image: str | None, left: str, right: str, top: float) -> tuple[object, ...]:
        """The picture, a remark, of each side its scores and facts, the differences and what they
        come to; last what was answered, of which the overlay is."""
        if image is None:
            return None, "Choose an image first.", {}, "", {}, "", [], "", None
        path = Path(image)
        one = sides.look(left, path, int(top))
        here = shown(one, sides.measured(left))
        if right == NONE:
            answered = Answered(path, left, one)
            return picture_of([one]), "", here.scores, here.facts, {}, "", [], "", answered
        other = sides.look(right, path, int(top))
        there = shown(other, sides.measured(right))
        rows: list[list[str]] = []
        if one.error is None and other.error is None:
            rows = difference_rows(one, other)
        words = verdict_words(one, other)
        picture = picture_of([one, other])
        answered = Answered(path, left, one, right, other)
        return (
            *(picture, "", here.scores, here.facts, there.scores, there.facts, rows, words),
            answered,
        )

    def look_inside(answered: Answered | None, wanted: str) -> tuple[object, str, object, str]:
        """The overlay of each side, and what it is."""
        if answered is None or wanted == NONE:
            return None, "", None, ""
        looked = sides.look_inside(answered.left, answered.image)
        here = overlay_of(looked, answered.one, wanted)
        if answered.other is None:
            return here.picture, here.words, None, ""
        words = ""
        if sides.same_source(answered.left, answered.right):
            words = f"{SAME_SOURCE} "
        else:
            looked = sides.look_inside(answered.right, answered.image)
        there = overlay_of(looked, answered.other, wanted)
        return here.picture, here.words, there.picture, words + there.words

    page: gradio.Blocks = gradio.Blocks(title=TITLE, analytics_enabled=False)
    with page:
        gradio.Markdown(f"# {TITLE}\n{WORDS}")
        with gradio.Row():
            with gradio.Column():
                image = gradio.File(label="Image or DICOM file", file_types=SUFFIXES)
                left = gradio.Dropdown(sides.names, value=first or sides.names[0], label="Artifact")
                right = gradio.Dropdown(
                    [NONE, *sides.names], value=second or NONE, label="Beside it"
                )
                wanted = gradio.Dropdown(
                    [NONE, GRAD_CAM_CHOICE, ATTENTION_CHOICE],
                    value=GRAD_CAM_CHOICE,
                    label="Overlay",
                    elem_id="overlay",
                )
                top = gradio.Slider(1, MOST_CLASSES, value=5, step=1, label="Classes")
                button = gradio.Button("Look", variant="primary", elem_id="look")
                remark = gradio.Textbox(label="Remark", elem_id="remark", interactive=False)
            picture = gradio.Image(
                label="What the model sees", interactive=False, buttons=[], elem_id="picture"
            )
        with gradio.Row():
            with gradio.Column():
                scores_left = gradio.Label(label="The artifact", elem_id="left")
                facts_left = gradio.Textbox(label="Facts", elem_id="facts-left", interactive=False)
                map_left = gradio.Image(
                    label="What its source looks at",
                    interactive=False,
                    buttons=[],
                    elem_id="map-left",
                )
                what_left = gradio.Textbox(
                    label="What the overlay is", elem_id="what-left", interactive=False
                )
            with gradio.Column():
                scores_right = gradio.Label(label="Beside it", elem_id="right")
                facts_right = gradio.Textbox(
                    label="Facts", elem_id="facts-right", interactive=False
                )
                map_right = gradio.Image(
                    label="What its source looks at",
                    interactive=False,
                    buttons=[],
                    elem_id="map-right",
                )
                what_right = gradio.Textbox(
                    label="What the overlay is", elem_id="what-right", interactive=False
                )
        words = gradio.Textbox(label="Side by side", elem_id="verdict", interactive=False)
        rows = gradio.Dataframe(
            headers=["class", "the artifact", "beside it", "difference"],
            datatype="str",
            label="Differences",
            interactive=False,
            elem_id="differences",
        )
        answered = gradio.State(None)
        asked = [answered, wanted]
        overlays = [map_left, what_left, map_right, what_right]
        button.click(
            look,
            [image, left, right, top],
            [
                *(picture, remark, scores_left, facts_left),
                *(scores_right, facts_right, rows, words, answered),
            ],
            api_visibility="private",
        ).then(look_inside, asked, overlays, api_visibility="private")
        wanted.change(look_inside, asked, overlays, api_visibility="private")
    return page
