"""A document or subtest of a KTAP log while it is being read."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from memdesc_tool.cases import Case, Status

MANY = 100
"""More missing results than this are counted in one case."""


@dataclass(slots=True, eq=False)
class Frame:
    """One version line, `# Subtest:` line or plan, and the results that follow it.

    indent: its column. line: where it begins. name: from its header, then from its result
    line. plan: announced results; None: none announced. count: results so far. next: the
    number expected next. hint: what diagnostics named as running when it began.
    """

    indent: int
    line: int
    parent: Frame | None = None
    name: str = ""
    tap: bool = False
    version: bool = False
    hashed: bool = False
    plan: int | None = None
    skip_all: str | None = None
    count: int = 0
    next: int = 1
    failed: bool = False
    hint: str = ""
    bailed: bool = False
    seen: set[int] | None = None
    _path: tuple[str, ...] | None = None

    @property
    def fresh(self) -> bool:
        """Whether nothing but headers was read yet."""
        return self.plan is None and self.count == 0

    @property
    def full(self) -> bool:
        """Whether all that was announced has come."""
        return self.plan is not None and self.count >= self.plan

    @property
    def flat(self) -> bool:
        """Whether indentation does not tell it from what it is part of."""
        return self.parent is not None and self.parent.indent == self.indent

    @property
    def path(self) -> tuple[str, ...]:
        """Names down to this one; ask only when the document is complete."""
        if self._path is None:
            above = self.parent.path if self.parent else ()
            self._path = (*above, self.name) if self.name else above
        return self._path

    def take(self, number: int) -> bool:
        """Count a result of this number; whether the number was the expected one."""
        self.count += 1
        right = number == self.next
        if not right and self.seen is None:
            self.seen = set(range(1, self.next))
        if self.seen is not None:
            self.seen.add(number)
        self.next = number + 1
        return right

    def missing(self) -> Iterator[tuple[int, int]]:
        """Ranges (first, last) of numbers that never came.

        With a plan as many as it lacks, whatever the numbers were; else the gaps.
        """
        if self.plan is not None:
            lacking = self.plan - self.count
        elif self.seen:
            lacking = max(self.seen) - len(self.seen)
        else:
            lacking = 0
        number = 0
        given = 0
        seen = self.seen
        while lacking > 0:
            if seen is None:
                number = max(number, self.next - 1)
            number += 1
            if seen is not None and number in seen:
                continue
            if given == MANY:
                yield number, number + lacking - 1
                return
            yield number, number
            given += 1
            lacking -= 1


@dataclass(slots=True)
class Record:
    """A leaf result whose path is not complete yet; see cases.Case."""

    frame: Frame
    name: str
    status: Status
    number: int
    text: str
    diagnostics: tuple[str, ...]
    line: int
    document: int
    id: str = ""

    def case(self, path: tuple[str, ...], repeat: int) -> Case:
        """The case that it is, now that the path is known."""
        return Case(path, self.name, self.status, self.number, self.text, self.diagnostics,
                    self.line, self.document, repeat)  # fmt: skip


@dataclass(slots=True, eq=False)
class Run:
    """Passed tests of one frame, one after the other: names and lines; next: the next number."""

    frame: Frame
    next: int
    document: int
    names: list[str] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("Q"))

    def cases(self, path: tuple[str, ...], repeats: Iterable[int]) -> Iterator[Case]:
        """The cases that they are, now that the path is known."""
        always = itertools.repeat
        first = self.next - len(self.names)
        return map(
            Case._make,
            zip(always(path), self.names, always(Status.PASSED), itertools.count(first),
                always(""), always(()), self.lines, always(self.document), repeats),
        )  # fmt: skip


class _Ids:
    """The ids that are given, as sets of last parts by what is before their last dot."""

    def __init__(self) -> None:
        self._used: dict[str, set[str]] = {}
        self._repeats: dict[str, int] = {}

    def take(self, above: str, name: str) -> int:
        """Give the id above.name; 1, or the number of the repeat where it was given before."""
        if self._free(above, name):
            return 1
        key = f"{above}.{name}" if above else name
        repeat = self._repeats.get(key, 1) + 1
        while not self._free(above, f"{name}#{repeat}"):
            repeat += 1
        self._repeats[key] = repeat
        return repeat

    def take_all(self, above: str, names: list[str]) -> bool:
        """Give the ids of all names if none can have been given before; whether they are."""
        if above in self._used or "." in "".join(names):
            return False
        different = set(names)
        if len(different) < len(names):
            return False
        self._used[above] = different
        return True

    def _free(self, above: str, name: str) -> bool:
        if "." in name:
            before, _, name = name.rpartition(".")
            above = f"{above}.{before}" if above else before
        used = self._used.setdefault(above, set())
        count = len(used)
        used.add(name)
        return len(used) > count


def name_cases(records: list[Record | Run]) -> tuple[tuple[Case, ...], list[Case]]:
    """The cases of complete documents, each with an id of its own, and those that repeat one.

    Sets the id of every Record. Uses records up, so that never all is there twice.
    """
    cases: list[Case] = []
    repeated: list[Case] = []
    ids = _Ids()
    records.reverse()
    while records:
        record = records.pop()
        path = record.frame.path
        above = ".".join(path)
        if isinstance(record, Run):
            if ids.take_all(above, record.names):
                repeats: Iterable[int] = itertools.repeat(1)
            else:
                repeats = [ids.take(above, name) for name in record.names]
            found = list(record.cases(path, repeats))
        else:
            found = [record.case(path, ids.take(above, record.name))]
            record.id = found[0].id
        cases += found
        repeated += [case for case in found if case.repeat > 1]
    return tuple(cases), repeated
