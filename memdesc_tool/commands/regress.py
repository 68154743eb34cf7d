"""memdesc-tool regress: test the base and every patch, say what each patch changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from memdesc_tool import report
from memdesc_tool.apply import apply_stack
from memdesc_tool.baseline import Known, read_known
from memdesc_tool.blame import findings, with_hunks
from memdesc_tool.cluster import Cluster, connected
from memdesc_tool.commands.common import resolve_base
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.commands.regresscolumns import columns_of
from memdesc_tool.commands.regressoptions import Options, regress_options
from memdesc_tool.commands.regressoutput import (
    print_annotations,
    print_found,
    print_without,
    write_files,
)
from memdesc_tool.commands.regressrows import WITH_RANGE, base_revision, rows_of, what_of
from memdesc_tool.commands.regressstrength import Strength
from memdesc_tool.console import beside, out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, InfraError, UserError
from memdesc_tool.formats import GITLAB
from memdesc_tool.objects import objects_of, options_for
from memdesc_tool.project import Project
from memdesc_tool.regress import Column, Patience, Regression, Row, walk
from memdesc_tool.results import Store, open_store
from memdesc_tool.runners import runners
from memdesc_tool.series import Stack
from memdesc_tool.standing import Standing, keep_standing, state_of
from memdesc_tool.suites import Kind
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace, open_workspace


@click.command("regress")
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@regress_options
@click.pass_context
def regress_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Test the base and every patch of the stack (or of SERIES and what they depend on).

    The suites are laid over every revision, the base included, so that the base shows red
    what a fix turns green. KUnit suites run on every patch; kselftest suites, which take
    minutes each time, where --vm or --suite asks for them, on the base and after the last
    patch unless --every is given. What ran before with the same inputs is not run again; an
    interrupted call goes on where it stopped. Exit status 1 where a patch makes something
    fail, or something fails after the last one.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    context: Context = click_context.obj
    good = _regress(context, options)
    if not good:
        click_context.exit(ExitStatus.FAILED)


def _check(options: Options) -> None:
    """Refuse options that would be ignored. Raises UserError."""
    if options.scheduler and options.workers:
        raise UserError("give either --scheduler or --workers")
    if options.commit_range and options.without:
        raise UserError(WITH_RANGE)
    if options.sample and not options.mutate:
        raise UserError("--sample takes a part of the mutants of --mutate", "give both")
    if options.survivors and not options.mutate:
        raise UserError("--survivors takes those of the mutants of --mutate", "give both")
    if options.matrix and (options.command or options.vm or options.every):
        raise UserError("--matrix says what runs", "leave --command, --vm and --every out")
    if (options.mutate or options.coverage) and options.without is not None:
        raise UserError("--mutate and --coverage look at the whole stack, not at --without")


def _regress(context: Context, options: Options) -> bool:
    _check(options)
    project, stack = what_of(options)
    state = state_of(project) if project and _whole(options) else ""
    base = resolve_base(context, options.tree_spec, base_revision(options), stack)
    columns, skipped = columns_of(project, stack, options, base, machines=options.vm)
    if options.vm and options.arches and not any(c.suite.kind is Kind.KSELFTEST for c in columns):
        raise UserError(
            f"--vm: the series has no kselftest suite that runs on {', '.join(options.arches)}",
            "name the arch of the virtual machine with another --arch, or leave --vm out",
        )
    known = read_known(project.patches) if project else ()
    with (
        open_workspace(context.cache, base, context.progress) as workspace,
        open_store(context.cache.results) as store,
    ):
        bench = _Bench(context, workspace, store, project, known, options)
        if options.without is not None:
            return _without(bench, stack, base, columns)
        rows = rows_of(workspace, stack, base, options, context.progress)
        if options.mutate or options.coverage:
            strength = Strength(workspace, store, project, rows, columns, options, known)
            return strength.measure(context.progress)
        if options.ends_only:
            rows = [rows[0], rows[-1]]
        found = bench.walk(rows, columns)
        every = with_hunks(findings(found), workspace.scratch)
        asked = options_for(workspace.scratch, rows[-1].commit, objects_of(found.left_out))
        if project and state and found.cells:
            tree = options.tree_spec or ""
            if tree and Path(tree).is_dir():
                tree = str(Path(tree).absolute())
            line = report.verdict(found, base.origin)
            keep_standing(store, project, Standing(line, state, tree, time.time()))
    print_annotations(found, every, options)
    to = beside if options.annotations == GITLAB else out
    print_found(found, every, skipped, base, asked, to)
    write_files(found, every, options)
    if found.troubles and found.good:
        raise InfraError(found.troubles[0].message, found.troubles[0].hint)
    return found.good


def _whole(options: Options) -> bool:
    """Whether it was about the whole stack and all that is run of it by default, or more."""
    part = (options.names, options.upto, options.commit_range, options.suites, options.arches,
            options.command, options.kunitconfigs)  # fmt: skip
    return not any(part)


@dataclass(frozen=True)
class _Bench:
    """What a walk needs besides its rows and columns."""

    context: Context
    workspace: Workspace
    store: Store
    project: Project | None
    known: tuple[Known, ...]
    options: Options

    def walk(self, rows: list[Row], columns: tuple[Column, ...]) -> Regression:
        options = self.options
        progress, root = self.context.progress, self.project.root if self.project else None
        run = partial(
            walk,
            self.workspace,
            self.store,
            runners(self.workspace, progress, root, rows, options.jobs),
            rows,
            columns,
            known=self.known,
            rerun=options.rerun,
            patience=Patience(options.retries, options.backoff, options.confirm),
            progress=progress,
        )
        if not options.scheduler and not options.workers:
            return run()
        with connected(options.scheduler, options.workers) as client:
            return run(
                elsewhere=lambda bench, lanes: Cluster(client, bench, options.jobs).walk(
                    lanes, progress
                )
            )


def _without(bench: _Bench, stack: Stack, base: Base, columns: tuple[Column, ...]) -> bool:
    """Compare the whole stack with the stack that lacks one patch."""
    options = bench.options
    patches = stack.up_to(options.upto)
    number = options.without or 0
    left_out = next((one for one in patches if one.number == number), None)
    if left_out is None:
        raise UserError(
            f"there is no patch {number} among {len(patches)}", "memdesc-tool series show"
        )
    rest = tuple(one for one in patches if one is not left_out)
    whole = apply_stack(bench.workspace, base.commit, patches, bench.context.progress)
    try:
        lacking = apply_stack(bench.workspace, base.commit, rest, bench.context.progress)
    except FailedError as error:
        raise FailedError(
            f"nothing can be said: without patch {number}, {error.message}", error.hint
        ) from None
    rows = [
        Row(0, "the whole stack", whole[-1].commit),
        Row(number, f"without {left_out.label}", lacking[-1].commit if lacking else base.commit),
    ]
    found = bench.walk(rows, columns)
    if found.troubles:
        raise InfraError(found.troubles[0].message, found.troubles[0].hint)
    return print_without(found, left_out)
