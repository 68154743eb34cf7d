"""Results of KTAP, TAP and kselftest output, anywhere in a console log.

One pass; memory grows with the cases, not with the bytes. A log is taken as it comes: prefixes,
interleaved messages, lost lines, several documents. What was announced and never came is an
error (Status.MISSING, or CRASHED where the kernel died), what does not fit is kept and named as
odd. Nothing here raises for any content.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import BinaryIO

from memdesc_tool import ktapline
from memdesc_tool.cases import Case, Document, Oddity, OddityKind, Status, Suite
from memdesc_tool.ktaptree import NOTE_BYTES, Tree
from memdesc_tool.logline import EMBEDDED, LineReader, split_prefix, text

__all__ = ["Case", "Document", "Oddity", "OddityKind", "Parser", "Status", "Suite", "parse"]

_PANIC = b"Kernel panic - not syncing"
_STAMPS = (b"[", b"<")
_WORDS = re.compile(rb"ok|\.\.|AP ver|Subtest|ktap_|panic|Bail").search
"""Finds nothing in a line that is a message and no more; quicker than `in` for each."""
_PLAIN = ktapline.PLAIN.match


def parse(stream: BinaryIO) -> Document:
    """The results in stream, read to its end."""
    parser = Parser()
    reader = LineReader(stream)
    for number, line in reader:
        parser.feed(number, line)
    return parser.finish(unterminated=reader.unterminated)


class Parser:
    """Feed it the lines of a log, then call finish() once.

    claim() and owner() attribute something else in the log to the test that was running.
    """

    def __init__(self) -> None:
        self._tree = Tree()
        self._learned: re.Pattern[bytes] | None = None
        self.finish = self._tree.finish
        self.claim = self._tree.claim
        self.owner = self._tree.owner
        self.crash = self._tree.crash

    def feed(self, number: int, line: bytes) -> None:
        """Take the line of this number; anything goes."""
        tree = self._tree
        tree.line = number
        if _WORDS(line) is None:
            if tree.open:
                tree.note(line)
            return
        if plain := _PLAIN(line):
            prefix, lead, digits, name = plain.groups()
            if tree.passed(prefix is not None, len(lead), int(digits), name.decode()):
                return
        if b"[" in line[1:] and b"ok " in line and len(parts := _split(line)) > 1:
            tree.odd_at(OddityKind.GLUED, text(line[:NOTE_BYTES]))
            for part in parts:
                self._one(part)
        else:
            self._one(line)

    def _one(self, line: bytes) -> None:
        token = ktapline.TOKEN.match(line)
        if token is None:
            if b" kernel: " in line:
                line = split_prefix(line)[1]
                token = ktapline.TOKEN.match(line)
            elif self._learned is not None and (learned := self._learned.match(line)):
                line = line[learned.end() :]
                token = ktapline.TOKEN.match(line)
        if token is not None:
            self._token(token, line)
        elif b"AP version " in line and (version := ktapline.VERSION.match(line)):
            self._learn(version)
            self._token(version, line)
        elif self._tree.open:
            self._other(line)
        if _PANIC in line:
            self._tree.crash()

    def _token(self, token: re.Match[bytes], line: bytes) -> None:
        tree = self._tree
        stamped = token["prefix"][:1] in _STAMPS
        lead = token["lead"]
        indent = ktapline.width(lead) if lead else 0
        hashed = b"#" in lead
        kind = token.lastgroup
        rest = line[token.end() :]
        if kind in ("result", "number"):
            ok = token["result"] == b"ok"
            passed = ok and not (hashed and ktapline.result(ok, rest).status.failed)
            if hashed and not tree.hashed(stamped, indent, passed, token["number"]):
                tree.note(line)
            else:
                tree.result(stamped, indent, ok, token["number"], rest)
        elif kind == "plan":
            tree.plan(stamped, indent, hashed, ktapline.number(token["plan"]), rest)
        elif kind == "version":
            tree.version(stamped, indent, hashed, token["kind"] == b"TAP", token["version"])
        elif kind == "bail":
            tree.bail(stamped, indent, text(rest).strip())
        else:
            tree.subtest(stamped, indent, text(token["subtest"] or token["meta"] or b"").strip())

    def _other(self, line: bytes) -> None:
        """A line that is no result by itself: a diagnostic, a message, a glued result."""
        if b"not ok" in line and self._glued(line):
            return
        self._tree.note(line)

    def _glued(self, line: bytes) -> bool:
        """Whether a failure was found that is not where a result belongs.

        `ok` is not looked for: a result that is not there must not hide that one is missing.
        """
        prefix, body = split_prefix(line)
        stamped = prefix != b""
        stripped = body.lstrip()
        indent = ktapline.width(body[: len(body) - len(stripped)])
        if found := ktapline.NOT_OK.match(stripped):
            self._tree.result(stamped, indent, False, None, stripped[found.end() :])
            return True
        if stripped.startswith(b"#"):
            return False
        for found in ktapline.GLUED.finditer(body):
            if self._tree.glued(stamped, found["number"], body[found.end() :]):
                return True
        return False

    def _learn(self, version: re.Match[bytes]) -> None:
        """Learn a prefix that we do not know from the version line behind it.

        Numbers in it may change and grow; the white space after it is not learned, but for the
        one space that separates.
        """
        prefix = version["prefix"]
        parts = re.split(rb"([ \t]*\d+|[ \t]+)", prefix)
        shape = b"".join(
            (rb"[ \t]*\d+" if part[-1:].isdigit() else rb"[ \t]+") if n % 2 else re.escape(part)
            for n, part in enumerate(parts)
        )
        spaced = shape.endswith(rb"[ \t]+")
        self._learned = re.compile(shape[:-1] if spaced else shape)


def _split(line: bytes) -> list[bytes]:
    """The messages of which a line consists: each begins with its own printk prefix."""
    cuts = [0, *(found.start() for found in EMBEDDED.finditer(line) if found.start()), len(line)]
    parts = [line[start:end] for start, end in pairwise(cuts)]
    return [part for part in parts if split_prefix(part)[1].strip()]
