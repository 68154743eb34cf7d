"""A comparison of figures as text of 100 columns, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from memdesc_tool.benchverdict import ATOMICS, Change, Comparison, RowFigures, Taken

WIDTH = 100
_TITLE = 38


def table(found: Comparison) -> Iterator[str]:
    """The first and the last revision that were measured, figure by figure: what it was, what
    it is, the change, the wider spread.
    """
    first, last = found.rows[0], found.rows[-1]
    alone = last is first
    yield _line("figure", "in", "base", "-" if alone else f"patch {last.row.number}", "change",
                "spread")  # fmt: skip
    for taken in last.figures:
        unit = "" if taken.unit == ATOMICS else _short(taken.unit)
        if old := first.get(taken.name):
            now = "-" if alone else _number(taken)
            change = "-" if alone else _change(old, taken)
            spread = f"{max(old.spread, taken.spread):.2%}"
            yield _line(taken.title, unit, _number(old), now, change, spread)


def notes(found: Comparison) -> Iterator[str]:
    """Changes with their patches, what is noisy, what was not measured."""
    for change in found.changes:
        yield _cut(f"{_word(change)}: {change.after.title}: {_number(change.before)} -> "
                   f"{_number(change.after)} ({_change(change.before, change.after)}): "
                   f"{change.patches}")  # fmt: skip
    for row, taken in found.noisy:
        yield _cut(f"NOISY: {taken.title}: {taken.spread:.2%} between boots of {row.label}")
    for row, why in found.skipped:
        yield f"NOT MEASURED: {row.label}: {why}"


def verdict(found: Comparison, counter: str, boots: int, threshold: float) -> str:
    """The last line."""
    slower = len({change.after.name for change in found.slower})
    widest = max((one.spread for row in found.rows for one in row.figures), default=0.0)
    paths = "1 path" if slower == 1 else f"{slower} paths"
    rows = "1 revision" if len(found.rows) == 1 else f"{len(found.rows)} revisions"
    return (
        f"{found.word}: {rows}, {boots} boots of each, {counter}: "
        f"{paths} slower by more than {threshold:.1%}; widest spread {widest:.3%}"
    )


def as_data(found: Comparison, **facts: Any) -> dict[str, Any]:
    """Everything, for JSON; facts: what else is known of the measurement."""
    return {
        **facts,
        "rows": [_row(one) for one in found.rows],
        "changes": [
            {"figure": one.after.name, "title": one.after.title, "unit": one.after.unit,
             "before": one.before.middle, "after": one.after.middle, "share": one.share,
             "slower": one.slower, "first": one.first.number, "last": one.last.number,
             "patches": one.patches}
            for one in found.changes
        ],
        "noisy": [{"row": row.number, "figure": taken.name, "spread": taken.spread}
                  for row, taken in found.noisy],
        "skipped": [{"row": row.number, "why": why} for row, why in found.skipped],
    }  # fmt: skip


def _row(one: RowFigures) -> dict[str, Any]:
    figures = [{**asdict(taken), "low": taken.low, "middle": taken.middle, "high": taken.high,
                "spread": taken.spread} for taken in one.figures]  # fmt: skip
    return {"number": one.row.number, "label": one.row.label, "commit": one.row.commit,
            "figures": figures}  # fmt: skip


def _word(change: Change) -> str:
    if change.after.slower:
        return "SLOWER" if change.slower else "faster"
    return change.direction.value


def _change(before: Taken, after: Taken) -> str:
    if before.middle == after.middle:
        return "0"
    if not before.middle:
        return "new"
    return f"{(after.middle - before.middle) / before.middle:+.1%}"


def _number(taken: Taken) -> str:
    value = taken.middle
    return f"{value:.0f}" if value == int(value) or abs(value) >= 10000 else f"{value:.2f}"


def _short(unit: str) -> str:
    return unit.replace("instructions", "insns").replace("migrated page", "migr. page")


def _line(title: str, unit: str, *columns: str) -> str:
    cells = f"{title[:_TITLE]:{_TITLE}} {unit[:16]:16}"
    for cell, width in zip(columns, (12, 12, 9, 8), strict=True):
        cells += f" {cell:>{width}}"
    return cells.rstrip()


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
