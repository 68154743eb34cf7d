"""The options of `memdesc-tool bisect`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from memdesc_tool.bisect import END_SECONDS
from memdesc_tool.commands.common import AnyCommand, project_option
from memdesc_tool.errors import UserError
from memdesc_tool.search import END_RUNS

COMMAND_SECONDS = 7200
"""What a command may take unless told otherwise: a kernel is built and booted in less."""


class Finite(click.FloatRange):
    """A number in a range, which NaN and infinity are not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    tree_spec: str | None
    good: tuple[str, ...]
    bad: str | None
    first_parent: bool
    skip: tuple[str, ...]
    series: tuple[str, ...]
    upto: int | None
    rev: str | None
    suite: str | None
    case: str | None
    any_failure: bool
    arch: str | None
    overlay: bool
    kunitconfigs: tuple[Path, ...]
    confidence: float
    end_runs: int | None
    max_runs: int | None
    timeout: float | None
    revert_check: bool
    rerun: bool
    restart: bool
    replay: Path | None
    report: Path | None
    jobs: int | None
    project: Path | None
    command: tuple[str, ...]

    @property
    def base_revision(self) -> str | None:
        """The revision that the base is: the bad end, or what a series stands on."""
        return self.rev if self.series else self.bad

    @property
    def what_is_asked(self) -> tuple[object, ...]:
        """What tells one question from another besides the revisions and what is run."""
        return (self.case, self.any_failure, self.overlay, self.deadline)

    @property
    def deadline(self) -> float | None:
        """Seconds that a command may take; None for no end."""
        return COMMAND_SECONDS if self.timeout is None else self.timeout or None

    def check(self) -> None:
        """Raise UserError for options that do not go together."""
        if bool(self.command) == bool(self.suite):
            raise UserError("give either a command, -- CMD..., or --suite kunit:NAME")
        if self.series:
            if self.good or self.bad or self.command:
                raise UserError(
                    "--series takes --suite, and neither --good nor --bad",
                    "its ends are the base and the last patch",
                )
        elif not self.good:
            raise UserError("--good is missing", "name a revision that does not fail")
        elif self.rev or self.upto is not None:
            raise UserError("--rev and --upto go with --series")
        elif self.tree_spec is None:
            raise UserError("--repo or --tree is missing", "name the git tree with the commits")
        only_suite = (self.case, self.arch, *self.kunitconfigs, self.rerun, self.jobs)
        if self.command and any(only_suite):
            raise UserError("--case, --arch, --kunitconfig, --rerun and --jobs go with --suite")
        if self.suite and self.timeout is not None:
            raise UserError("--timeout is for a command", "suite.toml has a suite's timeout")


_OPTIONS = (
    click.argument("command", metavar="[CMD]...", nargs=-1, type=click.UNPROCESSED),
    click.option("--repo", "--tree", "tree_spec", metavar="T",
                 help="The git tree (never written to); with --series a release, too."),
    click.option("--good", multiple=True, metavar="REV",
                 help="A revision that does not fail; repeatable."),
    click.option("--bad", metavar="REV", help="A revision that fails [default: HEAD]."),
    click.option("--first-parent", is_flag=True, help="Look at the mainline's commits only."),
    click.option("--skip", multiple=True, metavar="REV",
                 help="A revision that cannot be tested, as for git bisect skip; repeatable."),
    click.option("--series", multiple=True, metavar="S",
                 help="Find the first bad patch of this series, with what it depends on."),
    click.option("--upto", type=int, metavar="N", help="--series: the first N patches only."),
    click.option("--rev", metavar="REV", help="--series: the commit of the tree to stand on."),
    click.option("--suite", metavar="kunit:NAME", help="Run this KUnit suite, not a command."),
    click.option("--case", metavar="GLOB",
                 help="The failure to look for: a case (suite.case), or a splat (splat: ...) "
                 "[default: the first that fails at the bad end only]."),
    click.option("--any-failure", is_flag=True,
                 help="Any failure is bad, and so is a hang of CMD."),
    click.option("--arch", metavar="A", help="Where the suite runs [default: the suite's first]."),
    click.option("--overlay/--no-overlay", default=True,
                 help="Lay the suite over every commit [default: yes]."),
    click.option("--kunitconfig", "kunitconfigs", multiple=True,
                 type=click.Path(path_type=Path, exists=True),
                 help="NAME is a suite of the tree itself, enabled by this fragment; repeatable."),
    click.option("--confidence", type=Finite(0.5, 0.9999), default=0.95,
                 show_default=True, help="How sure the answer has to be."),
    click.option("--end-runs", type=click.IntRange(2),
                 help="Runs of an end before it counts as what it was not said to be [default:"
                 f" {END_RUNS}, of a bad one that passes no more than fit in"
                 f" {END_SECONDS // 60} minutes]."),
    click.option("--max-runs", type=click.IntRange(1), help="Give up after so many runs."),
    click.option("--timeout", type=Finite(min=0), metavar="SECONDS",
                 help=f"Stop a CMD that runs longer; 0: none [default: {COMMAND_SECONDS}]."),
    click.option("--revert-check", is_flag=True,
                 help="Also run the bad end with the culprit reverted."),
    click.option("--rerun", is_flag=True, help="Take no stored results of suites."),
    click.option("--restart", is_flag=True, help="Forget the runs of an earlier call."),
    click.option("--replay", type=click.Path(path_type=Path, exists=True, dir_okay=False),
                 help="Go on from a log, this command's or git bisect's."),
    click.option("--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                 help="Where the report goes [default: beside the log]."),
    click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores]."),
    project_option,
)  # fmt: skip


def bisect_options(command: AnyCommand) -> AnyCommand:
    """All of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
