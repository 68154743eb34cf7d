"""Tables and texts about a regression run. Renders; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from memdesc_tool.baseline import BAD, RUN, Change
from memdesc_tool.regress import Cell, Regression
from memdesc_tool.results import Attempt, Verdict

MARK = {
    Change.FIXED: ("fixed", "green"),
    Change.REGRESSED: ("regressed", "bold red"),
    Change.VANISHED: ("vanished", "bold red"),
    Change.NEW: ("new", "cyan"),
}


def table(regression: Regression) -> Table:
    """A row a revision, a column a suite: what passed, failed, was fixed or regressed here."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("patch", overflow="fold", max_width=64)
    for column in regression.columns:
        grid.add_column(column.name, overflow="fold")
    for row in regression.rows:
        cells = (regression.cells.get((row.number, name.name)) for name in regression.columns)
        grid.add_row(Text(row.label), *(cell_text(cell) if cell else Text() for cell in cells))
    return grid


def cell_text(cell: Cell) -> Text:
    """Like "31 passed, 4 failed, 2 fixed here"."""
    text = Text()
    if cell.broken and not cell.count(Verdict.PASSED):
        text.append(cell.broken.value.upper(), "bold red")
    else:
        text.append(f"{cell.count(Verdict.PASSED)} passed")
        if failed := cell.count(Verdict.FAILED) - len(cell.known):
            text.append(f", {failed} failed", "red")
        if cell.known:
            text.append(f", {len(cell.known)} known", "yellow")
        if skipped := cell.count(Verdict.SKIPPED):
            text.append(f", {skipped} skipped", "yellow")
        if cell.broken:
            text.append(f", {cell.broken.value}", "bold red")
    for change, (word, style) in MARK.items():
        if count := sum(found is change for found in cell.changes.values()):
            text.append(f", {count} {word} here", style)
    if cell.flaky:
        text.append(f", {len(cell.flaky)} flaky", "magenta")
    return text


def details(regression: Regression) -> Iterator[Text]:
    """Every case that failed on the base or changed, under its revision, a line each."""
    for row in regression.rows:
        lines = [line for cell in regression.of_row(row) for line in _cell_lines(cell)]
        if lines:
            yield Text(f"{row.label}:", "bold")
            yield from lines


def _cell_lines(cell: Cell) -> Iterator[Text]:
    shown = dict(cell.changes)
    if cell.row.number == 0:
        for case in cell.failing:
            yield _line(cell, case, "fails", "red")
    for case, change in shown.items():
        yield _line(cell, case, *MARK[change])
    for case in cell.known:
        yield _line(cell, case, "known to fail", "yellow")
    for case in cell.flaky:
        yield _line(cell, case, "flaky", "magenta")
    if (cell.row.number == 0 and cell.failing) or any(c in BAD for c in shown.values()):
        yield Text(f"    log: {cell.attempts[-1].log}", "dim")


def _line(cell: Cell, case: str, word: str, style: str) -> Text:
    text = Text("  ")
    text.append(f"{word:9} ", style)
    text.append(f"{cell.column.name}: {case}")
    if reason := _reason(cell.attempts, case):
        text.append(f"  ({reason})", "dim")
    return text


def _reason(attempts: tuple[Attempt, ...], case: str) -> str:
    """Why a case failed, in a few words; empty where it did not or nothing is known."""
    for attempt in reversed(attempts):
        if case == RUN:
            return attempt.detail or attempt.outcome.value
        for result in attempt.results:
            if result.name == case and result.verdict is Verdict.FAILED:
                return result.detail
    return ""


def verdict(regression: Regression, where: str) -> str:
    """The one line that sums it all up; where says what it stood on."""
    last = regression.rows[-1].number
    patches = "1 patch" if last == 1 else f"{last} patches"
    counts = [f"{len(regression.changed(Change.FIXED))} fixed",
              f"{len(regression.regressed)} regressed",
              f"{len(regression.failing_at_tip)} failing at the end"]  # fmt: skip
    if not regression.passed_anything:
        counts.append("NO CASE PASSED in some column")
    word = "GOOD" if regression.good else "BAD"
    return f"{word}: {patches} on {where}: {', '.join(counts)}"
