"""The page: Gradio's, with nothing that leaves this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.data.dicom_files import DICOM_SUFFIXES
from deploybench.data.image_files import IMAGE_SUFFIXES
from deploybench.demo.answers import difference_rows, picture_of, shown, verdict_words
from deploybench.demo.sides import Sides
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import gradio

TITLE = "DeployBench: what the artifacts see"
NONE = "none"
MOST_CLASSES = 10
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # else it asks for its newest version, and counts
    "HF_HUB_OFFLINE": "1",
}
SUFFIXES = [*IMAGE_SUFFIXES, *sorted(DICOM_SUFFIXES)]
WORDS = (
    "Drop an image. It is prepared as each artifact's manifest says, and the artifacts themselves "
    "answer. Nothing leaves this machine, and nothing here is a measurement or a medical finding."
)


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

    def look(
        image: str | None, left: str, right: str, top: float
    ) -> tuple[object, str, dict[str, float], str, dict[str, float], str, list[list[str]], str]:
        if image is None:
            return None, "Choose an image first.", {}, "", {}, "", [], ""
        path = Path(image)
        one = sides.look(left, path, int(top))
        here = shown(one, sides.measured(left))
        if right == NONE:
            return picture_of([one]), "", here.scores, here.facts, {}, "", [], ""
        other = sides.look(right, path, int(top))
        there = shown(other, sides.measured(right))
        rows: list[list[str]] = []
        if one.error is None and other.error is None:
            rows = difference_rows(one, other)
        words = verdict_words(one, other)
        picture = picture_of([one, other])
        return picture, "", here.scores, here.facts, there.scores, there.facts, rows, words

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
            with gradio.Column():
                scores_right = gradio.Label(label="Beside it", elem_id="right")
                facts_right = gradio.Textbox(
                    label="Facts", elem_id="facts-right", interactive=False
                )
        words = gradio.Textbox(label="Side by side", elem_id="verdict", interactive=False)
        rows = gradio.Dataframe(
            headers=["class", "the artifact", "beside it", "difference"],
            datatype="str",
            label="Differences",
            interactive=False,
            elem_id="differences",
        )
        button.click(
            look,
            [image, left, right, top],
            [
                *(picture, remark, scores_left, facts_left),
                *(scores_right, facts_right, rows, words),
            ],
            api_visibility="private",
        )
    return page
