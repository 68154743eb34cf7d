"""Apply a stack to a base: `git am -3` in a worktree of the tool's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool import fixes
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY, Git, GitError, identity
from memdesc_tool.patch import Patch
from memdesc_tool.series import Numbered, chain_key
from memdesc_tool.vetting import refuse_links, refuse_misread, refuse_unsafe
from memdesc_tool.workspace import Workspace

_NOT_THE_PATCH = re.compile(
    r"^(error|fatal|warning): .*"
    r"(No space left on device|Disk quota exceeded|Read-only file system|Input/output error"
    r"|Permission denied|promisor remote|Out of memory|unable to write|write error|index\.lock)",
    re.MULTILINE,
)
"""What git says where it failed for reasons that are not the patch's."""


class How(Enum):
    """How a patch went in."""

    APPLIED = "applied"
    THREE_WAY = "applied by a 3-way merge"
    ALREADY = "already there"


@dataclass(frozen=True)
class Applied:
    """A patch on the base: commit is the state after it (its parent's for ALREADY)."""

    numbered: Numbered
    commit: str
    how: How


class ConflictError(FailedError):
    """A patch that does not apply.

    numbered: the patch; files: (path, what git says of it) pairs; worktree: where the state
    in the middle can be looked at.
    """

    def __init__(
        self, numbered: Numbered, files: tuple[tuple[str, str], ...], worktree: Path
    ) -> None:
        name = f"{numbered.series}/{numbered.patch.path.name}"
        what = "; ".join(f"{path}: {problem}" for path, problem in files) or "no reason given"
        super().__init__(
            f"patch {numbered.number} ({name}) does not apply: {what}",
            f"look at it: cd '{worktree}' && git status && git am --show-current-patch=diff",
        )
        self.numbered = numbered
        self.files = files
        self.worktree = worktree


def apply_stack(
    workspace: Workspace, base: str, patches: Iterable[Numbered], progress: Progress
) -> tuple[Applied, ...]:
    """Apply patches in order on the commit base; return the state after each.

    What was applied before on the same state is not applied again. The commits have fixed
    ids: the same patches on the same base give the same commits. Raises ConflictError,
    UserError for a patch that is refused.
    """
    patches = tuple(patches)
    for numbered in patches:
        _refuse_missing(numbered)
        refuse_unsafe(numbered.patch)
    files = sorted({file for numbered in patches for file in numbered.patch.files})
    done: list[Applied] = []
    commit, key = base, base
    am: Git | None = None
    with progress.step("applying") as tell:
        for numbered in patches:
            key = chain_key(key, numbered.patch)
            stored = _recall(workspace, numbered, key, commit)
            if stored is None:
                tell(numbered.label)
                refuse_misread(workspace.scratch, numbered.patch)
                refuse_links(workspace.scratch, commit, numbered.patch)
                if am is None or am.run("rev-parse", "HEAD") != commit:
                    am = workspace.am_worktree(commit, files)
                stored = _apply_one(am, numbered, commit)
                workspace.remember(_kind(stored.how), key, stored.commit)
            done.append(stored)
            commit = stored.commit
    return tuple(done)


def _refuse_missing(numbered: Numbered) -> None:
    if numbered.patch.mail is None:
        raise UserError(f"{numbered.patch.path}: is not there yet",
                        f"memdesc-tool generate {numbered.series} makes it")  # fmt: skip


def _recall(workspace: Workspace, numbered: Numbered, key: str, parent: str) -> Applied | None:
    for how in How:
        commit = workspace.remembered(_kind(how), key)
        if commit and (how is not How.ALREADY or commit == parent):
            return Applied(numbered, commit, how)
    return None


def _kind(how: How) -> str:
    """The kind under which the workspace remembers a state reached this way."""
    return f"applied-{how.name.lower()}"


def _apply_one(am: Git, numbered: Numbered, parent: str) -> Applied:
    patch = numbered.patch
    assert patch.mail
    status, out, err = am.attempt(
        "am", "--3way", "--no-gpg-sign", "--no-signoff", "--no-message-id", "--keep-cr",
        "--patch-format=mbox", *patch.mail.options, "--committer-date-is-author-date",
        stdin=patch.mail.data, env=SCRATCH_IDENTITY,
    )  # fmt: skip
    text = f"{out}\n{err}"
    commit = am.run("rev-parse", "HEAD")
    if status == 0:
        if commit == parent:  # "No changes -- Patch already applied."
            return Applied(numbered, parent, How.ALREADY)
        how = How.THREE_WAY if "Falling back to" in text else How.APPLIED
        return Applied(numbered, commit, how)
    if _NOT_THE_PATCH.search(text):
        raise GitError(["am"], status, text)
    if already_there(am, patch):
        am.attempt("am", "--abort")
        am.run("reset", "--quiet", "--hard", parent)
        return Applied(numbered, parent, How.ALREADY)
    raise ConflictError(numbered, _explain(am, text, parent), am.path)


def already_there(am: Git, patch: Patch) -> bool:
    """Whether taking the patch out of HEAD would apply cleanly: then it is in.

    am: a worktree.
    """
    index = Path(am.run("rev-parse", "--absolute-git-dir")) / "already.index"
    env = {"GIT_INDEX_FILE": str(index)}
    try:
        am.run("read-tree", "HEAD", env=env)
        status, _, _ = am.attempt(
            "apply", "--cached", "--check", "--reverse", "-", stdin=patch.diff, env=env
        )
        return status == 0
    finally:
        index.unlink(missing_ok=True)


def _explain(am: Git, output: str, parent: str) -> tuple[tuple[str, str], ...]:
    """Which files and hunks are in the way, from git's own words and the conflicts left."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^error: patch failed: (.+):(\d+)$", output, re.MULTILINE):
        found.setdefault(match[1], f"hunk at line {match[2]}")
    unmerged = am.attempt("diff", "--name-only", "--diff-filter=U", "-z")[1]
    for name in filter(None, unmerged.split("\0")):
        found[name] = _first_conflict(am, name) or found.get(name, "conflict")
    if not found:
        for match in re.finditer(r"^error: (.+?): (.+)$", output, re.MULTILINE):
            found.setdefault(match[1], match[2])
    if not found:
        lines = [line for line in output.splitlines() if line.startswith(("error:", "fatal:"))]
        found["the patch"] = lines[0].split(": ", 1)[1] if lines else f"git am failed on {parent}"
    return tuple(found.items())


def _first_conflict(am: Git, name: str) -> str:
    """Where the first conflict markers of a file are, in lines of the merged file."""
    try:
        lines = (am.path / name).read_bytes().splitlines()
    except OSError:
        return ""
    starts = [number for number, line in enumerate(lines, 1) if line.startswith(b"<<<<<<< ")]
    ends = [number for number, line in enumerate(lines, 1) if line.startswith(b">>>>>>> ")]
    if not starts or not ends:
        return ""
    return f"conflict in lines {starts[0]}-{ends[0]}" + (
        f" and {len(starts) - 1} more" if len(starts) > 1 else ""
    )


@dataclass(frozen=True)
class Branch:
    """A branch that was made: its commit, and subjects of Fixes: trailers without a hash."""

    commit: str
    unresolved: tuple[str, ...]


def make_branch(
    workspace: Workspace, tree: Path, name: str, base: str, commits: list[str], *, signoff: bool
) -> Branch:
    """Create branch name in the user's repository at path tree.

    The commits are made anew with the user's identity as committer and with the hashes of
    Fixes: trailers as the tree's history has them, in the scratch repository; the user's
    gets the objects and the one new ref, nothing else. Raises UserError where the branch
    exists, the name is bad or the user has no identity.
    """
    users = Git(tree)
    ref = new_branch_ref(users, name, "--branch")
    scratch = workspace.scratch
    messages = [scratch.run("log", "-1", "--format=%B", commit) for commit in commits]
    wanted = {subject for message in messages for subject in fixes.unresolved(message)}
    known = fixes.look_up(users, base, wanted)
    maker = Recommitter(scratch, identity(users), known, signoff)
    tip = base
    for commit, message in zip(commits, messages, strict=True):
        tip = maker.recommit(commit, message, tip)
    hand_over(scratch, users, base, tip, ref, maker.committer)
    return Branch(tip, tuple(sorted(wanted - set(known))))


def new_branch_ref(users: Git, name: str, option: str) -> str:
    """The reference of a branch that is still to be made in a repository of the user's.

    option: where the name was given. Raises UserError where it is bad or taken.
    """
    if users.attempt("check-ref-format", "--branch", name)[0] or name.startswith("-"):
        raise UserError(f"{name} is no valid branch name")
    ref = f"refs/heads/{name}"
    if users.attempt("show-ref", "--verify", "--quiet", ref)[0] == 0:
        raise UserError(f"branch {name} exists already in {users.path}", f"choose another {option}")
    return ref


def hand_over(
    scratch: Git, users: Git, base: str, tip: str, ref: str, committer: tuple[str, str],
    old: str = "", record: str = "",
) -> None:  # fmt: skip
    """Put the objects from base to tip into the user's repository and make ref, or move it
    there from the commit old. record: another reference that is to keep tip.

    Not by fetch: that would go by the url.*, fetch.* and transfer.* of the repository.
    """
    status, pack, err = scratch.attempt_bytes(
        "pack-objects", "--revs", "--stdout", "-q", stdin=f"{tip}\n^{base}\n".encode()
    )
    if status:
        raise GitError(["pack-objects"], status, err)
    env = {"GIT_COMMITTER_NAME": committer[0], "GIT_COMMITTER_EMAIL": committer[1]}
    verb = "updated" if old else "created"
    make = ("update-ref", "-m", f"branch: {verb} by memdesc-tool", "--stdin")
    refs = f"update {ref} {tip} {old or '0' * len(tip)}\n"
    refs += f"update {record} {tip}\n" if record else ""
    for args, stdin in ((("unpack-objects", "-q"), pack), (make, refs.encode())):
        status, out, err = users.attempt(*args, stdin=stdin, env=env)
        if status:
            reason = ((err or out).strip().splitlines() or ["git says nothing"])[0]
            reason = reason.removeprefix("fatal: ").removeprefix("error: ")
            raise UserError(f"cannot make {ref} in {users.path}: {reason}")


@dataclass(frozen=True)
class Recommitter:
    """Makes commits anew for a user: committer, sign-off, hashes of Fixes: trailers."""

    scratch: Git
    committer: tuple[str, str]
    fixed: Mapping[str, str]
    signoff: bool

    def recommit(self, commit: str, message: str, parent: str, notes: str = "") -> str:
        """The same change, on parent; the new commit. notes: for the mail, below ---."""
        name, mail = self.committer
        text = fixes.resolve(message, self.fixed) + "\n"
        if self.signoff:
            trailer = f"Signed-off-by: {name} <{mail}>"
            text = self.scratch.run("interpret-trailers", "--if-exists=addIfDifferent",
                                    "--trailer", trailer, stdin=text.encode()) + "\n"  # fmt: skip
        if notes:
            text = f"{text}---\n{notes}\n"
        author = self.scratch.run("log", "-1", "--format=%an%n%ae%n%aI", commit).split("\n")
        env = {
            "GIT_AUTHOR_NAME": author[0],
            "GIT_AUTHOR_EMAIL": author[1],
            "GIT_AUTHOR_DATE": author[2],
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": mail,
        }
        tree = self.scratch.tree(commit)
        return self.scratch.run("commit-tree", tree, "-p", parent, "-F", "-",
                                stdin=text.encode(), env=env)  # fmt: skip
