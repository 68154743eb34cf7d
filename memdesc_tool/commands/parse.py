"""memdesc-tool parse: what a console log says, and the verdict on it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from memdesc_tool.allow import load_allowed
from memdesc_tool.cache import write_atomic
from memdesc_tool.cases import Case
from memdesc_tool.consolelog import ConsoleReport, read
from memdesc_tool.errors import ExitStatus, UserError
from memdesc_tool.junit import as_json, junit

SHOWN = 30
"""Lines of each kind that are printed; the files have all."""


@click.command()
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), metavar="F",
              help="Write the results to F as JUnit XML.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="F",
              help="Write everything to F as JSON.")  # fmt: skip
@click.option("--allow", type=click.Path(path_type=Path), metavar="FILE",
              help="Known splats: TOML, each with its reason and when to remove it.")  # fmt: skip
def parse(log: Path, junit_file: Path | None, json_file: Path | None, allow: Path | None) -> None:
    """Read the console log LOG (- for standard input) and say what failed in it.

    Exit status 1 if anything failed, the kernel complained or no test was found.
    """
    entries = load_allowed(allow) if allow else ()
    report = read(sys.stdin.buffer if str(log) == "-" else log, entries)
    for path, render in ((junit_file, junit), (json_file, as_json)):
        if path is not None:
            _write(path, render(report))
    for line in summary(report):
        click.echo(line)
    if not report.good:
        sys.exit(ExitStatus.FAILED)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def summary(report: ConsoleReport) -> list[str]:
    """What people want to know, the verdict last."""
    document = report.document
    lines = _cut([_failure(case) for case in document.failures], "failures")
    splats = [
        f"splat: {splat.title}, line {splat.line}{_during(splat.case)} [{splat.fingerprint}]"
        for splat in report.splats
    ]
    lines += _cut(splats, "splats")
    allowed = [
        f"allowed splat: {splat.title}, line {splat.line}{_during(splat.case)}"
        for splat in report.allowed
    ]
    lines += _cut(allowed, "allowed splats")
    for entry in report.unused:
        lines.append(f"allowance {entry.number} matches nothing, remove it: {entry.what}")
    odd = [f"odd: {one.kind.value}, line {one.line}: {one.text}" for one in report.oddities]
    total = sum(document.oddity_count.values())
    lines += _cut(odd, "oddities", total)
    lines.append(verdict(report))
    return [_printable(line) for line in lines]


def verdict(report: ConsoleReport) -> str:
    """The verdict in one line."""
    document = report.document
    counts = ", ".join(f"{count} {status.value}" for status, count in document.counts().items())
    splats = f", {len(report.splats)} splats" if report.splats else ""
    if not document.found:
        booted = "the kernel booted, " if report.booted else ""
        return f"FAILED: {booted}no test results found{splats}"
    if report.failed:
        bailed = ", bailed out" if document.bailed_out else ""
        return f"FAILED: {counts}{splats}{bailed}"
    if not document.ran:
        return f"nothing ran: {counts}"
    return f"passed: {counts}"


def _failure(case: Case) -> str:
    words = f": {case.text}" if case.text else ""
    return f"{case.status.value}: {case.id}, line {case.line}{words}"


def _during(case: str) -> str:
    return f", during {case}" if case else ""


def _cut(lines: list[str], what: str, total: int | None = None) -> list[str]:
    total = len(lines) if total is None else total
    if total <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"... and {total - SHOWN} more {what}"]


def _printable(line: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
    )
