"""Run a command that must not outlive the tool.

Run as a program: `guard.py FD DIRECTORY ARGV...`. FD is a socket whose other end only the tool
holds. DIRECTORY, unless empty, is made before the command and removed after it. The command
gets a process group of its own; when the tool dies, however it dies, the socket reports
end of file and the whole group is killed, and then whatever else the command has
started: a process that left the group (setsid) is adopted by the guard, the subreaper of them
all, when its parent dies. The guard inherits the tool's locks and so keeps them until nothing
is left running. It ends with the command's exit status, or by the signal that ended the
command; where that could not be started, with 127 and a byte that the tool can read from FD.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _die_with_guard() -> None:
    """Runs in the command's process: a guard that is killed itself takes the command along."""
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _kill_group(pgid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def _children() -> list[int]:
    """The processes whose parent is this one, by /proc (its `children` files are optional)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.append(int(entry.name))
    return found


def _kill_descendants() -> None:
    """Kill what was adopted, until there is nothing more: each death may bring orphans."""
    while children := _children():
        for pid in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main() -> int:
    """Run the command; return its exit status."""
    lifeline, directory, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is the tool's to handle
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not directory:
        return _run(lifeline, argv)
    Path(directory).mkdir(mode=0o700)
    try:
        return _run(lifeline, argv)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(lifeline: int, argv: list[str]) -> int:
    try:
        # One thread only, so preexec_fn is safe here.
        child = subprocess.Popen(argv, start_new_session=True, preexec_fn=_die_with_guard)  # noqa: PLW1509
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        with suppress(OSError):
            os.write(lifeline, b"!")
        return 127
    exited = os.pidfd_open(child.pid)
    ready, _, _ = select.select([lifeline, exited], [], [])
    # Whatever the command left behind ends with it: a make that was interrupted leaves
    # sub-makes, a User Mode Linux its helpers.
    _kill_group(child.pid)
    status = child.wait()
    _kill_descendants()
    if lifeline in ready and exited not in ready:
        return 137
    return status


if __name__ == "__main__":
    _status = main()
    if _status < 0:
        signal.signal(-_status, signal.SIG_DFL) if -_status not in (9, 19) else None
        os.kill(os.getpid(), -_status)
    sys.exit(_status)
