"""What makes two exports the same: the tensors of the checkpoint, whatever its file is called.

The bytes of a file say little: ``torch.save`` writes the file's own name into it, and the same
weights may come as safetensors, or beside an optimiser's state. Reading them takes torch, so a
child does that.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.documents import Document
from deploybench.export.request import ModelRequest
from deploybench.models.source import RANDOM_WEIGHTS
from deploybench.processes import die_with_parent, finish, run_forked

CHILD = "deploybench.export.identity"
PRELOAD = ("torch", "timm")
TIME_LIMIT_S = 300.0


class TensorsReply(Document):
    """The hash of a checkpoint's tensors; None where it holds none that can be hashed."""

    sha256: str | None


def contents_of(model: ModelRequest) -> list[dict[str, str]]:
    """The hashes, by option, that an export's key is made of: those of today, then earlier ones.

    Earlier versions counted a checkpoint by the bytes of its file, and the labels with it. What was
    exported under such a key is still found by it.
    """
    by_files = {}
    if model.checkpoint is not None:
        by_files["checkpoint"] = sha256_of_file(Path(model.checkpoint))
    if model.labels is not None:
        by_files["labels"] = sha256_of_file(Path(model.labels))
    today = {}
    if model.checkpoint is not None:
        of_file = by_files["checkpoint"]
        # A checkpoint that does not read counts by its file: the export says what is wrong with it.
        today["checkpoint"] = _of_tensors(model.checkpoint, of_file) or of_file
    if by_files == today:
        return [today]
    return [today, by_files]


def identity_of_weights(model: ModelRequest) -> dict[str, str]:
    """What decides the weights of a model that brings none: which version of the random ones.

    Nothing for a checkpoint or pretrained weights, so that their artifacts keep their keys.
    """
    if model.checkpoint is not None or model.pretrained:
        return {}
    return {"random_weights": RANDOM_WEIGHTS}


@lru_cache(maxsize=64)
def _of_tensors(checkpoint: str, of_file: str) -> str | None:
    """The hash of the tensors; ``of_file`` keeps a changed file from being taken for the old."""
    outcome = run_forked(CHILD, checkpoint, preload=PRELOAD, time_limit_s=TIME_LIMIT_S)
    if outcome.reply is None:
        return None
    return TensorsReply.model_validate_json(outcome.reply).sha256


def main() -> None:
    """Read the path of a checkpoint from standard input; reply with the hash of its tensors."""
    die_with_parent()
    from deploybench.models.checkpoint import read_checkpoint
    from deploybench.models.loading import tensors_hash

    path = Path(sys.stdin.read())
    try:
        sha256 = tensors_hash(read_checkpoint(path))
    except Exception:  # whatever is wrong with it, the export itself says it in a row
        sha256 = None
    finish(TensorsReply(sha256=sha256).model_dump_json())


if __name__ == "__main__":
    main()
