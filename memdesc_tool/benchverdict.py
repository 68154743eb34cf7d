"""What figures of several revisions come to: intervals, noise, and which patch is slower.

A figure of a revision is taken in several boots. Two revisions differ where their intervals
over the boots do not meet and their medians are further apart than the threshold. What both
ends differ in and no patch alone is put down to all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import median

from memdesc_tool.cells import Row
from memdesc_tool.measured import Figure

ATOMICS = "atomics"
"""The unit of what disassembly.py counts."""


@dataclass(frozen=True)
class Taken:
    """A figure of one revision.

    name: in the plan; title, unit: for people; boots: of each boot the median of its samples;
    slower: whether more of it is a slower path, and a failure, or only more to say.
    """

    name: str
    title: str
    unit: str
    boots: tuple[float, ...]
    slower: bool = True

    @property
    def low(self) -> float:
        return min(self.boots)

    @property
    def middle(self) -> float:
        return median(self.boots)

    @property
    def high(self) -> float:
        return max(self.boots)

    @property
    def spread(self) -> float:
        """The width of the interval as a share of the median; 0 where it has no width."""
        width = self.high - self.low
        return width / abs(self.middle) if self.middle else float(width != 0)

    def figure(self, patch: str) -> Figure:
        """For the store; patch: the label of the revision."""
        return Figure(self.title, self.unit, patch, self.low, self.middle, self.high,
                      len(self.boots), self.slower)  # fmt: skip


@dataclass(frozen=True)
class RowFigures:
    """All figures of a revision."""

    row: Row
    figures: tuple[Taken, ...]

    def get(self, name: str) -> Taken | None:
        return next((one for one in self.figures if one.name == name), None)


class Direction(Enum):
    """How a figure has changed."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True)
class Change:
    """A figure that is another one than before; first, last: the rows of the patches that have
    changed it, which are the same row where it is known to be that one.
    """

    first: Row
    last: Row
    before: Taken
    after: Taken

    @property
    def direction(self) -> Direction:
        return Direction.MORE if self.after.middle > self.before.middle else Direction.LESS

    @property
    def share(self) -> float | None:
        """(after - before) / before; None where there was nothing before."""
        if not self.before.middle:
            return None
        return (self.after.middle - self.before.middle) / self.before.middle

    @property
    def slower(self) -> bool:
        """Whether this is a failure."""
        return self.after.slower and self.direction is Direction.MORE

    @property
    def patches(self) -> str:
        """Whom it is put down to, for people."""
        if self.first.number == self.last.number:
            return self.last.label
        return f"patches {self.first.number} to {self.last.number}"


@dataclass(frozen=True)
class Comparison:
    """All that was measured, and what of it has changed. skipped: (row, why) that are missing."""

    rows: tuple[RowFigures, ...]
    changes: tuple[Change, ...]
    noisy: tuple[tuple[Row, Taken], ...]
    skipped: tuple[tuple[Row, str], ...] = ()

    @property
    def word(self) -> str:
        """GOOD, BAD, or INCOMPLETE where not all that was asked for is known."""
        if self.noisy or (self.skipped and not self.slower):
            return "INCOMPLETE"
        return "BAD" if self.slower else "GOOD"

    @property
    def slower(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.slower)


def differ(before: Taken, after: Taken, threshold: float) -> bool:
    """Whether two revisions differ in a figure; threshold: a share of the one before."""
    apart = after.low > before.high or after.high < before.low
    return apart and abs(after.middle - before.middle) > threshold * abs(before.middle)


def compare(
    rows: Sequence[RowFigures],
    every: Sequence[Row],
    threshold: float,
    noise: float,
    skipped: Sequence[tuple[Row, str]] = (),
) -> Comparison:
    """Compare each revision with the one before that was measured.

    rows: in order; every: all rows of the stack, measured or not; threshold, noise: shares; a
    spread above noise makes a figure noisy. What is not stepwise code (Taken.slower is False)
    is exact, and any difference counts.
    """
    changes: list[Change] = []
    for before, after in pairwise(rows):
        first = every[every.index(before.row) + 1]
        changes += _between(before, after, first, threshold)
    if len(rows) > 2:
        known = {change.after.name for change in changes}
        ends = _between(rows[0], rows[-1], every[every.index(rows[0].row) + 1], threshold)
        changes += [change for change in ends if change.after.name not in known]
    noisy = tuple((one.row, taken) for one in rows for taken in one.figures
                  if taken.spread > noise)  # fmt: skip
    return Comparison(tuple(rows), tuple(changes), noisy, tuple(skipped))


def _between(before: RowFigures, after: RowFigures, first: Row, threshold: float) -> list[Change]:
    found = []
    for taken in after.figures:
        old = before.get(taken.name)
        if old and differ(old, taken, threshold if taken.slower else 0.0):
            found.append(Change(first, after.row, old, taken))
    return found
