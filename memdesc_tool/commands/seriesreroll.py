"""memdesc-tool series reroll and diff: the next revision, and what it changes."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool import cover as covers
from memdesc_tool.apply import hand_over, new_branch_ref
from memdesc_tool.branchrevision import (
    Sending,
    make_next,
    nothing_sent,
    plan_branch,
    read_sendings,
    sent_of,
)
from memdesc_tool.commands.seriesoptions import Chosen, SeriesOptions, sent_options, series_options
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import Git, identity
from memdesc_tool.prep import branch_name
from memdesc_tool.project import refuse_shipped
from memdesc_tool.revision import Reroll, carry_out, dispatched, plan_reroll
from memdesc_tool.series import Series
from memdesc_tool.topic import patch_span


@click.command("reroll")
@series_options
@sent_options
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@click.option(
    "--new-branch", metavar="NAME", help="With --branch: the branch that is to have the result."
)
@click.pass_obj
def reroll_command(
    context: Context, /, mbox: Path | None, prep_name: str | None, dry_run: bool,
    new_branch: str | None, **chosen: object,
) -> None:  # fmt: skip
    """Begin the next revision of SERIES: keep what was sent, take reviewers' trailers over.

    What was sent is known from --mbox, from the tag of b4 or from the last send. b4 finds the
    trailers in the thread; they follow a patch, whatever its subject is now. Where it has
    changed since it was reviewed in more than comments, they are dropped, and named. With
    --branch, the next revision is a new branch, and your own stays as it is.
    """
    options = SeriesOptions(**chosen, in_place=True)  # type: ignore[arg-type]
    if options.branch:
        _reroll_branch(context, options, mbox, prep_name, new_branch, dry_run=dry_run)
        return
    if new_branch:
        raise UserError("--new-branch needs --branch", "SERIES is rerolled in patches/")
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


def _reroll_branch(
    context: Context, options: SeriesOptions, mbox: Path | None, prep_name: str | None,
    new_branch: str | None, *, dry_run: bool,
) -> None:  # fmt: skip
    """The next revision of --branch, as another branch."""
    if not new_branch and not dry_run:
        raise UserError(
            "reroll --branch needs --new-branch NAME", "yours is left as it is; or --dry-run"
        )
    with options.open(context) as found:
        topic, scratch = found.topic, found.workspace.scratch
        assert topic
        ref = new_branch_ref(topic.tree, new_branch, "--new-branch") if new_branch else ""
        sendings = read_sendings(scratch, topic, prep_name, mbox)
        plan = plan_branch(found.candidate, sendings)
        _print(found.candidate.series, plan)
        tip = make_next(found.workspace, topic, plan)
        compared = _compared(context, found, sendings.last, (topic.base, tip))
        if not dry_run:
            hand_over(scratch, topic.tree, topic.base, tip, ref, identity(topic.tree))
    what = f"{topic.spelled} would be" if dry_run else f"branch {new_branch} is {topic.spelled}"
    out.print(f"{what} at v{plan.revision}; v{sendings.last.revision} is what {plan.source} has",
              markup=False)  # fmt: skip
    if topic.branch and not dry_run:
        out.print(f"to go on with it: git switch {topic.branch} && git reset --keep {new_branch}",
                  markup=False)  # fmt: skip
    click.echo(compared, nl=bool(compared))


def _compared(context: Context, found: Chosen, last: Sending, new: tuple[str, str]) -> str:
    """The range-diff with what was sent; "", with a warning, where that cannot be applied."""
    git = found.workspace.scratch
    try:
        sent = sent_of(found.workspace, last, context.progress)
    except FailedError as error:
        warn(error.message)
        return ""
    return covers.range_diff(git, sent.span, patch_span(git, *new), sent.revision)


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
@sent_options
@click.pass_obj
def diff_command(
    context: Context, /, mbox: Path | None, prep_name: str | None, **chosen: object
) -> None:
    """Compare SERIES with the revision that was sent last, by git range-diff.

    What was sent of a --branch is known from --mbox, from the tag of b4 or from the last send.
    """
    options = SeriesOptions(**chosen, in_place=True)  # type: ignore[arg-type]
    with options.open(context) as found:
        candidate, git = found.candidate, found.workspace.scratch
        sent = found.last_sent(context.progress, prep_name, mbox)
        if sent is None:
            raise (
                nothing_sent(found.topic)
                if found.topic
                else UserError(
                    f"no revision of {candidate.series.name} is kept",
                    "series reroll keeps what was sent",
                )
            )
        new = patch_span(git, candidate.start, candidate.tip)
        click.echo(covers.range_diff(git, sent.span, new, sent.revision))
