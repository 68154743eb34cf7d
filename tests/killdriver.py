"""The tool, telling which phase of regress it is in, and killed at a point of it.

Run as a program with the arguments of the tool. PHASE_FILE: where the phase is written.
KILL_AT: "PHASE:N", the N-th side effect in that phase (a program started, a file opened for
writing, renamed or removed, an SQL statement), before which it is killed. KILL_WHOM: "alone"
or "group". Children see the victim in KILL_TARGET, as kill(1) takes it.

Side effects are seen by an audit hook (PEP 578), statements by SQLite's trace callback: the
tool itself is unchanged.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from typing import Any

PHASES = ("start", "apply", "overlay", "checkout", "configure", "compile", "boot", "store")
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "tempfile.mkstemp"}
WRITE = os.O_WRONLY | os.O_RDWR
CONNECT = sqlite3.connect
GIT = {
    "am": "apply", "worktree": "apply", "sparse-checkout": "apply",
    "hash-object": "overlay", "update-index": "overlay", "write-tree": "overlay",
    "commit-tree": "overlay",
}  # fmt: skip


def phase_of(argv: list[str]) -> str | None:
    """The phase that a command begins; None where it begins none."""
    if any(word.endswith("guard.py") for word in argv):
        if "make" not in argv:
            return "boot"
        return "configure" if "olddefconfig" in argv else "compile"
    if "git" in argv:
        words = argv[argv.index("git") + 1 :]
        words = words[2:] if words[0] == "-C" else words
        if words[0].startswith("--git-dir="):
            return "checkout"
        return GIT.get(words[0])
    return None


class Watch:
    """Counts side effects by phase; kills at the one that was asked for."""

    def __init__(self) -> None:
        self.phase = ""
        self.count = 0
        self.file = os.open(os.environ["PHASE_FILE"], os.O_WRONLY | os.O_CREAT, 0o600)
        self.at = os.environ.pop("KILL_AT", "")
        self.group = os.environ.get("KILL_WHOM") == "group"
        os.environ["KILL_TARGET"] = f"-{os.getpgid(0)}" if self.group else str(os.getpid())
        self.enter("start")

    def enter(self, phase: str) -> None:
        if phase != self.phase:
            self.phase, self.count = phase, 0
            os.pwrite(self.file, phase.ljust(16).encode(), 0)

    def effect(self) -> None:
        self.count += 1
        if self.at == f"{self.phase}:{self.count}":
            if self.group:
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, sql: str) -> None:
        if sql.startswith(("INSERT", "DELETE", "CREATE")):
            self.enter("store")
        if self.phase == "store" and not sql.startswith(("SELECT", "PRAGMA")):
            self.effect()

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            if phase := phase_of([str(word) for word in args[1]]):
                self.enter(phase)
            self.effect()
        elif event in WRITES or (event == "open" and isinstance(args[2], int) and args[2] & WRITE):
            self.effect()

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = CONNECT(*args, **kwargs)
        database.set_trace_callback(self.statement)
        return database


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    watch = Watch()
    sqlite3.connect = watch.connect  # type: ignore[assignment]
    sys.addaudithook(watch.hook)
    from memdesc_tool.cli import main

    main()
