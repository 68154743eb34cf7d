"""memdesc-tool kunit: build one revision, run its KUnit suites, say what failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from memdesc_tool import kconfig, overlay, qemuconfig, readsuite, suites
from memdesc_tool import kunit as runs
from memdesc_tool.apply import apply_stack
from memdesc_tool.build import usable_cpus
from memdesc_tool.commands import kunitoutput as output
from memdesc_tool.commands.common import resolve_base, warn_of_changes
from memdesc_tool.commands.kunitoptions import KunitCommand, Options, kunit_options
from memdesc_tool.console import warn
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.git import Git
from memdesc_tool.kconfig import Fragment
from memdesc_tool.kunit import KunitRequest, KunitResult, Outcome
from memdesc_tool.project import find_project
from memdesc_tool.series import Stack
from memdesc_tool.suites import Suite
from memdesc_tool.workspace import open_workspace, workspace_key

DEFAULT_CONFIG = "tools/testing/kunit/configs/default.config"
DEFAULT_TIMEOUT = 300
"""Seconds for a run, as in kunit.py."""
ALL_TESTS_CONFIG = "tools/testing/kunit/configs/all_tests.config"


@dataclass(frozen=True)
class Prepared:
    """What is to be built: source: a kernel tree; builds: where build directories go;
    fragment: without the arch's base; suites: those asked for; label: names the revision.
    """

    source: Path
    builds: Path
    fragment: Fragment
    suites: tuple[Suite, ...]
    label: str


@click.command("kunit", cls=KunitCommand)
@kunit_options
@click.pass_context
def kunit(click_context: click.Context, /, **kwargs: Any) -> None:
    """Build a revision and run KUnit suites on it: all, or those that FILTER_GLOB names.

    Takes the options of the kernel's `kunit.py run`. Stricter than that: every option asked
    for must be in the final .config, a splat fails the run, and so does a suite that was
    asked for and reports nothing. The tree is not written to and nothing is built in it.
    """
    options = Options(**kwargs)
    try:
        status = _kunit(click_context.obj, options)
    except FailedError as error:
        if not options.bisect:
            raise
        warn(error.message)
        status = ExitStatus.BISECT_SKIP
    if status:
        click_context.exit(status)


def _kunit(context: Context, options: Options) -> ExitStatus:
    with prepare(context, options) as prepared:
        request = _request(context, options, prepared)
        with context.cache.lock(runs.build_lock(request.build_dir), on_wait=context.progress.note):
            results = _run(context, options, request, prepared)
    shown = output.Shown(
        raw=options.raw_output, json=options.json, junit=options.junit, summary=options.summary
    )
    if options.list_tests or options.list_tests_attr or options.list_suites:
        _print_list(options, results[0])
    else:
        for result in results:
            output.show(result, shown)
    return max(_status(result, options) for result in results)


def _status(result: KunitResult, options: Options) -> ExitStatus:
    """The exit status for a result."""
    listing = options.list_tests or options.list_tests_attr or options.list_suites
    if result.passed or (listing and output.listed(result)):
        return ExitStatus.OK
    if result.outcome is Outcome.NOT_BOOTED:
        return ExitStatus.BISECT_ABORT if options.bisect else ExitStatus.INFRA
    if options.bisect and result.boot is None:
        return ExitStatus.BISECT_SKIP
    if result.build.config.missing:
        return ExitStatus.USAGE
    return ExitStatus.FAILED


def _run(
    context: Context, options: Options, request: KunitRequest, prepared: Prepared
) -> list[KunitResult]:
    """Build once; boot once, or once for each suite or test with --run_isolated."""
    cache, progress = context.cache, context.progress
    build = runs.build_kernel(request, cache, progress, prepared.label)
    if not build.ok:
        return [runs.not_built(build)]
    action = "list_attr" if options.list_tests_attr else "list"
    lister = replace(request, action=action, expect=())
    if options.list_tests or options.list_tests_attr or options.list_suites:
        return [runs.execute(lister, build, cache, progress, prepared.label)]
    if not options.run_isolated:
        return [runs.execute(request, build, cache, progress, prepared.label)]
    listing = runs.execute(lister, build, cache, progress, prepared.label, "list.log")
    tests = output.listed(listing)
    if not tests:
        return [listing]
    results = []
    for number, glob in enumerate(_isolated(tests, options.run_isolated, request.filter_glob), 1):
        one = replace(request, filter_glob=glob, expect=())
        log_name = f"console-{number}.log"
        results.append(runs.execute(one, build, cache, progress, prepared.label, log_name))
    return results


def _isolated(tests: list[str], by: str, glob: str) -> list[str]:
    """A filter for each boot of --run_isolated."""
    if by == "test":
        return tests
    case = glob.partition(".")[2]
    names = dict.fromkeys(test.partition(".")[0] for test in tests)
    return [f"{suite}.{case}" if case else suite for suite in names]


def _print_list(options: Options, result: KunitResult) -> None:
    if result.boot is None:
        output.show(result, output.Shown())
        return
    lines = output.listed(result, attributes=options.list_tests_attr)
    if options.list_suites:
        lines = list(dict.fromkeys(line.partition(".")[0] for line in lines))
    for line in lines:
        click.echo(line)


def _request(context: Context, options: Options, prepared: Prepared) -> KunitRequest:
    """The request that the options make of what was prepared."""
    if options.qemu_config:
        arch = qemuconfig.read(options.qemu_config)
    else:
        arch = qemuconfig.find_arch(options.arch, prepared.source)
    glob, attributes = _filters(options, prepared.suites)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    suite_args = [argument for suite in prepared.suites for argument in suite.kernel_args]
    return KunitRequest(
        source=prepared.source,
        arch=arch,
        fragment=prepared.fragment,
        build_dir=(options.build_dir.absolute() if options.build_dir else None)
        or runs.build_directory(
            prepared.builds, arch, prepared.fragment, options.make_options,
            options.cross_compile or "",
        ),
        log_dir=context.cache.logs / "kunit" / f"{stamp}-{os.getpid()}",
        expect=() if options.filter_glob or options.filter_option
        else tuple(suite.filter for suite in prepared.suites),
        filter_glob=glob,
        filter_attr=attributes,
        filter_action=options.filter_action or "",
        kernel_args=(*suite_args, *options.kernel_args),
        qemu_args=tuple(word for words in options.qemu_args for word in words.split()),
        make_options=options.make_options,
        cross_compile=options.cross_compile,
        jobs=options.jobs or usable_cpus(),
        timeout=options.timeout
        or max((suite.timeout for suite in prepared.suites), default=DEFAULT_TIMEOUT),
    )  # fmt: skip


def _filters(options: Options, chosen: tuple[Suite, ...]) -> tuple[str, str]:
    """The glob and the attribute filter."""
    glob, attributes = options.filter_glob or "", options.filter_attr or ""
    if option := options.filter_option:
        if any(char in option for char in "<>="):
            if attributes:
                raise UserError("give either --filter or --filter_attr for attributes")
            attributes = option
        elif glob:
            raise UserError("give either FILTER_GLOB or --filter")
        else:
            glob = option
    if not glob and len(chosen) == 1:
        glob = chosen[0].filter
    return glob, attributes


@contextmanager
def prepare(context: Context, options: Options) -> Iterator[Prepared]:
    """The source that the options ask for, with series applied and suites laid over it.

    Holds the workspace while the body runs, since builds read its source worktree.
    """
    spec = options.tree_spec
    if spec is None and (Path.cwd() / DEFAULT_CONFIG).is_file():
        spec = str(Path.cwd())
    stack, chosen = _stack(options)
    if spec is not None and Path(spec).is_dir() and not _in_git(Path(spec)):
        yield _plain(context, options, Path(spec).absolute(), chosen)
        return
    base = resolve_base(context, spec, options.rev, stack if stack.series else None)
    if base.users and spec and not options.rev:
        warn_of_changes(Path(spec))
    with open_workspace(context.cache, base, context.progress) as workspace:
        commit = base.commit
        if applied := apply_stack(workspace, commit, stack.up_to(options.upto), context.progress):
            commit = applied[-1].commit
        label = f"{base.name} {commit[:12]}"
        if chosen and options.overlay:
            commit = overlay.overlay(workspace, commit, chosen)
        source = workspace.checkout(commit)
        fragment = _fragment(options, source, chosen)
        yield Prepared(source, workspace.builds, fragment, chosen, label)


def _stack(options: Options) -> tuple[Stack, tuple[Suite, ...]]:
    """The series to apply and the suites to run."""
    if not (options.series or options.suite or options.upto is not None):
        return Stack(()), ()
    project = find_project(options.project)
    applies = options.series or options.upto is not None
    stack = project.stack(options.series) if applies else Stack(())
    if options.suite:
        return stack, readsuite.find_suites(project.root, options.suite, suites.Kind.KUNIT)
    if options.kunitconfig or options.alltests:
        return stack, ()
    return stack, readsuite.suites_of(project.root, stack.suites, suites.Kind.KUNIT)


def _in_git(path: Path) -> bool:
    return Git(path).attempt("rev-parse", "--git-dir")[0] == 0


def _plain(context: Context, options: Options, source: Path, chosen: tuple[Suite, ...]) -> Prepared:
    """A directory that is no git tree: built as it is."""
    if options.series or options.upto is not None or options.rev or chosen:
        raise UserError(
            f"{source} is not a git tree, so nothing can be applied to it",
            "git init && git add -A && git commit in it, or give another --tree",
        )
    builds = context.cache.build / workspace_key(source)
    return Prepared(source, builds, _fragment(options, source, ()), (), source.name)


def _fragment(options: Options, source: Path, chosen: tuple[Suite, ...]) -> Fragment:
    """The kunitconfigs of the suites and the user's, then --kconfig_add."""
    paths = [path for suite in chosen for path in suite.configs]
    paths += [_find_config(path, source) for path in options.kunitconfig]
    if options.alltests:
        paths.append(source / ALL_TESTS_CONFIG)
    if not paths:
        paths.append(source / DEFAULT_CONFIG)
    fragment = kconfig.combine(kconfig.read(path) for path in paths)
    return fragment.merge(kconfig.parse("\n".join(options.kconfig_add), "--kconfig_add"))


def _find_config(path: Path, source: Path) -> Path:
    """A --kunitconfig: relative to the working directory, else to the top of the tree."""
    return path if path.exists() or path.is_absolute() else source / path
