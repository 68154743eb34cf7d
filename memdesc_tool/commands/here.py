"""memdesc-tool without a command: where am I, what is the state of my series, what is next.

Reads a few files, runs no program, uses no network and writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from memdesc_tool.cache import CARRY_STATE, Cache
from memdesc_tool.errors import ExitStatus, UserError, one_line
from memdesc_tool.project import Project, around
from memdesc_tool.results import Peek, peek
from memdesc_tool.series import Series, Stack

DAY = 86_400


@dataclass(frozen=True)
class State:
    """What is known of a project: stack, the results at a glance, when the newest of its files
    was changed (seconds since the epoch), and whether a carried patch waits for its conflict.
    """

    project: Project
    stack: Stack
    results: Peek | None
    changed: float
    carrying: bool

    @property
    def stale(self) -> bool:
        """Whether something has changed since anything ran."""
        return self.results is None or self.changed > self.results.last


def print_here(cache: Cache) -> ExitStatus:
    """Print it; status 2 where there is a project that cannot be read."""
    project = around(Path.cwd())
    if project is None:
        for line in _nowhere(cache):
            click.echo(line)
        return ExitStatus.OK
    click.echo(f"project: {one_line(str(project.root))}")
    try:
        stack = project.stack()
    except UserError as error:
        click.echo(f"memdesc-tool: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        return ExitStatus.USAGE
    state = State(project, stack, peek(cache.results), _newest(project), _carrying(cache))
    for line in (*_series(stack), _results(state), "", *_next(state)):
        click.echo(line)
    return ExitStatus.OK


def _nowhere(cache: Cache) -> Iterator[str]:
    yield f"no project here: no directory around {one_line(str(Path.cwd()))} has patches/stack.toml"
    if found := peek(cache.results):
        yield f"results: {_runs(found)}"
    yield ""
    yield "next:"
    yield "  memdesc-tool series list                   the series that came with the tool"
    yield "  memdesc-tool regress --tree . --range BASE..HEAD --kunitconfig FILE --filter SUITE"
    yield "                                             tests the commits of a tree of yours"
    yield "  memdesc-tool doctor                        what this machine can do"
    yield "  memdesc-tool --help                        all commands"


def _series(stack: Stack) -> Iterator[str]:
    for series in stack.series:
        yield _one(series)
    if not stack.series:
        yield "series: none yet"


def _one(series: Series) -> str:
    count = len(series.patches)
    patches = "1 patch" if count == 1 else f"{count} patches"
    base = f", for {series.base}" if series.base else ""
    line = f"  {series.name:16} v{series.revision}, {patches}{base}: {series.title}"
    return one_line(line)


def _results(state: State) -> str:
    if state.results is None:
        return "results: none yet"
    when = " since then patches or suites have changed" if state.stale else ""
    return f"results: {_runs(state.results)}{';' if when else ''}{when}"


def _runs(found: Peek) -> str:
    runs = "1 run" if found.runs == 1 else f"{found.runs} runs"
    return f"{runs} stored, the last one {_ago(time.time() - found.last)}"


def _ago(seconds: float) -> str:
    for unit, size in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def _next(state: State) -> Iterator[str]:
    """The commands that make sense now, the first one first."""
    names = [series.name for series in state.stack.series]
    name = one_line(names[-1]) if names else "NAME"
    yield "next:"
    if state.carrying:
        yield "  memdesc-tool generate --continue           a conflict was left to be solved"
    if not names:
        yield "  memdesc-tool series new NAME --template kunit"
    elif state.stale:
        yield "  memdesc-tool regress                       base and every patch"
        yield f"  memdesc-tool check {name:23} patch by patch, as linux-mm would"
    else:
        yield "  memdesc-tool report                        what the results say"
        yield f"  memdesc-tool check {name:23} patch by patch, as linux-mm would"
        yield f"  memdesc-tool send {name} --tree TREE"
    yield "  memdesc-tool --help                        all commands"


def _newest(project: Project) -> float:
    """When a patch or a suite was changed last."""
    newest = 0.0
    for directory in (project.patches, project.root / "kernel-test-modules"):
        for path in directory.rglob("*"):
            try:
                newest = max(newest, path.lstat().st_mtime) if path.is_file() else newest
            except OSError:
                continue  # it went away, or may not be looked at
    return newest


def _carrying(cache: Cache) -> bool:
    return any(cache.work.glob(f"*/{CARRY_STATE}"))
