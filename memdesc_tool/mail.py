"""One mail with a patch, taken apart by git itself.

`git mailinfo` decodes transfer encodings, charsets and attachments; what is read here with
a set of options is what `git am` with the same options applies. What git would have to
guess at, or would apply otherwise than meant, is refused.
"""

from __future__ import annotations

import email
import email.policy
import os
import re
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from memdesc_tool.errors import UserError
from memdesc_tool.git import Git

LIMIT = 16_000_000
"""Bytes of the largest patch file that is read."""

# A superset of what git mailsplit takes for the first line of a further mail.
_FROM_LINE = re.compile(rb"^From .*\d.\d\d:\d\d[\s+-]*\d{2}", re.MULTILINE)
_MBOXRD = b"From mboxrd@z "
_TYPES = ("text/plain", "text/x-patch", "text/x-diff", "application/pgp-signature")
_ENCODINGS = ("", "7bit", "8bit", "binary", "quoted-printable", "base64")
_UNICODE = ("", "utf-8", "utf8", "us-ascii", "ascii")
_DIFF = re.compile(rb"^diff --git ", re.MULTILINE)
NO_DATE = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
"""For a mail without a date, so that the same patch gives the same commit."""


@dataclass(frozen=True)
class Mail:
    """A mail as git understands it.

    data: what is to be given to `git am` with options; subject: without [PATCH]; message:
    what becomes the commit's message below the subject; diff: what is applied, decoded.
    """

    data: bytes
    options: tuple[str, ...]
    subject: str
    author: str
    message: str
    diff: bytes


def read_mail(path: Path, data: bytes) -> Mail:
    """Take a patch file apart; path is for messages. Raises UserError."""
    if not data.strip():
        raise UserError(f"{path}: the file is empty", "git format-patch writes patch files")
    if len(data) > LIMIT:
        raise UserError(f"{path}: is larger than {LIMIT // 1_000_000} MB; refused")
    if b"\0" in data:
        raise UserError(
            f"{path}: has a NUL byte, not a patch in plain text", "UTF-16 must become UTF-8"
        )
    plain = _line_ends(path, data)
    _refuse_several(path, plain)
    if plain.startswith(_MBOXRD):
        plain = re.sub(rb"^>(>*From )", rb"\1", plain, flags=re.MULTILINE)
    try:
        payloads = _check_parts(path, _parse(plain))
    except (RecursionError, LookupError, ValueError) as error:  # what no mail client writes
        raise UserError(f"{path}: a broken mail ({type(error).__name__})") from None
    strip = _all_crlf(payloads)
    options = ("--keep-non-patch", "--no-scissors",
               "--quoted-cr=strip" if strip else "--quoted-cr=nowarn")  # fmt: skip
    return _mailinfo(path, plain, options)


def _line_ends(path: Path, data: bytes) -> bytes:
    """CRLF that a mail client made of every line is undone; CR within a diff is content."""
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = data.split(b"\n")
    if not any(line.endswith(b"\r") for line in lines[:2]):
        return data
    for number, line in enumerate(lines, 1):
        separator = number == 1 and line.startswith(b"From ")  # written by whoever saved it
        if not line.endswith(b"\r") and (line or number < len(lines)) and not separator:
            raise UserError(
                f"{path}: its headers end with CRLF, line {number} does not",
                "what has become of the patch's own line ends cannot be told",
            )
    return b"\n".join(line.removesuffix(b"\r") for line in lines)


def _refuse_several(path: Path, data: bytes) -> None:
    mails = 1 + len(_FROM_LINE.findall(data, data.find(b"\n") + 1))
    if mails > 1:
        raise UserError(f"{path}: holds {mails} patches, not one", "git mailsplit takes them apart")


def _parse(data: bytes) -> Message:
    body = data.partition(b"\n")[2] if data.startswith(b"From ") else data
    return email.message_from_bytes(body, policy=email.policy.compat32)


def _check_parts(path: Path, message: Message) -> list[bytes]:
    """Refuse what git would not take as it is meant; the decoded payloads of all parts."""
    for name, value in message.raw_items():
        try:
            str(value).encode("utf-8", "surrogateescape").decode()
        except UnicodeDecodeError:
            raise UserError(f"{path}: its {name}: line is not UTF-8") from None
    if message["Subject"] is None:
        raise UserError(f"{path}: no Subject: line, not a patch", "git format-patch writes them")
    payloads = []
    for part in message.walk():
        kind = part.get_content_type()
        if kind in ("multipart/mixed", "multipart/signed") and part.is_multipart():
            continue
        if kind not in _TYPES or part.is_multipart():
            raise UserError(f"{path}: has a part of type {kind}", "a patch is plain text")
        if "flowed" in str(part.get_param("format", "")).lower():
            raise UserError(
                f"{path}: is format=flowed, which joins and strips lines of a diff",
                "ask for it as git send-email sends it",
            )
        encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
        if encoding not in _ENCODINGS:
            raise UserError(f"{path}: has an unknown transfer encoding {encoding}")
        payload = part.get_payload(decode=True)
        payloads.append(payload if isinstance(payload, bytes) else b"")
        if part.defects:
            raise UserError(f"{path}: a broken mail ({type(part.defects[0]).__name__})")
        _check_charset(path, str(part.get_content_charset("")).lower(), payloads[-1])
    if sum(_DIFF.search(payload) is not None for payload in payloads) > 1:
        raise UserError(f"{path}: holds several attachments with a diff", "one patch, one file")
    return payloads


def _check_charset(path: Path, charset: str, payload: bytes) -> None:
    """git recodes the message, from the charset declared or guessed, but never the diff."""
    if b"\0" in payload:
        raise UserError(f"{path}: has a NUL byte in its text", "UTF-16 must become UTF-8")
    match = _DIFF.search(payload)
    text, diff = (payload[: match.start()], payload[match.start() :]) if match else (payload, b"")
    if charset in _UNICODE:
        try:
            text.decode()
        except UnicodeDecodeError:
            says = f"though it declares {charset}" if charset else "and it declares no charset"
            raise UserError(f"{path}: its message is not UTF-8, {says}") from None
    elif not diff.isascii():
        raise UserError(
            f"{path}: declares charset {charset} and its diff is not ASCII",
            "whether the mail client has recoded the files' own bytes cannot be told",
        )


def _all_crlf(payloads: list[bytes]) -> bool:
    """Whether every line of the decoded text ends with CRLF, as MIME has it."""
    lines = [line for payload in payloads for line in payload.split(b"\n")[:-1]]
    return bool(lines) and all(line.endswith(b"\r") for line in lines)


def _nameless(purpose: str) -> BinaryIO:
    """An empty file in memory; purpose is only for whoever looks at our descriptors."""
    return os.fdopen(os.memfd_create(f"memdesc-{purpose}"), "w+b")


def _mailinfo(path: Path, data: bytes, options: tuple[str, ...]) -> Mail:
    mailinfo = ["-b" if option == "--keep-non-patch" else option for option in options]
    # Files without a name: there is nothing to leave behind, however this ends.
    with _nameless("message") as message_file, _nameless("diff") as diff_file:
        names = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (message_file, diff_file)]
        status, out, err = Git(Path("/")).attempt("mailinfo", *mailinfo, "-u", *names, stdin=data)
        if status:
            lines = err.strip().splitlines()
            reason = lines[0].removeprefix("error: ") if lines else "git mailinfo fails"
            raise UserError(f"{path}: {reason}, not a patch", "git format-patch writes patch files")
        message = message_file.read().decode(errors="replace")
        diff = diff_file.read()
    fields = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
    if not fields.get("Subject"):
        raise UserError(f"{path}: no Subject: line, not a patch", "git format-patch writes them")
    if not _DIFF.search(diff):
        raise _no_diff(path, diff)
    if not fields.get("Email"):
        raise UserError(f"{path}: no From: line with a mail address, not a patch")
    if not fields.get("Date"):
        head, newline, rest = data.partition(b"\n")
        data = head + newline + NO_DATE + rest if head.startswith(b"From ") else NO_DATE + data
    author = f"{fields.get('Author', '')} <{fields['Email']}>"
    return Mail(data, options, fields["Subject"], author, message, diff)


def _no_diff(path: Path, diff: bytes) -> UserError:
    if re.search(rb"^--- .*\n\+\+\+ ", diff, re.MULTILINE):
        return UserError(
            f"{path}: a diff without a `diff --git` line, not a patch of git's",
            "git format-patch writes patch files",
        )
    return UserError(f"{path}: no diff, not a patch", "git format-patch writes patch files")
