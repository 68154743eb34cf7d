"""memdesc-tool bench: figures about the tool itself."""

from __future__ import annotations

import click

from memdesc_tool.commands.benchbisect import bisect_command
from memdesc_tool.commands.benchwalk import walk_command


@click.group("bench")
def bench() -> None:
    """Measure the tool itself."""


for _command in (bisect_command, walk_command):
    bench.add_command(_command)
