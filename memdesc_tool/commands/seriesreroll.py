"""memdesc-tool series reroll and diff: the next revision, and what it changes."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool import cover as covers
from memdesc_tool.commands.seriesoptions import SeriesOptions, series_options
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.prep import branch_name
from memdesc_tool.project import refuse_shipped
from memdesc_tool.revision import Reroll, carry_out, dispatched, plan_reroll, sent_span
from memdesc_tool.series import Series


@click.command("reroll")
@series_options
@click.option(
    "--mbox",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The thread of the last revision (b4 mbox MESSAGE-ID): what was sent, and the replies.",
)
@click.option("--name", "prep_name", metavar="NAME", help="It was sent from b4/NAME [SERIES].")
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.pass_obj
def reroll_command(
    context: Context, /, mbox: Path | None, prep_name: str | None, dry_run: bool, **chosen: object
) -> None:
    """Begin the next revision of SERIES: keep what was sent, take reviewers' trailers over.

    What was sent is known from --mbox, from the tag of b4 or from the last send. b4 finds the
    trailers in the thread; they follow a patch, whatever its subject is now. Where it has
    changed since it was reviewed in more than comments, they are dropped, and named.
    """
    options = SeriesOptions(**chosen)  # type: ignore[arg-type]
    if options.branch:
        raise UserError(
            "a prep branch is rerolled by b4", "b4 trailers --update, and b4 send rerolls it"
        )
    with options.open(context) as found:
        series = found.candidate.series
        sent = None
        if found.base.users:
            branch = branch_name(prep_name or series.name)
            users = Git(Path(str(options.tree_spec)))
            sent = dispatched(found.workspace, users, branch, series, found.before)
        plan = plan_reroll(found.candidate, mbox, sent)
        _print(series, plan)
        if not dry_run:
            refuse_shipped(series.directory)
            carry_out(found.workspace, series, plan)
    done = "would be" if dry_run else "is"
    out.print(f"{series.name} {done} at v{plan.revision}", markup=False)
    if plan.sent:
        out.print(f"v{series.revision} {done} kept for `series diff` and `cover --range-diff`, as"
                  f" {plan.source} has it", markup=False)  # fmt: skip
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
    if not plan.sent:
        warn(f"what was sent as v{series.revision} is not known, so it is not kept and no"
             " range-diff is made with it; --mbox names a thread with its patches")  # fmt: skip
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
