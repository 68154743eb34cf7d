"""Revisions of a series that is in git alone: what was sent of it, and the next one.

What was sent is in a thread of mail, in b4's tags (sent/CHANGE-ID-vN), or where `send` has
kept what it made. The next revision is made in the scratch repository: the same changes on
the same base, with other trailers, and with b4's cover at the next number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.apply import Recommitter
from memdesc_tool.b4 import B4, last_line, users_settings
from memdesc_tool.candidate import Candidate, of_commits
from memdesc_tool.console import Progress
from memdesc_tool.errors import CommandError, UserError
from memdesc_tool.git import Git, identity
from memdesc_tool.prep import TRACKING, branch_name, published_spans, tagged_spans, worktree
from memdesc_tool.revision import Dispatch, Reroll, Sent, apply_sent, edited_message, next_revision
from memdesc_tool.series import Numbered
from memdesc_tool.thread import Thread, read_thread
from memdesc_tool.topic import Topic, patch_span
from memdesc_tool.workspace import Workspace

NEXT = "memdesc/next"
"""The branch of the scratch repository that b4 works on."""


@dataclass(frozen=True)
class Sending:
    """A revision as it was sent: base: the commit that it stood on; tip: of its commits, ""
    where the patches are all that is known.
    """

    revision: int
    dispatch: Dispatch
    base: str
    tip: str = ""


@dataclass(frozen=True)
class Sendings:
    """What was sent of a topic, the oldest first; thread: of mail, empty where none was named."""

    topic: Topic
    every: tuple[Sending, ...]
    thread: Thread

    @property
    def last(self) -> Sending:
        """The last one. Raises UserError where none is known."""
        if not self.every:
            raise nothing_sent(self.topic)
        return self.every[-1]


def nothing_sent(topic: Topic) -> UserError:
    """The error where a topic must have been sent."""
    return UserError(
        f"nothing is known to have been sent of {topic.spelled}",
        "--mbox names a thread with its patches, --name the b4/NAME that it was sent from",
    )


def read_sendings(
    git: Git, topic: Topic, name: str | None = None, mbox: Path | None = None
) -> Sendings:
    """Look up what was sent of a topic; the thread knows best, then b4.

    git: the scratch repository; name: of the prep branch that it was sent from, where that is
    not the topic's own. Raises UserError.
    """
    users, branch = topic.tree, branch_name(name) if name else topic.branch
    thread = read_thread(mbox) if mbox else Thread()
    found: dict[int, Sending] = {}
    for source, spans in (
        (f"the last send to {branch}", published_spans(users, branch) if branch else {}),
        (f"b4's tag in {users.path}", tagged_spans(users, branch) if branch else {}),
    ):
        for revision, span in spans.items():
            base, tip = patch_span(git, *span)
            patches = of_commits(git, base, tip, topic.name).patches
            found[revision] = Sending(revision, Dispatch(source, patches), base, tip)
    bases = dict(thread.bases)
    for revision in thread.revisions:
        base = bases.get(revision, "")
        dispatch = Dispatch(str(mbox), thread.whole(revision))
        found[revision] = Sending(revision, dispatch, base if git.has(base) else topic.base)
    most = topic.revision or max(found, default=0)
    every = tuple(found[revision] for revision in sorted(found) if revision <= most)
    return Sendings(topic, every, thread)


def sent_of(workspace: Workspace, sending: Sending, progress: Progress) -> Sent:
    """A revision as commits. Raises FailedError where its patches do not apply."""
    if sending.tip:
        return Sent(sending.revision, (sending.base, sending.tip))
    stack = [Numbered(n, "sent", patch) for n, patch in enumerate(sending.dispatch.patches, 1)]
    applied = apply_sent(workspace, sending.base, stack, sending.revision, progress)
    return Sent(sending.revision, (sending.base, applied[-1].commit))


def plan_branch(candidate: Candidate, sendings: Sendings) -> Reroll:
    """Work out the next revision of the commits of a topic. Raises UserError."""
    last = sendings.last
    earlier = {one.revision: one.dispatch.patches for one in sendings.every}
    revision = max(last.revision + 1, sendings.topic.revision)
    return next_revision(candidate, sendings.thread, earlier, last.dispatch, revision)


def make_next(workspace: Workspace, topic: Topic, plan: Reroll) -> str:
    """Make the commits of the next revision; the last one of them.

    Those below the first one that changes stay what they are. Raises UserError.
    """
    git = workspace.scratch
    changes = {one.step.commit: one for one in plan.changes if one.added or one.dropped}
    maker = Recommitter(git, identity(topic.tree), {}, signoff=False)
    old = tip = topic.base
    for commit in git.commits(topic.base, topic.tip):
        message = git.run("log", "-1", "--format=%B", commit)
        if change := changes.get(commit):
            dropped = [trailer for trailer, _ in change.dropped]
            message = edited_message(git, commit, change.added, dropped)
        kept = tip == old and not change
        tip = commit if kept else maker.recommit(commit, message, tip)
        if TRACKING in message and 0 < topic.revision < plan.revision:
            tip = _renumbered(workspace, topic, tip, plan.revision)
        old = commit
    return tip


def _renumbered(workspace: Workspace, topic: Topic, cover: str, revision: int) -> str:
    """The commit with b4's cover, at another revision."""
    git = worktree(workspace, cover, NEXT, _files(workspace.scratch, topic))
    try:
        B4(git.path, users_settings(topic.tree)).run("prep", "--force-revision", str(revision))
    except CommandError as error:
        raise UserError(f"b4 cannot renumber {topic.branch}: {last_line(error)}") from None
    return git.run("rev-parse", "HEAD")


def _files(git: Git, topic: Topic) -> Sequence[str]:
    out = git.run("diff", "--name-only", "-z", topic.base, topic.tip)
    return [name for name in out.split("\0") if name]
