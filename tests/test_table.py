"""The table of a regression run on a terminal, and in a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from memdesc_tool import report
from memdesc_tool.cellchange import cell_of
from memdesc_tool.cells import Cell, Column, Regression, Row, Variant
from memdesc_tool.results import Attempt, Outcome, Result, Verdict
from memdesc_tool.suites import Suite

LONG = "defconfig+debug+kasan+clang-19"
BAD_ROW = 48


def walked(rows: int, *variants: str) -> Regression:
    """Every patch passes in every column but patch BAD_ROW."""
    every = tuple(Row(n, f"{n}. mm/area: a subject of usual length {n}", "") for n in range(rows))
    suite = Suite("movable_ops", Path(), "", "", ())
    columns = tuple(Column(suite, "x86_64", variant=Variant(one)) for one in variants)
    cells: dict[tuple[int, str], Cell] = {}
    for column in columns:
        before: list[Cell] = []
        for row in every:
            verdict = Verdict.FAILED if row.number == BAD_ROW else Verdict.PASSED
            results = (Result("s.a", verdict), Result("s.b", Verdict.PASSED))
            attempt = Attempt(Outcome.RAN, results, 1.0, 2.0, "log")
            before.append(cell_of(row, column, (attempt,), before, ()))
            cells[row.number, column.name] = before[-1]
    return Regression(every, columns, cells)


@pytest.mark.parametrize("width", [100, 160])
@pytest.mark.parametrize("variants", [("",), ("", LONG), (LONG, "more"), ("", "debug", LONG)])
@pytest.mark.parametrize("rows", [3, 11, 54, 130])
def test_it_fits_a_hundred_columns_and_cuts_nothing_off(
    rows: int, variants: tuple[str, ...], width: int
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, soft_wrap=True, highlight=False)
    console.print(report.table(walked(rows, *variants)))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= report.WIDTH
    assert "…" not in text
    if len(variants) > report.FEW and rows > BAD_ROW:
        assert text.partition(". as before")[0].count("R") == len(variants)
