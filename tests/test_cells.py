"""What a patch changed, told from what the rows of a column came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from junitparser import JUnitXml

from memdesc_tool.baseline import RUN, SOURCE, Change
from memdesc_tool.blame import findings
from memdesc_tool.cellchange import cell_of
from memdesc_tool.cells import Cell, Column, Regression, Row
from memdesc_tool.compilerun import COMPILED, compile_suite
from memdesc_tool.formats import annotated, junit
from memdesc_tool.results import Attempt, Outcome, Result, Verdict
from memdesc_tool.suites import Suite, tree_suite

P, F, S = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
CASES = {"s.a": P, "s.b": P}
SPLAT = "splat: warning:count_pages"
OLD = "warning: mm/old.c:old_one: unused variable 'x' [-Wunused-variable]"
NEW = "warning: mm/new.c:old_one: unused variable 'x' [-Wunused-variable]"


def ran(cases: Mapping[str, Verdict], outcome: Outcome = Outcome.RAN) -> Attempt:
    results = tuple(Result(name, verdict, "mm/old.c:1 (mm/old.o)") for name, verdict in
                    cases.items())  # fmt: skip
    return Attempt(outcome, results, 0, 1, "log")


def walked(*rows: Attempt | tuple[Attempt, ...], suite: Suite | None = None) -> Regression:
    """A run of one column in which the rows came to these attempts."""
    column = Column(suite or tree_suite([]), "um")
    cells: list[Cell] = []
    for number, one in enumerate(rows):
        attempts = one if isinstance(one, tuple) else (one,)
        row = Row(number, f"{number}. patch", f"commit {number}")
        cells.append(cell_of(row, column, attempts, cells, ()))
    return Regression(
        tuple(cell.row for cell in cells), (column,),
        {(cell.row.number, column.name): cell for cell in cells},
    )  # fmt: skip


def changes(found: Regression) -> list[dict[str, Change]]:
    """By row."""
    return [dict(found.of_row(row)[0].changes) for row in found.rows]


BROKEN = [Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED, Outcome.DIED, Outcome.TIMEOUT]


@pytest.mark.parametrize("outcome", BROKEN)
def test_a_run_that_came_to_no_case_hides_nothing(outcome: Outcome) -> None:
    base = {**CASES, SPLAT: F}
    found = walked(ran(base), ran({}, outcome), ran({**base, "s.b": F}), ran(base))
    assert changes(found) == [
        {},
        {RUN: Change.REGRESSED},
        {RUN: Change.FIXED, "s.b": Change.REGRESSED},
        {"s.b": Change.FIXED},
    ]


def test_what_a_run_did_not_come_to_is_not_fixed_and_not_new() -> None:
    base = {**CASES, SPLAT: F}
    found = walked(ran(base), ran({"s.a": P}, Outcome.DIED), ran({**base, "s.b": F}))
    assert changes(found) == [
        {},
        {RUN: Change.REGRESSED, "s.b": Change.VANISHED},
        {RUN: Change.FIXED, "s.b": Change.REGRESSED},
    ]
    last = found.cells[2, found.columns[0].name]
    assert (last.among("s.b"), last.among(RUN)) == ("1..2", ""), "which patch did is not known"


def test_a_config_that_cannot_be_had_hides_no_warning() -> None:
    base = {COMPILED: P, OLD: F}
    found = walked(
        ran(base), ran({}, Outcome.CONFIG_FAILED), ran(base), suite=compile_suite("objects")
    )
    assert changes(found) == [{}, {RUN: Change.REGRESSED}, {RUN: Change.FIXED}]


@pytest.mark.parametrize(
    ("times", "change"), [(1, Change.FLAKY), (3, Change.FLAKY), (4, Change.REGRESSED)]
)
def test_what_is_seldom_there_is_measured_against_every_run(times: int, change: Change) -> None:
    fine, base = ran(CASES), (ran(CASES),) * 8
    splat = walked(base, (ran({**CASES, SPLAT: F}),) * times + (fine,) * (8 - times))
    assert changes(splat)[1] == {SPLAT: change}
    died = walked(base, (ran(CASES, Outcome.DIED),) * times + (fine,) * (8 - times))
    assert changes(died)[1] == {RUN: change}


def test_a_warning_that_moved_does_not_fail_at_the_end() -> None:
    base, other = {COMPILED: P, OLD: F}, OLD.replace("old_one", "old_two")
    moved = {COMPILED: P, NEW: F}
    found = walked(ran(base), ran(moved), suite=compile_suite("objects"))
    assert changes(found)[1] == {OLD: Change.FIXED, NEW: Change.MOVED}
    assert found.failing_at_tip == ()
    assert found.good
    more = walked(ran(base), ran({**moved, other: F}), suite=compile_suite("objects"))
    assert len(more.failing_at_tip) == 1
    assert not more.good


@pytest.mark.parametrize(
    ("base", "tip", "change"),
    [
        (F, F, None),
        (F, P, Change.FIXED),
        (P, P, None),
        (P, F, Change.REGRESSED),
        (S, F, Change.REGRESSED),
    ],
)
def test_what_was_skipped_in_between(base: Verdict, tip: Verdict, change: Change | None) -> None:
    found = walked(*(ran({"s.a": P, "s.b": one}) for one in (base, S, S, tip)))
    assert changes(found)[2] == {}
    assert changes(found)[3].get("s.b") is change
    if change and base is not S:
        assert found.cells[3, found.columns[0].name].among("s.b") == "1..3"


def test_what_is_bad_for_want_of_a_pass_is_a_failure_for_a_ci() -> None:
    skipped = walked(ran({"s.a": S}), ran({"s.a": S}))
    assert not skipped.good
    (verdict,) = [one for one in JUnitXml.fromstring(junit(skipped, {})) if one.name == "verdict"]
    assert verdict.failures == 1
    left = {COMPILED: P, f"{SOURCE}mm/x.c": S}
    compiled = walked(ran(left), ran(left), suite=compile_suite("objects"))
    assert not compiled.good
    assert JUnitXml.fromstring(junit(compiled, {})).failures == 1
    fine = JUnitXml.fromstring(junit(walked(ran(CASES), ran(CASES)), {}))
    assert [one.name for one in fine if one.name == "verdict"] == []


def test_a_subject_that_is_not_utf_8_has_a_fingerprint() -> None:
    found = walked(ran(CASES), ran({**CASES, "s.b": F}))
    rows = (found.rows[0], replace(found.rows[1], label="1. caf\udce9"))
    cells = {key: replace(cell, row=rows[key[0]]) for key, cell in found.cells.items()}
    odd = replace(found, rows=rows, cells=cells)
    (one,) = json.loads(annotated(odd, findings(odd), "gitlab"))
    assert len(one["fingerprint"]) == 32
