"""memdesc-tool modules ingest: what a bundle's runner wrote on another machine, stored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from memdesc_tool import ingest, machineresult
from memdesc_tool.baseline import RUN, SPLAT
from memdesc_tool.cases import Document
from memdesc_tool.commands.parse import summary
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, one_line
from memdesc_tool.ingest import Ingested
from memdesc_tool.machineresult import MachineResult
from memdesc_tool.results import Outcome, Store, Verdict, key_of, open_store

FACTS = ("machine", "model", "system", "kernel", "version", "memory", "nodes", "bundle")
WIDTH = 60


@click.command("ingest")
@click.argument("results", metavar="[RESULT]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Of the machine, in place of its own.")
@click.pass_context
def ingest_command(
    click_context: click.Context, results: tuple[Path, ...], name: str | None
) -> None:
    """Store RESULT as a run of the machine that it comes from, and show it.

    RESULT is the runner's result directory, a tar of it, or the KTAP file alone. The same
    result twice is one run. Without RESULT: the runs of other machines that are stored.
    Exit status 1 where something failed.
    """
    context: Context = click_context.obj
    read = [(path, machineresult.read(path)) for path in results]
    for _, result in read:
        ingest.inputs_of(result, name)
    good = True
    with open_store(context.cache.results) as store:
        for _, result in read:
            good &= stored(context, store, result, name)
        if not results:
            good = _show_runs(store)
    if not good:
        click_context.exit(ExitStatus.FAILED)


def stored(context: Context, store: Store, result: MachineResult, name: str | None) -> bool:
    """Store one result and show it; returns whether it is good."""
    done = ingest.ingest(store, context.cache, result, name)
    _show_facts(done)
    out.print(steps_table(result.report.document))
    for line in summary(result.report):
        click.echo(line)
    if done.attempt.detail:
        click.echo(done.attempt.detail)
    click.echo(f"{'stored' if done.new else 'was stored already'}: {done.log}")
    return result.report.good and done.attempt.outcome is Outcome.RAN


def _show_facts(done: Ingested) -> None:
    for fact in FACTS:
        if value := done.inputs.get(fact):
            out.print(f"{fact:8} {value}", markup=False)


def steps_table(document: Document) -> Table:
    """A row a step: what it came to, and the counts of what it reported."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("step", "result", "cases", "why"):
        grid.add_column(heading, overflow="fold")
    inner: dict[str, Counter[str]] = {}
    rows: dict[str, tuple[int, str, bool, str]] = {}
    for case in document.cases:
        if case.path:
            inner.setdefault(case.path[0], Counter())[case.status.value] += 1
        else:
            rows[case.name] = (case.number, case.status.value, case.status.failed, case.text)
    for suite in document.suites:
        if not suite.path:
            rows[suite.name] = (suite.number, suite.status.value, suite.status.failed, suite.text)
    for name, (_, word, failed, text) in sorted(rows.items(), key=lambda row: row[1][0]):
        counts = ", ".join(f"{n} {what}" for what, n in inner.get(name, Counter()).items())
        style = "red" if failed else "yellow" if word == "skipped" else ""
        grid.add_row(one_line(name), Text(word, style), counts, Text(one_line(text)[:WIDTH]))
    return grid


def _show_runs(store: Store) -> bool:
    """A table of every stored run of another machine; whether all are good."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("machine", "kernel", "bundle", "passed", "failed", "skipped", "end"):
        grid.add_column(heading, overflow="fold")
    good = True
    for inputs in store.inputs(ingest.KIND):
        for attempt in store.attempts(key_of(inputs)):
            counts = Counter(
                one.verdict for one in attempt.results
                if one.name != RUN and not one.name.startswith(SPLAT)
            )  # fmt: skip
            failed = sum(one.verdict is Verdict.FAILED for one in attempt.results)
            good &= not failed and attempt.outcome is Outcome.RAN
            grid.add_row(
                inputs.get("machine", ""), inputs.get("kernel", ""), inputs.get("bundle", ""),
                str(counts[Verdict.PASSED]), str(failed), str(counts[Verdict.SKIPPED]),
                attempt.outcome.value,
            )  # fmt: skip
    out.print(grid)
    return good
