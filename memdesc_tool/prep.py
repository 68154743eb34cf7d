"""A series as a b4 prep branch: cover letter, patches, recipients, what it depends on.

The branch is made in the scratch repository by b4 itself, so that cover, tracking and
change-id stay b4's own, and then handed to the user's repository:

    refs/heads/b4/NAME          the branch
    refs/memdesc/b4/NAME/vN     what it was given as, so that changes of the user's are known
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path

from memdesc_tool import standin
from memdesc_tool.apply import Recommitter, hand_over
from memdesc_tool.b4 import B4, last_line, users_settings
from memdesc_tool.candidate import Candidate
from memdesc_tool.errors import CommandError, UserError
from memdesc_tool.fixes import look_up, unresolved
from memdesc_tool.git import Git, identity
from memdesc_tool.patch import patch_id
from memdesc_tool.series import Entry
from memdesc_tool.workspace import Workspace

PREFIX = "b4/"
FORK = "memdesc/fork"
_RECIPIENT = re.compile(r"^(?:To|Cc): .*$", re.MULTILINE)
TRACKING = "--- b4-submit-tracking ---"
"""What b4 puts below the text of a cover."""
_CHANGELOG = re.compile(
    r"Changes in v\d+:\n- EDITME: .*\n- EDITME: .*\n- Link to v\d+: .*\n", re.IGNORECASE
)
"""What `b4 send` puts into the cover of the next revision, to be written yet."""


@dataclass(frozen=True)
class Prepared:
    """A prep branch in a worktree of ours. name: with b4/; base: the commit of the user's that
    all stands on; fork: the commit below its cover, with what the series depends on; commits:
    of the patches; revision: of the series; unresolved: subjects of Fixes: trailers without a
    hash; old: what the branch was in the user's tree, "" where there was none; kept: recipients
    that were added to its cover there.
    """

    b4: B4
    name: str
    base: str
    fork: str
    commits: tuple[str, ...]
    revision: int = 1
    unresolved: tuple[str, ...] = ()
    old: str = ""
    kept: tuple[str, ...] = ()

    @property
    def tip(self) -> str:
        return self.commits[-1]


@dataclass(frozen=True)
class Letter:
    """What a prep branch needs besides the patches.

    cover: subject, empty line, text, with what belongs below --- after a line of that;
    recipients: "To: ..." and "Cc: ..." lines; prefixes: behind [PATCH ("RFC"); prerequisites:
    as `b4 prep --edit-deps` takes them; revision: of the series.
    """

    cover: str
    recipients: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    revision: int = 1

    @property
    def text(self) -> str:
        """As b4 keeps it: lines with # would be comments, trailers stand above ---."""
        escaped = re.sub(r"^#", ">#", self.cover, flags=re.MULTILINE)
        above, separator, below = escaped.partition("\n---\n")
        trailers = "\n".join(self.recipients)
        return f"{above.rstrip()}\n\n{trailers}\n{separator.lstrip()}{below}".strip() + "\n"


def branch_name(name: str) -> str:
    """The prep branch that --name means, with or without b4/."""
    return name if name.startswith(PREFIX) else PREFIX + name


def worktree(workspace: Workspace, commit: str, branch: str, files: Sequence[str]) -> Git:
    """A worktree of ours in which a branch of the scratch repository is checked out."""
    git = workspace.am_worktree(commit, files)
    git.run("update-ref", f"refs/heads/{branch}", commit)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    return git


def prepare(
    workspace: Workspace, users: Git, name: str, candidate: Candidate, letter: Letter,
    *, signoff: bool, replace: bool = False,
) -> Prepared:  # fmt: skip
    """Make a prep branch of a candidate, or bring the user's branch of that name up to date.

    replace: also where that has commits or a cover that are not of the last send. The user's
    repository is only read; publish() hands the branch over. Raises UserError.
    """
    branch = branch_name(name)
    if users.attempt("check-ref-format", "--branch", branch)[0]:
        raise UserError(f"{branch} is no valid branch name")
    files = sorted({file for step in candidate.steps for file in step.patch.files})
    author = identity(users)
    git = worktree(workspace, candidate.start, FORK, files)
    b4 = B4(git.path, (*users_settings(users), *standin.settings(candidate)))
    old = _tip(users, f"refs/heads/{branch}")
    there = _recipients_of_branch(users, branch, old) if old and not replace else {}
    listed = _addresses("\n".join(letter.recipients))
    kept = tuple(line for address, line in there.items() if address not in listed)
    letter = dataclasses.replace(letter, recipients=(*letter.recipients, *kept))
    workspace.scratch.attempt("update-ref", "-d", f"refs/heads/{branch}")
    try:
        _begin(b4, git, branch, candidate.start, old, letter.revision)
        if letter.prefixes:
            b4.run("prep", "--set-prefixes", *letter.prefixes)
        if letter.prerequisites:
            b4.run("prep", "--edit-deps", text="\n".join(letter.prerequisites) + "\n")
        b4.run("prep", "--force-revision", str(letter.revision))
        b4.run("prep", "--edit-cover", text=letter.text)
    except CommandError as error:
        raise UserError(f"b4 cannot prepare {branch}: {last_line(error)}") from None
    cover = git.run("rev-parse", "HEAD")
    commits, missing = _commits(workspace, users, candidate, cover, author, signoff)
    git.run("update-ref", f"refs/heads/{branch}", commits[-1])
    git.run("read-tree", "--reset", "-u", commits[-1])
    base = candidate.history.base
    return Prepared(b4, branch, base, candidate.start, commits, letter.revision, missing, old, kept)


def _tip(users: Git, ref: str) -> str:
    """The commit of a reference; "" where there is none."""
    status, out, _ = users.attempt("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return "" if status else out.strip()


def _record(branch: str, revision: int | str) -> str:
    """The reference that keeps what publish() has made of a prep branch."""
    return f"refs/memdesc/{branch}/v{revision}"


def _recipients_of_branch(users: Git, branch: str, tip: str) -> dict[str, str]:
    """The recipients in a branch's cover, to which b4 may have added some: see _addresses().

    Raises UserError where the branch is otherwise not as a send has left it. What b4 itself
    changes in sending is no change: the tracking and an empty changelog.
    """
    kept = users.run("for-each-ref", "--format=%(objectname)", _record(branch, "*")).split()
    for one in kept:
        count = _length(users, one)
        fork, cover, *patches = _content(users, one, count)
        fork_there, cover_there, *patches_there = _content(users, tip, count)
        had, has = _addresses(cover), _addresses(cover_there)
        same = (fork, patches) == (fork_there, patches_there) and had.keys() <= has.keys()
        if same and _as_written(cover) == _as_written(cover_there):
            return has
    raise UserError(
        f"{branch} in {users.path} has commits or a cover that no send of ours has made",
        "take them over into patches/ and --replace it, or choose another --name",
    )


def _length(users: Git, tip: str) -> int:
    """The number of commits of a branch of publish(), cover included, which changes no file."""
    count = 0
    while users.tree(f"{tip}~{count}") != users.tree(f"{tip}~{count + 1}"):
        count += 1
    return count + 1


def _content(users: Git, tip: str, count: int) -> tuple[str, ...]:
    """What the last commits of a branch stand on, and what is in each, the cover first."""
    log = users.run("log", f"-{count}", "--reverse", "--first-parent", "-z",
                    "--format=%T %an <%ae>%n%B", tip, strip=False)  # fmt: skip
    return _tip(users, f"{tip}~{count}"), *log.split("\0")


def _addresses(cover: str) -> dict[str, str]:
    """The lines To: and Cc: of a cover, by the mail address in them."""
    lines = _RECIPIENT.findall(cover.partition(TRACKING)[0])
    return {parseaddr(line.partition(":")[2])[1].lower(): line for line in lines}


def _as_written(cover: str) -> str:
    """A cover without recipients and what b4 writes there in sending."""
    text = _CHANGELOG.sub("", _RECIPIENT.sub("", cover.partition(TRACKING)[0]))
    return re.sub(r"\s*\n\s*", "\n", text.strip()).removesuffix("\n---")


def published_span(users: Git, branch: str, revision: int) -> tuple[str, str] | None:
    """(fork, tip) of a prep branch as the last send of a revision has left it."""
    tip = _tip(users, _record(branch, revision))
    return (users.commit(f"{tip}~{_length(users, tip)}"), tip) if tip else None


def published_spans(users: Git, branch: str) -> dict[int, tuple[str, str]]:
    """published_span() of every revision."""
    names = users.run("for-each-ref", "--format=%(refname)", _record(branch, "*")).split()
    numbers = (re.fullmatch(r"v(\d+)", name.rpartition("/")[2]) for name in names)
    spans = {int(n[1]): published_span(users, branch, int(n[1])) for n in numbers if n}
    return {number: span for number, span in spans.items() if span}


def tagged_span(users: Git, branch: str, revision: int) -> tuple[str, str] | None:
    """(base, tip) of a revision of a prep branch that b4 has sent and tagged."""
    return tagged_spans(users, branch).get(revision)


def tagged_spans(users: Git, branch: str) -> dict[int, tuple[str, str]]:
    """tagged_span() of every revision."""
    if not _tip(users, f"refs/heads/{branch}"):
        return {}
    try:
        info = B4(users.path, users_settings(users)).info(branch)
    except CommandError:
        return {}  # no prep branch
    found = {}
    for key, value in info.items():
        if number := re.fullmatch(r"series-v(\d+)", key):
            base, _, tip = value.partition(" ")[0].partition("..")
            found[int(number[1])] = users.commit(base), users.commit(tip)
    return found


def _begin(b4: B4, git: Git, branch: str, fork: str, old: str, revision: int) -> None:
    """Check out a new prep branch, or the old one's (a commit) cover put on fork.

    Raises UserError where the old one is at a later revision.
    """
    if not old:
        b4.run("prep", "--new", branch.removeprefix(PREFIX), "--fork-point", fork)
        return
    git.run("update-ref", f"refs/heads/{branch}", old)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git.run("read-tree", "--reset", "-u", old)
    info = b4.info(branch)
    if int(info["revision"]) > revision:
        raise UserError(
            f"{branch} is at v{info['revision']} for b4, the series at v{revision}",
            "memdesc-tool series reroll begins the next revision",
        )
    old_cover = info["start-commit"]
    lines = git.run("log", "-1", "--format=%an%n%ae%n%aI%n%cn%n%ce%n%cI", old_cover).split("\n")
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "AUTHOR_DATE",
             "COMMITTER_NAME", "COMMITTER_EMAIL", "COMMITTER_DATE")  # fmt: skip
    env = {f"GIT_{name}": line for name, line in zip(names, lines, strict=True)}
    message = git.run("log", "-1", "--format=%B", old_cover)
    cover = git.run("commit-tree", git.tree(fork), "-p", fork, "-F", "-",
                    stdin=message.encode(), env=env)  # fmt: skip
    git.run("update-ref", f"refs/heads/{branch}", cover)
    git.run("read-tree", "--reset", "-u", cover)


def _commits(
    workspace: Workspace, users: Git, candidate: Candidate, parent: str,
    committer: tuple[str, str], signoff: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """The patches on top of parent, notes below ---; and the subjects that have no hash."""
    scratch = workspace.scratch
    messages = [scratch.run("log", "-1", "--format=%B", s.commit) for s in candidate.steps]
    wanted = {subject for message in messages for subject in unresolved(message)}
    known = look_up(users, candidate.history.base, wanted)
    maker = Recommitter(scratch, committer, known, signoff)
    commits = []
    for step, message in zip(candidate.steps, messages, strict=True):
        parent = maker.recommit(step.commit, message, parent, notes_text(step.entry))
        commits.append(parent)
    return tuple(commits), tuple(sorted(wanted - set(known)))


def notes_text(entry: Entry) -> str:
    """Revision notes of a patch as they stand below ---, newest first; "" for none."""
    return "\n\n".join(f"v{revision}: {text}" for revision, text in entry.notes)


def prerequisites(base: str, entries: Sequence[Entry], git: Git) -> tuple[str, ...]:
    """What a series depends on, for `b4 prep --edit-deps`: the base and the patches before."""
    if not entries:
        return ()
    ids = (f"patch-id: {patch_id(git, entry.patch)}" for entry in entries)
    return (f"base-commit: {base}", *ids)


def publish(workspace: Workspace, tree: Path, prepared: Prepared) -> None:
    """Hand the branch to the user's repository at tree: objects, the branch and its record.

    Raises UserError where the branch is checked out there, or has changed meanwhile.
    """
    users = Git(tree)
    ref = f"refs/heads/{prepared.name}"
    if f"branch {ref}" in users.run("worktree", "list", "--porcelain").splitlines():
        raise UserError(
            f"{prepared.name} is checked out in {tree}", "git switch --detach, and try again"
        )
    record = _record(prepared.name, prepared.revision)
    hand_over(workspace.scratch, users, prepared.base, prepared.tip, ref, identity(users),
              prepared.old, record)  # fmt: skip
