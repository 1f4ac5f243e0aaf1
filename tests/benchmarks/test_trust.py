"""The table of what once passed in silence: made from the tests that carry the mark."""

from __future__ import annotations

from benchmarks.trust import BEGIN, END, Case, Outcomes, table, written


def outcomes_of(*cases: Case) -> Outcomes:
    outcomes = Outcomes()
    for number, case in enumerate(cases):
        outcomes.cases[f"test_{number}"] = case
    return outcomes


def test_a_case_whose_test_failed_is_a_failed_row() -> None:
    outcomes = outcomes_of(Case(12, "16-bit grey", "white", "scaled by 65535"))
    outcomes.failed.add("test_0")

    assert "| 16-bit grey | white | **FAILED** |" in table(outcomes)


def test_a_case_that_two_tests_look_at_is_one_row_and_fails_with_one_of_them() -> None:
    case = Case(12, "16-bit grey", "white", "scaled by 65535")
    outcomes = outcomes_of(case, case)
    outcomes.failed.add("test_0")

    assert table(outcomes).count("16-bit grey") == 1
    assert "**FAILED**" in table(outcomes)


def test_only_the_table_of_the_page_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert written(page, "new") == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
