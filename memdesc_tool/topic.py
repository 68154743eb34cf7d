"""A series that is in git alone: commits of a tree, and the cover letter that a branch keeps.

The commits are those of a b4 prep branch, or BASE..TIP. The cover letter is b4's, or the
description of the branch (git branch --edit-description).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memdesc_tool.b4 import B4, users_settings
from memdesc_tool.errors import CommandError, UserError
from memdesc_tool.git import Git
from memdesc_tool.prep import TRACKING

SUBJECT = 100
"""Bytes of a first paragraph that git takes for the subject (git-format-patch,
--cover-from-description=auto).
"""

_RECIPIENT = re.compile(r"(To|Cc): ")


@dataclass(frozen=True)
class Topic:
    """The commits after base up to tip in a tree of the user's.

    spelled: as the user named them; branch: the one that ends with tip, "" for none;
    revision: the one that b4 sends next, 0 where this is no prep branch.
    """

    tree: Git
    spelled: str
    base: str
    tip: str
    branch: str = ""
    revision: int = 0

    @property
    def name(self) -> str:
        """What the series is called."""
        return self.spelled.rpartition("..")[2].removeprefix("b4/") or "HEAD"


def prep_topic(tree: Git, branch: str) -> Topic:
    """A prep branch of a tree, as b4 sees it. Raises UserError."""
    if tree.attempt("show-ref", "--verify", "--quiet", f"refs/heads/{branch}")[0]:
        raise UserError(f"{tree.path} has no branch {branch}", "a range is written BASE..TIP")
    try:
        info = B4(tree.path, users_settings(tree)).info(branch)
        base, revision = tree.commit(info["base-commit"]), int(info["revision"])
    except (CommandError, KeyError) as error:
        if isinstance(error, CommandError) and "UnicodeDecodeError" in error.tail:
            raise UserError(f"b4 cannot read {branch}: its patches are not all UTF-8") from None
        if TRACKING in tree.run("log", "-1", "--format=%B", f"refs/heads/{branch}"):
            raise UserError(f"there is no commit on {branch} but b4's cover") from None
        raise UserError(
            f"{branch} is no prep branch of b4", "write the commits as BASE..TIP"
        ) from None
    return Topic(tree, branch, base, tree.commit(branch), branch, revision)


def range_topic(tree: Git, spelled: str) -> Topic:
    """The commits BASE..TIP of a tree (TIP: HEAD where left out). Raises UserError."""
    base, _, tip = spelled.partition("..")
    if not base or tip.startswith("."):
        raise UserError(f"{spelled} is no range of commits", "write it BASE..TIP")
    branch = tip.removeprefix("refs/heads/")
    if branch in ("", "HEAD"):
        branch = tree.attempt("symbolic-ref", "--quiet", "--short", "HEAD")[1].strip()
    if tree.attempt("show-ref", "--verify", "--quiet", f"refs/heads/{branch}")[0]:
        branch = ""
    topic = Topic(tree, spelled, tree.commit(base), tree.commit(tip or "HEAD"), branch)
    if tree.attempt("merge-base", topic.base, topic.tip)[0]:
        raise UserError(f"{base} and {tip or 'HEAD'} have no commit in common")
    return topic


def refuse_elsewhere(topic: Topic) -> None:
    """Raise UserError where the commits do not stand on their base."""
    tree = topic.tree
    if tree.attempt("merge-base", "--is-ancestor", topic.base, topic.tip)[0] == 0:
        return
    base, _, tip = topic.spelled.partition("..")
    fork = tree.run("merge-base", topic.base, topic.tip)
    raise UserError(
        f"{tip or 'HEAD'} does not stand on {base}", f"it does on {fork[:12]}: {fork[:12]}..{tip}"
    )


def own_cover(topic: Topic) -> str:
    """The cover letter of a branch, its subject first; "" where it has none."""
    log = topic.tree.run("log", "--format=%B", "-z", f"{topic.base}..{topic.tip}", strip=False)
    for message in log.split("\0"):
        if TRACKING in message:
            return _without_comments(message.partition(TRACKING)[0])
    if not topic.branch:
        return ""
    text, tracking = (
        topic.tree.attempt("config", "--get", f"branch.{topic.branch}.{key}")[1].strip()
        for key in ("description", "b4-tracking")
    )
    return _without_comments(text) if tracking else _with_subject(text, topic.name)


def _without_comments(text: str) -> str:
    """A cover of b4's as it sends it: without comments, and without To: and Cc:."""
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^>#", "#", text, flags=re.MULTILINE)
    above, separator, below = text.strip().partition("\n---\n")
    *paragraphs, last = above.split("\n\n")
    kept = "\n".join(line for line in last.splitlines() if not _RECIPIENT.match(line))
    text = "\n\n".join((*paragraphs, kept)).strip() + separator + below
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _with_subject(text: str, name: str) -> str:
    """A description with its first paragraph as the subject, or a name where that is text."""
    first, separator, rest = text.partition("\n\n")
    if len(first.encode()) > SUBJECT:
        return f"{name}\n\n{text}"
    return " ".join(first.split()) + separator + rest


def patch_span(git: Git, base: str, tip: str) -> tuple[str, str]:
    """(base, tip) without the commits at both ends that change no file: a cover of b4's."""
    log = git.run("log", "--reverse", "--topo-order", "--format=%H %T", f"{base}..{tip}")
    commits, trees = [base], [git.tree(base)]
    for line in log.splitlines():
        commit, tree = line.split()
        commits.append(commit)
        trees.append(tree)
    first, last = 0, len(commits) - 1
    while first < last and trees[first] == trees[first + 1]:
        first += 1
    while first < last and trees[last] == trees[last - 1]:
        last -= 1
    return commits[first], commits[last]
