"""Run a command that must not outlive the tool.

Run as a program: `guard.py FD ARGV...`. FD is the read end of a pipe whose write end only
the tool holds. The command gets a process group of its own; when the tool dies, however it
dies, the pipe reports end of file and the whole group is killed. The guard inherits the
tool's locks and so keeps them until nothing is left running. It ends with the command's
exit status, or by the signal that ended the command.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress


def _kill_group(pgid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def main() -> int:
    """Run the command; return its exit status."""
    lifeline, argv = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is the tool's to handle
    try:
        child = subprocess.Popen(argv, start_new_session=True)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        return 127
    exited = os.pidfd_open(child.pid)
    ready, _, _ = select.select([lifeline, exited], [], [])
    # Whatever the command left behind in its group ends with it: a make that was
    # interrupted leaves sub-makes, a User Mode Linux leaves its helpers.
    _kill_group(child.pid)
    status = child.wait()
    if lifeline in ready and exited not in ready:
        return 137
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (9, 19) else None
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
