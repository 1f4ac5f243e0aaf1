"""How far a number can be trusted: the closed set of verdicts, and a judgement with its reason."""

from __future__ import annotations

from enum import Enum

from deploybench.documents import Document


class Verdict(str, Enum):
    """How far a number can be trusted. The closed set; ``verdicts.py`` says when each is given."""

    VALID = "VALID"
    NOISY = "NOISY"
    UNSTABLE = "UNSTABLE"
    DRIFTING = "DRIFTING"
    INVALID = "INVALID"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class Judgement(Document):
    """A verdict with its reason and what the user can do."""

    verdict: Verdict
    reason: str
    advice: str = ""
