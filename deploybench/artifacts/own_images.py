"""Which images of the user's an artifact was verified on, beside the built-in ones."""

from __future__ import annotations

from pydantic import Field

from deploybench.documents import Document


class OwnImages(Document):
    """``count`` images of the ``found`` that the user's paths lead to."""

    count: int
    found: int
    sha256: str = Field(description="over the bytes of each file, in their order")
    notes: tuple[str, ...] = Field(
        default=(), description="what was decided about them that the files leave open"
    )

    @property
    def summary(self) -> str:
        """In a sentence: how many, and which."""
        which = ""
        if self.found > self.count:
            which = f", spread evenly over the {self.found} that were given"
        noun = "image" if self.count == 1 else "images"
        sentence = f"parity is on {self.count} {noun} of your own as well{which}"
        return "; ".join([sentence, *self.notes])
