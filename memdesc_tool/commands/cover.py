"""memdesc-tool cover: the cover letter of a series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from memdesc_tool import cover as covers
from memdesc_tool.cells import Row
from memdesc_tool.commands.seriesoptions import (
    Chosen,
    SeriesOptions,
    sent_options,
    series_options,
    suite_options,
)
from memdesc_tool.console import warn
from memdesc_tool.context import Context
from memdesc_tool.cover import Cover, make_cover
from memdesc_tool.errors import UserError
from memdesc_tool.evidence import Tested, Untested, read_evidence, what_was_tested
from memdesc_tool.figuretable import figures_text
from memdesc_tool.measured import read_figures, span_inputs
from memdesc_tool.prep import prerequisites
from memdesc_tool.results import Store, open_store


@click.command("cover")
@series_options
@suite_options
@sent_options
@click.option("--range-diff", is_flag=True, help="Add git range-diff against the last revision.")
@click.pass_obj
def cover_command(
    context: Context,
    /,
    range_diff: bool,
    mbox: Path | None,
    prep_name: str | None,
    **chosen: object,
) -> None:
    """Print the cover letter of SERIES: its cover.md.j2 with what the results store and the
    tree know. That of a branch is b4's, or its description.
    """
    options = SeriesOptions(**chosen)  # type: ignore[arg-type]
    if (mbox or prep_name) and not range_diff:
        raise UserError("--mbox and --name are for --range-diff")
    with options.open(context) as found, open_store(context.cache.results) as store:
        compared = compared_with_sent(context, found, prep_name, mbox) if range_diff else ""
        letter = cover_of(found, store, compared)
        names = prerequisites(found.base.commit, found.before, found.workspace.scratch)
        base = covers.base_text(found.base.commit, names, users=found.base.users)
        click.echo(covers.whole_text(letter, covers.diffstat(found.candidate), base), nl=False)


def compared_with_sent(
    context: Context, chosen: Chosen, prep_name: str | None = None, mbox: Path | None = None
) -> str:
    """The range-diff against the last revision that was sent; "", with a warning, for none."""
    candidate = chosen.candidate
    sent = chosen.last_sent(context.progress, prep_name, mbox)
    if not sent:
        how = "known to have been sent" if chosen.topic else "kept"
        warn(f"no revision of {candidate.series.name} is {how}, so there is nothing for"
             " --range-diff")  # fmt: skip
        return ""
    span = (candidate.start, candidate.tip)
    return covers.range_diff(chosen.workspace.scratch, sent.span, span, sent.revision)


def cover_of(chosen: Chosen, store: Store, compared: str) -> Cover:
    """The cover letter of the series that was chosen; compared: a range-diff, "" for none."""
    candidate = chosen.candidate
    evidence = read_evidence(chosen.workspace, store)
    tested, untested = what_was_tested(candidate, chosen.suites, evidence)
    for one in untested:
        warn(f"{one.name} {one.why or 'has not run'} on the last patch; the cover letter says so")
    name = Path(chosen.base.name).name if chosen.base.users else chosen.base.name
    return make_cover(
        candidate.series,
        name,
        _tested(chosen, tested, untested),
        _figures(chosen, store),
        covers.diffstat(candidate),
        compared,
    )


def _tested(chosen: Chosen, tested: Sequence[Tested], untested: Sequence[Untested]) -> str:
    """What ran; a cover letter that did not ask for it has nothing of no suites."""
    if chosen.candidate.series.cover and not (tested or untested):
        return ""
    return covers.tested_text(tested, untested, len(chosen.candidate.steps) + 1)


def _figures(chosen: Chosen, store: Store) -> str:
    """What `bench kernel` has measured of the base and of the last patch."""
    last = chosen.candidate.steps[-1]
    ends = [Row(0, "base", chosen.base.commit), Row(last.number, last.patch.subject, last.commit)]
    figures = read_figures(store, span_inputs(chosen.workspace, ends))
    return figures_text(figures or (), last.patch.subject)
