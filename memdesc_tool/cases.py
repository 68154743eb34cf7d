"""What a test log says: cases, suites, and what was odd about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Status(Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAIL = "xfail"
    """Failed as expected."""
    XPASS = "xpass"
    """Passed although a failure was expected: counts as a failure."""
    TIMEOUT = "timeout"
    ERROR = "error"
    """The test itself could not do its work (directive ERROR, Bail out!)."""
    CRASHED = "crashed"
    """The kernel crashed while it ran."""
    MISSING = "missing"
    """Announced by a plan or a header, never reported."""

    def __init__(self, word: str) -> None:
        self.error = word in ("error", "crashed", "missing")
        """Whether the failure says nothing of what the case tests (JUnit's `error`)."""
        self.failed = self.error or word in ("failed", "xpass", "timeout")
        """Whether a run with such a case is not good."""
        self.skipped = word == "skipped"
        """Whether the case did not run by its own decision."""
        self.ran = word not in ("skipped", "missing")
        """Whether the case ran, at least in part."""


class Case(NamedTuple):
    """One leaf result, or a suite that failed by itself. A tuple: a log may have a million.

    path: names of the suites above it, outermost first. name: as in the log; "(test 3)" where
    the log has none. number: its number in the log. text: directive and diagnostic data after
    the `#`. diagnostics: the lines before its result, for failures only. line: number of its
    result line (of the last line of its document if there is none). document: number of its
    document in the log, from 1. repeat: 2 for the second case of the same path and name, ...
    """

    path: tuple[str, ...]
    name: str
    status: Status
    number: int
    text: str = ""
    diagnostics: tuple[str, ...] = ()
    line: int = 0
    document: int = 1
    repeat: int = 1

    @property
    def id(self) -> str:
        """Unique in the log: "suite.case", "suite.case#2" for the second of that name."""
        suffix = f"#{self.repeat}" if self.repeat > 1 else ""
        return ".".join((*self.path, self.name)) + suffix


@dataclass(frozen=True, slots=True)
class Suite:
    """A result that has results below it. status: what counts, its children included."""

    path: tuple[str, ...]
    name: str
    status: Status
    number: int
    text: str = ""
    line: int = 0

    @property
    def id(self) -> str:
        return ".".join((*self.path, self.name))


class OddityKind(Enum):
    """What a log can have that the format does not."""

    NO_VERSION = "results without a version line"
    UNKNOWN_VERSION = "unknown version"
    NO_PLAN = "no plan"
    LATE_PLAN = "plan after results"
    DUPLICATE_PLAN = "second plan"
    BEYOND_PLAN = "result beyond the plan"
    WRONG_NUMBER = "wrong number"
    NO_NUMBER = "result without a number"
    DUPLICATE_NAME = "duplicate name"
    NAME_MISMATCH = "result name differs from its header"
    FLAT = "nested results without indentation"
    EMPTY = "header without results"
    CONTRADICTION = "result contradicts its directive"
    PARENT_OK = "parent ok, child failed"
    PARENT_NOT_OK = "parent not ok, no child failed"
    GLUED = "result in the middle of a line"
    BAILED_OUT = "bailed out"
    INCOMPLETE = "results missing"
    TRUNCATED = "last line is not complete"


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something odd at a line of the log."""

    kind: OddityKind
    text: str
    line: int


@dataclass(frozen=True)
class Document:
    """All results of one log, of all its KTAP documents.

    documents: how many of them there were. incomplete: announced results never came.
    oddities: the first ones; oddity_count is how many there were of each kind.
    """

    cases: tuple[Case, ...] = ()
    suites: tuple[Suite, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    documents: int = 0
    bailed_out: bool = False
    incomplete: bool = False
    oddity_count: dict[OddityKind, int] = field(default_factory=dict)

    def counts(self) -> dict[Status, int]:
        """How many cases ended in each way; only what occurs."""
        found = Counter(case.status.value for case in self.cases)
        return {status: found[status.value] for status in Status if found[status.value]}

    @property
    def failures(self) -> tuple[Case, ...]:
        """The cases that make the run bad."""
        return tuple(case for case in self.cases if case.status.failed)

    @property
    def failed(self) -> bool:
        """Whether anything failed; an empty log has not failed (see `found`)."""
        return self.bailed_out or any(case.status.failed for case in self.cases)

    @property
    def found(self) -> bool:
        """Whether the log has results at all."""
        return bool(self.cases)

    @property
    def ran(self) -> bool:
        """Whether any case ran: False if all were skipped."""
        return any(case.status.ran for case in self.cases)
