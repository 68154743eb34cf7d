"""memdesc-tool kselftest: build one revision, run its kselftests in a guest, say what failed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from memdesc_tool import consolelog, vm, vmspec
from memdesc_tool.apply import apply_stack
from memdesc_tool.commands.common import (
    project_option,
    resolve_base,
    tree_options,
    warn_of_changes,
)
from memdesc_tool.commands.completion import complete_arch, complete_suite
from memdesc_tool.commands.consoleoutput import write_output
from memdesc_tool.console import warn
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, InfraError, UserError
from memdesc_tool.junit import as_json, junit
from memdesc_tool.kselftestrun import DEFAULT_CONFIG, KselftestRunner, Settings, load_arch
from memdesc_tool.problems import problems
from memdesc_tool.project import Project, find_project
from memdesc_tool.readsuite import find_suites, suites_of
from memdesc_tool.regress import Column, Row, run_one
from memdesc_tool.results import Attempt, Outcome, Verdict, open_store
from memdesc_tool.series import Stack
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.workspace import open_workspace


@dataclass(frozen=True)
class Options:
    """What the command line asks for; names as its options'."""

    series: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    upto: int | None
    bare: bool
    suite: tuple[str, ...]
    arch: str | None
    config: tuple[str, ...]
    kernel: Path | None
    modules: Path | None
    spec: str | None
    env: tuple[str, ...]
    attempts: int | None
    append: tuple[str, ...]
    qemu_args: tuple[str, ...]
    busybox: Path | None
    bash: Path | None
    timeout: int | None
    rerun: bool
    raw_output: bool
    json: Path | None
    junit: Path | None
    jobs: int | None
    bisect: bool
    project: Path | None


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUTPUT = click.Path(path_type=Path, dir_okay=False)


@click.command("kselftest")
@click.argument("series", nargs=-1)
@tree_options
@click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only.")
@click.option("--bare", is_flag=True, help="Apply nothing: the base with the suites laid over it.")
@click.option(
    "--suite",
    shell_complete=complete_suite,
    multiple=True,
    metavar="S",
    help="A kselftest suite of kernel-test-modules/ or a path; repeatable "
    "[default: those of the series].",
)
@click.option(
    "--arch", shell_complete=complete_arch, metavar="ARCH", help="[default: the suite's first]"
)
@click.option(
    "--config",
    multiple=True,
    metavar="FRAGMENT",
    help="Parts of the kernel besides vm-base and what the suite needs: debug, kasan, kcsan, "
    f"faults, hooks, rt, or a file; repeatable [default: {', '.join(DEFAULT_CONFIG)}].",
)
@click.option(
    "--kernel",
    type=_FILE,
    metavar="IMAGE",
    help="Boot this instead of building one; the tests are built from the revision all the same.",
)
@click.option(
    "--modules",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="With --kernel: the .ko files that were built for it.",
)
@click.option(
    "--spec", metavar="NAME|FILE", help="The machine, as of vm --spec [default: the suite's]."
)
@click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="In the tests' environment; repeatable."
)
@click.option(
    "--attempts", type=click.IntRange(1), metavar="N", help="Runs [default: the suite's]."
)
@click.option("--append", multiple=True, metavar="ARGS", help="For the kernel command line.")
@click.option("--qemu_args", "--qemu-args", multiple=True, metavar="ARGS", help="For QEMU.")
@click.option("--busybox", type=_FILE, metavar="FILE", help="A static busybox for the guest.")
@click.option("--bash", type=_FILE, metavar="FILE", help="A static bash for the guest.")
@click.option(
    "--timeout",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="For each run, without the build [default: the suite's].",
)
@click.option("--rerun", is_flag=True, help="Run again what is stored already.")
@click.option(
    "--raw_output", "--raw-output", is_flag=True, help="Print the console while the tests run."
)
@click.option("--json", type=_OUTPUT, metavar="FILE", help="Results as JSON.")
@click.option("--junit", type=_OUTPUT, metavar="FILE", help="Results as JUnit XML.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Jobs of make [default: all].")
@click.option(
    "--bisect",
    is_flag=True,
    help="Exit status for git bisect run: 125 for what cannot be built or applied, 128 for "
    "wrong use or trouble of the machine.",
)
@project_option
@click.pass_context
def kselftest_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Build the stack (or SERIES and what they depend on) and run kselftest suites on it.

    The tests are built and installed by the kernel's own makefiles and run by kselftest's
    own runner, in a virtual machine as the suite describes it. What ran before with the same
    inputs is not run again. Exit status 1 where a case fails, the kernel complains, panics
    or hangs, or nothing ran.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    try:
        status = _kselftest(click_context.obj, options)
    except FailedError as error:
        if not options.bisect:
            raise
        warn(error.message)
        status = ExitStatus.BISECT_SKIP
    if status:
        click_context.exit(status)


def _kselftest(context: Context, options: Options) -> ExitStatus:
    project = find_project(options.project)
    stack = Stack(()) if options.bare else project.stack(options.series)
    chosen = _suites(project, options)
    _check(options, chosen)
    base = resolve_base(context, options.tree_spec, options.rev, project.stack(options.series))
    if base.users and options.tree_spec and not options.rev:
        warn_of_changes(Path(options.tree_spec))
    status = ExitStatus.OK
    with (
        open_workspace(context.cache, base, context.progress) as workspace,
        open_store(context.cache.results) as store,
    ):
        commit = base.commit
        if applied := apply_stack(workspace, commit, stack.up_to(options.upto), context.progress):
            commit = applied[-1].commit
        row = Row(len(applied), f"{base.name} {commit[:12]}", commit)
        runner = KselftestRunner(
            workspace, context.progress, project.root, _settings(options),
            click.echo if options.raw_output else None,
        )  # fmt: skip
        for suite in chosen:
            column = Column(suite, options.arch or suite.arches[0])
            attempts = run_one(workspace, store, runner, row, column, rerun=options.rerun)
            for attempt in attempts:
                _show(options, suite, attempt)
                status = max(status, _status(attempt, options))
    return status


def _suites(project: Project, options: Options) -> tuple[Suite, ...]:
    """The suites to run, those of --suite or of the series."""
    if options.suite:
        found = find_suites(project.root, options.suite, Kind.KSELFTEST)
    else:
        names = project.stack(options.series).suites
        found = suites_of(project.root, names, Kind.KSELFTEST)
    if not found:
        raise UserError("the series name no kselftest suite", "give --suite")
    if options.attempts:
        found = tuple(replace(suite, attempts=options.attempts) for suite in found)
    return found


def _check(options: Options, chosen: tuple[Suite, ...]) -> None:
    """All that can be wrong with the options, before anything is built."""
    if options.bare and (options.series or options.upto is not None):
        raise UserError("--bare applies nothing", "give no series and no --upto")
    if options.kernel and options.config:
        raise UserError("--kernel is booted as it is", "no --config")
    if options.modules and not options.kernel:
        raise UserError("--modules goes with --kernel", "what is built has modules of its own")
    if (options.json or options.junit) and len(chosen) > 1:
        raise UserError("--json and --junit are for one suite", "choose it with --suite")
    for variable in options.env:
        if not variable.partition("=")[1] or variable.startswith("="):
            raise UserError(f"--env {variable} is not NAME=VALUE")
    for suite in chosen:
        vm.fragment(load_arch(options.arch or suite.arches[0]), options.config)
        vmspec.find(options.spec or str(suite.machine or vmspec.DEFAULT))


def _settings(options: Options) -> Settings:
    return Settings(
        config=options.config or DEFAULT_CONFIG,
        kernel=options.kernel,
        modules=tuple(sorted(options.modules.glob("*.ko"))) if options.modules else (),
        environment=options.env,
        spec=vmspec.find(options.spec) if options.spec else None,
        timeout=options.timeout,
        kernel_args=tuple(word for words in options.append for word in shlex.split(words)),
        qemu_args=tuple(word for words in options.qemu_args for word in shlex.split(words)),
        busybox=options.busybox,
        bash=options.bash,
        jobs=options.jobs,
    )


def _status(attempt: Attempt, options: Options) -> ExitStatus:
    """The exit status for an attempt."""
    if attempt.outcome in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED) and options.bisect:
        return ExitStatus.BISECT_SKIP
    if attempt.outcome is Outcome.CONFIG_FAILED:
        return ExitStatus.USAGE
    failed = any(result.verdict is Verdict.FAILED for result in attempt.results)
    good = attempt.outcome is Outcome.RAN and not failed and not attempt.detail
    return ExitStatus.OK if good else ExitStatus.FAILED


def _show(options: Options, suite: Suite, attempt: Attempt) -> None:
    """Print what failed and why, where the log is, and the verdict."""
    log = Path(attempt.log)
    built = attempt.outcome not in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED)
    if built and (options.json or options.junit or log.is_file()):
        if not log.is_file():
            raise InfraError(f"{log} is gone", "--rerun makes it anew")
        report = consolelog.read(log)
        timed = partial(junit, seconds=attempt.seconds)
        for target, render in ((options.json, as_json), (options.junit, timed)):
            if target:
                write_output(target, render(report))
        for line in problems(report):
            click.echo(line)
    elif built:
        for result in attempt.results:
            if result.verdict is Verdict.FAILED:
                click.echo(f"failed: {result.name}: {result.detail}")
    click.echo(f"{'console' if built else 'build log'}: {attempt.log}")
    click.echo(_verdict(suite, attempt))


def _verdict(suite: Suite, attempt: Attempt) -> str:
    """The verdict in one line."""
    counts = []
    for verdict in Verdict:
        if count := sum(result.verdict is verdict for result in attempt.results):
            counts.append(f"{count} {verdict.value}")
    counts.append(f"{attempt.seconds:.0f} s")
    word = attempt.outcome.value.upper()
    if attempt.outcome is Outcome.RAN:
        word = "FAILED" if attempt.detail else "PASSED"
    why = f": {attempt.detail}" if attempt.detail else ""
    return f"{suite.name}: {word}{why} ({', '.join(counts)})"
