"""A thread of mail: the patches in it, and the trailers that were given for each.

b4 finds the trailers (`b4 am`), by its own rules: in replies to a patch or to the cover
letter, from the address that they name.
"""

from __future__ import annotations

import email.errors
import email.header
import mailbox
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path

from memdesc_tool.b4 import B4, last_line
from memdesc_tool.errors import CommandError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY
from memdesc_tool.patch import Patch, file_name, parse_patch
from memdesc_tool.tags import is_review

_SUBJECT = re.compile(r"\[(?P<tags>[^\]]*PATCH[^\]]*)\]\s*(?P<subject>.*)")
_REVISION = re.compile(r"(?:\b|PATCH)v(\d+)\b")

Trailer = tuple[str, str]
"""Name and value."""


@dataclass(frozen=True)
class Posted:
    """A patch as it was sent. identity: of its mail, "" where only the patch is known; number,
    total: as in [PATCH 1/2]; given: trailers in the replies to it.
    """

    patch: Patch
    revision: int
    number: int
    total: int
    identity: str = ""
    given: tuple[Trailer, ...] = ()


@dataclass(frozen=True)
class Thread:
    """The patches in a thread, and the reviews in its replies, whomever b4 takes them from.

    bases: the base-commit of a revision, for those that name one.
    """

    posted: tuple[Posted, ...] = ()
    said: tuple[Trailer, ...] = ()
    bases: tuple[tuple[int, str], ...] = ()

    @property
    def revisions(self) -> tuple[int, ...]:
        """Those that are there as a whole, the oldest first."""
        every = sorted({one.revision for one in self.posted})
        return tuple(revision for revision in every if self.whole(revision))

    def whole(self, revision: int) -> tuple[Patch, ...]:
        """All patches of a revision in order; none where one is missing or there twice."""
        ours = [one for one in self.posted if one.revision == revision]
        total = max((one.total for one in ours), default=0)
        patches = {one.number: one.patch for one in ours if one.total == total}
        if len(patches) != total or sum(one.total == total for one in ours) != total:
            return ()
        return tuple(patches[number] for number in sorted(patches))


def reviews_in(text: str) -> tuple[Trailer, ...]:
    """The reviews in a message or mail, wherever they stand in it."""
    found = re.findall(r"^([A-Za-z-]+): (.*\S)", text, re.MULTILINE)
    return tuple(dict.fromkeys(one for one in found if is_review(one[0])))


def read_thread(path: Path) -> Thread:
    """Read an mbox; the patches of all revisions are in it, oldest first. Raises UserError."""
    if not path.is_file() or path.read_bytes()[:5] != b"From ":
        raise UserError(f"{path} is no mbox", "b4 mbox MESSAGE-ID writes one")
    posted: list[tuple[Posted, Message]] = []
    others: list[Message] = []
    said: list[Trailer] = []
    bases: dict[int, str] = {}
    for message in mailbox.mbox(str(path), create=False):
        bases |= _base(message)
        if one := _posted(message):
            posted.append((one, message))
            continue
        others.append(message)
        said += reviews_in(_text(message))
    found = []
    for key in sorted({(one.revision, one.total) for one, _ in posted}):
        same = [(one, mail) for one, mail in posted if (one.revision, one.total) == key]
        after = _with_trailers(path, key[0], [*(mail for _, mail in same), *others])
        found += [replace(one, given=_added(one, after)) for one, _ in same]
    found.sort(key=lambda one: (one.revision, one.total, one.number))
    return Thread(tuple(found), tuple(dict.fromkeys(said)), tuple(sorted(bases.items())))


def _base(message: Message) -> dict[int, str]:
    """The base-commit by revision that a mail of a series names."""
    match = _SUBJECT.match(_subject(message))
    base = re.search(r"^base-commit: ([0-9a-f]{40,64})$", _text(message), re.MULTILINE)
    return {_number(match["tags"]): base[1]} if match and base else {}


def _number(tags: str) -> int:
    """The revision that the tags of a subject name."""
    revision = _REVISION.search(tags)
    return int(revision[1]) if revision else 1


def _posted(message: Message) -> Posted | None:
    """The patch in a mail; None where it is a reply or a cover letter."""
    match = _SUBJECT.match(_subject(message))
    if not match or not re.search(r"^diff --git ", _text(message), re.MULTILINE):
        return None
    place = re.search(r"\b(\d+)/(\d+)\b", match["tags"])
    number, total = (int(place[1]), int(place[2])) if place else (1, 1)
    patch = parse_patch(Path(file_name(number, match["subject"])), bytes(message))
    return Posted(patch, _number(match["tags"]), number, total, _identity(message))


def _subject(message: Message) -> str:
    """The subject decoded (RFC 2047) and on one line."""
    subject = str(message.get("Subject", ""))
    with suppress(LookupError, ValueError, email.errors.HeaderParseError):
        subject = str(email.header.make_header(email.header.decode_header(subject)))
    return " ".join(subject.split())


def _text(message: Message) -> str:
    """The text of a mail, of all its parts."""
    payloads = (part.get_payload(decode=True) for part in message.walk())
    return "\n".join(one.decode(errors="replace") for one in payloads if isinstance(one, bytes))


def _identity(message: Message) -> str:
    return str(message.get("Message-Id", "")).strip().strip("<>")


def _with_trailers(path: Path, revision: int, messages: Iterable[Message]) -> dict[str, Patch]:
    """The patches of a revision with the trailers of the replies, by the identity of their mails.

    path: for messages. The patches of other revisions are kept from b4, which would carry
    trailers over from them. Raises UserError.
    """
    name, address = (SCRATCH_IDENTITY[f"GIT_COMMITTER_{field}"] for field in ("NAME", "EMAIL"))
    settings = (("user.name", name), ("user.email", address), ("b4.attestation-policy", "off"))
    with tempfile.TemporaryDirectory(prefix="memdesc-thread.") as directory:
        source = Path(directory) / "thread"
        box = mailbox.mbox(str(source))
        for message in messages:
            box.add(message)
        box.close()
        try:
            B4(Path(directory), settings).run(
                "am", "--use-local-mbox", str(source), "--use-version", str(revision),
                "--no-partial-reroll", "--no-cover", "--mbox-name", "ready", "--outdir", directory,
            )  # fmt: skip
        except CommandError as error:
            raise UserError(f"b4 cannot read {path}: {last_line(error)}") from None
        ready = mailbox.mbox(str(Path(directory) / "ready.mbx"))
        return {_identity(mail): parse_patch(path, bytes(mail)) for mail in ready}


def _added(one: Posted, after: dict[str, Patch]) -> tuple[Trailer, ...]:
    """The trailers that a patch has after b4 and did not have in its mail."""
    if one.identity not in after:
        return ()
    had = {_plain(trailer) for trailer in one.patch.trailers}
    return tuple(t for t in after[one.identity].trailers if _plain(t) not in had)


def _plain(trailer: Trailer) -> Trailer:
    name, value = trailer
    return name.lower(), " ".join(value.split()).lower()
