"""Are our percentiles LoadGen's? On the same latencies, to the nanosecond. Exit 1 where one
differs.

LoadGen times a system that answers after a random pause, with every number of queries from 1 to
LARGEST (default 250) and some larger ones. Its own percentiles are compared with ours on the raw
latencies of its trace. Every scenario but offline is timed; there the latencies of one query only
ever grow.

python -m benchmarks.percentiles [LARGEST]
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from time import sleep
from typing import Any

from deploybench.scenarios.loadgen import PERCENTILES, answer, run_test
from deploybench.scenarios.settings import Scenario, ScenarioSettings
from deploybench.statistics.samples import nearest_rank

LARGER = (500, 997, 1000, 1999, 2000, 3000)
LONGEST_PAUSE_S = 200e-6
SHOWN_DIFFERENCES = 10
SCENARIOS = (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.SERVER)


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    compared: Counter[str] = Counter()
    differences = []
    for scenario in SCENARIOS:
        for queries in (*range(1, largest + 1), *LARGER):
            for name, theirs, ours in percentiles(scenario, queries):
                compared[scenario.value] += 1
                if ours != theirs:
                    differences.append(
                        f"{scenario.value}, {queries} queries: p{name} {ours} ns, LoadGen's "
                        f"{theirs} ns"
                    )
    for scenario_name, count in compared.items():
        print(f"{scenario_name}: {count} percentiles compared")
    print(f"{len(differences)} differ")
    print(*differences[:SHOWN_DIFFERENCES], sep="\n")
    sys.exit(1 if differences else 0)


def percentiles(scenario: Scenario, queries: int) -> list[tuple[str, int, float]]:
    """Time that many queries; each percentile with LoadGen's value and ours, ns."""
    settings = ScenarioSettings(
        scenario=scenario,
        percentile=99,
        min_duration_s=0,
        min_queries=queries,
        samples_per_query=2,
        target_qps=10_000 if scenario is Scenario.SERVER else None,
        latency_bound_ms=1000,
    )
    found = run_test(settings, _pause, images=8, expected_call_ns=LONGEST_PAUSE_S * 1e9)
    assert len(found.latencies_ns) == found.query_count >= queries
    return [
        (
            name,
            found.percentiles_ns[name],
            nearest_rank(found.latencies_ns, round(float(name) / 100, 4)),
        )
        for name in PERCENTILES
    ]


def _pause(samples: Sequence[Any]) -> None:
    sleep(random.uniform(0, LONGEST_PAUSE_S))
    answer([sample.id for sample in samples])


if __name__ == "__main__":
    main()
