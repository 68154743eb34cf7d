"""The lines that a series adds and that are still there at its end, each with its patch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memdesc_tool.cells import Row
from memdesc_tool.git import Git

_HEADER = re.compile(r"(?P<commit>[0-9a-f]{40,64}) \d+ (?P<line>\d+)")


@dataclass(frozen=True)
class AddedLine:
    """A line of the last row's tree: number from 1; row: the patch that brought it."""

    file: str
    number: int
    text: str
    row: Row


def added_lines(git: Git, rows: Sequence[Row], paths: Iterable[str]) -> tuple[AddedLine, ...]:
    """The lines of these files that the rows after the first have added."""
    by_commit = {row.commit: row for row in rows[1:]}
    base, tip = rows[0].commit, rows[-1].commit
    found: list[AddedLine] = []
    for path in paths:
        if git.blob(tip, path) is not None:
            found += _of_file(git, path, f"{base}..{tip}", by_commit)
    return tuple(found)


def _of_file(git: Git, path: str, span: str, by_commit: dict[str, Row]) -> list[AddedLine]:
    """Lines that git blame puts down to one of the commits; the base's are its boundary's."""
    out = git.run("blame", "--line-porcelain", span, "--", path, strip=False)
    found, row, number = [], None, 0
    for line in out.split("\n"):
        if line.startswith("\t"):
            if row:
                found.append(AddedLine(path, number, line[1:], row))
        elif header := _HEADER.match(line):
            row, number = by_commit.get(header["commit"]), int(header["line"])
    return found
