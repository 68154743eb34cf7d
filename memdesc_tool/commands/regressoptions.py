"""The options of memdesc-tool regress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from memdesc_tool.cells import Strategy
from memdesc_tool.commands.common import AnyCommand, project_option, tree_options
from memdesc_tool.commands.completion import complete_arch, complete_suite
from memdesc_tool.formats import ANNOTATIONS

DEFAULT_MATRIX = "default"


@dataclass(frozen=True)
class Selection:
    """Which revisions and suites the command line names."""

    names: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    commit_range: str | None
    upto: int | None
    every: bool
    suites: tuple[str, ...]
    arches: tuple[str, ...]
    kunitconfigs: tuple[Path, ...]
    filter_glob: str | None
    matrix: str | None
    strategy: str | None
    command: str | None
    project: Path | None


@dataclass(frozen=True)
class Options(Selection):
    """What the command line of regress asks for."""

    without: int | None
    ends: bool
    vm: bool
    confirm: int
    retries: int
    backoff: float
    mutate: bool
    survivors: bool
    sample: int | None
    seed: int
    coverage: bool
    scheduler: str | None
    workers: int | None
    rerun: bool
    jobs: int | None
    junit: Path | None
    json: Path | None
    annotations: str | None

    @property
    def ends_only(self) -> bool:
        return self.ends or self.strategy == Strategy.ENDS.value


_SELECTION: tuple[Callable[[AnyCommand], AnyCommand], ...] = (
    tree_options,
    click.option(
        "--range",
        "commit_range",
        metavar="BASE..TIP",
        help="Test these commits of --tree instead of a series in patches/.",
    ),
    click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only."),
    click.option(
        "--every", is_flag=True, help="kselftest suites on every patch, not only at both ends."
    ),
    click.option(
        "--suite",
        "suites",
        shell_complete=complete_suite,
        multiple=True,
        metavar="S",
        help="Only this suite; repeatable.",
    ),
    click.option(
        "--arch",
        "arches",
        shell_complete=complete_arch,
        multiple=True,
        metavar="A",
        help="Only this arch; repeatable.",
    ),
    click.option(
        "--kunitconfig",
        "kunitconfigs",
        multiple=True,
        type=click.Path(path_type=Path, exists=True),
        help="Test KUnit suites that the tree has itself, enabled by this fragment; repeatable.",
    ),
    click.option(
        "--filter", "filter_glob", metavar="GLOB", help="KUnit suites to run, with --kunitconfig."
    ),
    click.option(
        "--matrix",
        metavar="FILE",
        help='What to test, see matrix.py; "default": patches/matrix.toml, else the tool\'s own.',
    ),
    click.option(
        "--strategy",
        type=click.Choice([one.value for one in Strategy]),
        help="Which revisions: every one, both ends, or both ends and then bisecting inside.",
    ),
    click.option(
        "--command",
        metavar="CMD",
        help="Judge each revision by a shell command in its source tree ($SOURCE, $BUILD).",
    ),
    project_option,
)

_OWN: tuple[Callable[[AnyCommand], AnyCommand], ...] = (
    click.option(
        "--without",
        type=int,
        metavar="N",
        help="Leave patch N out and name the cases that turn red at the end; status 1 if any does.",
    ),
    click.option("--ends", is_flag=True, help="Test the base and the last patch only."),
    click.option(
        "--vm",
        is_flag=True,
        help="The kselftest suites of the series, too, in a virtual machine: on the base and the "
        "last patch.",
    ),
    click.option(
        "--confirm",
        type=click.IntRange(0),
        default=8,
        show_default=True,
        metavar="N",
        help="Runs at most, of patch and parent, to confirm a suspected regression.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0),
        default=2,
        show_default=True,
        metavar="N",
        help="How often a run is tried again whose machine failed.",
    ),
    click.option(
        "--backoff",
        type=click.FloatRange(0),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="Before it is tried again; doubled each time.",
    ),
    click.option(
        "--mutate",
        is_flag=True,
        help="Plant mistakes in lines that the series adds; list those that no suite notices.",
    ),
    click.option(
        "--survivors",
        is_flag=True,
        help="Of the mutants of --mutate, those only that have run before, on whichever machine, "
        "and that nothing has noticed.",
    ),
    click.option("--sample", type=click.IntRange(1), metavar="N", help="Only N mutants."),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Which N mutants --sample takes."
    ),
    click.option(
        "--coverage",
        is_flag=True,
        help="Say which lines that the series adds its suites run: KUnit on um, and kselftests in "
        "the virtual machine where --vm or --suite names them.",
    ),
    click.option(
        "--scheduler",
        metavar="URL",
        help="Walk the columns on the Dask cluster whose scheduler is there (tcp://, tls://).",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Walk them with N workers on this machine.",
    ),
    click.option("--rerun", is_flag=True, help="Run again what is stored already."),
    click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores]."),
    click.option(
        "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML."
    ),
    click.option(
        "--json", type=click.Path(path_type=Path, dir_okay=False), help="Write everything as JSON."
    ),
    click.option(
        "--annotations",
        type=click.Choice(ANNOTATIONS),
        help="Print what is bad as annotations of this CI; gitlab: as JSON, and all else on"
        " standard error.",
    ),
)


def selection_options(command: Any) -> Any:
    """The options that name revisions and suites."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def regress_options(command: Any) -> Any:
    """All options of regress, in the order in which --help shows them."""
    for option in reversed(_OWN):
        command = option(command)
    return selection_options(command)
