"""memdesc-tool bench kernel: what a series costs or saves in the kernel, path by path."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import click

from memdesc_tool import benchtable
from memdesc_tool.apply import apply_stack
from memdesc_tool.benchkernel import CYCLES, INSTRUCTIONS, KernelBench, Settings
from memdesc_tool.benchplan import BENCH_FILE, read_plan
from memdesc_tool.benchverdict import Comparison, RowFigures, compare
from memdesc_tool.cache import write_atomic
from memdesc_tool.cells import Row
from memdesc_tool.commands.common import (
    project_option,
    resolve_base,
    tree_options,
    warn_of_changes,
)
from memdesc_tool.commands.completion import complete_series, complete_suite
from memdesc_tool.commands.regressrows import base_row
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.measured import THRESHOLD, keep_figures, span_inputs
from memdesc_tool.modulekernel import project_suites
from memdesc_tool.project import Project, find_project
from memdesc_tool.readsuite import find_suites
from memdesc_tool.results import open_store
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.workspace import open_workspace


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    names: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    upto: int | None
    every: bool
    suite: str | None
    boots: int
    threshold: float
    noise: float
    cycles: bool
    rerun: bool
    jobs: int | None
    json: Path | None
    busybox: Path | None
    project: Path | None


@click.command("kernel")
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@tree_options
@click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only.")
@click.option(
    "--every/--ends", default=False, help="Every patch, or base and last patch [default: --ends]."
)
@click.option(
    "--suite",
    shell_complete=complete_suite,
    metavar="S",
    help="The benchmark: a suite of the kind bench [default: the project's only one].",
)
@click.option(
    "--boots",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    metavar="N",
    help="How often each kernel is booted and measured.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 100),
    default=100 * THRESHOLD,
    show_default=True,
    metavar="PERCENT",
    help="How much slower a path may become, beyond what the boots differ in.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="How much boots of a kernel may differ; more is no measurement.",
)
@click.option("--cycles", is_flag=True, help="Cycles of this machine, under KVM, by perf events.")
@click.option("--rerun", is_flag=True, help="Measure again what is stored already.")
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores].")
@click.option(
    "--json",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write everything as JSON; -: print it in place of the table.",
)
@click.option(
    "--busybox",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A static busybox for the guest.",
)
@project_option
@click.pass_context
def kernel_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Measure the base against the stack: what its paths cost, path by path.

    Instructions that the paths take (counted in QEMU, the same in every boot), atomic
    instructions in their code, and bytes of metadata. `report` plots what was measured.
    Exit status 1 where a path has become slower or a patch could not be measured, 3 where
    boots of one kernel differ by more than --noise.
    """
    status = _bench(click_context.obj, Options(**kwargs))  # type: ignore[arg-type]
    if status:
        click_context.exit(status)


def _bench(context: Context, options: Options) -> ExitStatus:
    project = find_project(options.project)
    stack = project.stack(options.names)
    suite = _suite(project, options.suite)
    plan = read_plan(suite.directory)
    if not stack.patches:
        raise UserError(f"{project.patches} holds no patch")
    if options.json == Path("-"):
        json_file, shown = None, False
    else:
        json_file, shown = options.json, True
    base = resolve_base(context, options.tree_spec, options.rev, stack)
    if base.users and options.tree_spec and not options.rev:
        warn_of_changes(Path(options.tree_spec))
    settings = Settings(CYCLES if options.cycles else INSTRUCTIONS, options.boots, options.jobs,
                        options.busybox, options.rerun)  # fmt: skip
    started = time.time()
    with (
        open_workspace(context.cache, base, context.progress) as workspace,
        open_store(context.cache.results) as store,
    ):
        applied = apply_stack(workspace, base.commit, stack.up_to(options.upto), context.progress)
        rows = [base_row(base)]
        rows += [Row(one.numbered.number, one.numbered.label, one.commit) for one in applied]
        bench = KernelBench(workspace, store, context.progress, suite, plan, settings)
        found = _measured(bench, rows, options)
        figures = [taken.figure(one.row.label) for one in found.rows for taken in one.figures]
        if not found.noisy:
            keep_figures(
                store, span_inputs(workspace, rows), started, figures, suite.digest,
                [row.label for row in rows],
            )  # fmt: skip
    facts = {"base": base.origin, "counter": settings.counter, "boots": options.boots,
             "threshold": options.threshold / 100, "noise": options.noise / 100}  # fmt: skip
    data = json.dumps(benchtable.as_data(found, **facts), indent=1) + "\n"
    if json_file:
        write_atomic(json_file, data.encode())
    if shown:
        _print(found, settings, options)
    else:
        click.echo(data, nl=False)
    if found.noisy:
        return ExitStatus.INFRA
    return ExitStatus.FAILED if found.slower or found.skipped else ExitStatus.OK


def _suite(project: Project, name: str | None) -> Suite:
    """The benchmark: named, or the only one there is. Raises UserError."""
    if name:
        return find_suites(project.root, [name], Kind.BENCH)[0]
    known = project_suites(project.root, Kind.BENCH)
    if len(known) == 1:
        return known[0]
    if known:
        raise UserError("there are several benchmarks",
                        f"choose with --suite: {', '.join(one.name for one in known)}")  # fmt: skip
    raise UserError(f"{project.root} has no benchmark",
                    f"a directory of kernel-test-modules/ with suite.toml (kind \"bench\") and "
                    f"{BENCH_FILE}")  # fmt: skip


def _measured(bench: KernelBench, rows: list[Row], options: Options) -> Comparison:
    """Measure the rows; a patch that cannot be is left out and said, a base is an error."""
    chosen = rows if options.every else [*dict.fromkeys((rows[0], rows[-1]))]
    measured: list[RowFigures] = []
    skipped: list[tuple[Row, str]] = []
    for row in chosen:
        try:
            measured.append(bench.measure(row, row is rows[0]))
        except FailedError as error:
            if row is rows[0]:
                raise
            skipped.append((row, f"{error.message} ({error.hint})" if error.hint
                            else error.message))  # fmt: skip
    return compare(measured, rows, options.threshold / 100, options.noise / 100, skipped)


def _print(found: Comparison, settings: Settings, options: Options) -> None:
    for line in (*benchtable.table(found), *benchtable.notes(found)):
        out.print(line, markup=False, soft_wrap=True)
    last = benchtable.verdict(found, settings.counter, settings.boots, options.threshold / 100)
    out.print(last, markup=False, soft_wrap=True)
