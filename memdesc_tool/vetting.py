"""What a patch may do to a tree. Everything that is applied or exported passes here.

git refuses much of this itself; but it does so when it is about to write, in words about
its index. The rules on names follow git's verify_path() with core.protectHFS and
core.protectNTFS set: a series must not be harmless on one machine only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memdesc_tool.diff import Action, FileChange
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.patch import Patch

MODES = ("", "100644", "100755")
_KINDS = {"120000": "a symbolic link", "160000": "a submodule"}
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT = re.compile(r"\.git|git~\d+")
_MODULES = re.compile(r"\.gitmodules|gitmod~\d+|gi7eba~\d+")


def refuse_unsafe(patch: Patch) -> None:
    """Raise UserError for a patch that reaches out of the tree or makes what no file is."""
    for change in patch.changes:
        for name in change.names:
            if problem := bad_name(name):
                raise _refused(patch, f"touches {name!r}, {problem}")
        if change.binary:
            raise _refused(patch, f"changes the binary file {change.new}")
        if problem := _bad_mode(change):
            raise _refused(patch, problem)


def bad_name(name: str) -> str:
    """Why a kernel tree can have no file of that name; empty where it can."""
    if name.startswith("/") or not name:
        return "outside of the tree"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "which is not UTF-8"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "which has a control character"
    for component in re.split(r"[/\\]", name):
        if component in ("", ".", ".."):
            return "outside of the tree"
        plain = _HFS_IGNORED.sub("", component).lower().partition(":")[0].rstrip(" .")
        if _GIT.fullmatch(plain):
            return "in git's own directory, outside of the tree"
        if _MODULES.fullmatch(plain):
            return "which is for submodules"
    return "which has a backslash" if "\\" in name else ""


def _bad_mode(change: FileChange) -> str:
    """Files are 644 or 755; a symbolic link may only go away."""
    for mode, side in ((change.new_mode, "new"), (change.old_mode, "old")):
        if mode in MODES or (mode == "120000" and change.action is Action.DELETE):
            continue
        verb = "adds" if side == "new" and change.action is Action.ADD else "changes"
        return f"{verb} {_KINDS.get(mode, f'a file of mode {mode}')}, {change.new}"
    return ""


def refuse_misread(git: Git, patch: Patch) -> None:
    """Raise UserError unless git finds the same files in the diff as are known of it."""
    diff = patch.mail.diff if patch.mail else b""
    status, out, err = git.attempt("apply", "--numstat", "-z", "-", stdin=diff)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    if status:
        reason = lines[0].removeprefix("error: ") if lines else "git cannot read its diff"
        raise _refused(patch, reason)
    found = {record.split("\t", 2)[2] for record in out.split("\0") if record}
    if odd := found ^ {change.new for change in patch.changes}:
        raise _refused(patch, f"git reads its diff otherwise ({min(odd)!r})")


def refuse_links(git: Git, revision: str, patch: Patch) -> None:
    """Raise UserError where a patch changes, moves or reaches through a link in revision."""
    deleted = {change.old for change in patch.changes if change.action is Action.DELETE}
    touched = {name for change in patch.changes for name in change.names}
    wanted = {above for name in touched for above in _prefixes(name)} | (touched - deleted)
    for name, mode in git.modes(revision, sorted(wanted)).items():
        if mode in _KINDS and name in touched:
            raise _refused(patch, f"changes {_KINDS[mode]} of the tree, {name}")
        if mode in _KINDS:
            raise _refused(patch, f"reaches through {_KINDS[mode]} of the tree, {name}")


def _prefixes(name: str) -> Iterator[str]:
    """The directories that a name is in."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _refused(patch: Patch, why: str) -> UserError:
    return UserError(f"{patch.path}: {why}; refused")
