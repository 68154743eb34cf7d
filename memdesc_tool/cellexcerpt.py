"""What is shown of the log of a cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memdesc_tool.baseline import BAD, Change
from memdesc_tool.cells import Cell
from memdesc_tool.excerpt import Excerpt, read_excerpt
from memdesc_tool.kselftestrun import short_name
from memdesc_tool.results import Outcome
from memdesc_tool.suites import Kind


def went_wrong(cell: Cell) -> bool:
    """Whether a cell's log has something to look for."""
    changed = any(change in (*BAD, Change.FLAKY) for change in cell.changes.values())
    return bool(cell.broken or cell.failing or cell.known or changed)


def excerpt_of(cell: Cell) -> Excerpt:
    """An excerpt of the log that says why a cell is as it is, its cases named as in the cell."""
    told, suite = cell.telling, cell.column.suite
    if told is None:
        return Excerpt(note="nothing is stored")
    built = told.outcome not in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED)
    console = built and not suite.compiles
    found = read_excerpt(Path(told.log), bad=went_wrong(cell), console=console)
    if suite.kind is not Kind.KSELFTEST:
        return found
    return replace(
        found, cases={short_name(suite, name): lines for name, lines in found.cases.items()}
    )
