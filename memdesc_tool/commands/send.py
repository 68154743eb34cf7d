"""memdesc-tool send: a series as mail, through b4."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from memdesc_tool.b4 import B4, users_settings
from memdesc_tool.commands.cover import compared_with_sent, cover_of
from memdesc_tool.commands.seriesoptions import Chosen, SeriesOptions, series_options, suite_options
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.cover import refuse_unfinished
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.mailing import Mailing, mail_to_directory, read_back, recipient_lines, reflect
from memdesc_tool.prep import Letter, Prepared, prepare, prerequisites, publish, worktree
from memdesc_tool.results import open_store
from memdesc_tool.transfer import (
    beyond_b4,
    lost_of_subjects,
    refuse_long,
    refuse_stand_ins,
    refuse_unmailable,
)


@click.command("send")
@series_options
@suite_options
@click.option("--name", "prep_name", metavar="NAME", help="The prep branch b4/NAME [SERIES].")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the mails there.",
)
@click.option("--reflect", "to_self", is_flag=True, help="Mail them to yourself alone.")
@click.option("--signoff", is_flag=True, help="Sign off with your git identity.")
@click.option("--range-diff", is_flag=True, help="Add git range-diff against the last revision.")
@click.option("--replace", is_flag=True, help="Make the branch anew, whatever you changed in it.")
@click.pass_obj
def send_command(
    context: Context,
    /,
    prep_name: str | None,
    output_dir: Path | None,
    to_self: bool,
    signoff: bool,
    range_diff: bool,
    replace: bool,
    **chosen: object,
) -> None:
    """Make SERIES a prep branch of b4 in your tree, and mail of it.

    The branch b4/NAME is made or brought up to date; its tracking and change-id are b4's. One
    with commits or a cover of yours is left alone.
    Recipients are those of get_maintainer.pl and of series.toml. Nothing is mailed but by
    --reflect, to you: the command that mails the series is printed, for you to run.
    """
    options = SeriesOptions(**chosen)  # type: ignore[arg-type]
    if output_dir and output_dir.exists() and any(output_dir.iterdir()):
        raise UserError(f"{output_dir} is not empty", "name a new directory with --output-dir")
    tree = Path(options.tree_spec or "")
    if not options.tree_spec or not tree.is_dir():
        raise UserError(
            f"{options.tree_spec or 'the release'} is no tree of yours, which nobody could apply"
            " the mail to",
            "--tree PATH names one",
        )
    if options.branch:
        _refuse_on_branch(
            options, name=prep_name, signoff=signoff, range_diff=range_diff, replace=replace
        )
    with options.open(context) as found:
        if to_self or options.branch:
            refuse_unmailable(found.candidate)
        if to_self:
            refuse_long(found.candidate)
        refuse_stand_ins(found.candidate)
        for file, text in lost_of_subjects(found.candidate):
            warn(f"{file}: b4 mails {text} as part of [PATCH ...], and git am takes it off the"
                 " subject")  # fmt: skip
        if options.branch:
            prepared = _users_branch(found, tree, options.branch)
        else:
            name = prep_name or found.candidate.series.name
            prepared = _prepare(
                context, found, tree, name, signoff=signoff, range_diff=range_diff, replace=replace
            )
        info = prepared.b4.info(prepared.name)  # while it is checked out for b4
        _mail(found, prepared, output_dir, to_self)
        beyond = beyond_b4(found.candidate)
    if beyond:
        mails = shlex.quote(str(output_dir.absolute())) if output_dir else "DIR"
        warn(f"b4 send would mail {beyond}; send -o DIR has them encoded")
        out.print(f"mail it: git send-email {mails}/*.eml", markup=False)
        return
    # What b4 wants to have run before it sends: its pre-flight checks.
    checks = ["b4 prep --auto-to-cc", "b4 prep --check"]
    if info.get("has-prerequisites") == "True":
        checks.append("b4 prep --check-deps")
    out.print(f"mail it: cd {shlex.quote(str(tree.absolute()))} && git switch {prepared.name}"
              f" && {' && '.join(checks)} && b4 send", markup=False)  # fmt: skip


def _refuse_on_branch(options: SeriesOptions, **others: object) -> None:
    """Refuse options that cannot be honoured for a branch that is the user's own."""
    instead = {
        "name": "git branch -m names it",
        "signoff": "git rebase --signoff signs its commits off",
        "range_diff": "b4 prep --compare-to v1 compares; b4 prep --edit-cover takes it",
        "replace": "nothing of it is made anew",
        "describe": "b4 prep --edit-cover has its recipients",
        "kunitconfigs": "its cover letter is b4's: b4 prep --edit-cover",
    }
    given = others | {"describe": options.describe, "kunitconfigs": options.kunitconfigs}
    for option, hint in instead.items():
        if given[option]:
            name = option.removesuffix("s").replace("_", "-")
            raise UserError(f"--{name} is not for --branch, which is mailed as it is", hint)


def _prepare(
    context: Context, found: Chosen, tree: Path, name: str, *, signoff: bool, range_diff: bool,
    replace: bool,
) -> Prepared:  # fmt: skip
    """The prep branch, made anew or brought up to date in the tree."""
    candidate, series = found.candidate, found.candidate.series
    compared = compared_with_sent(context, found) if range_diff else ""
    with open_store(context.cache.results) as store:
        cover = cover_of(found, store, compared)
    refuse_unfinished(candidate, cover.text)
    letter = Letter(
        cover.text,
        recipient_lines(found.workspace, candidate),
        tuple(word for word in series.prefix.split() if word != "PATCH"),
        prerequisites(found.base.commit, found.before, found.workspace.scratch),
        series.revision,
    )
    prepared = prepare(
        found.workspace, Git(tree), name, candidate, letter, signoff=signoff, replace=replace
    )
    publish(found.workspace, tree, prepared)
    verb = "brought up to date" if prepared.old else "made"
    out.print(f"branch {prepared.name} is {verb}: {len(prepared.commits)} patches,"
              f" v{series.revision}", markup=False)  # fmt: skip
    if prepared.old and replace:
        out.print(f"it was at {prepared.old}", markup=False)
    for line in prepared.kept:
        out.print(f"its cover keeps {line}", markup=False)
    for subject in prepared.unresolved:
        warn(f'{tree} has no single commit "{subject}": its Fixes: hash stays zero')
    if not signoff:
        warn("the patches are not signed off; --signoff does so with your git identity")
    return prepared


def _users_branch(found: Chosen, tree: Path, branch: str) -> Prepared:
    """A prep branch that is in the tree already."""
    users = Git(tree)
    if ".." in branch:
        base, _, tip = branch.partition("..")
        raise UserError(
            f"{branch} is no prep branch",
            f"git switch -c b4/NAME {tip or 'HEAD'} && b4 prep -e {base}",
        )
    tip = users.commit(branch)
    files = sorted({file for step in found.candidate.steps for file in step.patch.files})
    git = worktree(found.workspace, tip, branch, files)
    unsigned = sum(
        "Signed-off-by" not in dict(step.patch.trailers) for step in found.candidate.steps
    )
    if unsigned:
        warn(f"{unsigned} of the patches are not signed off: git rebase --signoff does so")
    fork = found.candidate.start
    b4 = B4(git.path, users_settings(users))
    refuse_unfinished(found.candidate, "")
    if b4.info(branch).get("needs-editing") == "True":
        raise UserError(f"the cover letter of {branch} has an EDITME", "b4 prep --edit-cover")
    commits = tuple(git.commits(fork, tip))
    return Prepared(b4, branch, fork, fork, commits)


def _mail(found: Chosen, prepared: Prepared, output_dir: Path | None, to_self: bool) -> None:
    if output_dir:
        mailing: Mailing = mail_to_directory(prepared, output_dir)
        read_back(found.workspace, prepared, mailing)
        out.print(f"{len(mailing.mails)} mails are in {output_dir}; git am makes the same tree"
                  " of them", markup=False)  # fmt: skip
    if to_self:
        count = reflect(prepared)
        out.print(f"{count} mails were sent to you alone", markup=False)
