"""Revisions of a series: what was sent, what came back, what is next.

    patches/<series>/sent/vN/   the patches as they were sent as revision N

Trailers of reviewers are found by b4 and follow a patch whatever became of its subject. One
that changed beyond comments and white space since it was reviewed loses them. It has not changed
where its file is as it was, or what becomes of it on the base: a patch of others' may have other
context and headers than the mail that was made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import tomlkit

from memdesc_tool.apply import Applied, apply_stack
from memdesc_tool.cache import write_atomic
from memdesc_tool.candidate import Candidate, Step, of_commits
from memdesc_tool.console import Progress
from memdesc_tool.diff import without_rest
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY, Git
from memdesc_tool.patch import Patch, file_name, format_patch, parse_patch, patch_id
from memdesc_tool.prep import published_span, tagged_span
from memdesc_tool.series import SERIES_FILE, Entry, Numbered, Series, read_series
from memdesc_tool.substance import material
from memdesc_tool.tags import is_review
from memdesc_tool.thread import Posted, Thread, Trailer, read_thread, reviews_in
from memdesc_tool.workspace import Workspace

SENT = "sent"
_ZERO = b"From 0000000"
"""How a file begins that `series export` has written."""
_END = re.compile(rb"^(?:---$|diff --git |Index: )", re.MULTILINE)
"""Where the message of a patch ends."""


@dataclass(frozen=True)
class Sent:
    """A revision as it was sent, applied: (base, tip)."""

    revision: int
    span: tuple[str, str]


def sent_directory(series: Series, revision: int) -> Path:
    return series.directory / SENT / f"v{revision}"


def kept_revisions(series: Series) -> tuple[int, ...]:
    """The revisions that are kept, oldest first."""
    kept = (re.fullmatch(r"v(\d+)", path.name) for path in (series.directory / SENT).glob("v*"))
    return tuple(sorted(int(match[1]) for match in kept if match))


def sent_span(
    workspace: Workspace, base: str, before: Sequence[Entry], series: Series, progress: Progress
) -> Sent | None:
    """The last revision that was sent, on a base; None where none is kept.

    before: what the series depends on. Raises FailedError where it does not apply.
    """
    if not (kept := kept_revisions(series)):
        return None
    revision = kept[-1]
    old = read_series(sent_directory(series, revision))
    entries = [*((entry, "before") for entry in before), *((e, "sent") for e in old.entries)]
    stack = [Numbered(n, name, entry.patch) for n, (entry, name) in enumerate(entries, 1)]
    applied = apply_sent(workspace, base, stack, revision, progress)
    start = applied[len(before) - 1].commit if before else base
    return Sent(revision, (start, applied[-1].commit))


def apply_sent(
    workspace: Workspace, base: str, stack: Sequence[Numbered], revision: int, progress: Progress
) -> Sequence[Applied]:
    """Apply what was sent as a revision. Raises FailedError where it does not apply."""
    try:
        return apply_stack(workspace, base, stack, progress)
    except FailedError as error:
        raise FailedError(f"v{revision} cannot be compared: {error.message}") from None


@dataclass(frozen=True)
class Dispatch:
    """The patches of a revision as they were sent, and the source that knows."""

    source: str
    patches: tuple[Patch, ...]


def dispatched(
    workspace: Workspace, users: Git, branch: str, series: Series, before: Sequence[Entry]
) -> Dispatch | None:
    """What was sent as the series' revision from a prep branch of the user's repository.

    By the tag that b4 has made of it, or else as `send` has left the branch; None where
    neither is there. before: what the series depends on.
    """
    revision = series.revision
    for source, span in (
        (f"b4's tag in {users.path}", tagged_span(users, branch, revision)),
        (f"the last send to {branch}", published_span(users, branch, revision)),
    ):
        if span:
            git = workspace.scratch
            every = of_commits(git, *span, series.name).patches
            others = {patch_id(git, entry.patch) for entry in before}
            return Dispatch(source, tuple(p for p in every if patch_id(git, p) not in others))
    return None


@dataclass(frozen=True)
class Change:
    """What a reroll does to the trailers of a patch: added, and dropped with the reason."""

    step: Step
    added: tuple[Trailer, ...]
    dropped: tuple[tuple[Trailer, str], ...]


@dataclass(frozen=True)
class Reroll:
    """The next revision: number; sent: the patches of the last one, none where it is not known
    what was sent, and source: who knows; changes; lost: trailers in the mail that belong to no
    patch of the series any more.
    """

    revision: int
    sent: tuple[Patch, ...]
    source: str
    changes: tuple[Change, ...]
    lost: tuple[Trailer, ...]


def plan_reroll(candidate: Candidate, mbox: Path | None, sent: Dispatch | None) -> Reroll:
    """Work out the next revision; mbox: the thread of the last one, earlier ones may be in it;
    sent: what the user's tree knows to have been sent.

    Writes nothing. Raises UserError.
    """
    series = candidate.series
    if not (series.directory / SERIES_FILE).is_file():
        raise UserError(
            f"{series.directory} has no {SERIES_FILE}, so no revision",
            "it needs a title and the patches: [[patch]] file = ...",
        )
    thread = read_thread(mbox) if mbox else Thread()
    if mbox and (patches := thread.whole(series.revision)):
        sent = Dispatch(str(mbox), patches)
    earlier = {
        revision: read_series(sent_directory(series, revision)).patches
        for revision in kept_revisions(series)
    }
    if sent:
        earlier[series.revision] = sent.patches
    return next_revision(candidate, thread, earlier, sent, series.revision + 1)


def next_revision(
    candidate: Candidate, thread: Thread, earlier: Mapping[int, Sequence[Patch]],
    sent: Dispatch | None, revision: int,
) -> Reroll:  # fmt: skip
    """Work out what a reroll does to the trailers of the patches.

    earlier: what is known to have been sent, by revision; sent: the last one of them.
    """
    series = candidate.series
    known = _all_posted(thread, earlier)
    forms = [_Form(step, _as_applied(candidate.git, step)) for step in candidate.steps]
    became = [(one, _form_of(one, forms)) for one in known]
    changes = tuple(_change(form, [one for one, its in became if its is form], known)
                    for form in forms)  # fmt: skip
    seen = {trailer for one in changes for trailer in one.added}
    seen |= {trailer for one in changes for trailer, _ in one.dropped}
    seen |= {trailer for patch in series.patches for trailer in reviews_in(patch.body)}
    lost = tuple(trailer for trailer in thread.said if trailer not in seen)
    patches, source = (sent.patches, sent.source) if sent else ((), "")
    return Reroll(revision, patches, source, changes, lost)


def _all_posted(thread: Thread, earlier: Mapping[int, Sequence[Patch]]) -> tuple[Posted, ...]:
    """Every patch that is known to have been sent, of all revisions, oldest first."""
    found = [*thread.posted]
    for revision, every in earlier.items():
        if not thread.whole(revision):
            found += [Posted(one, revision, n, len(every)) for n, one in enumerate(every, 1)]
    return tuple(sorted(found, key=lambda one: one.revision))


@dataclass(frozen=True)
class _Form:
    """A step with what its commit is as a patch."""

    step: Step
    applied: Patch

    def differs(self, patch: Patch) -> bool:
        """Whether it is another change than a patch that was sent."""
        return material(patch, self.step.patch) and material(patch, self.applied)


def _as_applied(git: Git, step: Step) -> Patch:
    return parse_patch(step.patch.path, format_patch(git, step.commit))


def _form_of(posted: Posted, forms: Sequence[_Form]) -> _Form | None:
    """What a patch has become: what does the same, has its subject, or links to it."""
    for is_it in (
        lambda form: not form.differs(posted.patch),
        lambda form: posted.patch.subject == form.step.patch.subject,
        lambda form: posted.identity and _links_to(form.step.patch, posted.identity),
    ):
        if found := [form for form in forms if is_it(form)]:
            return found[0] if len(found) == 1 else None
    return None


def _links_to(patch: Patch, identity: str) -> bool:
    links = (value.split()[0] for name, value in patch.trailers if name == "Link")
    return any(unquote(link).rstrip("/").endswith(f"/{identity}") for link in links)


def _change(form: _Form, mine: Sequence[Posted], known: Iterable[Posted]) -> Change:
    """mine: what was sent of this step."""
    step = form.step
    own = (*step.patch.trailers, *reviews_in(step.patch.body))
    given = dict.fromkeys(trailer for one in mine for trailer in one.given)
    added, dropped = [], []
    for trailer in dict.fromkeys((*own, *given)):
        reason = _objection(trailer, form, mine, known) if is_review(trailer[0]) else ""
        if reason:
            dropped.append((trailer, reason))
        elif trailer not in own:
            added.append(trailer)
    return Change(step, tuple(added), tuple(dropped))


def _objection(
    trailer: Trailer, form: _Form, mine: Sequence[Posted], known: Iterable[Posted]
) -> str:
    """Why a review does not count for a step; "" where it does.

    It counts for what it was given for. Where that is not known it is what was sent with it
    first, or else what was sent last: nobody has seen the patch since.
    """
    judged = [one for one in mine if trailer in one.given] or _first_with(trailer, mine)
    judged = judged or list(mine[-1:])
    if any(not form.differs(one.patch) for one in judged):
        return ""
    if judged:
        return f"the patch has changed since v{judged[-1].revision}"
    others = any(trailer in (*one.given, *reviews_in(one.patch.body)) for one in known)
    return "it is of another patch" if others else ""


def _first_with(trailer: Trailer, mine: Sequence[Posted]) -> list[Posted]:
    """The oldest patch that had a trailer which all that were sent after it had as well."""
    having = takewhile(lambda one: trailer in reviews_in(one.patch.body), reversed(mine))
    return list(having)[-1:]


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
    """The patch file of a step with other trailers; one of others' stays theirs otherwise."""
    git = workspace.scratch
    message = edited_message(git, step.commit, added, dropped)
    if spliced := _spliced(step.patch, message.partition("\n\n")[2]):
        return spliced
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "AUTHOR_DATE")
    author = git.run("log", "-1", "--format=%an%n%ae%n%aI", step.commit).split("\n")
    env = {**SCRATCH_IDENTITY, **{f"GIT_{n}": v for n, v in zip(names, author, strict=True)}}
    commit = git.run("commit-tree", git.tree(step.commit), "-p", step.parent, "-F", "-",
                     stdin=f"{message}\n".encode(), env=env)  # fmt: skip
    return format_patch(git, commit)


def edited_message(
    git: Git, commit: str, added: Sequence[Trailer], dropped: Sequence[Trailer]
) -> str:
    """The message of a commit with other trailers; what it has below --- stays as it is."""
    message = git.run("log", "-1", "--format=%B", commit)
    above, separator, below = f"{message}\n".partition("\n---\n")
    gone = {f"{name}: {value}" for name, value in dropped}
    above = "\n".join(line for line in above.splitlines() if line not in gone)
    wanted = [arg for name, value in added for arg in ("--trailer", f"{name}: {value}")]
    above = git.run("interpret-trailers", "--if-exists=addIfDifferent", *wanted,
                    stdin=f"{above}\n".encode())  # fmt: skip
    return f"{above}{separator}{below}".rstrip("\n")


def _spliced(patch: Patch, body: str) -> bytes:
    """A patch file with another body and nothing else changed; empty where that cannot be done,
    since it is encoded, say, or where the file is as `series export` writes it.
    """
    if patch.data.startswith(_ZERO):
        return b""
    head, empty, rest = patch.data.partition(b"\n\n")
    match = _END.search(rest)
    if not match or rest[: match.start()].strip() != patch.body.encode():
        return b""
    data = head + empty + body.strip().encode() + b"\n" + rest[match.start() :]
    made = parse_patch(patch.path, data)
    same = (made.subject, made.diff, made.body) == (patch.subject, patch.diff, body.strip())
    return data if same else b""


def plain(patch: Patch) -> bytes:
    """A patch as a file of a series, without what a mail has besides."""
    if patch.data.startswith(_ZERO):
        return patch.data
    assert patch.mail
    head = f"From: {patch.mail.author}\nSubject: [PATCH] {patch.subject}\n\n{patch.body}\n---\n\n"
    start = b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n"
    return start + head.encode() + without_rest(patch.diff)
