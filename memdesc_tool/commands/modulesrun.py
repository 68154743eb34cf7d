"""memdesc-tool modules run: take a bundle to a machine over ssh, bring the result back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from memdesc_tool import bundle as bundling
from memdesc_tool import machineresult, remote
from memdesc_tool.commands.modulesingest import stored
from memdesc_tool.commands.modulesoptions import log_directory
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus
from memdesc_tool.remote import Host
from memdesc_tool.results import open_store

SPARE_SECONDS = 1800.0
"""For reboots, beyond what the steps may take."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("host", metavar="[USER@]HOST")
@click.argument("ssh_options", metavar="[-- SSH-OPTION...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--sudo", is_flag=True, help="Run it through sudo, which must not ask.")
@click.option("--anyway", is_flag=True, help="Although another kernel runs there.")
@click.option("--keep", is_flag=True, help="Leave bundle and result on the machine.")
@click.option("--directory", default=remote.PLACE, show_default=True, metavar="DIR",
              help="Where on the machine it is unpacked; must outlive a reboot.")  # fmt: skip
@click.option("--timeout", type=click.IntRange(1), metavar="SECONDS",
              help="For all of it, reboots too [default: what the steps may take].")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Keep the result as it came, as a tar.")  # fmt: skip
@click.option("--name", metavar="NAME", help="Of the machine in the results.")
@click.pass_context
def run_command(
    click_context: click.Context, archive: Path, host: str, ssh_options: tuple[str, ...],
    sudo: bool, anyway: bool, keep: bool, directory: str, timeout: int | None,
    output: Path | None, name: str | None,
) -> None:  # fmt: skip
    """Run the bundle ARCHIVE on HOST and store its result, as `modules ingest` does.

    ssh is yours, with your configuration; what follows -- are options for it. A machine that
    crashes is waited for, and the run goes on with the next step. Nothing is left there.
    """
    context: Context = click_context.obj
    facts = bundling.read_manifest(archive)
    seconds = SPARE_SECONDS
    with suppress(ValueError):
        seconds += float(facts.get("seconds", ""))
    logs = log_directory(context, "run")
    logs.mkdir(parents=True)
    fetched = output or logs / "result.tar"
    there = Host(host, ssh_options, sudo, directory)
    with (
        context.progress.step(f"{host}: run {facts.get('bundle', archive.name)}") as tell,
        remote.visit(there, archive, keep) as visit,
    ):
        visit.run(logs / "run.log", timeout or seconds, anyway, tell)
        visit.fetch(fetched)
        result = machineresult.read(fetched)
    if keep:
        click.echo(f"left on {host}: {visit.here}")
    with open_store(context.cache.results) as store:
        good = stored(context, store, result, name)
    if not good:
        click_context.exit(ExitStatus.FAILED)
