"""memdesc-tool modules: out-of-tree modules and tests for other machines."""

from __future__ import annotations

import click

from memdesc_tool.commands.modulesbuild import build_command
from memdesc_tool.commands.modulesbundle import bundle_command
from memdesc_tool.commands.modulesingest import ingest_command
from memdesc_tool.commands.modulesrun import run_command


@click.group("modules")
def modules_group() -> None:
    """Out-of-tree modules, and taking the tests to other machines."""


for _command in (build_command, bundle_command, run_command, ingest_command):
    modules_group.add_command(_command)
