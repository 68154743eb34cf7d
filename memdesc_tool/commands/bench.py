"""memdesc-tool bench: figures about the kernel that a series makes, and about the tool itself."""

from __future__ import annotations

import click

from memdesc_tool.commands.benchbisect import bisect_command
from memdesc_tool.commands.benchkernel import kernel_command
from memdesc_tool.commands.benchwalk import walk_command


@click.group("bench")
def bench() -> None:
    """Measure what a series costs, and the tool itself."""


for _command in (bisect_command, kernel_command, walk_command):
    bench.add_command(_command)
