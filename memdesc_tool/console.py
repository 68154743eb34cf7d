"""What people see while a command runs: progress on a terminal, silence elsewhere.

Verdicts and tables are not printed here; they are the commands' own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from memdesc_tool.errors import one_line

LOG_WIDTH = 160
"""Columns of a table where no terminal says how wide it is."""

err = Console(stderr=True, highlight=False, emoji=False)
out = Console(highlight=False, emoji=False, soft_wrap=True,
              width=None if sys.stdout.isatty() else LOG_WIDTH)  # fmt: skip
beside = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True,
                 width=None if sys.stderr.isatty() else LOG_WIDTH)  # fmt: skip
"""Takes what `out` is for where standard output is for a program."""


def interactive() -> bool:
    """Whether somebody watches."""
    return sys.stderr.isatty()


class Progress:
    """One line that says what runs, for how long, and how far it is.

    Stays on one line of a terminal. Elsewhere a step prints one line when it has ended if
    `verbose` is set, and nothing otherwise.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self._status: Callable[[str], None] | None = None

    def note(self, text: str) -> None:
        """One line that matters although nothing is wrong: why it waits, say."""
        err.print(f"  {one_line(text)}", markup=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show what while the body runs; the body may report detail through the result."""
        started = time.monotonic()
        detail = ""

        def render() -> str:
            seconds = time.monotonic() - started
            return f"{what}{f': {detail}' if detail else ''} ({seconds:.0f} s)"

        def tell(text: str) -> None:
            nonlocal detail
            detail = text
            if status:
                status.update(render())

        status = err.status(render(), spinner="line") if interactive() else None
        if status:
            status.start()
        try:
            yield tell
        finally:
            if status:
                status.stop()
            if self.verbose or interactive():
                err.print(f"  {render()}", markup=False)


def warn(text: str) -> None:
    """One line to standard error that does not change the exit status."""
    err.print(f"memdesc-tool: {text}", markup=False, soft_wrap=True)
