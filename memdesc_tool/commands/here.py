"""memdesc-tool without a command: where am I, what is the state of my series, what is next.

Reads a few files, runs no program, uses no network and writes nothing.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from memdesc_tool.cache import CARRY_STATE, Cache
from memdesc_tool.errors import ExitStatus, UserError, one_line
from memdesc_tool.project import Project, around, from_environment
from memdesc_tool.results import Peek, peek
from memdesc_tool.series import STACK_FILE, Series, Stack
from memdesc_tool.standing import Standing, read_standing, state_of

DAY = 86_400


@dataclass(frozen=True)
class State:
    """What is known of a project: stack, what the last regress said, whether patches or suites
    have changed since, and whether a carried patch waits for its conflict.
    """

    project: Project
    stack: Stack
    standing: Standing | None
    changed: bool
    carrying: bool


def print_here(cache: Cache) -> ExitStatus:
    """Print it; status 2 where there is a project that cannot be read."""
    named = from_environment()
    if named and not (named / "patches" / STACK_FILE).is_file():
        click.echo(f"memdesc-tool: $MEMDESC_TOOL_PROJECT is {one_line(str(named))}, which has no"
                   f" patches/{STACK_FILE}", err=True)  # fmt: skip
        return ExitStatus.USAGE
    project = Project(named.absolute()) if named else around(Path.cwd())
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
    standing = read_standing(cache.results, project)
    changed = standing is not None and standing.state != state_of(project)
    state = State(project, stack, standing, changed, _carrying(cache))
    for line in (*_series(stack), *_results(state), "", *_next(state)):
        click.echo(line)
    return ExitStatus.OK


def _nowhere(cache: Cache) -> Iterator[str]:
    if tree := _kernel_around(Path.cwd()):
        yield f"a kernel tree: {tree}; no project here, with patches/{STACK_FILE}"
    else:
        yield (f"no project here: no directory around {one_line(str(Path.cwd()))} has"
               f" patches/{STACK_FILE}")  # fmt: skip
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
    missing = f" ({len(series.missing)} not generated yet)" if series.missing else ""
    line = f"  {series.name:16} v{series.revision}, {patches}{missing}{base}: {series.title}"
    return one_line(line)


def _kernel_around(here: Path) -> str:
    """The kernel's tree that here is in, and its version; "" for none."""
    for directory in (here, *here.parents):
        if all((directory / name).exists() for name in ("Kbuild", "Kconfig", "MAINTAINERS", "mm")):
            try:
                head = (directory / "Makefile").read_text(errors="replace")[:2000]
            except OSError:
                return ""
            parts = dict(re.findall(r"(?m)^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+)$", head))
            version = ".".join(parts.get(n, "?") for n in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
            return f"{one_line(str(directory))}, Linux {version}"
    return ""


def _results(state: State) -> Iterator[str]:
    found = state.standing
    if found is None:
        yield "results: the stack has not been tested here"
        return
    yield f"results: {one_line(found.line)}"
    when = "; since then patches or suites have changed" if state.changed else ""
    yield f"         said {_ago(time.time() - found.taken)}{when}"


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
    missing = [series.name for series in state.stack.series if series.missing]
    said = state.standing
    tree = f" --tree {one_line(shlex.quote(said.tree))}" if said and said.tree else ""
    steps = {
        f"report{tree}": "what is wrong" if said and not said.good else "what the results say",
        f"regress{tree}": "base and every patch",
        f"check {name}{tree}": "patch by patch, as linux-mm would",
        f"send {name}{tree or ' --tree TREE'}": "as mail, through b4",
    }
    report, regress, check, send = steps
    chosen: list[str] = []
    if not names:
        yield "  memdesc-tool series new NAME --template kunit"
    elif missing:
        yield from (
            f"  memdesc-tool {f'generate {one_line(one)}':29} its patches" for one in missing
        )
    elif said is None or state.changed:
        chosen = [regress, check]
    else:
        chosen = [report, check, send] if said.good else [report, regress]
    for step in chosen:
        yield f"  memdesc-tool {step:29} {steps[step]}"
    yield "  memdesc-tool --help                        all commands"


def _carrying(cache: Cache) -> bool:
    return any(cache.work.glob(f"*/{CARRY_STATE}"))
