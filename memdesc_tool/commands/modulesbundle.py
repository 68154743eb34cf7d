"""memdesc-tool modules bundle: one archive with kernel, modules, tests and their runner."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from memdesc_tool import __version__, bundlekernel, kconfig, kselftest, modulekernel, modules, vm
from memdesc_tool import arch as architectures
from memdesc_tool import bundle as bundling
from memdesc_tool.arch import Arch
from memdesc_tool.build import usable_cpus
from memdesc_tool.bundle import Bundle, Entry, Step
from memdesc_tool.bundleselftests import Selected, selftests
from memdesc_tool.commands.common import project_option, tree_options
from memdesc_tool.commands.completion import complete_arch
from memdesc_tool.commands.modulesoptions import (
    TreeOptions,
    checked_out,
    fragments,
    kdir_option,
    log_directory,
    output_directory,
    series_options,
)
from memdesc_tool.console import warn
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.modules import ModuleSource, ModulesRequest
from memdesc_tool.process import capture
from memdesc_tool.project import Project, find_project
from memdesc_tool.suites import Kind, Suite

SHOWN = 12


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    archive: Path
    tree_spec: str | None
    rev: str | None
    series: tuple[str, ...]
    upto: int | None
    arch: str
    base_config: Path | None
    config: tuple[str, ...]
    kdir: Path | None
    modules_only: bool
    selftests: Path | None
    allow_warnings: bool
    jobs: int | None
    project: Path | None

    @property
    def tree(self) -> TreeOptions:
        return TreeOptions(self.tree_spec, self.rev, self.series, self.upto)


@dataclass
class Parts:
    """What is collected for the archive."""

    entries: list[Entry] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


@click.command("bundle")
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@tree_options
@series_options
@click.option(
    "--arch",
    shell_complete=complete_arch,
    default=platform.machine(),
    show_default=True,
    metavar="A",
)
@click.option("--base-config", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE",
              help="A whole .config to start from, the machine's own say; what of it cannot be"
              " had is left out [default: that of a virtual machine].")  # fmt: skip
@click.option("--config", multiple=True, metavar="FRAGMENT",
              help="More of the kernel: a file or debug, kasan, ...; repeatable.")  # fmt: skip
@kdir_option
@click.option("--modules-only", is_flag=True,
              help="No kernel: for machines that run the kernel of --kdir.")  # fmt: skip
@click.option("--selftests", type=click.Path(path_type=Path, exists=True, file_okay=False),
              metavar="DIR", help="What kselftest's own install has made.")  # fmt: skip
@click.option("--allow-warnings", is_flag=True, help="Modules may be warned of.")
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all processors].")
@project_option
@click.pass_context
def bundle_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Write ARCHIVE (.tar.gz or .tar.xz): what a machine needs to run the tests.

    Unpack it there, boot its kernel unless that runs already, and run `sh run.sh`; or let
    `modules run` do it. The same inputs give the same archive, byte for byte.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    identity, steps = _bundle(click_context.obj, options)
    if not steps:
        warn("there is nothing to run in it")
        click_context.exit(ExitStatus.FAILED)
    click.echo(f"{options.archive}: bundle {identity}, {len(steps)} steps")


def _bundle(context: Context, options: Options) -> tuple[str, tuple[Step, ...]]:
    bundling.check_name(options.archive)
    if options.modules_only and not options.kdir:
        raise UserError("--modules-only needs --kdir", "headers of the kernel that runs there")
    if options.kdir and (options.tree.given or options.config or options.base_config):
        raise UserError("--kdir is used as it is", "no --tree, --series or --config")
    project = find_project(options.project)
    sources = modules.find_modules(project.root)
    arch = architectures.load(options.arch)
    logs = log_directory(context, "bundle")
    parts = Parts(facts={"tool": f"memdesc-tool {__version__}", "arch": arch.name})
    if options.kdir:
        collected = _from_directory(context, options, arch, sources, logs, parts)
    else:
        collected = _from_tree(context, options, project, arch, sources, logs, parts)
    with collected:
        if options.selftests:
            found = selftests(options.selftests, _modules_of(parts))
            parts.entries += found.entries
            parts.steps += found.steps
        parts.facts["seconds"] = str(sum(step.seconds for step in parts.steps))
        made = Bundle(tuple(parts.entries), tuple(parts.steps), parts.facts)
        with context.progress.step(f"write {options.archive.name}"):
            return bundling.write(made, options.archive), made.steps


def _modules_of(parts: Parts) -> list[str]:
    return [one.path for one in parts.entries if re.fullmatch(r"modules/[^/]+", one.path)]


@contextmanager
def _from_directory(
    context: Context, options: Options, arch: Arch, sources: tuple[ModuleSource, ...],
    logs: Path, parts: Parts,
) -> Iterator[None]:  # fmt: skip
    """The parts for --kdir; they stay as long as the body runs."""
    assert options.kdir
    kdir = options.kdir.resolve()
    with output_directory(context, kdir) as place:
        _add_directory(context, options, kdir, place, arch, sources, logs, parts)
        yield


def _add_directory(
    context: Context, options: Options, kdir: Path, place: Path, arch: Arch,
    sources: tuple[ModuleSource, ...], logs: Path, parts: Parts,
) -> None:  # fmt: skip
    if options.modules_only:
        parts.facts["kernel"] = bundlekernel.release_of(kdir)
    else:
        _add_kernel(kdir, arch, place / "stage", logs, architectures.toolchain(arch).prefix, parts)
    for one in sources:
        for missing in modules.lacking(kdir, one):
            warn(f"{one.name}: {kdir}: {missing}")
    # Installed headers choose their own compiler.
    chosen = arch if (kdir / "vmlinux").is_file() else None
    symbols = (kdir / "Module.symvers").is_file()
    _add_modules(context, options, sources, chosen, kdir, place, symbols, logs, parts)


@contextmanager
def _from_tree(
    context: Context, options: Options, project: Project, arch: Arch,
    sources: tuple[ModuleSource, ...], logs: Path, parts: Parts,
) -> Iterator[None]:  # fmt: skip
    """The parts from a kernel that is built here; they stay as long as the body runs."""
    suites = modulekernel.project_suites(project.root, Kind.KUNIT)
    programs = modulekernel.project_suites(project.root, Kind.KSELFTEST)
    base = kconfig.read(options.base_config) if options.base_config else vm.fragment(arch)
    wanted = modulekernel.wanted(sources, fragments(options.config), base, suites)
    with checked_out(context, project, options.tree, (*suites, *programs)) as found:
        kernel = modulekernel.whole(
            found.source, arch, wanted, logs, options.jobs, context.cache, context.progress
        )
        build = kernel.build
        if not build.ok:
            for line in (build.config.missing or build.errors)[:SHOWN]:
                click.echo(str(line))
            raise FailedError(f"{found.source.label} does not build", f"whole log: {build.log}")
        _tell_left_out(kernel.left_out, suites)
        parts.facts |= {**found.facts, "toolchain": build.toolchain.key}
        place = kernel.build_dir.with_name(f"{kernel.build_dir.name}-bundle")
        _add_kernel(kernel.build_dir, arch, place / "stage", logs, build.toolchain.prefix, parts)
        _add_modules(context, options, sources, arch, kernel.build_dir, place, True, logs, parts)
        if not options.selftests:
            for suite in programs:
                _add_selftests(context, options, suite, arch, found.source, logs, parts)
        yield


def _add_selftests(
    context: Context, options: Options, suite: Suite, arch: Arch, source: modulekernel.Source,
    logs: Path, parts: Parts,
) -> None:  # fmt: skip
    """Build and install a suite's kselftests. Raises FailedError where they do not build."""
    place = source.builds / f"kselftest-{arch.name}-{suite.name}"
    request = kselftest.InstallRequest(
        source.path, place, place.with_name(f"{place.name}-installed"), suite, arch,
        logs / f"{suite.name}.log", options.jobs or usable_cpus(),
    )  # fmt: skip
    with context.progress.step(f"build {suite.name}") as tell:
        installed = kselftest.install(request, tell)
    for line in installed.errors[:SHOWN]:
        click.echo(str(line))
    if not installed.ok:
        raise FailedError(f"{suite.name} does not build", f"whole log: {installed.log}")
    selected = Selected(suite.filter, suite.environment, suite.timeout)
    found = selftests(installed.directory, _modules_of(parts), selected)
    parts.entries += found.entries
    parts.steps += found.steps


def _tell_left_out(left_out: tuple[str, ...], suites: tuple[Suite, ...]) -> None:
    tests = [name for name in left_out if name.endswith(modulekernel.TEST_OPTION)]
    for name in tests:
        warn(f"CONFIG_{name}=m cannot be had: its suite is not in the bundle")
    others = len(left_out) - len(tests)
    if others and suites:
        warn(f"{others} options of --base-config or the suites cannot be had and are left out")


def _add_kernel(
    build_dir: Path, arch: Arch, stage: Path, logs: Path, prefix: str, parts: Parts
) -> None:
    found = bundlekernel.parts(build_dir, arch, stage, logs / "modules_install.log", prefix)
    parts.entries += found.entries
    parts.steps += found.steps
    parts.facts |= found.facts


def _add_modules(
    context: Context, options: Options, sources: tuple[ModuleSource, ...], arch: Arch | None,
    kernel_dir: Path, place: Path, symbols: bool, logs: Path, parts: Parts,
) -> None:  # fmt: skip
    """Build the out-of-tree modules; a step each that loads and unloads it."""
    steps = []
    strip = f"{architectures.toolchain(arch).prefix}strip" if arch else "strip"
    stripped = place / "modules"
    shutil.rmtree(stripped, ignore_errors=True)
    stripped.mkdir(parents=True)
    for one in sources:
        request = ModulesRequest(
            one, kernel_dir, place / one.name, logs / one.name, arch, symbols, False,
            jobs=options.jobs or usable_cpus(),
        )  # fmt: skip
        with context.progress.step(f"build {one.name}") as tell:
            built = modules.build(request, tell)
        for line in (*built.errors, *built.warnings)[:SHOWN]:
            click.echo(str(line))
        if not (built.ok if options.allow_warnings else built.clean):
            raise FailedError(f"{one.name} does not build cleanly", f"whole log: {built.log}")
        for module in built.modules:
            copy = stripped / module.name
            capture([strip, "--strip-debug", "-o", str(copy), str(module)], cwd=place)
            parts.entries.append(Entry(f"modules/{module.name}", copy))
            steps.append(Step(f"module.{module.stem}", "module", f"modules/{module.name}"))
    parts.steps[:0] = [replace(step, seconds=bundlekernel.KUNIT_SECONDS) for step in steps]
