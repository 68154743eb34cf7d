"""Lines of a console log: read in one pass, bounded in length, cleaned, prefixes told apart.

A log is bytes that nobody vouches for: NULs from a serial line, CR LF, terminal escapes, lines
of a megabyte, broken UTF-8. Nothing here raises for any content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

BLOCK = 1 << 18
HALF_LINE = 4096
"""Bytes kept of the beginning and of the end of a longer line; printk lines have at most 1024."""

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
_PRINTK = rb"(?:\[ *\d+\.\d+\](?: ?\[ *[TC]\d+\])?|\[ *[TC]\d+\])"
STAMP = rb"(?:<\d{1,3}>)?(?:" + _PRINTK + rb" ?)?"
"""What printk puts before a message: a level, a time stamp, a caller id; then one space
(kernel/printk/printk.c, info_print_prefix())."""
_SYSLOG = rb"(?:\w{3} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\d[T ][\d:.,+-]+Z?) (?:\S+ )?kernel: "
_SPLIT = re.compile(rb"(?:" + _SYSLOG + rb")?" + STAMP)
_CALLER = re.compile(rb"\[ *([TC]\d+)\]")
EMBEDDED = re.compile(rb"(?:<\d>)?\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? ")
"""A printk prefix in the middle of a line: a message that met an unfinished line."""


class LineReader:
    """The lines of stream, numbered from 1; iterate once.

    on_block is told the bytes of which the next lines are made, before they come: what is not
    in them is in none of the lines. unterminated: after the last line, whether it lacked its
    newline.
    """

    def __init__(self, stream: BinaryIO, on_block: Callable[[bytes], object] | None = None) -> None:
        self._stream = stream
        self._on_block = on_block
        self.unterminated = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Pairs of line number and line, without newline, NUL, CR and terminal escapes.

        A CR inside of a line ends it as a newline does (progress bars), with the same number.
        """
        number = 0
        rest = b""
        while block := self._stream.read(BLOCK):
            if b"\0" in block:
                block = block.replace(b"\0", b"")
            block = rest + block
            lines = block.split(b"\n")
            rest = _shorten(lines.pop())
            plain = b"\r" not in block and b"\x1b" not in block
            if not plain:
                block = _ESCAPE.sub(b"", block)
            if self._on_block and lines:
                self._on_block(block)
            for line in lines:
                number += 1
                if plain and len(line) <= 2 * HALF_LINE:
                    yield number, line
                else:
                    for part in _clean(line):
                        yield number, part
        if rest:
            self.unterminated = True
            if self._on_block:
                self._on_block(_ESCAPE.sub(b"", rest))
            for part in _clean(rest):
                yield number + 1, part


def _shorten(line: bytes) -> bytes:
    if len(line) <= 2 * HALF_LINE:
        return line
    return line[:HALF_LINE] + line[-HALF_LINE:]


def _clean(line: bytes) -> list[bytes]:
    line = _shorten(line)
    if b"\x1b" in line:
        line = _ESCAPE.sub(b"", line)
    parts = [part for part in line.split(b"\r") if part]
    return parts or [b""]


def split_prefix(line: bytes) -> tuple[bytes, bytes]:
    """The prefix of line, syslog's and printk's ("" if there is none), and what follows."""
    found = _SPLIT.match(line)
    end = found.end() if found else 0
    return line[:end], line[end:]


def caller(prefix: bytes) -> bytes:
    """The caller id in a prefix: b"T123", b"C0", or b""."""
    found = _CALLER.search(prefix)
    return found[1] if found else b""


def text(raw: bytes) -> str:
    """raw as text; what is no UTF-8 becomes \\xNN, so that different bytes stay different."""
    return raw.decode("utf-8", "backslashreplace")
