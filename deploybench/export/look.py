"""A child that builds a model to see what it is, before anybody decides whether it was exported.

Only where its name does not say: a factory of the user's may load other weights or code than at the
last export.
"""

from __future__ import annotations

import sys
import threading

from deploybench.artifacts.built import Built
from deploybench.children.processes import die_with_parent, finish, run_forked
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.export.request import ModelRequest
from deploybench.models.source import find_source

CHILD = "deploybench.export.look"
PRELOAD = ("torch", "timm")


class LookReply(Document):
    """What was built, or why nothing could be: ``found`` is the cause."""

    built: Built | None = None
    found: str | None = None
    expected: str | None = None
    action: str | None = None


class Looks:
    """What the models of one order are, each looked at once.

    A later order looks again: files may have changed meanwhile.
    """

    def __init__(self) -> None:
        self._replies: dict[str, LookReply] = {}
        self._looking = threading.Lock()

    def at(self, model: ModelRequest, *, time_limit_s: float) -> Built | None:
        """What is built; None for a model that its name and the versions decide.

        Raises DeployBenchError where nothing can be built.
        """
        source, name = find_source(model.name)
        if not source.must_be_looked_at(name):
            return None
        asked = model.model_dump_json()
        with self._looking:
            if asked not in self._replies:
                self._replies[asked] = _looked(asked, time_limit_s)
        reply = self._replies[asked]
        if reply.found is not None:
            raise DeployBenchError(reply.found, expected=reply.expected, action=reply.action)
        return reply.built


def _looked(asked: str, time_limit_s: float) -> LookReply:
    outcome = run_forked(CHILD, asked, preload=PRELOAD, time_limit_s=time_limit_s)
    if outcome.reply is None:
        return LookReply(found=outcome.error or "the child that builds the model said nothing")
    return LookReply.model_validate_json(outcome.reply)


def main() -> None:
    """Read a model's request from standard input; reply with what it builds."""
    die_with_parent()
    try:
        reply = LookReply(built=_look(ModelRequest.model_validate_json(sys.stdin.read())))
    except DeployBenchError as error:
        reply = LookReply(found=error.found, expected=error.expected, action=error.action)
    except Exception as error:  # the user's code may raise anything
        reply = LookReply(found=f"building the model raised {type(error).__name__}: {error}")
    finish(reply.model_dump_json())


def _look(model: ModelRequest) -> Built:
    from deploybench.models.identity import look

    source, name = find_source(model.name)
    return look(source, name, model.build_options())


if __name__ == "__main__":
    main()
