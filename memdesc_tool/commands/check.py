"""memdesc-tool check: what linux-mm would say of a series, before it does."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from memdesc_tool import candidate as candidates
from memdesc_tool import checkreport
from memdesc_tool.build import usable_cpus
from memdesc_tool.cache import write_atomic
from memdesc_tool.candidate import Candidate
from memdesc_tool.checks import Report, Scope, check_alone, check_series
from memdesc_tool.commands.completion import complete_arch
from memdesc_tool.commands.seriesoptions import SeriesOptions, series_options, suite_options
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, UserError
from memdesc_tool.git import Git
from memdesc_tool.patch import file_name, parse_patch
from memdesc_tool.results import open_store
from memdesc_tool.review import read_announced, review_span
from memdesc_tool.series import SERIES_FILE, Entry, Series, read_description
from memdesc_tool.trailers import History, addresses


@click.command("check")
@series_options
@suite_options
@click.option("--no-compile", is_flag=True, help="Leave out compiler and sparse.")
@click.option("--coccicheck", is_flag=True, help="Run the tree's coccinelle scripts (minutes).")
@click.option(
    "--arch",
    "arches",
    shell_complete=complete_arch,
    multiple=True,
    metavar="A",
    help="Compile for A [default: x86_64].",
)
@click.option("--json", "json_file", metavar="FILE", help="Write all of it as JSON; - for stdout.")
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores].")
@click.option(
    "--b4",
    type=click.Choice(["patch", "series"]),
    help="Be a plug-in of b4: check the patch, or the series with the cover letter, on stdin.",
)
@click.pass_context
def check_command(
    click_context: click.Context,
    /,
    no_compile: bool,
    coccicheck: bool,
    arches: tuple[str, ...],
    json_file: str | None,
    jobs: int | None,
    b4: str | None,
    **chosen: object,
) -> None:
    """Check SERIES patch by patch: checkpatch, message, trailers, maintainers, licences,
    interfaces, kernel-doc, compiler (W=1), sparse, and what the results store has of it.

    A finding that is meant to be is silenced in series.toml, with a reason. Exit status 1
    where an error or a warning is left.
    """
    context: Context = click_context.obj
    if json_file and json_file != "-":
        _refuse_unwritable(Path(json_file))
    options = SeriesOptions(**chosen, builds=not no_compile)  # type: ignore[arg-type]
    if b4:
        _plug_in(b4, options.describe)
        return
    with options.open(context) as found, open_store(context.cache.results) as store:
        series = found.candidate.series
        unsigned = not options.branch and (series.directory / SERIES_FILE).is_file()
        scope = Scope(
            not no_compile, coccicheck, arches or ("x86_64",), jobs or usable_cpus(), unsigned
        )
        report = check_series(
            found.candidate, found.workspace, store, found.suites, scope, context.progress
        )
        where = found.base.origin
    if json_file:
        text = checkreport.as_json(series, report, where) + "\n"
        if json_file == "-":
            click.echo(text, nl=False)
        else:
            _write(Path(json_file), text)
    if json_file != "-":
        _print(series, report, where)
    if not report.good:
        click_context.exit(ExitStatus.FAILED)


def _refuse_unwritable(path: Path) -> None:
    """Raise UserError where no file can be written, before anything is checked."""
    if path.is_dir():
        raise UserError(f"--json: {path} is a directory", "it takes the name of a file")
    if not path.parent.is_dir():
        raise UserError(f"--json: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"--json: cannot write {path}")


def _write(path: Path, text: str) -> None:
    """All or nothing; what is no regular file (/dev/stderr) is written to, not replaced."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
    else:
        write_atomic(path, text.encode())


def _print(series: Series, report: Report, where: str) -> None:
    out.print(checkreport.table(series, report))
    for text in checkreport.details(series, report):
        out.print(text)
    if hint := checkreport.hint(report):
        out.print(hint, markup=False)
    out.print(checkreport.verdict(series, report, where), markup=False)


def _plug_in(kind: str, describe: Path | None) -> None:
    """What b4 calls, in the top directory of the tree, with a mail on standard input."""
    top = Path.cwd()
    if not (top / "scripts" / "checkpatch.pl").is_file():
        raise UserError(f"{top} is not the top of a kernel tree", "b4 calls this there")
    data = sys.stdin.buffer.read()
    described = read_description(describe) if describe else Series("stdin", top, "stdin", ())
    git = Git(top)
    if kind == "patch":
        patch = parse_patch(Path("stdin"), data)
        name = file_name(read_announced(data).number, patch.subject)
        entry = Entry(replace(patch, path=Path(name)))
        series = Series("stdin", top, "stdin", (entry,), silences=described.silences)
        base = git.commit("HEAD")
        alone = Candidate(series, (), git, base, _history(git, base, described))
        for line in checkreport.b4_lines(check_alone(series, top, alone)):
            click.echo(line)
        return
    base, tip = review_span(git, data)
    series = candidates.of_commits(git, base, tip, "series", described)
    every = candidates.in_place(git, series, base, tip, _history(git, base, described))
    click.echo(checkreport.b4_json(series, check_alone(series, top, every)))


def _history(git: Git, base: str, described: Series) -> History:
    return History(git, base, addresses((*described.to, *described.cc)))
