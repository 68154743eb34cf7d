"""The table of a regression run: rows are revisions, columns are suites on an arch and a
config, and a cell is what a row came to in a column, compared with the row before it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from memdesc_tool import kconfig
from memdesc_tool.baseline import (
    BAD,
    OBJECT,
    RUN,
    SOURCE,
    WARNING,
    Change,
    Known,
    compare,
    is_case,
    worst,
)
from memdesc_tool.kconfig import Fragment
from memdesc_tool.results import Attempt, Outcome, Verdict
from memdesc_tool.suites import Suite


@dataclass(frozen=True)
class Row:
    """A revision to test: number 0 is the base; label is for people; commit is its state.

    place: what the state is in the history of its series, "fixes v2 3/9", or its subject in a
    range of commits; "" where it has none.
    """

    number: int
    label: str
    commit: str
    place: str = ""


class Strategy(Enum):
    """Which rows of a column are run."""

    EVERY = "every"
    ENDS = "ends"
    """The first and the last; what differs is put down to the last."""
    BISECT = "bisect"
    """The first and the last, and between two rows that differ the one in the middle."""


@dataclass(frozen=True)
class Variant:
    """How a column's kernel differs from what suite and arch ask for.

    name: for people, "" for no difference; base: make's target that the config begins with
    ("defconfig"), "" for none; fragments: laid over everything else, in order;
    make_options: X=Y for make (LLVM=1, W=1).
    """

    name: str = ""
    base: str = ""
    fragments: tuple[Path, ...] = ()
    make_options: tuple[str, ...] = ()

    @property
    def fragment(self) -> Fragment:
        return Fragment().merge(*(kconfig.read(path) for path in self.fragments))

    @property
    def inputs(self) -> dict[str, str]:
        """What of it could change an outcome; nothing for the plain variant."""
        parts = {"base": self.base, "variant": self.fragment.key if self.fragments else "",
                 "make": " ".join(self.make_options)}  # fmt: skip
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True)
class Column:
    """A suite on an arch, in a variant of its config."""

    suite: Suite
    arch: str
    strategy: Strategy = Strategy.EVERY
    variant: Variant = Variant()

    @property
    def name(self) -> str:
        variant = f"+{self.variant.name}" if self.variant.name else ""
        return f"{self.suite.name}/{self.arch}{variant}"

    @property
    def fragment(self) -> Fragment:
        """The options that suite and variant ask for."""
        own = Fragment().merge(*(kconfig.read(path) for path in self.suite.configs))
        return own.merge(self.variant.fragment)


_IN_OBJECT = re.compile(r" \((\S+\.o)\)$")


@dataclass(frozen=True)
class Cell:
    """A row's results in a column, compared with the last row before it that was run.

    cases: verdicts by case over all attempts; changes: of cases that are not known
    failures; known: failing cases that are; inherited: not run, since it differs from a state
    that was in nothing that the run had read; after: for each change the
    number of the row that tells what was before.
    """

    row: Row
    column: Column
    attempts: tuple[Attempt, ...]
    cases: Mapping[str, tuple[Verdict, ...]]
    changes: Mapping[str, Change] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    inherited: bool = False
    after: Mapping[str, int] = field(default_factory=dict)

    def among(self, case: str) -> str:
        """Like "1..23": the rows that a change may come from; "" where it is this one alone."""
        first = self.after.get(case, self.row.number - 1) + 1
        return "" if first == self.row.number else f"{first}..{self.row.number}"

    @property
    def failing(self) -> tuple[str, ...]:
        """Cases that fail and are not known to."""
        return tuple(
            name
            for name, verdicts in self.cases.items()
            if worst(verdicts) is Verdict.FAILED and name not in self.known
        )

    @property
    def flaky(self) -> tuple[str, ...]:
        """Cases that fail in some of the attempts on the same inputs, and not in all."""
        return tuple(
            name
            for name, verdicts in self.cases.items()
            if Verdict.FAILED in verdicts and len(set(verdicts)) > 1
        )

    @property
    def telling(self) -> Attempt | None:
        """The attempt whose log says why the cell is as it is; None where there is none.

        The last one that did not come to its end, else the last in which something failed that
        is not known to, else, where a case regressed by being skipped, the last that skipped it;
        else the last.
        """
        latest = self.attempts[::-1]

        def with_result(verdict: Verdict, names: Container[str]) -> list[Attempt]:
            return [a for a in latest if any(r.verdict is verdict and r.name in names
                                             for r in a.results)]  # fmt: skip

        bad = {name for name, change in self.changes.items() if change in BAD}
        wanted = (
            [attempt for attempt in latest if attempt.outcome is not Outcome.RAN],
            with_result(Verdict.FAILED, self.cases.keys() - set(self.known)),
            with_result(Verdict.SKIPPED, bad),
            latest,
        )
        return next((found[0] for found in wanted if found), None)

    def count(self, verdict: Verdict) -> int:
        """How many cases came to verdict."""
        return sum(
            worst(verdicts) is verdict for name, verdicts in self.cases.items() if is_case(name)
        )

    @property
    def broken(self) -> Outcome | None:
        """The first way in which a run did not come to its end; None where all did."""
        return next((a.outcome for a in self.attempts if a.outcome is not Outcome.RAN), None)

    @property
    def not_compiled(self) -> frozenset[str]:
        """The objects that an error kept from being made: what they would warn of is unknown."""
        return frozenset(
            name.removeprefix(OBJECT)
            for name, verdicts in self.cases.items()
            if name.startswith(OBJECT) and worst(verdicts) is Verdict.FAILED
        )

    def object_of(self, case: str) -> str:
        """The object whose compilation warned so; empty for another case."""
        found = _IN_OBJECT.search(self.detail(case)) if case.startswith(WARNING) else None
        return found[1] if found else ""

    def sources(self, verdict: Verdict) -> frozenset[str]:
        """The C files and headers of the series compiled (PASSED) or left out (SKIPPED)."""
        return frozenset(
            name.removeprefix(SOURCE)
            for name, verdicts in self.cases.items()
            if name.startswith(SOURCE) and worst(verdicts) is verdict
        )

    def detail(self, case: str) -> str:
        """Why a case failed, or was skipped, in a few words; empty where it did neither or
        nothing is known.
        """
        if case == RUN:
            told = self.telling
            return (told.detail or told.outcome.value) if told else ""
        verdict = worst(self.cases.get(case, ()))
        for attempt in reversed(self.attempts):
            for result in attempt.results:
                if result.name == case and result.verdict is verdict is not Verdict.PASSED:
                    return result.detail
        return ""


@dataclass(frozen=True)
class Trouble:
    """A cell that could not be run, for reasons that are not the kernel's."""

    row: Row
    column: Column
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Regression:
    """What a walk found. cells: by row number, then column name; rows that a column's
    strategy left out have none. troubles: columns that could not be walked to their end.
    unmatched: known failures whose cases ran and failed nowhere; unseen: those of which no case
    ran in the columns that they are about.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[int, str], Cell]
    unmatched: tuple[Known, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    unseen: tuple[Known, ...] = ()

    def of_row(self, row: Row) -> tuple[Cell, ...]:
        every = (self.cells.get((row.number, column.name)) for column in self.columns)
        return tuple(cell for cell in every if cell)

    def changed(self, *wanted: Change) -> tuple[tuple[Cell, str, Change], ...]:
        """The (cell, case, change) of every change that is one of wanted."""
        return tuple(
            (cell, case, change)
            for row in self.rows
            for cell in self.of_row(row)
            for case, change in cell.changes.items()
            if change in wanted
        )

    @property
    def regressed(self) -> tuple[tuple[Cell, str, Change], ...]:
        return self.changed(*BAD)

    @property
    def failing_at_tip(self) -> tuple[tuple[Cell, str], ...]:
        """Cases that still fail after the last patch; of a column that only compiles, those
        that the base did not have, there or in another place.
        """
        return tuple(
            (cell, case) for cell in self.of_row(self.rows[-1]) for case in self._failing_by(cell)
        )

    def _failing_by(self, cell: Cell) -> Iterator[str]:
        """The cases of a cell that fail, but for those that it has from the base."""
        first = self.cells.get((self.rows[0].number, cell.column.name))
        if not cell.column.suite.compiles or first is None:
            yield from cell.failing
            return
        since = compare(first.cases, cell.cases)
        for case in cell.failing:
            there = case in first.failing or since.get(case) is Change.MOVED
            if not there and cell.object_of(case) not in first.not_compiled:
                yield case

    @property
    def missing(self) -> tuple[tuple[Row, Column], ...]:
        """The cells that the columns' strategies ask for and of which nothing is known."""
        ends = self.rows[:1] + self.rows[-1:]
        return tuple(
            (row, column)
            for column in self.columns
            for row in (self.rows if column.strategy is Strategy.EVERY else ends)
            if (row.number, column.name) not in self.cells
        )

    @property
    def passed_anything(self) -> bool:
        """Whether a case passed after the last patch, in every column."""
        return not self.passed_nothing

    @property
    def passed_nothing(self) -> tuple[Column, ...]:
        """The columns in which no case passed after the last patch."""
        cells = self.of_row(self.rows[-1])
        return tuple(cell.column for cell in cells if not cell.count(Verdict.PASSED))

    @property
    def left_out(self) -> tuple[str, ...]:
        """The C files and headers of the series that no column compiles at the end."""
        cells = self.of_row(self.rows[-1])
        every = {path for cell in cells for path in cell.sources(Verdict.SKIPPED)}
        return tuple(sorted(every - self._compiled))

    @property
    def _compiled(self) -> frozenset[str]:
        cells = self.of_row(self.rows[-1])
        return frozenset(path for cell in cells for path in cell.sources(Verdict.PASSED))

    @property
    def compiled_nothing(self) -> bool:
        """Whether there are only columns that compile, and none compiled a file of the series."""
        only = all(column.suite.compiles for column in self.columns)
        return only and bool(self.left_out) and not self._compiled

    @property
    def good(self) -> bool:
        bad = self.regressed or self.failing_at_tip or self.compiled_nothing
        return not bad and self.passed_anything
