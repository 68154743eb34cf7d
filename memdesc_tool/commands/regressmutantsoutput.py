"""What regress --mutate prints."""

from __future__ import annotations

from collections.abc import Sequence, Set

from rich.table import Table

from memdesc_tool.addedlines import AddedLine
from memdesc_tool.console import out
from memdesc_tool.equivalent import Equivalent
from memdesc_tool.fates import Fate, Fates


def table(*columns: str) -> Table:
    """A table with these headings, without lines."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold", max_width=64)
    return grid


def print_absent(lines: Sequence[AddedLine], here: Set[str]) -> None:
    """Say which sources the kernels of this run were not made of."""
    for file in sorted({line.file for line in lines} - here):
        if file.endswith(".c"):
            count = sum(line.file == file for line in lines)
            out.print(f"not built here: {file}, {count} added lines", markup=False)


def print_stale(listed: Sequence[Equivalent], every: Sequence[Fate]) -> None:
    """Say which entries of mutants.toml are about no mutant, or about several."""
    for one in listed:
        count = sum(one.covers(fate) for fate in every)
        if count != 1:
            where = "no mutant is" if not count else f"{count} mutants are"
            out.print(f"mutants.toml: {where} {one.file}: {one.line} -> {one.became}", markup=False)


def print_fates(fates: Fates) -> None:
    """What the mutants came to in all cells that count, and those that survive."""
    grid = table("mistake", "mutants", "compile", "noticed")
    for operator, numbers in sorted(fates.score().items()):
        grid.add_row(operator, *map(str, numbers))
    grid.add_row("all", str(len(fates.planted)), str(fates.built), str(fates.noticed))
    out.print(grid)
    grid = table("shown to", "mutants", "noticed", "lines not run")
    for name, *counts in fates.cells:
        grid.add_row(name, *map(str, counts))
    out.print(grid)
    for name in fates.older:
        out.print(f"not counted: {name}, whose suite has changed since", markup=False)
    for fate in fates.every:
        if fate.argued and fate.noticed:
            _print_fate("is noticed, its reason can go", fate)
        elif fate.survives:
            _print_fate("no suite notices", fate)
    for fate in fates.argued:
        _print_fate("changes nothing", fate)
        out.print(f"    {fate.argued}", markup=False)
    out.print(summary(fates), markup=False)


def summary(fates: Fates) -> str:
    """Like "noticed: 5 of 7 mutants that compile, 71%", over all cells."""
    argued = f" and change something ({len(fates.argued)} do not)" if fates.argued else ""
    idle = f" ({fates.idle} not built: no case runs their lines)" if fates.idle else ""
    part = f", {fates.noticed / fates.built:.0%}" if fates.built else ""
    count = len(fates.planted)
    some = f"; {count} of {fates.asked} that were asked for have run" if count < fates.asked else ""
    return (
        f"noticed: {fates.noticed} of {fates.built} mutants that compile{argued}{idle}{part}{some}"
    )


def _print_fate(what: str, fate: Fate) -> None:
    out.print(f"{what}: {fate.label}", markup=False)
    out.print(f"    {fate.patch}", markup=False)
    if fate.became.strip() != ";":
        out.print(f"    became: {fate.became.strip()}", markup=False)
    if fate.where:
        out.print(f"    {fate.where}", markup=False)
