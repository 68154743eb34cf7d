"""memdesc-tool series new: begin a series from a template."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool.commands.common import DEFAULT_RELEASE, project_option
from memdesc_tool.console import out
from memdesc_tool.project import find_project, refuse_shipped
from memdesc_tool.scaffold import kinds, make_scaffold


@click.command("new")
@click.argument("name", metavar="SERIES")
@click.option(
    "--template",
    type=click.Choice(kinds()),
    required=True,
    help="A KUnit suite, a kselftest, or a conversion of drivers by a semantic patch.",
)
@click.option(
    "--base", default=DEFAULT_RELEASE, show_default=True, metavar="R", help="The release it is for."
)
@project_option
def new_command(name: str, template: str, base: str, project: Path | None) -> None:
    """Begin SERIES with files that compile and pass their own checks.

    The sources are in kernel-test-modules/ and templates/, and are yours to change.
    """
    root = find_project(project).root
    refuse_shipped(root)
    scaffold = make_scaffold(template, name, base)
    scaffold.write(root)
    for path in scaffold.files:
        out.print(str(path), markup=False)
    out.print(f"next: memdesc-tool generate {name} && memdesc-tool check {name}", markup=False)
