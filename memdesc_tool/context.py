"""What the command line hands to every command."""

from __future__ import annotations

from dataclasses import dataclass

from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress


@dataclass(frozen=True)
class Context:
    """The settings that all commands share; `ctx.obj` of click."""

    cache: Cache
    progress: Progress
    verbose: int = 0
