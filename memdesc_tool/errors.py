"""The ways a command can end badly, and the exit status of each.

Library code raises these; only the command line prints them and exits. A message is one
line that says what was wrong; a hint is one line that says what to do about it.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path


class ExitStatus(IntEnum):
    """Exit status of every command (README.md, "Exit status")."""

    OK = 0
    FAILED = 1
    """Regressions or failures in what was tested."""
    USAGE = 2
    """Wrong use or bad input."""
    INFRA = 3
    """No toolchain, a base that does not build, a machine that never booted."""
    BISECT_SKIP = 125
    """`--bisect`: this revision cannot be tested (git bisect run skips it)."""
    BISECT_ABORT = 128
    """`--bisect`: wrong use or infrastructure (git bisect run stops)."""
    INTERRUPTED = 130


def one_line(text: str) -> str:
    """text with control characters, line ends and undecodable bytes as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ToolError(Exception):
    """Base of all expected errors.

    message: one line, what was wrong.
    hint: one line, what to do; empty where there is nothing to say.
    """

    exit_status = ExitStatus.INFRA

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(one_line(message))
        self.message = one_line(message)
        self.hint = hint


class UserError(ToolError):
    """Wrong use or bad input."""

    exit_status = ExitStatus.USAGE


class InfraError(ToolError):
    """The machine, the network or a tool on it failed; nothing is said about the kernel."""

    exit_status = ExitStatus.INFRA


class LastingError(InfraError):
    """Something is not installed: trying again does not help."""


class FailedError(ToolError):
    """What was tested failed, and there is nothing more to test: a conflict, say."""

    exit_status = ExitStatus.FAILED


class CommandError(InfraError):
    """A program that we started failed.

    argv: the command; status: its exit status (negative: the signal); log: the file with
    its whole output, if it was kept; tail: its last lines.
    """

    def __init__(
        self, argv: list[str], status: int, *, tail: str = "", log: Path | None = None
    ) -> None:
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        last = tail.strip().splitlines()[-1] if tail.strip() else "no output"
        super().__init__(f"{argv[0]} failed ({how}): {last}", f"its output: {log}" if log else "")
        self.argv = argv
        self.status = status
        self.tail = tail
        self.log = log


class CommandTimeout(CommandError):
    """A program that we started passed its deadline and was ended; timeout in seconds."""

    def __init__(
        self, argv: list[str], timeout: float, *, tail: str = "", log: Path | None = None
    ) -> None:
        super().__init__(argv, -9, tail=tail, log=log)
        self.message = f"{argv[0]} did not end within {timeout:.0f} s and was stopped"
        self.args = (self.message,)
        self.timeout = timeout
