"""How often does a tuning find the same winner, or say that two are the SAME?

    python benchmarks/tune_again.py --times 10 -- --model resnet50 --data DIR --budget 5m

Everything behind ``--`` is given to ``deploybench tune`` as it is. Each time begins with a fresh
journal, so that everything is measured again; exports and predictions are found again. The winner
of the most tunings is the reference. Another one counts as the same where one of the two said so:
SAME, with the whole interval within the margin. What was not told apart is counted by itself.

Exit 0 where nine in ten agree, else 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

WANTED_SHARE = 0.9
SAME = "SAME as the best"
UNTOLD = "not told from the best"


@dataclass(frozen=True)
class Tuning:
    """What one tuning said: the winner, what is the same, and what it could not tell from it."""

    winner: str
    same: frozenset[str]
    untold: frozenset[str]


def title_of(row: dict[str, object]) -> str:
    """What tells a configuration apart, in every tuning alike."""
    names = ("runner", "form", "precision", "threads", "streams", "options")
    return " ".join(str(row[name]) for name in names if row.get(name) not in (None, ""))


def read_tuning(text: str) -> Tuning:
    """The tuning in what ``deploybench tune --json`` printed."""
    rows = [row for row in json.loads(text) if row["tried"]]
    winners = [title_of(row) for row in rows if row["recommended"]]
    return Tuning(
        winner=winners[0] if winners else "nothing",
        same=frozenset(title_of(row) for row in rows if row["why_not"].startswith(SAME)),
        untold=frozenset(title_of(row) for row in rows if row["why_not"].startswith(UNTOLD)),
    )


def agreement(tunings: list[Tuning]) -> tuple[str, int, int, int]:
    """The winner of most, and how many tunings found it, called it the SAME as theirs, and could
    not tell it from theirs."""
    (most, _), *_ = Counter(tuning.winner for tuning in tunings).most_common(1)
    same_as_most = {name for one in tunings if one.winner == most for name in one.same}
    found = same = untold = 0
    for tuning in tunings:
        if tuning.winner == most:
            found += 1
        elif most in tuning.same or tuning.winner in same_as_most:
            same += 1
        elif most in tuning.untold:
            untold += 1
    return most, found, same, untold


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10, help="how many tunings [10]")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="-- and those of tune")
    asked = parser.parse_args()
    arguments = [word for word in asked.arguments if word != "--"]
    tunings = []
    for number in range(asked.times):
        command = [sys.executable, "-m", "deploybench", "tune", *arguments]
        command += ["--fresh", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if not done.stdout:
            print(f"tuning {number + 1} said nothing: exit {done.returncode}", file=sys.stderr)
            return 2
        tuning = read_tuning(done.stdout)
        tunings.append(tuning)
        beside = [f"SAME {name}" for name in sorted(tuning.same)]
        beside += [f"not told from {name}" for name in sorted(tuning.untold)]
        print(f"{number + 1}: {tuning.winner}  {'; '.join(beside)}", flush=True)
    most, found, same, untold = agreement(tunings)
    print(f"\n{most}: the winner of {found} of {len(tunings)} tunings")
    print(f"another won, and the two are the SAME: {same}")
    print(f"another won, and the two were not told apart: {untold}")
    print(f"another won: {len(tunings) - found - same - untold}")
    return 0 if found + same >= WANTED_SHARE * len(tunings) else 1


if __name__ == "__main__":
    sys.exit(main())
