"""The histogram and the trace of one record, in characters."""

from __future__ import annotations

import re

from deploybench.report.trace_text import HEIGHT, WIDTH, trace_sections
from deploybench.results.record import Record
from tests.records import launch, record
from tests.visited_cells import record as visited
from tests.visited_cells import visits


def texts(made: Record) -> list[list[str]]:
    return [list(section.lines) for section in trace_sections(made)]


def test_histogram_counts_every_call_and_shows_two_levels() -> None:
    samples = [5.0, 5.01, 5.02, 5.03] * 10 + [9.0, 9.01] * 10
    made = record([launch(samples, number=number) for number in range(4)])
    histogram, _ = trace_sections(made)
    counts = [int(line.split()[-1]) for line in histogram.lines]
    assert sum(counts) == sum(one.steady_count for one in made.launches)
    first, *middle, last = counts
    assert first > last > 0
    assert sum(middle) < first
    assert str(sum(counts)) in histogram.title


def test_trace_marks_each_visit_with_its_process_and_shows_the_machine_below() -> None:
    # The second process is slower; the machine gives half of its speed in the end.
    times = [10.0 if number % 2 == 0 else 14.0 for number in range(40)]
    made = visited(visits(times, [1.0] * 30 + [0.5] * 10))
    _, trace = texts(made)
    upper, lower = trace[0], trace[HEIGHT - 1]
    assert set(upper.partition("│")[2].strip()) == {"2", " "}
    assert set(lower.partition("│")[2].strip()) == {"1", " "}
    assert upper.strip().startswith("14.0")
    assert trace[-1].rstrip().endswith("50% to 100%")
    assert re.search("█+▁+", trace[-1])


def test_trace_of_many_visits_fits_the_page() -> None:
    made = visited(visits([10.0, 10.1] * 300))
    for lines in texts(made):
        assert max(map(len, lines)) <= WIDTH + 16


def test_record_without_times_has_no_picture() -> None:
    assert trace_sections(record([launch([], error="it crashed")])) == []


def test_times_that_are_all_the_same_are_said_in_words() -> None:
    histogram, *_ = trace_sections(record([launch([5.0] * 40, number=n) for n in range(3)]))
    assert "5.000 in nearly all of" in histogram.lines[0]
