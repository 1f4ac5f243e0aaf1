"""Where an adopted artifact comes from: a file that somebody else exported, and whose answers are
kept beside it.

Parity of what was exported here is against fp32 eager. Of a foreign file there is no eager model:
its reference is what the user names, or its own answers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploybench.documents import Document

REFERENCE = "reference: "
"""How the sentence begins that says, in a manifest and on a row, whose answers the reference is."""


class Adoption(Document):
    """The file that an artifact was adopted from. ``file`` is absolute, as it was named then.

    ``reference`` says whose answers the reference holds: those of the file's own runtime
    (``self``), of another runtime on the same file (``runner``), or those that came in a file
    (``file``). ``answers_of`` says it in words.
    """

    file: str
    sha256: str
    reference: Literal["self", "runner", "file"]
    answers_of: str
    batch_dimension: str = Field(
        default="", description="the name of the free batch dimension in the file"
    )
    free_dimensions: dict[str, int] = Field(
        default_factory=dict,
        description="what else is free in the file, by name, and the size it was given",
    )

    @property
    def agreement(self) -> str:
        """What parity shows, in place of ``verified``."""
        if self.reference == "self":
            return "agrees with itself only"
        return f"agrees with {self.answers_of}"

    @property
    def sentence(self) -> str:
        """Whose answers the reference holds, as a row and the manifest say it."""
        if self.reference == "self":
            return (
                f"{REFERENCE}the file's own answers ({self.answers_of}): parity shows that it "
                "agrees with itself only, not that it is right"
            )
        return f"{REFERENCE}the answers of {self.answers_of}, not those of fp32 eager"
