"""The worker of a source: a process that builds an artifact's model in PyTorch again and says what
it looks at in images. Run by the parent as ``python -m deploybench.demo.look_worker``.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.artifacts.artifact import open_artifact
from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier
from deploybench.demo.questions import Look, Looked, Map, Ready, SourceJob
from deploybench.demo.source import source_of
from deploybench.demo.worker import class_of, levels_of, words_of
from deploybench.evaluate.predict import Viewer, viewer_of

if TYPE_CHECKING:
    from torch import nn

LEAST_SIDE = 384
"""Pixels of an overlay: an image of 64 is enlarged, so that a map can be seen."""


def main() -> None:
    """Answer the questions on standard input until there are no more."""
    die_with_parent()
    reply = replier()
    asked = questions()
    job = SourceJob.model_validate_json(next(asked))
    try:
        from deploybench.attention.asking import compute_with

        compute_with(job.threads)
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        viewer = viewer_of(artifact)
        module = source_of(artifact, trust=job.trust)
        reply(Ready().model_dump_json())
        for question in asked:
            answer = look_at(module, viewer, Look.model_validate_json(question))
            reply(answer.model_dump_json())
    except ImportError as error:
        words = f"PyTorch is not installed here: {error}; pip install 'deploybench[attention]'"
        reply(Ready(refused=words).model_dump_json())
    except Exception as error:  # a factory may raise anything; the page shows its words
        reply(Ready(refused=words_of(error)).model_dump_json())


def look_at(module: nn.Module, viewer: Viewer, asked: Look) -> Looked:
    """The maps of one image file; what goes wrong is the answer."""
    from deploybench.attention.asking import answers, sight_of
    from deploybench.attention.overlay import png_of_overlay

    try:
        picture = viewer.read(Path(asked.image))
        output = answers(module, picture.pixels[None])
        sight = sight_of(module, picture.pixels)
    except Exception as error:
        return Looked(error=words_of(error))
    levels = levels_of(picture, viewer.preprocessing)
    if levels.shape[2] == 1:
        levels = levels.repeat(3, axis=2)
    maps = []
    for name, values in sight.importance.items():
        what, limits = sight.told[name]
        png = png_of_overlay(levels.astype(float), values, LEAST_SIDE)
        maps.append(
            Map(
                name=name,
                what=what,
                limits=limits,
                png=base64.b64encode(png).decode(),
            )
        )
    first = viewer.guesses(output, 1)
    return Looked(
        maps=tuple(maps),
        first=class_of(first[0]) if first else None,
        notes=tuple(sight.notes),
    )


if __name__ == "__main__":
    main()
