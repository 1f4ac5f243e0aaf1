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
from deploybench.children.processes import die_with_parent, finish, run_forked
from deploybench.data.own_images import choose_images, hash_of_images
from deploybench.documents import Document
from deploybench.export.request import ModelRequest
from deploybench.models.source import RANDOM_WEIGHTS
from deploybench.models.trained import sha256_of_description
from deploybench.models.weights_folder import sha256_of_weights

CHILD = "deploybench.export.identity"
PRELOAD = ("torch", "timm")
TIME_LIMIT_S = 300.0


class TensorsReply(Document):
    """The hash of the tensors that are taken from a checkpoint; None where they cannot be hashed.

    ``chosen``: the checkpoint holds several states, and the model decides which is taken.
    """

    sha256: str | None
    chosen: bool = False


def contents_of(model: ModelRequest) -> list[dict[str, str]]:
    """The hashes, by option, that an export's key is made of: those of today, then earlier ones.

    Earlier versions counted a checkpoint by the bytes of its file, and the labels with it. What was
    exported under such a key is still found by it, unless the file holds several states: what was
    taken then may not be what is taken now.

    Reference images of the user's count, although they change nothing of what is run: what was
    verified on other images has not been verified on these.

    Raises DeployBenchError for a folder of weights from which no file can be chosen, and for images
    that are not there.
    """
    own_images = {}
    if model.reference_images:
        taken = choose_images(model.reference_images)
        own_images["reference_images"] = hash_of_images(taken)
    by_files = {**own_images}
    if model.checkpoint is not None:
        by_files["checkpoint"] = sha256_of_weights(Path(model.checkpoint))
    if model.labels is not None:
        by_files["labels"] = sha256_of_file(Path(model.labels))
    today = {**own_images}
    chosen = False
    if model.checkpoint is not None:
        of_file = by_files["checkpoint"]
        asked = model.replaced(labels=None, reference_images=())
        tensors = _of_tensors(asked.model_dump_json(), of_file)
        # A checkpoint that does not read counts by its file: the export says what is wrong with it.
        today["checkpoint"] = tensors.sha256 or of_file
        chosen = tensors.chosen
        described = sha256_of_description(Path(model.checkpoint))
        if described is not None:
            # Classes and images come from there; what was exported without them is another thing.
            today["training"] = described
            return [today]
    if by_files == today or chosen:
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
def _of_tensors(model: str, of_file: str) -> TensorsReply:
    """The hash of the tensors that a model (as JSON) takes from its checkpoint; ``of_file`` keeps
    a changed file from being taken for the old."""
    outcome = run_forked(CHILD, model, preload=PRELOAD, time_limit_s=TIME_LIMIT_S)
    if outcome.reply is None:
        return TensorsReply(sha256=None)
    return TensorsReply.model_validate_json(outcome.reply)


def main() -> None:
    """Read a model with its checkpoint from standard input; reply with the hash of its tensors."""
    die_with_parent()
    model = ModelRequest.model_validate_json(sys.stdin.read())
    try:
        reply = _hashed(model)
    except Exception:  # whatever is wrong with it, the export itself says it in a row
        reply = TensorsReply(sha256=None)
    finish(reply.model_dump_json())


def _hashed(model: ModelRequest) -> TensorsReply:
    from deploybench.models.checkpoint import main_tensors, read_checkpoint, several_states
    from deploybench.models.loading import tensors_hash, tensors_taken

    checkpoint = read_checkpoint(Path(model.checkpoint or ""))
    if model.checkpoint_key is None and not several_states(checkpoint):
        return TensorsReply(sha256=tensors_hash(main_tensors(checkpoint)))
    # What fits the model decides which of the states is taken.
    taken = tensors_taken(model.name, model.build_options(), checkpoint, model.checkpoint_key)
    return TensorsReply(sha256=tensors_hash(taken), chosen=True)


if __name__ == "__main__":
    main()
