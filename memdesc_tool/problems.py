"""What went wrong on a console, in lines for people: failures and splats, an excerpt of each."""

from __future__ import annotations

from collections.abc import Iterator

from memdesc_tool.baseline import SPLAT
from memdesc_tool.consolelog import ConsoleReport

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


def problems_by_case(report: ConsoleReport) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The same by case: a case that failed with the splats in it, and each splat by its name."""
    during: dict[str, list[str]] = {}
    for splat in report.splats:
        lines = (f"splat: {splat.title}", *_some(splat.text))
        during.setdefault(splat.case, []).extend(lines)
        yield f"{SPLAT}{splat.fingerprint}", lines
    for case in report.document.failures:
        what = f"{case.status.value}: {case.id}" + (f": {case.text}" if case.text else "")
        yield case.id, (what, *_some(case.diagnostics), *during.get(case.id, ()))


def _some(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines[:DIAGNOSTICS]:
        yield f"    {line}"
    if len(lines) > DIAGNOSTICS:
        yield f"    ... {len(lines) - DIAGNOSTICS} more lines in the log"
