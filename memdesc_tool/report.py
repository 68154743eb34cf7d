"""Tables and texts about a regression run. Renders; decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from memdesc_tool.baseline import BAD, OBJECT, WARNING, Change
from memdesc_tool.blame import Finding
from memdesc_tool.cells import Cell, Regression
from memdesc_tool.compilerun import COMPILED
from memdesc_tool.flakiness import rate_of
from memdesc_tool.results import Outcome, Verdict

MARK = {
    Change.FIXED: ("fixed", "green"),
    Change.REGRESSED: ("regressed", "bold red"),
    Change.VANISHED: ("vanished", "bold red"),
    Change.NEW: ("new", "cyan"),
    Change.FLAKY: ("unsure", "magenta"),
    Change.MOVED: ("moved", "cyan"),
}
WIDTH = 100
"""Columns of a terminal that a table is to fit."""
FEW = 2
"""Suites that have a column of their own in the table."""
LABEL, NAME, LETTERS = 30, 36, 40
"""Columns of a terminal: for a patch at least, for the name of a column and for letters at most."""
LEGEND = ". as before, = cannot differ, + fixed, R regressed, W new warning, B not built, ~ unsure"


def table(regression: Regression) -> Table:
    """What came of every cell, in a table that fits WIDTH where it can.

    A row a revision and a column a suite; or, where there are too many suites for that, a
    row a suite and a letter a revision (see LEGEND).
    """
    return _wide(regression) if len(regression.columns) <= FEW else _dense(regression)


def _wide(regression: Regression) -> Table:
    grid = _grid()
    count = len(regression.columns)
    share = 34 if count == 1 else 28
    most = (WIDTH - LABEL - 2 * count) // count
    widths = [max(share, min(len(column.name), most)) for column in regression.columns]
    label = WIDTH - sum(widths) - 2 * count
    grid.add_column("patch", overflow="fold", max_width=label)
    for column, width in zip(regression.columns, widths, strict=True):
        grid.add_column(column.name, overflow="fold", max_width=width)
    for row in regression.rows:
        cells = (regression.cells.get((row.number, name.name)) for name in regression.columns)
        grid.add_row(Text(row.label), *(cell_text(cell) if cell else Text() for cell in cells))
    return grid


def _grid() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _dense(regression: Regression) -> Table:
    grid = _grid()
    names = min(NAME, max(len(column.name) for column in regression.columns))
    grid.add_column("column", overflow="fold", max_width=NAME)
    numbers = [str(row.number) for row in regression.rows]
    wide = len(numbers) * 3 <= WIDTH // 3
    heading = " ".join(f"{n:>2}" for n in numbers) if wide else _span(numbers)
    letters = max(len(heading), min(len(numbers), LETTERS))
    grid.add_column(heading, no_wrap=True, min_width=letters)
    grid.add_column("at the end", overflow="fold", max_width=WIDTH - names - letters - 4)
    for column in regression.columns:
        cells = [regression.cells.get((row.number, column.name)) for row in regression.rows]
        last = next((cell for cell in reversed(cells) if cell), None)
        grid.add_row(
            Text(column.name),
            _letters(cells, wide),
            cell_text(last) if last else Text("not run"),
        )
    grid.caption = LEGEND
    grid.caption_justify = "left"
    return grid


def _span(numbers: Sequence[str]) -> str:
    """The heading of letters without room for every number."""
    several = f", {LETTERS} a line" if len(numbers) > LETTERS else ""
    return f"{numbers[0]}..{numbers[-1]}{several}"


def _letters(cells: Sequence[Cell | None], wide: bool) -> Text:
    """A letter for each cell, LETTERS in a line where they have no space between them."""
    every = [_letter(cell, wide) for cell in cells]
    if wide:
        return Text(" ").join(every)
    lines = (every[at : at + LETTERS] for at in range(0, len(every), LETTERS))
    return Text("\n").join(Text().join(line) for line in lines)


def _letter(cell: Cell | None, wide: bool) -> Text:
    letter, style = mark(cell)
    return Text(f"{letter:>2}" if wide else letter, style)


def mark(cell: Cell | None) -> tuple[str, str]:
    """The letter that stands for a cell (LEGEND), and rich's style for it."""
    if cell is None:
        return " ", ""
    if cell.broken in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED):
        return "B", "bold red"
    bad = [case for case, change in cell.changes.items() if change in BAD]
    if bad:
        warnings = all(case.startswith(WARNING) for case in bad)
        return ("W", "red") if warnings else ("R", "bold red")
    if Change.FLAKY in cell.changes.values():
        return "~", "magenta"
    if Change.FIXED in cell.changes.values():
        return "+", "green"
    return ("=", "dim") if cell.inherited else (".", "")


def cell_text(cell: Cell) -> Text:
    """Like "31 passed, 4 failed, 2 fixed here"."""
    text = Text()
    if cell.column.suite.compiles and not cell.broken:
        _compiled(text, cell)
    elif cell.broken and not cell.count(Verdict.PASSED):
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
        among = Counter(cell.among(c) for c, found in cell.changes.items() if found is change)
        for rows, count in sorted(among.items()):
            text.append(f", {count} {word} {f'in {rows}' if rows else 'here'}", style)
    if cell.flaky:
        text.append(f", {len(cell.flaky)} flaky", "magenta")
    return text


def _compiled(text: Text, cell: Cell) -> None:
    """Like "113 objects, 1 not compiled, 2 warnings"."""
    objects = next((r.detail for a in cell.attempts for r in a.results if r.name == COMPILED), "")
    text.append(objects)
    for what, prefix, style in (("not compiled", OBJECT, "red"), ("warning", WARNING, "yellow")):
        if count := sum(name.startswith(prefix) for name in cell.failing):
            plural = "s" if prefix == WARNING and count > 1 else ""
            text.append(f", {count} {what}{plural}", style)
    if count := len(cell.sources(Verdict.SKIPPED)):
        text.append(f", {count} {'file' if count == 1 else 'files'} left out", "yellow")


def details(
    regression: Regression, every: Sequence[Finding], *, base: bool = True
) -> Iterator[Text]:
    """Every case that failed on the base (if base is set) or changed, under its revision."""
    for row in regression.rows:
        cells = regression.of_row(row)
        lines = [
            line for cell in cells if base and row.number == 0 and not cell.column.suite.compiles
            for line in _failing(cell)
        ]  # fmt: skip
        for finding in every:
            if finding.row == row:
                lines += _finding_lines(finding)
        lines += [line for cell in cells for line in _remarks(cell)]
        lines += [line for cell in cells for line in _log(cell, base=base)]
        if lines:
            yield Text(f"{row.label}:", "bold")
            yield from lines


def _failing(cell: Cell) -> Iterator[Text]:
    for case in cell.failing:
        yield _line(cell.column.name, case, "fails", "red", cell.detail(case))


def _finding_lines(finding: Finding) -> Iterator[Text]:
    word, style = MARK[finding.change]
    where = ", ".join(finding.columns)
    why = f"by one of {finding.among}; {finding.detail}" if finding.among else finding.detail
    yield _line(where, finding.case, word, style, why.removesuffix("; "))
    if finding.change in BAD and finding.file:
        hunk = finding.hunk or "not in a hunk of the patch"
        yield Text(f"    {finding.file}:{finding.line}: {hunk}", "dim")


def _remarks(cell: Cell) -> Iterator[Text]:
    """What is no change but ought to be seen."""
    for case in cell.known:
        yield _line(cell.column.name, case, "known to fail", "yellow", cell.detail(case))
    for case in cell.flaky:
        rate = str(rate_of(cell.cases[case]))
        yield _line(cell.column.name, case, "flaky", "magenta", rate)


def _log(cell: Cell, *, base: bool) -> Iterator[Text]:
    failing = base and cell.row.number == 0 and cell.failing and not cell.column.suite.compiles
    if cell.telling and (failing or any(change in BAD for change in cell.changes.values())):
        yield Text(f"    log: {cell.telling.log}", "dim")


def _line(where: str, case: str, word: str, style: str, why: str) -> Text:
    text = Text("  ")
    text.append(f"{word:9} ", style)
    text.append(f"{where}: {case}")
    if why:
        text.append(f"  ({why})", "dim")
    return text


def verdict(regression: Regression, where: str) -> str:
    """The one line that sums it all up; where says what it stood on."""
    last = regression.rows[-1].number
    patches = "1 patch" if last == 1 else f"{last} patches"
    counts = [f"{len(regression.changed(Change.FIXED))} fixed",
              f"{len(regression.regressed)} regressed",
              f"{len(regression.failing_at_tip)} failing at the end"]  # fmt: skip
    if regression.compiled_nothing:
        counts.append("NO FILE OF THE SERIES COMPILED")
    if not regression.passed_anything:
        counts.append("NO CASE PASSED in some column")
    word = "BAD" if not regression.good else "INCOMPLETE" if regression.troubles else "GOOD"
    return f"{word}: {patches} on {where}: {', '.join(counts)}"
