"""The user's terminal as the guest's console, and back as it was afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from typing import Any

from memdesc_tool.errors import UserError

ESCAPE = b"\x1d"
"""^], as in telnet: ends the machine, since every other key is the guest's."""


class Terminal:
    """Standard input and output, raw while the body runs; a bridge for hostport.py.

    rows, columns: its size. Raises UserError where they are no terminal.
    """

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError("a shell in the guest needs a terminal", "give a command: -- CMD")
        self.columns, self.rows = os.get_terminal_size(sys.stdout.fileno())
        self._saved: list[Any] | None = None

    def __enter__(self) -> Terminal:
        self._saved = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both ways until the console is closed or the user presses ESCAPE."""
        loop = asyncio.get_running_loop()
        escaped = asyncio.Event()

        def typed() -> None:
            data = os.read(sys.stdin.fileno(), 1024)
            if not data or ESCAPE in data:
                escaped.set()
            else:
                writer.write(data)

        loop.add_reader(sys.stdin, typed)
        try:
            ways = {asyncio.create_task(_show(reader)), asyncio.create_task(escaped.wait())}
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
        finally:
            loop.remove_reader(sys.stdin)


async def _show(reader: asyncio.StreamReader) -> None:
    """Write to the terminal what the guest says, until it says no more."""
    while data := await reader.read(4096):
        view = memoryview(data)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
