"""A document or subtest of a KTAP log while it is being read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


def name_cases(records: Iterable[Record]) -> tuple[tuple[Case, ...], list[Case]]:
    """The cases of complete documents, each with an id of its own, and those that repeat one.

    Sets the id of every record.
    """
    cases = []
    repeated = []
    used: set[str] = set()
    repeats: dict[str, int] = {}
    for record in records:
        path = record.frame.path
        name = ".".join((*path, record.name)) if path else record.name
        repeat = 1
        record.id = name
        while record.id in used:
            repeat = repeats.get(name, 1) + 1
            repeats[name] = repeat
            record.id = f"{name}#{repeat}"
        used.add(record.id)
        case = Case(
            path,
            record.name,
            record.status,
            record.number,
            record.text,
            record.diagnostics,
            record.line,
            record.document,
            repeat,
        )
        cases.append(case)
        if repeat > 1:
            repeated.append(case)
    return tuple(cases), repeated
