"""memdesc-tool bench bisect: how often a search is right, and how many runs it takes."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import click

from memdesc_tool import bisectbench
from memdesc_tool.bisectbench import Figures, Setting
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus


@click.command("bisect")
@click.option(
    "--commits",
    "sizes",
    type=click.IntRange(2),
    multiple=True,
    metavar="N",
    help="Commits of the histories; repeatable [default: 30, 300, 3000].",
)
@click.option(
    "--bad-rate",
    "bad_rates",
    type=click.FloatRange(0.01, 1),
    multiple=True,
    metavar="P",
    help="Repeatable [default: 1, 0.5, 0.3, 0.1].",
)
@click.option(
    "--good-rate",
    "good_rates",
    type=click.FloatRange(0, 0.9),
    multiple=True,
    metavar="P",
    help="Repeatable [default: 0, 0.02].",
)
@click.option(
    "--unbuildable",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    metavar="P",
    help="The part of the commits that cannot be built.",
)
@click.option("--trials", type=click.IntRange(1), default=200, show_default=True)
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True)
@click.pass_context
def bisect_command(
    click_context: click.Context,
    /,
    sizes: tuple[int, ...],
    bad_rates: tuple[float, ...],
    good_rates: tuple[float, ...],
    unbuildable: float,
    trials: int,
    confidence: float,
) -> None:
    """Bisect simulated histories with merges, and compare with git-bayesect if it is installed.

    Exit status 1 where the answers of a setting are right less often than the confidence, the
    median of the runs with a verdict is above git-bayesect's, or a failure that always happens
    takes more than log2(commits) + 8 of them.
    """  # fmt: skip
    context: Context = click_context.obj
    other = _bayesect()
    good = True
    out.print("commits   bad  good    right  median  most  skips   git-bayesect: right  median")
    for commits in sizes or (30, 300, 3000):
        for when_good in good_rates or (0.0, 0.02):
            for when_bad in bad_rates or (1.0, 0.5, 0.3, 0.1):
                setting = Setting(commits, when_bad, when_good, unbuildable, confidence)
                with context.progress.step(str(setting)) as tell:
                    mine, theirs = _run(setting, trials, other, tell)
                enough = mine.right >= confidence and _short(setting, mine, theirs)
                good = good and enough
                out.print(_line(setting, mine, theirs, enough), markup=False)
    if not good:
        click_context.exit(ExitStatus.FAILED)


def _run(
    setting: Setting,
    trials: int,
    other: Callable[..., object] | None,
    tell: Callable[[str], None],
) -> tuple[Figures, Figures | None]:
    mine, theirs = [], []
    for number in range(trials):
        tell(f"{number}/{trials}")
        trial = bisectbench.make_trial(setting, number)
        mine.append(bisectbench.ours(trial))
        if other:
            theirs.append(bisectbench.theirs(trial, other))
    return bisectbench.figures(mine), bisectbench.figures(theirs) if theirs else None


def _short(setting: Setting, mine: Figures, theirs: Figures | None) -> bool:
    if theirs and mine.median > theirs.median:
        return False
    sure = setting.when_bad == 1 and setting.when_good == 0
    return not sure or mine.most <= math.log2(setting.commits) + 8


def _line(setting: Setting, mine: Figures, theirs: Figures | None, enough: bool) -> str:
    line = (f"{setting.commits:7} {setting.when_bad:5.2f} {setting.when_good:5.2f}"
            f"   {mine.right:6.1%} {mine.median:7.1f} {mine.most:5} {mine.skips:6.1f}")  # fmt: skip
    if theirs:
        line += f"   {theirs.right:19.1%} {theirs.median:7.1f}"
    return line if enough else f"{line}  NOT ENOUGH"


def _bayesect() -> Callable[..., object] | None:
    try:
        found: Callable[..., object] = importlib.import_module("git_bayesect").Bisector
    except ImportError:
        warn("git-bayesect is not installed, so nothing is compared: pip install git-bayesect")
        return None
    return found
