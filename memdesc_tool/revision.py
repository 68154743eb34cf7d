"""Revisions of a series: what was sent, what came back, what is next.

    patches/<series>/sent/vN/   the patches as they were sent as revision N

Trailers of reviewers are found by b4, which attaches them by patch-id and so whatever became
of a patch's subject. A patch that changed beyond comments and white space loses them.
"""

from __future__ import annotations

import mailbox
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from memdesc_tool.apply import apply_stack
from memdesc_tool.b4 import B4, last_line
from memdesc_tool.cache import write_atomic
from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.console import Progress
from memdesc_tool.errors import CommandError, FailedError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY
from memdesc_tool.patch import Patch, file_name, format_patch, parse_patch, patch_id
from memdesc_tool.prep import FORK, worktree
from memdesc_tool.series import SERIES_FILE, Entry, Numbered, Series, read_series
from memdesc_tool.workspace import Workspace

SENT = "sent"
REVIEWS = ("Reviewed-by", "Acked-by", "Tested-by", "Reviewed-and-tested-by")
"""Tags that speak of a patch as it was; the others stay whatever becomes of it."""
_SUBJECT = re.compile(r"\[(?P<tags>[^\]]*\bPATCH\b[^\]]*)\]\s*(?P<subject>.*)", re.DOTALL)
_COMMENT = re.compile(rb"^[+-]\s*(//.*|/?\*.*)?$")

Trailer = tuple[str, str]
"""Name and value."""


@dataclass(frozen=True)
class Sent:
    """A revision as it was sent, applied: (base, tip)."""

    revision: int
    span: tuple[str, str]


def sent_directory(series: Series, revision: int) -> Path:
    return series.directory / SENT / f"v{revision}"


def last_sent(series: Series) -> int:
    """The last revision that is kept; 0 for none."""
    kept = (re.fullmatch(r"v(\d+)", path.name) for path in (series.directory / SENT).glob("v*"))
    return max((int(match[1]) for match in kept if match), default=0)


def sent_span(
    workspace: Workspace, base: str, before: Sequence[Entry], series: Series, progress: Progress
) -> Sent | None:
    """The last revision that was sent, on a base; None where none is kept.

    before: what the series depends on. Raises FailedError where it does not apply.
    """
    revision = last_sent(series)
    if not revision:
        return None
    old = read_series(sent_directory(series, revision))
    entries = [*((entry, "before") for entry in before), *((e, "sent") for e in old.entries)]
    stack = [Numbered(n, name, entry.patch) for n, (entry, name) in enumerate(entries, 1)]
    try:
        applied = apply_stack(workspace, base, stack, progress)
    except FailedError as error:
        raise FailedError(f"v{revision} cannot be compared: {error.message}") from None
    start = applied[len(before) - 1].commit if before else base
    return Sent(revision, (start, applied[-1].commit))


@dataclass(frozen=True)
class Change:
    """What a reroll does to the trailers of a patch: added, and dropped with the reason."""

    step: Step
    added: tuple[Trailer, ...]
    dropped: tuple[tuple[Trailer, str], ...]


@dataclass(frozen=True)
class Reroll:
    """The next revision: number; sent: the patches of the last one; changes; lost: trailers in
    the mail that belong to no patch of the series any more.
    """

    revision: int
    sent: tuple[Patch, ...]
    changes: tuple[Change, ...]
    lost: tuple[Trailer, ...]


def read_thread(path: Path, revision: int) -> tuple[tuple[Patch, ...], tuple[Trailer, ...]]:
    """The patches of a revision in an mbox, in order, and the trailers in the replies.

    Raises UserError.
    """
    patches: dict[int, Patch] = {}
    trailers: list[Trailer] = []
    if not path.is_file() or path.read_bytes()[:5] != b"From ":
        raise UserError(f"{path} is no mbox", "b4 mbox MESSAGE-ID writes one")
    for message in mailbox.mbox(str(path), create=False):
        subject = " ".join(str(message.get("Subject", "")).split())
        match = _SUBJECT.match(subject)
        if not match:
            payload = message.get_payload(decode=True)
            text = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
            trailers += re.findall(rf"^({'|'.join(REVIEWS)}): (.+)$", text, re.MULTILINE)
            continue
        version = re.search(r"\bv(\d+)\b", match["tags"])
        number = re.search(r"\b(\d+)/\d+\b", match["tags"])
        counted = int(number[1]) if number else 1
        if counted and (int(version[1]) if version else 1) == revision:
            name = Path(file_name(counted, match["subject"]))
            patches[counted] = parse_patch(name, bytes(message))
    return tuple(patches[n] for n in sorted(patches)), tuple(dict.fromkeys(trailers))


def plan_reroll(workspace: Workspace, candidate: Candidate, thread: Path | None) -> Reroll:
    """Work out the next revision; thread: an mbox with the last one and what was answered.

    Writes nothing. Raises UserError.
    """
    series = candidate.series
    if not (series.directory / SERIES_FILE).is_file():
        raise UserError(
            f"{series.directory} has no {SERIES_FILE}, so no revision",
            "it needs a title and the patches: [[patch]] file = ...",
        )
    git = workspace.scratch
    sent, said = read_thread(thread, series.revision) if thread else ((), ())
    sent = sent or series.patches
    exact: Mapping[str, tuple[Trailer, ...]] = {}
    fuzzy: Mapping[str, tuple[Trailer, ...]] = {}
    if thread:
        exact = _collected(workspace, candidate, thread)
        fuzzy = _collected(workspace, candidate, thread, "--fuzzy")
    by_id = {patch_id(git, patch): patch for patch in sent}
    by_subject = {patch.subject: patch for patch in sent}
    changes = []
    for step in candidate.steps:
        old = by_id.get(patch_id(git, step.patch)) or by_subject.get(step.patch.subject)
        changes.append(_change(step, old, exact.get(step.name, ()), fuzzy.get(step.name, ())))
    seen = {trailer for one in changes for trailer in one.added}
    seen |= {trailer for one in changes for trailer, _ in one.dropped}
    seen |= {trailer for patch in series.patches for trailer in patch.trailers}
    lost = tuple(trailer for trailer in said if trailer not in seen)
    return Reroll(series.revision + 1, tuple(sent), tuple(changes), lost)


def _change(
    step: Step, old: Patch | None, exact: Iterable[Trailer], fuzzy: Iterable[Trailer]
) -> Change:
    added = list(exact)
    dropped = []
    moved = old is not None and material(old, step.patch)
    for trailer in fuzzy:
        if trailer not in added:
            if moved and trailer[0] in REVIEWS:
                dropped.append((trailer, "the patch has changed since"))
            else:
                added.append(trailer)
    if moved and old:
        dropped += [
            (trailer, "the patch has changed since")
            for trailer in step.patch.trailers
            if trailer[0] in REVIEWS and trailer in old.trailers
        ]
    return Change(step, tuple(added), tuple(dropped))


def material(old: Patch, new: Patch) -> bool:
    """Whether two patches differ in more than comments, white space and place."""
    return _substance(old) != _substance(new)


def _substance(patch: Patch) -> list[bytes]:
    every = patch.diff.splitlines()
    # A mail ends with a signature below "-- ".
    lines = (line for line in every if line[:1] in (b"+", b"-") and line != b"-- ")
    return [b"".join(line.split()) for line in lines if not _COMMENT.match(line)]


def _collected(
    workspace: Workspace, candidate: Candidate, thread: Path, *options: str
) -> dict[str, tuple[Trailer, ...]]:
    """The trailers that b4 finds in an mbox for each patch, by the patch's name."""
    files = sorted({file for step in candidate.steps for file in step.patch.files})
    git = worktree(workspace, candidate.tip, FORK, files)
    name, mail = (SCRATCH_IDENTITY[f"GIT_COMMITTER_{field}"] for field in ("NAME", "EMAIL"))
    b4 = B4(git.path, (("user.name", name), ("user.email", mail)))
    first = candidate.steps[0].commit
    try:
        b4.run("trailers", "--update", "--use-local-mbox", str(thread.absolute()),
               "--since-commit", first, *options)  # fmt: skip
    except CommandError as error:
        raise UserError(f"b4 cannot read {thread}: {last_line(error)}") from None
    commits = git.commits(candidate.steps[0].parent, "HEAD")
    found = {}
    for step, commit in zip(candidate.steps, commits, strict=True):
        patch = parse_patch(Path(step.name), format_patch(workspace.scratch, commit))
        found[step.name] = tuple(t for t in patch.trailers if t not in step.patch.trailers)
    return found


def carry_out(workspace: Workspace, series: Series, reroll: Reroll) -> None:
    """Write the next revision: what was sent, the trailers, the number.

    The number comes last, so that a call that was killed is repeated as a whole.
    """
    directory = sent_directory(series, series.revision)
    for number, patch in enumerate(reroll.sent, 1):
        write_atomic(directory / file_name(number, patch.subject), plain(patch))
    for change in reroll.changes:
        if change.added or change.dropped:
            dropped = tuple(trailer for trailer, _ in change.dropped)
            data = with_trailers(workspace, change.step, change.added, dropped)
            write_atomic(change.step.patch.path, data)
    path = series.directory / SERIES_FILE
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["revision"] = reroll.revision
    write_atomic(path, tomlkit.dumps(document).encode())


def with_trailers(
    workspace: Workspace, step: Step, added: Sequence[Trailer], dropped: Sequence[Trailer]
) -> bytes:
    """The patch file of a step with other trailers."""
    git = workspace.scratch
    lines = git.run("log", "-1", "--format=%B", step.commit).splitlines()
    gone = {f"{name}: {value}" for name, value in dropped}
    message = "\n".join(line for line in lines if line not in gone) + "\n"
    wanted = [arg for name, value in added for arg in ("--trailer", f"{name}: {value}")]
    message = git.run("interpret-trailers", "--if-exists=addIfDifferent", *wanted,
                      stdin=message.encode())  # fmt: skip
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "AUTHOR_DATE")
    author = git.run("log", "-1", "--format=%an%n%ae%n%aI", step.commit).split("\n")
    env = {**SCRATCH_IDENTITY, **{f"GIT_{n}": v for n, v in zip(names, author, strict=True)}}
    commit = git.run("commit-tree", git.tree(step.commit), "-p", step.parent, "-F", "-",
                     stdin=f"{message}\n".encode(), env=env)  # fmt: skip
    return format_patch(git, commit)


def plain(patch: Patch) -> bytes:
    """A patch as a file of a series, without what a mail has besides."""
    if patch.data.startswith(b"From 0000000"):
        return patch.data
    assert patch.mail
    head = f"From: {patch.mail.author}\nSubject: [PATCH] {patch.subject}\n\n{patch.body}\n---\n\n"
    return b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n" + head.encode() + patch.diff
