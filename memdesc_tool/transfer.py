"""What mail can carry of a series, and how.

b4 writes mails in UTF-8 that have the lines of the patch as they are. Lines that are longer than
mail servers take, and bytes that b4 cannot mail, are encoded here, as `git send-email
--transfer-encoding=auto` does.
"""

from __future__ import annotations

import quopri
import re

from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.errors import UserError
from memdesc_tool.message import BRACKETS
from memdesc_tool.standin import TAKEN, bytes_again, is_odd

LINE = 998
"""Bytes of a line (RFC 5321, 4.5.3.1.6, without its end)."""
_HINT = "git format-patch and git send-email mail it"
_ENCODING = re.compile(rb"^Content-Transfer-Encoding: .*", re.MULTILINE | re.IGNORECASE)


def refuse_unmailable(candidate: Candidate) -> None:
    """Raise UserError where b4 cannot itself make a mail of a patch that is the patch."""
    for step in candidate.steps:
        for line, text in _lines(candidate.mails[step.commit]):
            where = f"{step.name}: its diff of {line}" if line else step.name
            try:
                text.decode()
            except UnicodeDecodeError:
                raise UserError(
                    f"{where} has bytes that are not UTF-8, b4 mails none", _HINT
                ) from None
            if text.endswith(b"\r"):
                raise UserError(f"{where} has lines that end with CR, b4 loses it", _HINT)


def refuse_long(candidate: Candidate) -> None:
    """Raise UserError where b4 would mail a line as it is that mail servers refuse."""
    for step in candidate.steps:
        if (longest := longest_line(candidate, step)) > LINE:
            raise UserError(
                f"{step.name}: b4 mails its line of {longest} bytes as it is, mail servers refuse"
                f" more than {LINE}",
                "--output-dir writes mails that have it encoded",
            )


def refuse_stand_ins(candidate: Candidate) -> None:
    """Raise UserError where a file has a character that is to stand for a byte."""
    for step in candidate.steps:
        if TAKEN.search(step.patch.diff):
            raise UserError(f"{step.name}: has characters of private use from U+10FE00 on", _HINT)


def beyond_b4(candidate: Candidate) -> str:
    """Why b4 cannot mail a series itself; "" where it can."""
    if max(longest_line(candidate, step) for step in candidate.steps) > LINE:
        return f"lines of more than {LINE} bytes, which mail servers refuse"
    try:
        refuse_unmailable(candidate)
    except UserError:
        return "files that are not UTF-8 or have CR LF, wrongly or not at all"
    return ""


def longest_line(candidate: Candidate, step: Step) -> int:
    """The bytes of the longest line of a patch as a mail."""
    return max(len(text) for _, text in _lines(candidate.mails[step.commit]))


def _lines(data: bytes) -> list[tuple[str, bytes]]:
    """The lines of a patch, each with the file that it is about, "" above the diff."""
    file, found = "", []
    for text in data.split(b"\n"):
        if text.startswith(b"diff --git "):
            file = text.rpartition(b" b/")[2].decode(errors="replace")
        found.append((file, text))
    return found


def lost_of_subjects(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """What no reader of the mails gets of subjects: (patch file, text in brackets) pairs."""
    found = ((step.name, BRACKETS.match(step.patch.subject)) for step in candidate.steps)
    return tuple((name, match[0].strip()) for name, match in found if match)


def as_sent(mail: bytes) -> bytes:
    """A mail of b4's that servers take and that has the bytes of the patch: as it is, or
    quoted-printable where its text has long lines or others than of UTF-8.
    """
    head, empty, text = mail.partition(b"\n\n")
    text = bytes_again(text)
    if all(len(line) <= LINE for line in text.split(b"\n")) and not is_odd(text):
        return mail
    field = b"Content-Transfer-Encoding: quoted-printable"
    head, count = _ENCODING.subn(field, head)
    if not count:
        head += b"\n" + field
    lines = (quopri.encodestring(line).replace(b"\r", b"=0D") for line in text.split(b"\n"))
    return head + empty + b"\n".join(lines)
