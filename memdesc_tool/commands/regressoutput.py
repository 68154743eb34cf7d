"""What memdesc-tool regress prints and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console

from memdesc_tool import formats, report
from memdesc_tool.baseline import BAD
from memdesc_tool.blame import Finding, findings
from memdesc_tool.cellexcerpt import excerpt_of
from memdesc_tool.cells import Regression
from memdesc_tool.commands.common import write_file
from memdesc_tool.commands.regressoptions import Options
from memdesc_tool.console import interactive, out, warn
from memdesc_tool.errors import FailedError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.matrix import Skipped
from memdesc_tool.results import Outcome
from memdesc_tool.series import Numbered
from memdesc_tool.tree import Base

FILES = 5
"""Files that are named in one line."""


def write_files(found: Regression, every: Sequence[Finding], options: Options) -> None:
    """What --junit and --json ask for. Raises UserError."""
    if options.junit:
        excerpts = {key: excerpt_of(cell) for key, cell in found.cells.items()}
        write_file(options.junit, formats.junit(found, excerpts))
    if options.json:
        write_file(options.json, formats.as_json(found, every))


def print_annotations(found: Regression, every: Sequence[Finding], options: Options) -> None:
    """What --annotations asks for."""
    if options.annotations and (text := formats.annotated(found, every, options.annotations)):
        out.print(text, markup=False)


def print_found(
    found: Regression,
    every: Sequence[Finding],
    skipped: Iterable[Skipped],
    base: Base,
    asked: Fragment,
    to: Console = out,
) -> None:
    """The table, what changed, and the verdict; asked: options of files that were left out."""
    if found.cells:
        to.print(report.table(found))
        for text in report.details(found, every):
            to.print(text)
    for one in skipped:
        warn(f"not run: {one.column.name}: {one.why}")
    if left_out := found.left_out:
        options = ", ".join(option.name for option in asked.options)
        warn(
            f"compiled in no column: {_few(left_out)};"
            f" a .config fragment in the matrix can ask for {options or 'more'}"
        )
    for trouble in found.troubles if not found.good or len(found.troubles) > 1 else ():
        warn(f"not finished: {trouble.message}")
    if not found.troubles:
        _print_unused(found)
    if interactive():
        to.print()
    if found.cells:
        to.print(report.verdict(found, base.origin), markup=False)


def _print_unused(found: Regression) -> None:
    """The known failures that were none in this run."""
    for entry in found.unmatched:
        warn(
            f"known failure {entry.case} on {entry.where} fails nowhere any more;"
            f" its entry can go ({entry.remove_when})"
        )
    for entry in found.unseen:
        warn(f"known failure {entry.case} on {entry.where}: no such case in this run")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FILES]) + (", ..." if len(names) > FILES else "")


def print_without(found: Regression, left_out: Numbered) -> bool:
    """What turns red without a patch; whether nothing does."""
    out.print(report.table(found))
    for cell in found.of_row(found.rows[-1]):
        if cell.broken is Outcome.BUILD_FAILED:
            raise FailedError(
                f"nothing can be said: without patch {left_out.number} {cell.column.name} does"
                f" not build: {cell.attempts[-1].detail}",
                f"its output: {cell.attempts[-1].log}",
            )
    for text in report.details(found, findings(found), base=False):
        out.print(text)
    red = found.changed(*BAD)
    guarded = (
        ("1 case turns red" if len(red) == 1 else f"{len(red)} cases turn red")
        if red
        else ("no case turns red: nothing guards it")
    )
    out.print(f"without {left_out.label}: {guarded}", markup=False)
    return not red
