"""One patch as `git format-patch` writes it: header, message, diff.

The files in patches/ are normalised so that an unchanged series exports byte for byte:
From hash zeroed, subject prefix "[PATCH]" without numbers, no signature, full index lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.diff import Action, DiffError, FileChange, parse_diff
from memdesc_tool.errors import UserError
from memdesc_tool.files import read_regular
from memdesc_tool.git import Git
from memdesc_tool.mail import LIMIT, Mail, read_mail

FORMAT = (
    "--zero-commit", "--no-signature", "--no-numbered", "--subject-prefix=PATCH",
    "--full-index", "--no-thread", "--no-attach", "--no-base", "--no-cover-letter",
    "--no-notes", "--no-to", "--no-cc", "--no-encode-email-headers", "--stat=72",
    "--summary", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color",
)  # fmt: skip
"""The options of format-patch that make its output depend on the commit alone."""

_TRAILER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*): (.+)$")
_OF_GIT = ("Signed-off-by: ", "(cherry picked from commit ")
"""With one of these, a quarter of the lines is enough for git (git-interpret-trailers)."""


@dataclass(frozen=True)
class Patch:
    """A patch file.

    path: where it was read; data: the file; subject: without [PATCH]; body: the message
    below the subject, trailers included; trailers: (name, value) pairs in order; files:
    paths that the diff touches, old names and new; mail: what git makes of it (None for a
    patch that is still to be generated); changes: what the diff does, file by file.
    """

    path: Path
    data: bytes
    subject: str
    body: str
    trailers: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    mail: Mail | None = None
    changes: tuple[FileChange, ...] = ()

    @property
    def diff(self) -> bytes:
        """The diff without header, message and statistics, decoded."""
        whole = self.mail.diff if self.mail else b""
        match = re.search(rb"^diff --git ", whole, re.MULTILINE)
        return whole[match.start() :] if match else b""

    @property
    def mode_changes(self) -> tuple[str, ...]:
        """The permissions that it changes, each in words."""
        return tuple(
            f"{change.new}: mode {change.old_mode} becomes {change.new_mode}"
            for change in self.changes
            if change.action not in (Action.ADD, Action.DELETE)
            and change.old_mode != change.new_mode
        )


def read_patch(path: Path) -> Patch:
    """Read a patch file. Raises UserError where it is none."""
    try:
        data = read_regular(path, LIMIT)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    return parse_patch(path, data)


def parse_patch(path: Path, data: bytes) -> Patch:
    """Parse the content of a patch file; path is for messages. Raises UserError."""
    mail = read_mail(path, data)
    try:
        changes = parse_diff(mail.diff)
    except DiffError as error:
        raise UserError(f"{path}: {error}", "git format-patch writes patch files") from None
    files = tuple(dict.fromkeys(name for change in changes for name in change.names))
    body = mail.message.strip()
    return Patch(path, data, mail.subject, body, _trailers(body), files, mail, changes)


def _trailers(body: str) -> tuple[tuple[str, str], ...]:
    """The trailers of a message, where its last paragraph is one of trailers to git."""
    last = body.strip().split("\n\n")[-1].splitlines()
    pairs = [match.groups() for line in last if (match := _TRAILER.match(line))]
    own = sum(line.startswith(_OF_GIT) and not _TRAILER.match(line) for line in last)
    others = sum(not line[:1].isspace() for line in last) - len(pairs) - own
    signed = any(line.startswith(_OF_GIT) for line in last)
    if others > (3 * (len(pairs) + own) if signed else 0):
        return ()
    return tuple((name, value) for name, value in pairs)


def format_patch(git: Git, commit: str) -> bytes:
    """The normalised patch file of a commit that has one parent."""
    status, out, err = git.attempt_bytes("format-patch", "--stdout", *FORMAT, "-1", commit)
    if status or not out:
        raise UserError(f"commit {commit} cannot be made a patch: {err.strip() or 'a merge?'}")
    return out.rstrip(b"\n") + b"\n"


def patch_id(git: Git, patch: Patch) -> str:
    """What `git patch-id --stable` makes of a patch: equal for equal changes."""
    out = git.run("patch-id", "--stable", stdin=patch.diff)
    return out.split()[0] if out else ""


def file_name(number: int, subject: str) -> str:
    """The name of a patch file as format-patch chooses it: 0001-mm-count-pages.patch."""
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", subject).strip("-.")
    slug = re.sub(r"\.{2,}", ".", slug)
    return f"{number:04d}-{slug[:52].rstrip('-.')}.patch"
