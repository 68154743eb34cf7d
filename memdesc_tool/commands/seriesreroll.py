"""memdesc-tool series reroll and diff: the next revision, and what it changes."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool import cover as covers
from memdesc_tool.commands.seriesoptions import SeriesOptions, series_options
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.project import refuse_shipped
from memdesc_tool.revision import Reroll, carry_out, plan_reroll, sent_span
from memdesc_tool.series import Series


@click.command("reroll")
@series_options
@click.option(
    "--mbox",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The thread of the last revision (b4 mbox MESSAGE-ID): what was sent, and the replies.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.pass_obj
def reroll_command(context: Context, /, mbox: Path | None, dry_run: bool, **chosen: object) -> None:
    """Begin the next revision of SERIES: keep what was sent, take reviewers' trailers over.

    b4 finds the trailers in the thread and attaches them by patch, whatever its subject is
    now. Where a patch has changed since in more than comments, they are dropped, and named.
    """
    options = SeriesOptions(**chosen)  # type: ignore[arg-type]
    if options.branch:
        raise UserError(
            "a prep branch is rerolled by b4", "b4 trailers --update, and b4 send rerolls it"
        )
    with options.open(context) as found:
        series = found.candidate.series
        plan = plan_reroll(found.workspace, found.candidate, mbox)
        _print(series, plan)
        if not dry_run:
            refuse_shipped(series.directory)
            carry_out(found.workspace, series, plan)
    done = "would be" if dry_run else "is"
    out.print(f"{series.name} {done} at v{plan.revision}; v{series.revision} is kept for"
              " `series diff` and `cover --range-diff`", markup=False)  # fmt: skip
    if not dry_run:
        out.print(f'say in series.toml what changes: [changes] v{plan.revision} = "...", and'
                  f' notes = {{ v{plan.revision} = "..." }} of a patch', markup=False)  # fmt: skip


def _print(series: Series, plan: Reroll) -> None:
    for change in plan.changes:
        if change.added or change.dropped:
            out.print(f"{change.step.number}. {change.step.patch.subject}", markup=False)
        for name, value in change.added:
            out.print(f"  added    {name}: {value}", markup=False)
        for (name, value), why in change.dropped:
            out.print(f"  dropped  {name}: {value}  ({why})", markup=False)
    for name, value in plan.lost:
        warn(f"{name}: {value}: belongs to no patch of {series.name} as it is now")


@click.command("diff")
@series_options
@click.pass_obj
def diff_command(context: Context, /, **chosen: object) -> None:
    """Compare SERIES with the revision that was sent last, by git range-diff."""
    options = SeriesOptions(**chosen)  # type: ignore[arg-type]
    if options.branch:
        raise UserError("a prep branch is compared by b4", "b4 prep --compare-to v1")
    with options.open(context) as found:
        series = found.candidate.series
        sent = sent_span(found.workspace, found.base.commit, found.before, series,
                         context.progress)  # fmt: skip
        if sent is None:
            raise UserError(
                f"no revision of {series.name} is kept", "series reroll keeps what was sent"
            )
        new = (found.candidate.start, found.candidate.tip)
        click.echo(covers.range_diff(found.workspace.scratch, sent.span, new, sent.revision))
