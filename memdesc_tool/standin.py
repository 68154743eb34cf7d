"""Characters that stand for bytes which b4 cannot mail, while it writes mails.

b4 reads patches with `git show` and takes them for UTF-8, without CR at the end of a line. git
lets a program show a file (textconv): here each such byte as a character of private use. In the
mails the bytes are put back.
"""

from __future__ import annotations

import re
import shlex
import sys

from memdesc_tool.candidate import Candidate

_FIRST = 0x10FE00
"""Stands for byte 0; the others follow."""
TAKEN = re.compile(rb"\xf4\x8f[\xb8-\xbb][\x80-\xbf]")
"""A character that stands for a byte."""
_PROGRAM = f"""\
import re, sys
text = open(sys.argv[1], "rb").read().decode("utf-8", "surrogateescape")
text = re.sub("[\\udc80-\\udcff]|\\r(?=\\n|$)", lambda m: chr({_FIRST} + ord(m[0]) % 256), text)
sys.stdout.buffer.write(text.encode())
"""


def settings(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """The settings with which git shows files of a series with stand-ins; none where b4 can mail
    them. They are for a worktree of ours, in which no attribute names another way to show them.
    """
    for step in candidate.steps:
        for commit in (step.parent, step.commit):
            if any(map(is_odd, candidate.git.blobs(commit, step.patch.files).values())):
                command = f"{shlex.quote(sys.executable)} -c {shlex.quote(_PROGRAM)}"
                return (("diff.default.textconv", command),)
    return ()


def is_odd(data: bytes) -> bool:
    """Whether b4 cannot mail these lines as they are."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return b"\r\n" in data or data.endswith(b"\r")


def bytes_again(data: bytes) -> bytes:
    """What b4 has written, with the bytes that characters stand for."""

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([ord(match[0].decode()) - _FIRST])

    return TAKEN.sub(byte, data)
