"""memdesc-tool regress: test the base and every patch, say what each patch changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from memdesc_tool import kselftestrun, kunitrun, report
from memdesc_tool.apply import Applied, How, apply_stack
from memdesc_tool.baseline import BAD, Known, read_known
from memdesc_tool.commands.common import commit_span, project_option, resolve_base, tree_options
from memdesc_tool.console import err, interactive, out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.project import Project, find_project
from memdesc_tool.regress import Column, Regression, Row, walk
from memdesc_tool.results import Attempt, Outcome, Store, open_store
from memdesc_tool.series import Numbered, Stack
from memdesc_tool.suites import Kind, Suite, find_suite, suites_of
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    names: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    commit_range: str | None
    upto: int | None
    without: int | None
    ends: bool
    vm: bool
    every: bool
    suites: tuple[str, ...]
    arches: tuple[str, ...]
    kunitconfigs: tuple[Path, ...]
    filter_glob: str | None
    rerun: bool
    jobs: int | None
    project: Path | None


@click.command("regress")
@click.argument("names", metavar="[SERIES]...", nargs=-1)
@tree_options
@click.option(
    "--range",
    "commit_range",
    metavar="BASE..TIP",
    help="Test these commits of --tree instead of a series in patches/.",
)
@click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only.")
@click.option(
    "--without",
    type=int,
    metavar="N",
    help="Leave patch N out and name the cases that turn red at the end; status 1 if any does.",
)
@click.option("--ends", is_flag=True, help="Test the base and the last patch only.")
@click.option(
    "--vm",
    is_flag=True,
    help="The kselftest suites of the series, too, in a virtual machine: on the base and the "
    "last patch.",
)
@click.option(
    "--every", is_flag=True, help="kselftest suites on every patch, not only at both ends."
)
@click.option("--suite", "suites", multiple=True, metavar="S", help="Only this suite; repeatable.")
@click.option("--arch", "arches", multiple=True, metavar="A", help="Only this arch; repeatable.")
@click.option(
    "--kunitconfig",
    "kunitconfigs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Test KUnit suites that the tree has itself, enabled by this fragment; repeatable.",
)
@click.option(
    "--filter", "filter_glob", metavar="GLOB", help="KUnit suites to run, with --kunitconfig."
)
@click.option("--rerun", is_flag=True, help="Run again what is stored already.")
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores].")
@project_option
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


def _regress(context: Context, options: Options) -> bool:
    project, stack = _what(options)
    base = resolve_base(context, options.tree_spec, _base_revision(options), stack)
    columns = _columns(project, stack, options)
    known = read_known(project.patches) if project else ()
    with (
        open_workspace(context.cache, base, context.progress) as workspace,
        open_store(context.cache.results) as store,
    ):
        bench = _Bench(
            context,
            workspace,
            _runner(context, workspace, project, options),
            known,
        )
        if options.without is not None:
            return _without(bench, store, stack, base, columns, options)
        rows = _rows(bench, stack, base, options)
        if options.ends:
            rows = [rows[0], rows[-1]]
        found = walk(
            workspace, store, bench.runner, rows, columns,
            known=known, rerun=options.rerun,
        )  # fmt: skip
    _print(found, base)
    return found.good


def _what(options: Options) -> tuple[Project | None, Stack]:
    """The project and the stack; with --range a project is only needed for suites."""
    if options.commit_range:
        if not options.tree_spec or options.names or options.without or options.upto:
            raise UserError("--range takes --tree PATH and no series, --upto or --without")
        if not options.kunitconfigs and not options.suites:
            raise UserError("--range needs to know what to run", "give --suite or --kunitconfig")
        return find_project(options.project) if options.suites else None, Stack(())
    project = find_project(options.project)
    stack = project.stack(options.names)
    if not stack.patches:
        raise UserError(f"{project.patches} holds no patch")
    return project, stack


def _base_revision(options: Options) -> str | None:
    if not options.commit_range:
        return options.rev
    if options.rev:
        raise UserError("give either --range or --rev")
    return commit_span(Path(str(options.tree_spec)), options.commit_range)[0]


def _columns(project: Project | None, stack: Stack, options: Options) -> tuple[Column, ...]:
    suites = _suites(project, stack, options)
    if not suites:
        raise UserError(
            "no suite is named by the series", "give --suite, or --kunitconfig and --filter"
        )
    columns = [
        Column(suite, arch, ends=suite.kind is Kind.KSELFTEST and not options.every)
        for suite in suites
        for arch in _arches(suite, options)
    ]
    if not columns:
        raise UserError(f"no suite runs on {', '.join(options.arches)}", "choose another --arch")
    return tuple(dict.fromkeys(columns))


def _arches(suite: Suite, options: Options) -> tuple[str, ...]:
    """Where a suite runs. A kselftest takes of --arch what it says that it runs on: --arch um
    beside --vm is meant for the others.
    """
    if suite.kind is Kind.KUNIT or not options.arches:
        return options.arches or suite.arches
    return tuple(arch for arch in options.arches if arch in suite.arches)


def _suites(project: Project | None, stack: Stack, options: Options) -> list[Suite]:
    if options.kunitconfigs:
        if options.suites:
            raise UserError("give either --suite or --kunitconfig")
        return [
            Suite(
                name=options.filter_glob or "kunit",
                directory=Path.cwd(),
                title="KUnit suites of the tree",
                filter=options.filter_glob or "*",
                configs=tuple(path.absolute() for path in options.kunitconfigs),
            )
        ]
    if options.filter_glob:
        raise UserError("--filter needs --kunitconfig", "a suite has a filter of its own")
    if project is None:
        return []
    if options.suites:
        return [find_suite(project.root, name) for name in options.suites]
    kinds = (Kind.KUNIT, Kind.KSELFTEST) if options.vm else (Kind.KUNIT,)
    return list(suites_of(project.root, stack.suites, *kinds))


@dataclass(frozen=True)
class _Runners:
    """A runner for every kind of suite; see regress.Runner."""

    kunit: kunitrun.KunitRunner
    kselftest: kselftestrun.KselftestRunner | None

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        return self._of(column).inputs(column, tree)

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        return self._of(column).run(column, source, log_dir, label)

    def _of(self, column: Column) -> kunitrun.KunitRunner | kselftestrun.KselftestRunner:
        if column.suite.kind is Kind.KUNIT or self.kselftest is None:
            return self.kunit
        return self.kselftest


def _runner(
    context: Context, workspace: Workspace, project: Project | None, options: Options
) -> _Runners:
    """What runs the cells; kselftest suites are found in a project only."""
    progress = context.progress
    return _Runners(
        kunitrun.KunitRunner(workspace, progress, options.jobs),
        kselftestrun.KselftestRunner(
            workspace, progress, project.root, kselftestrun.Settings(jobs=options.jobs)
        )
        if project
        else None,
    )


@dataclass(frozen=True)
class _Bench:
    """What a walk needs besides its rows and columns."""

    context: Context
    workspace: Workspace
    runner: _Runners
    known: tuple[Known, ...]


def _rows(bench: _Bench, stack: Stack, base: Base, options: Options) -> list[Row]:
    first = Row(0, f"base ({Path(base.name).name})", base.commit)
    if options.commit_range:
        tip = commit_span(Path(str(options.tree_spec)), options.commit_range)[1]
        git = bench.workspace.scratch
        commits = git.commits(base.commit, tip)
        if not commits:
            raise UserError(f"there is no commit in {options.commit_range}")
        return [
            first,
            *(Row(n, f"{n}. {git.subject(commit)}", commit) for n, commit in enumerate(commits, 1)),
        ]
    applied = apply_stack(
        bench.workspace, base.commit, stack.up_to(options.upto), bench.context.progress
    )
    return [first, *(_row(one) for one in applied)]


def _row(applied: Applied) -> Row:
    there = f" ({How.ALREADY.value})" if applied.how is How.ALREADY else ""
    return Row(applied.numbered.number, applied.numbered.label + there, applied.commit)


def _without(
    bench: _Bench,
    store: Store,
    stack: Stack,
    base: Base,
    columns: tuple[Column, ...],
    options: Options,
) -> bool:
    """Compare the whole stack with the stack that lacks one patch."""
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
    found = walk(
        bench.workspace, store, bench.runner, rows, columns,
        known=bench.known, rerun=options.rerun,
    )  # fmt: skip
    return _print_without(found, left_out)


def _print_without(found: Regression, left_out: Numbered) -> bool:
    out.print(report.table(found))
    for cell in found.of_row(found.rows[-1]):
        if cell.broken is Outcome.BUILD_FAILED:
            raise FailedError(
                f"nothing can be said: without patch {left_out.number} {cell.column.name} does"
                f" not build: {cell.attempts[-1].detail}",
                f"its output: {cell.attempts[-1].log}",
            )
    for text in report.details(replace(found, rows=found.rows[1:])):
        out.print(text)
    red = found.changed(*BAD)
    guarded = (
        ("1 case turns red" if len(red) == 1 else f"{len(red)} cases turn red")
        if red
        else ("no case turns red: nothing guards it")
    )
    out.print(f"without {left_out.label}: {guarded}", markup=False)
    return not red


def _print(found: Regression, base: Base) -> None:
    out.print(report.table(found))
    for text in report.details(found):
        out.print(text)
    for entry in found.unmatched:
        err.print(
            f"memdesc-tool: known failure {entry.case} on {entry.where} fails nowhere any more;"
            f" its entry can go ({entry.remove_when})",
            markup=False,
        )
    if interactive():
        out.print()
    out.print(report.verdict(found, base.origin), markup=False)
