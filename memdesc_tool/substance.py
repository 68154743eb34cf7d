"""What a patch does, apart from comments and white space of C.

Two patches do the same where they touch the same files in the same way and change the same
lines in the same place. In doubt they do not: a review is lost rather than wrongly kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from memdesc_tool.diff import Action, FileChange
from memdesc_tool.patch import Patch

_START = b"diff --git "
_BINARY = (b"GIT binary patch", b"Binary files ")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@ ?(.*)")
_BLOBS = re.compile(rb"index ([0-9a-f]{7,})\.\.([0-9a-f]{7,})")
_LITERAL = rb""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' """
_TOKEN = re.compile(rb"(" + _LITERAL + rb") | /\* | //", re.VERBOSE)
_SPACE = re.compile(rb"(" + _LITERAL + rb") | \s+", re.VERBOSE)
_JOINS = re.compile(rb"[\w$]{2} | [-+*/&|<>=!]{2}", re.VERBOSE)
"""Characters on both sides of white space that are something else without it."""
_LICENCE = b"SPDX-License-Identifier"
"""A comment that is more than one."""


@dataclass
class Hunk:
    """A hunk of a diff. first: the number of its first line before the change; place: the
    function that git names behind @@; lines: with their signs.
    """

    first: int
    place: bytes
    lines: list[bytes]


@dataclass
class FileDiff:
    """What a diff does to one file.

    blobs: object ids of the file before and after, as far as the diff has them; binary: the
    lines of a binary change.
    """

    change: FileChange
    blobs: tuple[bytes, bytes] = (b"", b"")
    hunks: list[Hunk] = field(default_factory=list)
    binary: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """A line of a hunk that counts. sign: b" ", b"-" or b"+"; number: in the old file."""

    sign: bytes
    number: int
    text: bytes


def material(old: Patch, new: Patch) -> bool:
    """Whether two patches differ in more than comments and white space of C.

    Where both change nothing else, that is what they are about, and counts.
    """
    before, after = file_diffs(old), file_diffs(new)
    whole = not any(_counts(one) for one in (*before, *after))
    if not whole:
        before = [one for one in before if _counts(one)]
        after = [one for one in after if _counts(one)]
    if len(before) != len(after):
        return True
    return not all(_same(a, b, whole=whole) for a, b in zip(before, after, strict=True))


def file_diffs(patch: Patch) -> list[FileDiff]:
    """The files of a patch, by name. What a mail has below its last hunk is not in it."""
    files: list[FileDiff] = []
    changes = iter(patch.changes)
    lines = iter(patch.diff.split(b"\n"))
    for line in lines:
        if line.startswith(_START):
            files.append(FileDiff(next(changes)))
        elif match := _HUNK.match(line):
            files[-1].hunks.append(_read_hunk(match, lines))
        elif line.startswith(b"\\") and files[-1].hunks:
            files[-1].hunks[-1].lines.append(line)
        elif match := _BLOBS.match(line):
            files[-1].blobs = (match[1], match[2])
        elif files[-1].binary or line.startswith(_BINARY):
            files[-1].binary.append(line)
    return sorted(files, key=lambda one: one.change.names)


def _read_hunk(match: re.Match[bytes], lines: Iterator[bytes]) -> Hunk:
    old, new = (int(count) if count is not None else 1 for count in match.group(2, 3))
    hunk = Hunk(int(match[1]), match[4], [])
    while old > 0 or new > 0:
        line = next(lines) or b" "
        hunk.lines.append(line)
        old -= line[:1] in b" -"
        new -= line[:1] in b" +"
    return hunk


def _counts(one: FileDiff) -> bool:
    """Whether a file is changed in more than comments and white space."""
    change = one.change
    if change.action is not Action.MODIFY or change.old_mode != change.new_mode or one.binary:
        return True
    return any(_changed(lines) for _, lines in _hunks(one, whole=False))


def _same(old: FileDiff, new: FileDiff, *, whole: bool) -> bool:
    """Whether two diffs do the same to one file; whole: comments count."""
    if old.change != new.change:
        return False
    same_start = _same_blob(old.blobs[0], new.blobs[0])
    if same_start and _same_blob(old.blobs[1], new.blobs[1]):
        return True
    if old.binary or new.binary:
        return False
    ours, theirs = list(_hunks(old, whole=whole)), list(_hunks(new, whole=whole))
    if same_start:
        return _all_changed(ours) == _all_changed(theirs)
    return _places(ours) == _places(theirs)


def _same_blob(one: bytes, other: bytes) -> bool:
    """Whether two object ids, either of them perhaps cut short, are of the same content."""
    return bool(one and other) and (one.startswith(other) or other.startswith(one))


_Hunks = Iterable[tuple[bytes, list[Line]]]


def _all_changed(hunks: _Hunks) -> list[Line]:
    """The lines that change, by their numbers, which the same file before gives a meaning."""
    return [line for _, lines in hunks for line in _changed(lines)]


def _places(hunks: _Hunks) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """The lines that change in their context, for files that are not the same before."""
    return [
        (place, [(line.sign, line.text) for line in lines])
        for place, lines in hunks
        if _changed(lines)
    ]


def _changed(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.sign != b" "]


def _hunks(one: FileDiff, *, whole: bool) -> Iterator[tuple[bytes, list[Line]]]:
    """The place and the lines that count of every hunk; whole: all of them."""
    is_c = one.change.new.endswith((".c", ".h")) and not whole
    for hunk in one.hunks:
        yield hunk.place, list(_code_lines(hunk) if is_c else _lines(hunk))


def _lines(hunk: Hunk) -> Iterator[Line]:
    number = hunk.first
    for line in hunk.lines:
        yield Line(line[:1], number, line[1:])
        number += line[:1] in (b" ", b"-")


def _code_lines(hunk: Hunk) -> Iterator[Line]:
    """The lines with code in them; all, where the hunk begins or ends a comment for others."""
    lines = list(_lines(hunk))
    old = _code([line.text for line in lines if line.sign != b"+"])
    new = _code([line.text for line in lines if line.sign != b"-"])
    if (old.begins, old.ends) != (new.begins, new.ends):
        yield from lines
        return
    before, after, counted = iter(old.texts), iter(new.texts), []
    for line in lines:
        was = next(before) if line.sign != b"+" else b""
        becomes = next(after) if line.sign != b"-" else b""
        if line.sign == b" " and was == becomes:
            texts = [(b" ", was)]
        else:
            texts = [(b"-", was), (b"+", becomes)]
        counted += [Line(sign, line.number, text) for sign, text in texts if text]
    for _, group in groupby(counted, lambda line: line.sign == b" "):
        yield from _without_idle(list(group))


def _without_idle(group: list[Line]) -> list[Line]:
    """Lines that change together; context, where they are what they were."""
    old = [line for line in group if line.sign == b"-"]
    if old and [line.text for line in old] == [line.text for line in group if line.sign == b"+"]:
        return [replace(line, sign=b" ") for line in old]
    return group


@dataclass(frozen=True)
class _Code:
    """Lines without comments; begins, ends: whether a comment goes on above and below."""

    texts: list[bytes]
    begins: bool
    ends: bool


def _code(lines: Sequence[bytes]) -> _Code:
    inside = begins = _begins_inside(lines)
    texts = []
    for line in lines:
        text, inside = _without_comments(line, inside)
        texts.append(line if _LICENCE in line else _without_space(text))
    return _Code(texts, begins, inside)


def _begins_inside(lines: Iterable[bytes]) -> bool:
    """Whether a comment is open above: it is closed, and each line until there has its star."""
    for line in lines:
        text = line.strip()
        if not text.startswith(b"*") or b"/*" in text:
            return False
        if b"*/" in text:
            return text.endswith(b"*/")
    return False


def _without_comments(line: bytes, inside: bool) -> tuple[bytes, bool]:
    """A line without its comments, and whether one is open at its end."""
    code, rest = b"", line
    while rest:
        if inside:
            _, end, rest = rest.partition(b"*/")
            inside = not end
            continue
        match = _TOKEN.search(rest)
        if not match:
            return code + rest, False
        code += rest[: match.start()] + (match[1] or b" ")
        if match[0] == b"//":
            return code, False
        inside = match[0] == b"/*"
        rest = rest[match.end() :]
    return code, inside


def _without_space(code: bytes) -> bytes:
    """A line of code without the white space that C does not need."""
    code = code.strip()
    if code.startswith(b"#"):
        return b" ".join(code.split())

    def shorten(match: re.Match[bytes]) -> bytes:
        around = code[match.start() - 1 : match.start()] + code[match.end() : match.end() + 1]
        return match[1] or (b" " if _JOINS.fullmatch(around) else b"")

    return _SPACE.sub(shorten, code)
