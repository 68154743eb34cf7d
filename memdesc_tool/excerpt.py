"""A part of a log that can be shown: bounded in lines and bytes, whatever the log is.

Of a log only its ends are read, HEAD_BYTES and TAIL_BYTES at most; what was left out is said.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from memdesc_tool import consolelog
from memdesc_tool.errors import UserError, one_line
from memdesc_tool.files import read_ends
from memdesc_tool.logline import LineReader, text
from memdesc_tool.problems import problems, problems_by_case

HEAD_BYTES, TAIL_BYTES = 1_000_000, 2_000_000
"""What is read of a log."""
PROBLEM_LINES = 120
"""Lines of failures and splats."""
TAIL_LINES = 60
"""Lines of the end of a log in which something went wrong."""
QUIET_LINES = 12
"""The same where nothing did."""
CHARACTERS = 400
"""Of a line."""
CASES, CASE_LINES = 100, 40
"""Cases that have lines of their own, and how many each."""


@dataclass(frozen=True)
class Excerpt:
    """What is shown of a log.

    problems: failures and splats, with the lines that explain each; end: its last lines; note:
    what was left out, or why there is nothing; cases: of the first CASES that failed, by name, the
    lines that explain it; all without control characters.
    """

    problems: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    note: str = ""
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_excerpt(path: Path, *, bad: bool, console: bool = True) -> Excerpt:
    """What is to be shown of the log at path; bad: something went wrong in it; console: it is a
    kernel's or a test's, which may have results and splats in it, not a compiler's.

    A log that is gone or cannot be read is an excerpt that says so.
    """
    try:
        head, tail, size = read_ends(path, HEAD_BYTES, TAIL_BYTES)
    except FileNotFoundError:
        return Excerpt(note="the log is not there any more")
    except UserError as error:
        return Excerpt(note=error.message.removeprefix(f"{path}: "))
    found: tuple[str, ...] = ()
    cases: dict[str, tuple[str, ...]] = {}
    notes = []
    if size > len(head) + len(tail):
        notes.append(f"of {size:,} bytes the first {len(head):,} and the last {len(tail):,} are"
                     " looked at")  # fmt: skip
    if bad and console:
        report = consolelog.read(io.BytesIO(head + b"\n" + tail if tail else head))
        for name, said in islice(problems_by_case(report), CASES):
            cases[name] = tuple(shortened(line) for line in said[:CASE_LINES])
        lines = problems(report)
        found = tuple(shortened(line) for line in islice(lines, PROBLEM_LINES))
        if next(lines, None) is not None:
            notes.append(f"of failures and splats the first {PROBLEM_LINES} lines are shown")
    every, end = _last(tail or head, TAIL_LINES if bad else QUIET_LINES)
    if every > len(end) or tail:
        notes.append(f"of the log the last {len(end)} lines are shown")
    return Excerpt(found, end, "; ".join(notes), cases)


def shortened(line: str) -> str:
    """A line that can be shown: no control characters, CHARACTERS at most and a note."""
    if len(line) <= CHARACTERS:
        return _plain(line)
    return f"{_plain(line[:CHARACTERS])} [{len(line) - CHARACTERS} characters more]"


def _plain(line: str) -> str:
    return one_line(line.replace("\t", "    "))


def _last(data: bytes, count: int) -> tuple[int, tuple[str, ...]]:
    """How many lines there are, and the last count of them."""
    every = 0
    kept: list[str] = []
    for line in _lines(data):
        every += 1
        kept.append(line)
        if len(kept) > 2 * count:
            del kept[:-count]
    return every, tuple(shortened(line) for line in kept[-count:])


def _lines(data: bytes) -> Iterator[str]:
    for _, line in LineReader(io.BytesIO(data)):
        yield text(line)
