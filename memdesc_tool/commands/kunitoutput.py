"""What `memdesc-tool kunit` prints: failures with their diagnostics, splats, one verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from memdesc_tool.commands.consoleoutput import write_output
from memdesc_tool.junit import as_json, junit
from memdesc_tool.kunit import KunitResult
from memdesc_tool.problems import problems

WARNINGS = 10

_TEST = re.compile(r"[^\s.#]+\.[^\s.]+$")
_ATTRIBUTE = re.compile(r"# \S+: \S+$|[^\s:]+$")
_VERSION = re.compile(r"\b(?:K?TAP) version \d+")
_STAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[[^\]]*\])? ")


@dataclass(frozen=True)
class Shown:
    """What is asked for: raw: "kunit" or "all"; json, junit: a file or "stdout"."""

    raw: str | None = None
    json: str | None = None
    junit: str | None = None
    summary: bool = False


def show(result: KunitResult, shown: Shown) -> None:
    """Print a result and write the files asked for. Raises UserError for one that it cannot."""
    if shown.raw and result.boot:
        for line in _console(result.boot.log, whole=shown.raw != "kunit"):
            click.echo(line)
    elif result.report:
        timed = partial(junit, seconds=result.seconds)
        for target, render in ((shown.json, as_json), (shown.junit, timed)):
            if target == "stdout":
                click.echo(render(result.report).decode())
            elif target:
                write_output(Path(target), render(result.report))
    to_stderr = bool(shown.raw) or "stdout" in (shown.json, shown.junit)
    if not shown.summary:
        for line in details(result):
            click.echo(line, err=to_stderr)
    click.echo(verdict(result), err=to_stderr)


def details(result: KunitResult) -> Iterator[str]:
    """What failed and why, and where the logs are."""
    if result.boot is None:
        yield from result.reasons[:WARNINGS]
        if len(result.reasons) > WARNINGS:
            yield f"... and {len(result.reasons) - WARNINGS} more"
    for warning in result.build.warnings[:WARNINGS]:
        yield str(warning)
    if len(result.build.warnings) > WARNINGS:
        yield f"... and {len(result.build.warnings) - WARNINGS} more warnings"
    if result.report:
        yield from problems(result.report)
        yield f"console: {result.boot.log if result.boot else ''}"
    yield f"build log: {result.build.log}"


def verdict(result: KunitResult) -> str:
    """The verdict in one line."""
    times = f"build {result.build.seconds:.0f} s"
    counts = ""
    if result.boot and result.report:
        times += f", run {result.boot.seconds:.1f} s"
        every = result.report.document.counts().items()
        counts = ", ".join(f"{count} {status.value}" for status, count in every)
    why = "" if result.passed or result.boot is None else f": {'; '.join(result.reasons)}"
    parts = ", ".join(part for part in (counts, times) if part)
    return f"{result.outcome.value.upper()}{why} ({parts})"


def listed(result: KunitResult, attributes: bool = False) -> list[str]:
    """The tests that a kernel with kunit.action=list printed ("suite.case"), in order."""
    if result.boot is None:
        return []
    wanted = _ATTRIBUTE if attributes else _TEST
    return [line for line in _console(result.boot.log, whole=False) if wanted.match(line)]


def _console(log: Path, whole: bool) -> Iterator[str]:
    """The lines of a console log; not whole: those of KUnit, from its version line on."""
    inside = whole
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        bare = _STAMP.sub("", line)
        inside = inside or bool(_VERSION.search(bare))
        if inside:
            yield line if whole else bare
