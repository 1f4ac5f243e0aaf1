"""Where the weights of an artifact come from, as a manifest says it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from deploybench.documents import Document
from deploybench.plurals import counted

MOST_LEFT_SHOWN = 4
"""Of what a checkpoint holds beside the state that was taken."""


class Weights(Document):
    """Where the weights come from; ``sha256`` is over every tensor's name, shape and bytes.

    Of a checkpoint: ``taken`` is the state in it that was loaded ("" where it is the whole file),
    ``left`` what else there was. ``loaded``, ``missing`` and ``ignored`` count tensors: those of
    the model that were found, those that were not, and those of the state that have no place in
    the model. ``random_parameters`` of the model's ``parameters`` (scalars) were found nowhere.
    """

    kind: Literal["random", "factory", "checkpoint", "pretrained", "adopted"]
    source: str
    sha256: str
    taken: str = ""
    left: tuple[str, ...] = ()
    loaded: int | None = None
    missing: int = 0
    ignored: int = 0
    random_parameters: int = 0
    parameters: int | None = None
    remarks: tuple[str, ...] = Field(
        default=(), description="what was assumed of the checkpoint, a sentence each"
    )

    @property
    def label(self) -> str:
        if self.kind == "random":
            return "random weights"
        label = f"{self.kind} {Path(self.source).name}"
        if self.taken and self.left:  # which state was taken matters where there was a choice
            label += f" ({self.taken})"
        if self.partly_random:
            label += f", {self.partly_random}"
        return label

    @property
    def random_share(self) -> float:
        """The share of the model's parameters that a partial load left random."""
        if not self.parameters:
            return 0.0
        return self.random_parameters / self.parameters

    @property
    def partly_random(self) -> str:
        """How much of the model a partial load left random, in words; empty for none of it."""
        if not self.random_share:
            return ""
        return f"{self._shown_share} random"

    @property
    def random_words(self) -> str:
        """The same beside words that are not about the weights: ``72% of the weights random``."""
        if not self.random_share:
            return ""
        return f"{self._shown_share} of the weights random"

    @property
    def _shown_share(self) -> str:
        """The random share without decimals, which is neither 0 nor all where it is between."""
        share = self.random_share
        shown = f"{share:.0%}"
        if shown == "0%":
            return "less than 1%"
        if shown == "100%" and share < 1:
            return "more than 99%"
        return shown

    @property
    def summary(self) -> str:
        """One sentence on what became of a checkpoint's tensors; empty where there was none."""
        if self.loaded is None:
            return ""
        state = ""
        if self.taken:
            state = f" from {self.taken}"
        parts = [f"{counted(self.loaded, 'tensor')} loaded{state}"]
        if self.missing:
            parts.append(f"{self.missing} missing")
        if self.random_parameters:
            parts[-1] += (
                f" ({self.random_parameters} of {self.parameters} parameters are random: "
                f"{self.partly_random})"
            )
        if self.ignored:
            parts.append(f"{self.ignored} ignored")
        if self.left:
            shown = ", ".join(self.left[:MOST_LEFT_SHOWN])
            if len(self.left) > MOST_LEFT_SHOWN:
                shown += f", and {len(self.left) - MOST_LEFT_SHOWN} more"
            parts.append(f"left: {shown}")
        return "; ".join([", ".join(parts), *self.remarks])

    @property
    def identity(self) -> str:
        """Equal for the same weights.

        Random ones count by their seed: rescaling them rounds differently elsewhere.
        """
        if self.kind == "random":
            return f"random {self.source}"
        return self.sha256
