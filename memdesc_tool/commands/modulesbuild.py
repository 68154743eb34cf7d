"""memdesc-tool modules build: compile and check the out-of-tree modules, for every arch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from memdesc_tool import arch as architectures
from memdesc_tool import modulekernel, modules, vm
from memdesc_tool.arch import Arch
from memdesc_tool.build import usable_cpus
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
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, InfraError, UserError
from memdesc_tool.modulekernel import Source
from memdesc_tool.modules import ModulesBuild, ModuleSource, ModulesRequest
from memdesc_tool.project import find_project
from memdesc_tool.suites import Kind

SHOWN = 20
"""Warnings and errors of one build that are printed; the log has the rest."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    names: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    series: tuple[str, ...]
    upto: int | None
    arch: tuple[str, ...]
    config: tuple[str, ...]
    kdir: Path | None
    symbols: bool
    sparse: bool
    allow_warnings: bool
    output: Path | None
    jobs: int | None
    project: Path | None

    @property
    def tree(self) -> TreeOptions:
        return TreeOptions(self.tree_spec, self.rev, self.series, self.upto)


@dataclass(frozen=True)
class Row:
    """One module directory on one arch: built, or why that could not be tried."""

    arch: str
    name: str
    build: ModulesBuild | None = None
    refused: str = ""
    wanted: bool = True
    """Whether it was asked for by name, so that it counts when it is refused."""


@click.command("build")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@tree_options
@series_options
@click.option("--arch", shell_complete=complete_arch, multiple=True, metavar="A",
              help="Repeatable [default: all with a compiler, or this machine's].")  # fmt: skip
@click.option("--config", multiple=True, metavar="FRAGMENT",
              help="More of the kernel: a file or debug, kasan, ...; repeatable.")  # fmt: skip
@kdir_option
@click.option("--symbols", is_flag=True,
              help="Build the whole kernel first, to find missing symbols too.")  # fmt: skip
@click.option("--sparse/--no-sparse", default=True, help="Check with sparse, if installed.")
@click.option("--allow-warnings", is_flag=True, help="Warnings are shown and do not fail.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Copy the modules to DIR/ARCH/.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all processors].")
@project_option
@click.pass_context
def build_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Compile the module directories NAME (all) with W=1 and sparse.

    A module directory is kernel-test-modules/NAME/ with a Kbuild file and, in config, the
    options that the kernel needs. Where an architecture does not have those it is left out,
    unless --arch names it. Exit status 1 where something does not compile or is warned of.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    context: Context = click_context.obj
    rows = list(_rows(context, options))
    _show(rows)
    if not _good(rows, options.allow_warnings):
        click_context.exit(ExitStatus.FAILED)


def _rows(context: Context, options: Options) -> Iterator[Row]:
    project = find_project(options.project)
    sources = modules.find_modules(project.root, options.names)
    if not sources:
        raise UserError(
            f"there is no module directory in {project.root}/kernel-test-modules",
            "one has a Kbuild file",
        )
    logs = log_directory(context, "build")
    if options.kdir:
        if options.tree.given or options.config or len(options.arch) > 1:
            raise UserError("--kdir is used as it is", "no --tree, --series or --config")
        arch = architectures.load(options.arch[0]) if options.arch else None
        yield from (_for_directory(context, options, one, arch, logs) for one in sources)
        return
    arches = tuple(architectures.load(name) for name in options.arch) or modulekernel.available()
    for arch in arches:
        architectures.toolchain(arch)
    more = fragments(options.config)
    suites = modulekernel.project_suites(project.root, Kind.KUNIT)
    with checked_out(context, project, options.tree) as found:
        for arch in arches:
            for one in sources:
                wanted = modulekernel.wanted([one], more, vm.fragment(arch), suites)
                yield _for_arch(context, options, one, arch, found.source, wanted, logs)


def _for_directory(
    context: Context, options: Options, one: ModuleSource, arch: Arch | None, logs: Path
) -> Row:
    """Built for --kdir."""
    assert options.kdir
    kdir = options.kdir.resolve()
    name = arch.name if arch else kdir.name
    for missing in modules.lacking(kdir, one):
        warn(f"{one.name}: {kdir}: {missing}")
    symbols = (kdir / "Module.symvers").is_file()
    with output_directory(context, kdir) as place:
        return _build(context, options, one, arch, name, kdir, place / one.name, symbols, logs)


def _for_arch(
    context: Context, options: Options, one: ModuleSource, arch: Arch, source: Source,
    wanted: modulekernel.Wanted, logs: Path,
) -> Row:  # fmt: skip
    """Built for a kernel of the tool's own."""
    make = modulekernel.whole if options.symbols else modulekernel.prepared
    log_dir = logs / arch.name / one.name
    kernel = make(source, arch, wanted, log_dir, options.jobs, context.cache, context.progress)
    asked = bool(options.arch)
    if kernel.build.config.missing:
        first = kernel.build.config.missing[0]
        return Row(arch.name, one.name, None, f"{first.option.asked} cannot be had", asked)
    if not kernel.build.ok:
        first_error = str(kernel.build.errors[0])
        raise InfraError(f"{source.label} does not build for {arch.name}: {first_error}",
                         f"whole log: {kernel.build.log}")  # fmt: skip
    output = kernel.build_dir.with_name(f"{kernel.build_dir.name}-modules") / one.name
    return _build(context, options, one, arch, arch.name, kernel.build_dir, output,
                  options.symbols, logs)  # fmt: skip


def _build(
    context: Context, options: Options, one: ModuleSource, arch: Arch | None, name: str,
    kernel_dir: Path, output: Path, symbols: bool, logs: Path,
) -> Row:  # fmt: skip
    request = ModulesRequest(
        one, kernel_dir, output, logs / name / one.name, arch, symbols, options.sparse,
        jobs=options.jobs or usable_cpus(),
    )  # fmt: skip
    with context.progress.step(f"{one.name} for {name}") as tell:
        built = modules.build(request, tell)
    if options.output:
        place = options.output / name
        place.mkdir(parents=True, exist_ok=True)
        for module in built.modules:
            shutil.copyfile(module, place / module.name)
    return Row(name, one.name, built)


def _good(rows: list[Row], allow_warnings: bool) -> bool:
    """Whether all that was tried is well, and anything was."""
    builds = [row.build for row in rows if row.build]
    fine = all(build.ok if allow_warnings else build.clean for build in builds)
    return bool(builds) and fine and not any(row.refused and row.wanted for row in rows)


def _show(rows: list[Row]) -> None:
    for row in rows:
        _print_diagnostics(row)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("arch", "directory", "result", "sparse"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.arch, row.name, _result(row), _sparse(row))
    out.print(table)


def _print_diagnostics(row: Row) -> None:
    if not row.build:
        return
    found = (*row.build.errors, *row.build.warnings)
    for one in found[:SHOWN]:
        click.echo(f"{row.arch}: {one}")
    if len(found) > SHOWN:
        click.echo(f"{row.arch}: {len(found) - SHOWN} more in {row.build.log.parent}")


def _result(row: Row) -> Text:
    if not row.build:
        return Text(f"left out: {row.refused}", "red" if row.wanted else "yellow")
    if not row.build.ok:
        return Text(f"DOES NOT BUILD, {row.build.log}", "bold red")
    text = Text(" ".join(path.name for path in row.build.modules))
    if count := len(row.build.warnings):
        text.append(f", {count} warning{'s' if count > 1 else ''}", "red")
    return text


def _sparse(row: Row) -> Text:
    if not row.build or not row.build.ok:
        return Text("")
    return Text(row.build.unchecked, "yellow") if row.build.unchecked else Text("checked")
