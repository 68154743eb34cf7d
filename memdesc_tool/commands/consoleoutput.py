"""What commands that run tests print of a console: failures and splats, an excerpt of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memdesc_tool.cache import write_atomic
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import UserError

DIAGNOSTICS = 12
"""Lines of a failure or splat that are shown; the log has the rest."""


def problems(report: ConsoleReport) -> Iterator[str]:
    """Every failure and every splat, in lines for people."""
    for case in report.document.failures:
        yield f"{case.status.value}: {case.id}" + (f": {case.text}" if case.text else "")
        yield from _some(case.diagnostics)
    for splat in report.splats:
        yield f"splat: {splat.title}" + (f", during {splat.case}" if splat.case else "")
        yield from _some(splat.text)


def _some(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines[:DIAGNOSTICS]:
        yield f"    {line}"
    if len(lines) > DIAGNOSTICS:
        yield f"    ... {len(lines) - DIAGNOSTICS} more lines in the log"


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user asked for, all or nothing. Raises UserError."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
