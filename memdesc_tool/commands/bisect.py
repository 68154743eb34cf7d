"""memdesc-tool bisect: find the first bad commit, or the first bad patch of a series."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from memdesc_tool import bisect, bisectreport
from memdesc_tool.apply import apply_stack
from memdesc_tool.bisect import Bisection, Found, Question
from memdesc_tool.bisectlog import Run
from memdesc_tool.cache import write_atomic
from memdesc_tool.commands.bisectjudge import Judge, find_judge
from memdesc_tool.commands.bisectoptions import Options, bisect_options
from memdesc_tool.commands.common import resolve_base
from memdesc_tool.console import err, interactive, out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, UserError, one_line
from memdesc_tool.git import Git
from memdesc_tool.history import merge_bases, read_history
from memdesc_tool.project import find_project
from memdesc_tool.series import Stack
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Ends:
    """The revisions of a bisection, full object ids.

    bad_name: as the user calls the bad one; patches: the number of each commit in a series.
    """

    bad: str
    good: tuple[str, ...]
    bad_name: str
    patches: Mapping[str, int] = field(default_factory=dict)


@click.command("bisect", context_settings={"ignore_unknown_options": False})
@bisect_options
@click.pass_context
def bisect_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Find the first commit between --good and --bad at which CMD, or a KUnit suite, fails.

    CMD's exit status means what it means to `git bisect run`: 0 good, 125 cannot be tested, 1 to
    127 bad; 128 and above, or a signal, is no verdict. It runs at the top of a worktree of ours.
    A script that the bad revision has is run as each commit has it; another one is yours and the
    same at each; other words are left as they are. A failure that does not always happen is
    found, too. What is interrupted goes on where it stopped when the same command is given again.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    context: Context = click_context.obj
    options.check()
    if not _bisect(context, options):
        click_context.exit(ExitStatus.FAILED)


def _bisect(context: Context, options: Options) -> bool:
    stack = find_project(options.project).stack(options.series) if options.series else Stack(())
    base = resolve_base(context, options.tree_spec, options.base_revision, stack)
    with open_workspace(context.cache, base, context.progress) as workspace:
        ends = _ends(context, options, base, workspace, stack)
        question = _question(options, workspace, ends)
        judge = find_judge(options, base)
        key = _key(options, base, ends, judge.inputs(context, workspace))
        logs = context.cache.logs / f"bisect-{key[:16]}"
        with judge.predicate(context, workspace, logs) as predicate:
            bisection = Bisection(question, predicate, logs / "bisect.log", context.progress)
            bisection.told = lambda run, left: _tell(run, left, bisection.subjects[run.commit])
            _resume(bisection, options)
            for revision in options.skip:
                bisection.skip(_at(options, workspace).commit(revision))
            found = _conclude(bisection, bisection.run(), judge, workspace, ends, base)
    return found.whole and found.revert_good


def _ends(
    context: Context, options: Options, base: Base, workspace: Workspace, stack: Stack
) -> Ends:
    """The revisions that the options name; a series' base and its last patch."""
    if stack.series:
        applied = apply_stack(workspace, base.commit, stack.up_to(options.upto), context.progress)
        if not applied:
            raise UserError("the series has no patch that is not applied already")
        label = f"{applied[-1].numbered.label} on {base.name}"
        patches = {one.commit: one.numbered.number for one in reversed(applied)}
        return Ends(applied[-1].commit, (base.commit,), label, patches)
    at = _at(options, workspace)
    good = tuple(dict.fromkeys(at.commit(one) for one in options.good))
    return Ends(base.commit, good, options.bad or "HEAD")


def _at(options: Options, workspace: Workspace) -> Git:
    """Where revisions are looked up that the user names: a series' commits are no tree's."""
    if options.tree_spec and not options.series:
        return Git(Path(options.tree_spec).expanduser())
    return workspace.scratch


def _question(options: Options, workspace: Workspace, ends: Ends) -> Question:
    git = workspace.scratch
    history = read_history(git, ends.bad, ends.good, first_parent=options.first_parent)
    grounds = tuple(dict.fromkeys((*ends.good, *merge_bases(git, ends.bad, ends.good))))
    return Question(git, history, grounds, options.first_parent, options.confidence,
                    options.end_runs, options.max_runs or 0)  # fmt: skip


def _key(options: Options, base: Base, ends: Ends, inputs: object) -> str:
    """Stands for the question: the same command finds its log again."""
    asked = [str(base.repository), ends.bad, *ends.good, options.first_parent,
             *options.what_is_asked, inputs]  # fmt: skip
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()


def _resume(bisection: Bisection, options: Options) -> None:
    if options.restart:
        bisection.log.unlink(missing_ok=True)
    if options.replay:
        bisection.replay(options.replay)
    elif bisection.log.exists():
        bisection.replay(bisection.log)
        if bisection.runs:
            runs = len(bisection.runs)
            bisection.progress.note(f"{runs} runs are known already (--restart forgets them)")


def _tell(run: Run, left: int, subject: str) -> None:
    """One line for a run that has ended."""
    detail = f" [{run.detail}]" if run.detail else ""
    err.print(
        f"{run.verdict.value:4} {run.commit[:12]} {run.seconds:6.1f} s  {left:4} left "
        f" {one_line(subject[:60] + detail)}",
        markup=False, soft_wrap=True,
    )  # fmt: skip


def _conclude(
    bisection: Bisection,
    found: Found,
    judge: Judge,
    workspace: Workspace,
    ends: Ends,
    base: Base,
) -> Found:
    """Write the answer, check its revert, and print it; the last line says which commit it is."""
    bisection.save(found)
    if not found.whole:
        _print(found, workspace.scratch)
        out.print(f"not found within {len(found.runs)} runs; likeliest:", markup=False)
        out.print("\n".join(found.culprits), markup=False)
        return found
    report = _write_report(bisection, found, judge, workspace, ends, base)
    if judge.options.revert_check:
        said = " ".join(bisect.culprit_lines(found))
        bisection.progress.note(f"{said} (report: {report}); its revert is checked")
        found = bisect.check_revert(bisection, workspace, found)
        report = _write_report(bisection, found, judge, workspace, ends, base)
    _print(found, workspace.scratch)
    out.print(f"report: {report}", markup=False)
    if interactive():
        out.print()
    for line in bisect.culprit_lines(found):
        out.print(line, markup=False)
    return found


def _print(found: Found, git: Git) -> None:
    for line in (*bisectreport.observations(found, git), *bisectreport.summary(found)):
        out.print(one_line(line), markup=False)


def _write_report(
    bisection: Bisection,
    found: Found,
    judge: Judge,
    workspace: Workspace,
    ends: Ends,
    base: Base,
) -> Path:
    """Write the report for a mail; where it is."""
    options, culprit = judge.options, found.culprits[-1]
    source = workspace.checkout(culprit) if options.suite else workspace.root / "bisect"
    named = found.sought if options.suite else ""
    reproducer = judge.reproducer(culprit, ends.patches.get(culprit), found.sought)
    where = bisectreport.Context(workspace.scratch, named or judge.name, reproducer,
                                 ends.bad_name, base.users and not options.series)  # fmt: skip
    report = options.report or bisection.log.with_name("report.txt")
    text = bisectreport.mail(bisection, found, where, source)
    write_atomic(report, text.encode(errors="surrogateescape"))
    return report
