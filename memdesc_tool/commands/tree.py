"""memdesc-tool tree: obtain, list and remove releases."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool import tree as trees
from memdesc_tool.cache import human_size
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError


@click.group()
def tree() -> None:
    """Bases: releases in the cache, and what a git tree of yours is taken for."""


@tree.command()
@click.argument("spec")
@click.option(
    "--from",
    "source",
    type=click.Choice([source.value for source in trees.Source]),
    default=trees.Source.AUTO.value,
    show_default=True,
    help="Where a release comes from; auto: apt where the machine's mirror has it.",
)
@click.option(
    "--source-url",
    metavar="URL",
    help="Directory that has v7.x/ [default: $MEMDESC_TOOL_KERNEL_URL, else kernel.org's].",
)
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False),
    help="OpenPGP keys of those who sign releases [default: $MEMDESC_TOOL_KERNEL_KEYRING].",
)
@click.option(
    "--no-verify-signature",
    is_flag=True,
    help="Take a tarball on its checksum alone; `tree list` will say so.",
)
@click.pass_obj
def get(
    context: Context,
    spec: str,
    source: str,
    source_url: str | None,
    keyring: Path | None,
    no_verify_signature: bool,
) -> None:
    """Obtain the release SPEC (7.3, 7.3.4) unless it is there; say what SPEC is.

    SPEC may also be the path of a git tree, which is only looked at.
    """
    sourcing = trees.settings(source, source_url, keyring, not no_verify_signature)
    base = trees.resolve(spec, context.cache, context.progress, sourcing=sourcing)
    out.print(f"{base.name}: {base.origin}", markup=False)
    out.print(f"{base.commit} in {base.repository}", markup=False)


@tree.command("list")
@click.pass_obj
def list_command(context: Context) -> None:
    """List the releases in the cache: what each is, from where, how large, since when."""
    found = trees.releases(context.cache)
    for one in found:
        size = human_size(trees.disk_size(context.cache.trees / one.name))
        line = f"{one.name:<8} {one.commit[:12]}  {size:>9}  {one.obtained[:10]}  {one.origin}"
        out.print(line, markup=False)
    if not found:
        out.print("no releases; memdesc-tool tree get 7.3 obtains one", markup=False)


@tree.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_obj
def remove(context: Context, names: tuple[str, ...]) -> None:
    """Remove releases from the cache. One that is in use is waited for."""
    known = {path.name for path in context.cache.trees.glob("[0-9]*")}
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UserError(f"there is no tree {name} in the cache", f"there are: {there}")
    for name in names:
        size = trees.remove(name, context.cache, context.progress)
        out.print(f"{name} removed, {human_size(size)} given back", markup=False)
