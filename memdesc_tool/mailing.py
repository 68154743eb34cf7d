"""The mails of a prep branch: written by b4, read back, reflected to the user."""

from __future__ import annotations

import email.header
import email.utils
import re
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.b4 import last_line
from memdesc_tool.candidate import Candidate
from memdesc_tool.errors import CommandError, FailedError, InfraError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY
from memdesc_tool.maintainers import MAINTAINERS, SCRIPT, recipients
from memdesc_tool.prep import Prepared
from memdesc_tool.transfer import LINE, as_sent
from memdesc_tool.workspace import Workspace

ANSWERS = b"\n" * 4
"""To "press Enter to proceed", once a question; --reflect cannot reach anybody else."""

_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")


@dataclass(frozen=True)
class Mailing:
    """The mails that b4 has written, in order; the cover letter is the first of several."""

    mails: tuple[Path, ...]


def recipient_lines(workspace: Workspace, candidate: Candidate) -> tuple[str, ...]:
    """ "To: ..." and "Cc: ..." lines: the series' own, then those of get_maintainer.pl.

    Maintainers are in To:, reviewers and lists in Cc:. A tree without the script (no kernel)
    has none. Raises UserError for a recipient of the series that is no mail address.
    """
    series = candidate.series
    for entry in (*series.to, *series.cc):
        _refuse_no_address(series.name, entry)
    to, cc = list(series.to), list(series.cc)
    if candidate.git.blob(candidate.start, SCRIPT):
        top = workspace.checkout(candidate.start)
        listed = candidate.git.blob(candidate.tip, MAINTAINERS)
        for step in candidate.steps:
            for one in recipients(top, step.patch.diff, listed):
                (to if one.role in ("maintainer", "supporter") else cc).append(one.address)
    seen: set[str] = set()
    lines = []
    for field, every in (("To", to), ("Cc", cc)):
        for name, address in email.utils.getaddresses(every):
            if address.lower() not in seen:
                seen.add(address.lower())
                lines.append(f"{field}: {email.utils.formataddr((name, address))}")
    return tuple(_readable(line) for line in lines)


def _refuse_no_address(name: str, entry: str) -> None:
    """Raise UserError where an entry of to or cc is anything but mail addresses."""
    found = [address for _, address in email.utils.getaddresses([entry])]
    if not entry.isprintable() or not found or not all(map(_ADDRESS.fullmatch, found)):
        raise UserError(
            f"{name}: the recipient {entry!r} is no mail address", "Name <name@example.org>"
        )


def _readable(line: str) -> str:
    """A name outside ASCII as itself; b4 encodes it for the header."""
    parts = email.header.decode_header(line)
    texts = [
        part.decode(charset or "ascii") if isinstance(part, bytes) else part
        for part, charset in parts
    ]
    return "".join(texts)


def mail_to_directory(prepared: Prepared, directory: Path) -> Mailing:
    """Let b4 write the mails to a directory; what b4 cannot mail is encoded.

    Raises UserError with b4's own words, FailedError for a mail that no server takes.
    """
    try:
        prepared.b4.run("send", "--output-dir", str(directory.absolute()), "--no-sign")
    except CommandError as error:
        raise UserError(f"b4 does not send {prepared.name}: {last_line(error)}") from None
    mails = tuple(sorted(directory.glob("*.eml")))
    if not mails:
        raise InfraError(f"b4 wrote no mail to {directory}")
    for path in mails:
        data = as_sent(path.read_bytes())
        path.write_bytes(data)
        longest = max(len(line) for line in data.split(b"\n"))
        if longest > LINE:
            raise FailedError(
                f"{path.name} has a line of {longest} bytes, mail servers refuse more than {LINE}"
            )
    return Mailing(mails)


def read_back(workspace: Workspace, prepared: Prepared, mailing: Mailing) -> None:
    """Apply the mails where the series begins, as a recipient does.

    Raises FailedError where that does not give the tree of the branch.
    """
    files = workspace.scratch.run("diff", "--name-only", "-z", prepared.fork, prepared.tip)
    am = workspace.am_worktree(prepared.fork, [name for name in files.split("\0") if name])
    for path in mailing.mails:
        data = path.read_bytes()
        if not re.search(rb"^diff --git ", data, re.MULTILINE) and len(mailing.mails) > 1:
            continue
        status, out, err = am.attempt("am", "--no-gpg-sign", stdin=data, env=SCRATCH_IDENTITY)
        if status:
            reason = (err or out).strip().splitlines()[:1]
            raise FailedError(f"{path.name} does not apply: {' '.join(reason)}")
    if am.tree("HEAD") != workspace.scratch.tree(prepared.tip):
        raise FailedError("the mails make another tree than the branch", f"look at {path.parent}")


def reflect(prepared: Prepared) -> int:
    """Mail the series to the user alone; how many mails that were. Raises UserError."""
    try:
        said = prepared.b4.run("send", "--reflect", "--no-sign", answers=ANSWERS)
    except CommandError as error:
        raise UserError(f"b4 does not send {prepared.name}: {last_line(error)}") from None
    match = re.search(r"Reflected (\d+) messages", said)
    if not match:
        raise InfraError(f"b4 did not reflect {prepared.name}: {said.strip()[-200:]}")
    return int(match[1])
