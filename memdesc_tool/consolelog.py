"""A whole console log: the results and the splats in it, read in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memdesc_tool.allow import Allowed, default_allowed, unused
from memdesc_tool.errors import UserError
from memdesc_tool.ktap import Document, Oddity, Parser
from memdesc_tool.logline import LineReader
from memdesc_tool.splat import Kind, Scanner, Splat, attributed

_BANNER = b"Linux version "


@dataclass(frozen=True)
class ConsoleReport:
    """What a console log says.

    splats: those that nothing allows. allowed: those that an entry allows. unused: entries of
    the user's that matched nothing. truncated: the log ends before what it announced.
    panicked: the kernel panicked in a way that nothing allows. booted: a kernel's banner is in
    it. lines: how many lines it has.
    """

    document: Document
    splats: tuple[Splat, ...] = ()
    allowed: tuple[Splat, ...] = ()
    unused: tuple[Allowed, ...] = ()
    truncated: bool = False
    panicked: bool = False
    booted: bool = False
    lines: int = 0

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """What was odd about the results."""
        return self.document.oddities

    @property
    def failed(self) -> bool:
        """Whether a case failed, or the kernel complained."""
        return self.document.failed or bool(self.splats)

    @property
    def good(self) -> bool:
        """Whether there are results and nothing failed."""
        return self.document.found and not self.failed


def read(source: Path | BinaryIO, allow: Sequence[Allowed] = ()) -> ConsoleReport:
    """The report on a log; allow: the user's known splats, on top of the tool's own.

    Raises UserError where the file cannot be read.
    """
    if not isinstance(source, Path):
        return _read(source, allow)
    try:
        with source.open("rb") as stream:
            return _read(stream, allow)
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from None


def _read(stream: BinaryIO, allow: Sequence[Allowed]) -> ConsoleReport:
    parser = Parser()

    def began(key: int, kind: Kind) -> None:
        parser.claim(key)
        if kind.fatal:
            parser.crash()

    booted = False

    def look(block: bytes) -> None:
        nonlocal booted
        scanner.look(block)
        booted = booted or _BANNER in block

    scanner = Scanner(began)
    reader = LineReader(stream, look)
    number = 0
    feed, scan = parser.feed, scanner.feed
    for number, line in reader:
        if scanner.awake:
            scan(number, line)
        feed(number, line)
    document = parser.finish(unterminated=reader.unterminated)
    splats = [attributed(splat, parser.owner(key)) for key, splat in enumerate(scanner.finish())]
    entries = (*default_allowed(), *allow)
    known = [any(entry.matches(splat) for entry in entries) for splat in splats]
    bad = tuple(splat for splat, ok in zip(splats, known, strict=True) if not ok)
    return ConsoleReport(
        document,
        bad,
        tuple(splat for splat, ok in zip(splats, known, strict=True) if ok),
        unused(allow, splats),
        document.incomplete,
        any(splat.kind is Kind.PANIC for splat in bad),
        booted,
        number,
    )
