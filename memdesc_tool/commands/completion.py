"""What a shell completes beyond commands and options: names of a project and of architectures.

Completion says nothing where it knows nothing: an error would end up in the user's line.
"""

from __future__ import annotations

import click

from memdesc_tool import arch
from memdesc_tool.errors import ToolError
from memdesc_tool.project import find_project
from memdesc_tool.suites import SUITE_FILE


def complete_series(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The series of the project that begin so and are not named yet."""
    try:
        known = [one.name for one in find_project(context.params.get("project")).stack().series]
    except (ToolError, OSError):
        return []
    named = context.params.get("names") or ()
    return [name for name in known if name.startswith(incomplete) and name not in named]


def complete_suite(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The suites in the project's kernel-test-modules/ that begin so."""
    try:
        root = find_project(context.params.get("project")).root
        known = sorted(one.parent.name for one in root.glob(f"kernel-test-modules/*/{SUITE_FILE}"))
    except (ToolError, OSError):
        return []
    return [name for name in known if name.startswith(incomplete)]


def complete_arch(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The architectures that the tool knows and that begin so."""
    return [name for name in arch.names() if name.startswith(incomplete)]
