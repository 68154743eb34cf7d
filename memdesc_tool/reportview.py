"""What the templates of a report ask of an overview: words, classes, positions of plots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from memdesc_tool import report
from memdesc_tool.baseline import BAD, Change, worst
from memdesc_tool.blame import Finding
from memdesc_tool.cells import Cell, Column, Row
from memdesc_tool.excerpt import Excerpt, shortened
from memdesc_tool.fates import Fate
from memdesc_tool.measured import THRESHOLD, Figure
from memdesc_tool.overview import CaseHistory, Overview
from memdesc_tool.results import Verdict

TEMPLATES = Path(__file__).parent / "data" / "report"
ENTRIES = 100
"""Of one list of a report; how many are left out is said."""
CASES = 300
"""Cases whose way through the revisions is shown."""
CLASSES = {"+": "fixed", "R": "bad", "W": "bad", "B": "bad", "~": "unsure", ".": "same",
           "=": "same", " ": "none"}  # fmt: skip
_VERDICTS = {Verdict.PASSED: (".", "same", "passed"), Verdict.FAILED: ("x", "failing", "failed"),
             Verdict.SKIPPED: ("s", "skipped", "skipped")}  # fmt: skip


@dataclass(frozen=True)
class CellView:
    """A cell as the report shows it.

    anchor: its name in the page; letter, kind: its mark and the class of its colour; text: like
    "31 passed"; bad: whether there is something to look for; cases: (case, what, why) of those
    that failed or changed; left_out: how many more there are; findings: those with a place.
    """

    cell: Cell
    anchor: str
    letter: str
    kind: str
    text: str
    bad: bool
    cases: tuple[tuple[str, str, str], ...]
    left_out: int
    findings: tuple[Finding, ...]
    excerpt: Excerpt
    log: str

    @property
    def told(self) -> tuple[tuple[str, str, str], ...]:
        """The cases without those that fail as they did on the patch before."""
        first = self.cell.row.number == 0
        return tuple(one for one in self.cases if first or one[0] in self.cell.changes)

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.cell.attempts)


@dataclass(frozen=True)
class Bar:
    """A figure's interval as parts (0 to 100) of the longest one of its plot; slower: by what
    share it is a slower path than the revision before, 0 where it is none.
    """

    figure: Figure
    low: float
    middle: float
    high: float
    slower: float = 0.0


@dataclass(frozen=True)
class MutantView:
    """A mutant as the report shows it; hunk: of its file, none where the line is not there."""

    fate: Fate
    hunk: tuple[str, ...]


@dataclass(frozen=True)
class ReportView:
    """An overview with its cells as they are shown."""

    overview: Overview
    views: tuple[tuple[Row, tuple[CellView | None, ...]], ...]

    @property
    def cells(self) -> tuple[CellView, ...]:
        return tuple(one for _, row in self.views for one in row if one)

    @property
    def runs(self) -> int:
        return sum(len(view.cell.attempts) for view in self.cells)

    @property
    def hours(self) -> str:
        return duration(sum(view.seconds for view in self.cells))

    @property
    def last(self) -> str:
        """When the last run began, UTC; the page has no other date, so that the same results
        give the same page.
        """
        started = [a.started for view in self.cells for a in view.cell.attempts]
        return moment(max(started)) if started else "never"

    @property
    def survivors(self) -> tuple[tuple[str, tuple[MutantView, ...]], ...]:
        """The mutants that no suite notices by the label of their patch, in its order."""
        return self._by_patch(self.overview.mutants.survivors if self.overview.mutants else ())

    @property
    def argued(self) -> tuple[tuple[str, tuple[MutantView, ...]], ...]:
        """Those that change nothing, as people say, likewise."""
        return self._by_patch(self.overview.mutants.argued if self.overview.mutants else ())

    def _by_patch(self, fates: Sequence[Fate]) -> tuple[tuple[str, tuple[MutantView, ...]], ...]:
        places = {row.label: at for at, row in enumerate(self.overview.regression.rows)}
        found: dict[str, list[MutantView]] = {}
        for fate in sorted(fates, key=lambda one: places.get(one.patch, len(places))):
            hunk = self.overview.hunks.get(fate.key, ())
            found.setdefault(fate.patch, []).append(MutantView(fate, hunk))
        return tuple((patch, tuple(views)) for patch, views in found.items())

    @property
    def plots(self) -> tuple[tuple[str, str, tuple[Bar, ...]], ...]:
        """Of each figure its name, its unit and the bars of its revisions."""
        figures = self.overview.figures or ()
        ordered = sorted(figures, key=lambda one: one.name)  # stable: revisions keep their order
        return tuple(
            (name, next(iter(group)).unit, _bars(group))
            for name, group in ((n, list(g)) for n, g in groupby(ordered, lambda one: one.name))
        )


def view_of(overview: Overview) -> ReportView:
    """The view of an overview."""
    found = overview.regression
    places: dict[tuple[int, str], list[Finding]] = {}
    for one in overview.findings:
        if one.file:
            for column in one.columns:
                places.setdefault((one.row.number, column), []).append(one)
    rows = tuple(
        (row, tuple(_cell_view(overview, row, column, places) for column in found.columns))
        for row in found.rows
    )
    return ReportView(overview, rows)


def _cell_view(
    overview: Overview, row: Row, column: Column, places: dict[tuple[int, str], list[Finding]]
) -> CellView | None:
    key = row.number, column.name
    cell = overview.regression.cells.get(key)
    if cell is None:
        return None
    letter, _ = report.mark(cell)
    kind = CLASSES[letter]
    if kind == "same" and (cell.failing or cell.broken):
        kind = "failing"
    cases = _cases(cell)
    number = overview.regression.columns.index(column)
    return CellView(
        cell=cell,
        anchor=f"c{row.number}-{number}",
        letter=letter,
        kind=kind,
        text=report.cell_text(cell).plain,
        bad=kind in ("bad", "failing", "unsure") or bool(cell.failing),
        cases=tuple(cases[:ENTRIES]),
        left_out=max(0, len(cases) - ENTRIES),
        findings=tuple(places.get(key, ())),
        excerpt=overview.excerpts.get(key, Excerpt()),
        log=overview.logs.get(key, ""),
    )


def _cases(cell: Cell) -> list[tuple[str, str, str]]:
    """What failed or changed, the worst first."""
    told = dict(cell.changes.items())
    names = [name for name in cell.cases if name not in told and _failed(cell, name)]
    order = sorted(told, key=lambda name: told[name] not in BAD)
    found = [
        (name, _change(cell, name), cell.detail(name))
        for name in order
        if told[name] is not Change.NEW or _failed(cell, name)
    ]
    return found + [
        (name, "known to fail" if name in cell.known else "fails", cell.detail(name))
        for name in names
    ]


def _change(cell: Cell, name: str) -> str:
    """Like "fixed", or "fixed in 1..23"."""
    word = report.MARK[cell.changes[name]][0]
    return f"{word} in {among}" if (among := cell.among(name)) else word


def _failed(cell: Cell, name: str) -> bool:
    return name in cell.cases and worst(cell.cases[name]) is Verdict.FAILED


def letters(history: CaseHistory) -> tuple[tuple[str, str, str], ...]:
    """Of each row a letter, its class and what it means, for a case's way through them."""
    found = []
    for number, verdict in enumerate(history.verdicts):
        letter, kind, word = _VERDICTS[verdict] if verdict else (" ", "none", "not run")
        change = history.changes.get(number)
        if change in BAD:
            letter, kind, word = "R", "bad", report.MARK[change][0] if change else word
        elif change is Change.FIXED:
            letter, kind, word = "+", "fixed", "fixed"
        elif change is Change.FLAKY:
            letter, kind, word = "~", "unsure", "unsure"
        found.append((letter, kind, word))
    return tuple(found)


def _bars(figures: Sequence[Figure]) -> tuple[Bar, ...]:
    most = max((abs(one.high) for one in figures), default=0) or 1

    def place(value: float) -> float:
        return round(min(100.0, max(0.0, 100 * value / most)), 2)

    return tuple(
        Bar(one, place(one.low), place(one.middle), place(one.high), _slower(before, one))
        for before, one in pairwise((None, *figures))
        if one
    )


def _slower(before: Figure | None, now: Figure) -> float:
    """By what share a path became slower, as `bench kernel` judges unless told otherwise."""
    if before is None or not now.slower or now.low <= before.high or not before.middle:
        return 0.0
    more = (now.middle - before.middle) / abs(before.middle)
    return more if more > THRESHOLD else 0.0


def duration(seconds: float) -> str:
    """A time for people: "45 s", "12 min", "3.1 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def moment(seconds: float) -> str:
    """Seconds since the epoch as "2026-01-02 03:04 UTC"; what is no date as such."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "at no known time"


def clean(words: str) -> str:
    """Words fit to be shown: no control characters, no more than excerpt.CHARACTERS of a line."""
    return "\n".join(shortened(line) for line in words.split("\n"))


def share(of: tuple[int, int]) -> str:
    """Like "3 of 4 (75 %)"."""
    part, whole = of
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none"
