"""What a diff in git's format touches, read strictly.

git itself is lenient: it takes a diff without a `diff --git` line, ignores lines that a
hunk's header does not count and cuts one component off names without a/ and b/. Here each
of these is an error, since something else than what its author meant would be applied.
Format: git's Documentation/diff-generate-patch.txt and apply.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

_START = b"diff --git "
_NULL = b"/dev/null"
_HUNK = re.compile(rb"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
_INDEX = re.compile(rb"index [0-9a-f]+\.\.[0-9a-f]+(?: ([0-7]+))?$")
_PREFIX = re.compile(rb"[abciwo]/")
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-3][0-7]{2})')
_CHARACTERS = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13}
_BINARY = (b"GIT binary patch", b"Binary files ", b"Files ")


class DiffError(ValueError):
    """A diff that cannot be understood: at line (from 1) of the diff."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line} of the diff: {problem}")


class Action(Enum):
    """What is done to a file."""

    MODIFY = "modify"
    ADD = "add"
    DELETE = "delete"
    RENAME = "rename"
    COPY = "copy"


@dataclass(frozen=True)
class FileChange:
    """What a diff does to one file.

    old, new: the names, equal unless renamed or copied; old_mode, new_mode: octal digits,
    empty where the diff does not say or there is no such side.
    """

    old: str
    new: str
    action: Action
    old_mode: str = ""
    new_mode: str = ""
    binary: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.old,) if self.old == self.new else (self.old, self.new)


def parse_diff(diff: bytes) -> tuple[FileChange, ...]:
    """Every file that a diff touches, in order. Raises DiffError."""
    lines = _Lines(diff.split(b"\n"))
    changes = []
    while lines.left:
        line = lines.here
        if line.startswith(_START):
            changes.append(_read_file(lines))
            continue
        if line.startswith(b"--- ") and lines.peek(1).startswith(b"+++ "):
            raise lines.error("a diff without a `diff --git` line")
        if line.startswith(b"@@ -"):
            raise lines.error("a hunk that belongs to no file")
        lines.at += 1
    return tuple(changes)


def without_rest(diff: bytes) -> bytes:
    """A diff without what a mail has behind its last file. Raises DiffError."""
    lines, end = _Lines(diff.split(b"\n")), 0
    while lines.left:
        if lines.here.startswith(_START):
            _read_file(lines)
            end = lines.at
        else:
            lines.at += 1
    return b"".join(line + b"\n" for line in lines.lines[:end])


@dataclass
class _Lines:
    """A position in the lines of a diff."""

    lines: list[bytes]
    at: int = 0

    def __post_init__(self) -> None:
        if self.lines and not self.lines[-1]:
            self.lines.pop()  # what follows the last newline

    @property
    def left(self) -> bool:
        return self.at < len(self.lines)

    @property
    def here(self) -> bytes:
        return self.peek(0)

    def peek(self, ahead: int) -> bytes:
        return self.lines[self.at + ahead] if self.at + ahead < len(self.lines) else b""

    def error(self, problem: str) -> DiffError:
        return DiffError(self.at + 1, problem)


@dataclass
class _Header:
    """What the header lines of one file say; names without prefix."""

    names: list[bytes] = field(default_factory=list)
    action: Action = Action.MODIFY
    old: bytes = b""
    new: bytes = b""
    old_mode: str = ""
    new_mode: str = ""
    binary: bool = False


def _read_file(lines: _Lines) -> FileChange:
    start, first = lines.at, lines.here.removeprefix(_START)
    lines.at += 1
    header = _Header()
    while lines.left and _extended(lines, header):
        lines.at += 1
    if lines.here.startswith(_BINARY):
        header.binary = True
        while lines.left and not lines.here.startswith(_START):
            lines.at += 1
    elif lines.here.startswith(b"--- "):
        _name_lines(lines, header)
    while lines.here.startswith(b"@@ -"):
        _skip_hunk(lines)
    return _change(_Lines(lines.lines, start), header, first)


def _extended(lines: _Lines, header: _Header) -> bool:
    """Take in one extended header line; False where this is none."""
    line = lines.here
    for words, action, side in (
        (b"rename from ", Action.RENAME, "old"), (b"rename to ", Action.RENAME, "new"),
        (b"rename old ", Action.RENAME, "old"), (b"rename new ", Action.RENAME, "new"),
        (b"copy from ", Action.COPY, "old"), (b"copy to ", Action.COPY, "new"),
    ):  # fmt: skip
        if line.startswith(words):
            header.action = action
            setattr(header, side, _unquote(lines, line.removeprefix(words)))
            return True
    for words, side in ((b"old mode ", "old"), (b"new mode ", "new"),
                        (b"new file mode ", "new"), (b"deleted file mode ", "old")):  # fmt: skip
        if line.startswith(words):
            mode = line.removeprefix(words).strip().decode("ascii", "replace")
            setattr(header, f"{side}_mode", mode)
            if words.startswith(b"new file"):
                header.action = Action.ADD
            elif words.startswith(b"deleted"):
                header.action = Action.DELETE
            return True
    if match := _INDEX.match(line):
        if match[1]:
            mode = match[1].decode()
            header.old_mode, header.new_mode = header.old_mode or mode, header.new_mode or mode
        return True
    return line.startswith((b"similarity index ", b"dissimilarity index "))


def _name_lines(lines: _Lines, header: _Header) -> None:
    """The --- and +++ lines."""
    for words, gone in ((b"--- ", Action.ADD), (b"+++ ", Action.DELETE)):
        if not lines.here.startswith(words):
            raise lines.error("a --- line without a +++ line")
        text = lines.here.removeprefix(words)
        if not text.startswith(b'"'):
            text = text.partition(b"\t")[0]  # a time may follow, as diff(1) writes it
        if (text == _NULL) != (header.action is gone):
            raise lines.error("/dev/null is for files that are new or deleted, and for all of them")
        if text != _NULL:
            name = _strip(lines, _unquote(lines, text))
            header.names.append(name)
            if header.action in (Action.RENAME, Action.COPY):
                expected = header.old if words == b"--- " else header.new
                if name != expected:
                    raise lines.error("names another file than the rename or copy")
        lines.at += 1


def _skip_hunk(lines: _Lines) -> None:
    match = _HUNK.match(lines.here)
    if not match:
        raise lines.error("a broken hunk header")
    old, new = (int(count) if count is not None else 1 for count in match.groups())
    lines.at += 1
    while old > 0 or new > 0:
        if not lines.left:
            raise lines.error("cut short: the last hunk is not complete")
        kind = lines.here[:1]
        if kind not in (b" ", b"", b"+", b"-", b"\\"):
            raise lines.error("not a line of a diff, though the hunk goes on here")
        old -= kind in (b" ", b"", b"-")
        new -= kind in (b" ", b"", b"+")
        lines.at += 1
    if old or new:
        raise lines.error("the hunk's lines are not those that its header counts")
    if lines.here.startswith(b"\\"):
        lines.at += 1
    if lines.here.startswith((b"+", b" ")) or re.match(rb"-(?!-)", lines.here):
        raise lines.error("the hunk goes on after the lines that its header counts")


def _change(lines: _Lines, header: _Header, first: bytes) -> FileChange:
    """Put together what the header says; every name in it must be the same file."""
    if header.action in (Action.RENAME, Action.COPY):
        if not header.old or not header.new:
            raise lines.error("half a rename or copy")
        if (header.old, header.new) not in _pairs(lines, first):
            raise lines.error("names other files than its rename or copy")
    else:
        same = [old for old, new in _pairs(lines, first) if old == new]
        if not same:
            raise lines.error("two names that are neither a/NAME b/NAME nor a rename")
        if any(name not in same for name in header.names):
            raise lines.error("another name follows in its --- or +++ line")
        header.old = header.new = header.names[0] if header.names else same[0]
    return FileChange(
        _text(header.old), _text(header.new), header.action, header.old_mode, header.new_mode,
        header.binary,
    )  # fmt: skip


def _pairs(lines: _Lines, text: bytes) -> list[tuple[bytes, bytes]]:
    """The ways in which the rest of a `diff --git` line can be two names."""
    places = [match.start() for match in re.finditer(b" ", text)]
    if len(places) > 200:
        raise lines.error("a name with hundreds of spaces")
    pairs = []
    for place in places:
        both = text[:place], text[place + 1 :]
        if all(_whole(name) for name in both):
            names = [_unquote(lines, name) for name in both]
            if all(_PREFIX.match(name) for name in names):
                pairs.append((names[0][2:], names[1][2:]))
    if not pairs:
        raise lines.error("names without a/ and b/ (made with diff.noprefix?)")
    return pairs


def _whole(name: bytes) -> bool:
    """Whether it is a plain name, or one from quote to quote."""
    if not name.startswith(b'"'):
        return b'"' not in name
    return re.fullmatch(rb'"([^"\\]|\\.)*"', name) is not None


def _strip(lines: _Lines, name: bytes) -> bytes:
    if not _PREFIX.match(name):
        raise lines.error("a name without a/ or b/ (made with diff.noprefix?)")
    return name[2:]


def _unquote(lines: _Lines, name: bytes) -> bytes:
    """A name as git writes it: in quotes and with escapes where it has odd bytes."""
    if not name.startswith(b'"'):
        return name
    inner = name[1:-1]
    if not _whole(name) or len(name) < 2 or b"\\" in _ESCAPE.sub(b"", inner):
        raise lines.error("a broken quoted name")
    return _ESCAPE.sub(_character, inner)


def _character(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code.isdigit():
        return bytes([int(code, 8)])
    return bytes([_CHARACTERS[code]]) if code in _CHARACTERS else code


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="surrogateescape")
