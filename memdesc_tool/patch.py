"""One patch as `git format-patch` writes it: header, message, diff.

The files in patches/ are normalised so that an unchanged series exports byte for byte:
From hash zeroed, subject prefix "[PATCH]" without numbers, no signature, full index lines.
"""

from __future__ import annotations

import email
import email.header
import email.policy
import re
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import UserError
from memdesc_tool.git import Git

FORMAT = (
    "--zero-commit", "--no-signature", "--no-numbered", "--subject-prefix=PATCH",
    "--full-index", "--no-thread", "--no-attach", "--no-base", "--no-cover-letter",
    "--no-notes", "--no-to", "--no-cc", "--no-encode-email-headers", "--stat=72",
    "--summary", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color",
)  # fmt: skip
"""The options of format-patch that make its output depend on the commit alone."""

_DIFF = re.compile(r"^diff --git ", re.MULTILINE)
_PREFIX = re.compile(r"^\s*(\[[^\]]*\]\s*)+")
_TRAILER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*): (.+)$")
_FILE = re.compile(r"^diff --git a/(?P<old>.+?) b/(?P<new>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """A patch file.

    path: where it was read; data: the file; subject: without prefixes; body: the message
    below the subject, trailers included; trailers: (name, value) pairs in order; files:
    paths that the diff touches, old names and new.
    """

    path: Path
    data: bytes
    subject: str
    body: str
    trailers: tuple[tuple[str, str], ...]
    files: tuple[str, ...]

    @property
    def diff(self) -> bytes:
        """The diff without header, message and statistics."""
        match = re.search(rb"^diff --git ", self.data, re.MULTILINE)
        return self.data[match.start() :] if match else b""


def read_patch(path: Path) -> Patch:
    """Read a patch file. Raises UserError where it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    return parse_patch(path, data)


def parse_patch(path: Path, data: bytes) -> Patch:
    """Parse the content of a patch file; path is for messages. Raises UserError."""
    text = data.decode("utf-8", errors="surrogateescape")
    if not text.strip():
        raise UserError(f"{path}: the file is empty", "git format-patch writes patch files")
    mails = len(re.findall(r"^From [0-9a-f]{40} ", text, re.MULTILINE))
    if mails > 1:
        raise UserError(f"{path}: holds {mails} patches, not one", "git mailsplit takes them apart")
    body = text.split("\n", 1)[1] if text.startswith("From ") and "\n" in text else text
    message = email.message_from_string(body, policy=email.policy.compat32)
    raw_subject = message["Subject"]
    if raw_subject is None or not _DIFF.search(text):
        what = "no Subject: line" if raw_subject is None else "no diff"
        raise UserError(f"{path}: {what}, not a patch", "git format-patch writes patch files")
    subject = _PREFIX.sub("", _decode(raw_subject))
    text_body = _DIFF.split(body.split("\n\n", 1)[-1])[0]
    text_body = re.split(r"^---\s*$", text_body, maxsplit=1, flags=re.MULTILINE)[0]
    return Patch(path, data, subject, text_body.strip(), _trailers(text_body), _files(text))


def _decode(value: object) -> str:
    header = email.header.make_header(email.header.decode_header(str(value)))
    return " ".join(str(header).split())


def _trailers(body: str) -> tuple[tuple[str, str], ...]:
    last = body.strip().split("\n\n")[-1].splitlines()
    pairs = [match.groups() for line in last if (match := _TRAILER.match(line))]
    return tuple((name, value) for name, value in pairs)


def _files(text: str) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for match in _FILE.finditer(text):
        names[match["old"]] = None
        names[match["new"]] = None
    return tuple(names)


def format_patch(git: Git, commit: str) -> bytes:
    """The normalised patch file of a commit that has one parent."""
    status, out, err = git.attempt_bytes("format-patch", "--stdout", *FORMAT, "-1", commit)
    if status or not out:
        raise UserError(f"commit {commit} cannot be made a patch: {err.strip() or 'a merge?'}")
    return out.rstrip(b"\n") + b"\n"


def file_name(number: int, subject: str) -> str:
    """The name of a patch file as format-patch chooses it: 0001-mm-count-pages.patch."""
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", subject).strip("-.")
    slug = re.sub(r"\.{2,}", ".", slug)
    return f"{number:04d}-{slug[:52].rstrip('-.')}.patch"
