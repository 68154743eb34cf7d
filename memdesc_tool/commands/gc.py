"""memdesc-tool gc: give disk space back."""

from __future__ import annotations

import click

from memdesc_tool import reclaim
from memdesc_tool.cache import human_size
from memdesc_tool.console import out
from memdesc_tool.context import Context


@click.command()
@click.option("--all", "everything", is_flag=True, help="Remove all that can be made again.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=14,
    show_default=True,
    help="Remove what was not used for that long.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.pass_obj
def gc(context: Context, everything: bool, older_than: float, dry_run: bool) -> None:
    """Give disk space back: leftovers of killed calls and what was not used for some time.

    Worktrees, build directories, downloads and logs are made again when they are needed.
    Obtained trees go with --all (or `tree remove`), results never, nor how conflicts were
    solved. What a running command uses stays, and what `generate --continue` needs.
    """
    with context.progress.step("looking at the cache") as tell:
        found = reclaim.chosen(
            reclaim.items(context.cache), context.cache,
            older_than=older_than, everything=everything,
        )  # fmt: skip
        done = reclaim.reclaim(found, context.cache, tell, dry_run=dry_run)
    for one in done:
        state = "" if one.removed else f"  (kept: {_why(one.item)})"
        out.print(f"{human_size(one.item.size):>9}  {one.item.what}{state}", markup=False)
    total = human_size(sum(one.item.size for one in done if one.removed))
    out.print(f"{total:>9}  {'would be' if dry_run else 'was'} given back", markup=False)


def _why(item: reclaim.Item) -> str:
    if item.waits:
        return "a conflict waits; memdesc-tool generate --continue or --abort"
    return "a running command uses it"
