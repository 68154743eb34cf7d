"""A guest's console while it grows: where the guest is, and what its command says.

The guest's /init marks the command's begin and end with lines of its own
(data/vm/init): "memdesc-vm: start" and "memdesc-vm: exit N".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from memdesc_tool import consolelog
from memdesc_tool.consolelog import ConsoleReport

LOOK_SECONDS = 3.0
"""How often Until asks."""

_STAMP = rb"(?:<\d+>)?(?:\[[ .0-9]+\](?:\[[^\]]*\])? )?"
_START = re.compile(_STAMP + rb"memdesc-vm: start$")
_EXIT = re.compile(_STAMP + rb"memdesc-vm: exit (\d{1,3})$")
_BANNER = re.compile(rb"Linux version \d")
_PANIC = re.compile(rb"Kernel panic - not syncing")
_RESULT = re.compile(_STAMP + rb"\s*(?:not )?ok \d+ -? ?(\S+)")


class Console:
    """What is known of a guest from its console.

    booted: the kernel has said something; began: time (monotonic) at which the command
    began, None where it has not; status: its exit status, None where it has not ended;
    panicked: the kernel says so; ending: time since which the guest should end, set by who
    follows; position: for the progress.
    """

    def __init__(self, log: Path, on_line: Callable[[str], None] | None = None) -> None:
        self.log = log
        self.booted = False
        self.began: float | None = None
        self.status: int | None = None
        self.panicked = False
        self.ending: float | None = None
        self.position = "booting"
        self._on_line = on_line
        self._offset = 0
        self._rest = b""

    def follow(self, last: bool = False) -> None:
        """Read what is new; last: the end is not waited for to be a whole line."""
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        if last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._look(line.rstrip(b"\r"))

    def _look(self, line: bytes) -> None:
        if not self.booted and _BANNER.search(line):
            self.booted = True
        if _PANIC.search(line):
            self.panicked = True
        if self.began is None:
            if _START.match(line):
                self.booted, self.began, self.position = True, time.monotonic(), "running"
            return
        if self.status is not None:
            return
        if found := _EXIT.match(line):
            self.status = int(found[1])
            return
        if found := _RESULT.match(line):
            self.position = found[1].decode(errors="replace")
        if self._on_line:
            self._on_line(line.decode(errors="replace"))


class Until:
    """Asks now and then whether a console has said enough; no is None's answer.

    A report in the middle of a splat is not whole: the answer counts that is given twice in a row.
    """

    def __init__(self, is_enough: Callable[[ConsoleReport], bool] | None, log: Path) -> None:
        self._is_enough = is_enough
        self._log = log
        self._asked = time.monotonic()
        self._so_far = False

    def fulfilled(self) -> bool:
        """Whether it was true twice in a row."""
        if self._is_enough is None or time.monotonic() - self._asked < LOOK_SECONDS:
            return False
        before, self._so_far = self._so_far, self._is_enough(consolelog.read(self._log))
        self._asked = time.monotonic()
        return before and self._so_far
