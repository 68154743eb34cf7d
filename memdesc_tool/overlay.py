"""Laying suites over a revision.

The *overlay* of a revision is that revision with a suite in it, as a tree in the scratch
repository, so that the same tests run on the base, where they show red, and on every patch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from memdesc_tool.errors import FailedError
from memdesc_tool.git import Git
from memdesc_tool.suites import SUITE_FILE, Condition, Edit, Suite, SuiteFile
from memdesc_tool.workspace import Workspace


def overlaid_files(git: Git, revision: str, suite: Suite) -> dict[str, bytes]:
    """The files that differ from revision when the suite is in: path -> content.

    Raises FailedError where a place for an edit is not there.
    """
    changed: dict[str, bytes] = {}
    there = git.blobs(revision, _paths(suite))
    modes = git.modes(revision, [file.path for file in suite.files])
    for path, content, mode, conditions in suite.files:
        if not _hold(there, conditions):
            continue
        if there.get(path) != content or modes.get(path) != mode:
            changed[path] = content
    for edit in suite.edits:
        if not _hold(there, edit.conditions):
            continue
        old = changed.get(edit.path, there.get(edit.path))
        if old is None:
            if edit.optional or edit.remove:
                continue
            raise _no_place(suite, f"there is no {edit.path}")
        new = apply_edit(suite, edit, old)
        if new != old:
            changed[edit.path] = new
    return changed


def _paths(suite: Suite) -> Iterator[str]:
    """Every file of a revision that has a say in what a suite is there."""
    places: list[SuiteFile | Edit] = [*suite.files, *suite.edits]
    for place in places:
        yield place.path
        yield from (condition.path for condition in place.conditions)


def _hold(there: Mapping[str, bytes], conditions: Iterable[Condition]) -> bool:
    return all(_has(there, one) is one.wanted for one in conditions)


def _has(there: Mapping[str, bytes], condition: Condition) -> bool:
    content = there.get(condition.path, b"")
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    return _match(lines, condition.pattern, 0) is not None


def apply_edit(suite: Suite, edit: Edit, content: bytes) -> bytes:
    """The content of a file after an edit. Raises FailedError where it has no place."""
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    block = list(edit.lines)
    at = _find(lines, block)
    if edit.remove:
        left = lines if at is None else [*lines[:at], *lines[at + len(block) :]]
        return "\n".join(left).encode("utf-8", errors="surrogateescape")
    if at is not None:
        return content
    first = _match(lines, edit.start, 0) if edit.start else 0
    place = None if first is None else _match(lines, edit.before or edit.after, first)
    if place is None:
        if edit.optional:
            return content
        pattern = edit.start if first is None else edit.before or edit.after
        raise _no_place(suite, f"no line of {edit.path} matches {pattern!r}")
    at = place if edit.before else place + 1
    if (
        edit.before
        and block
        and block[-1] != ""
        and lines[at] != ""
        and edit.path.endswith(("Kconfig", ".debug"))
    ):
        block = [*block, ""]  # entries of a Kconfig file are set apart by an empty line
    merged = [*lines[:at], *block, *lines[at:]]
    return "\n".join(merged).encode("utf-8", errors="surrogateescape")


def _find(lines: list[str], block: list[str]) -> int | None:
    """Where the block is in the lines."""
    size = len(block)
    return next((i for i in range(len(lines) - size + 1) if lines[i : i + size] == block), None)


def _match(lines: list[str], pattern: str, start: int) -> int | None:
    wanted = re.compile(pattern)
    return next((n for n in range(start, len(lines)) if wanted.search(lines[n])), None)


def _no_place(suite: Suite, why: str) -> FailedError:
    return FailedError(
        f"suite {suite.name} does not fit this revision: {why}",
        f"{suite.directory / SUITE_FILE} says where its lines go",
    )


def overlay(workspace: Workspace, commit: str, suites: Iterable[Suite]) -> str:
    """A commit that is the revision with the suites laid over it.

    commit itself where nothing differs. Remembered, so that asking again costs nothing.
    Raises FailedError where a suite does not fit.
    """
    for suite in suites:
        key = _key(workspace.scratch.tree(commit), suite)
        stored = workspace.remembered("overlay", key)
        if stored is None:
            files = overlaid_files(workspace.scratch, commit, suite)
            stored = workspace.write_tree(commit, files, suite.modes) if files else commit
            workspace.remember("overlay", key, stored)
        commit = stored
    return commit


def overlaid_before(workspace: Workspace, trees: Mapping[str, str], suite: Suite) -> dict[str, str]:
    """The trees with the suite laid over them, of the commits where that was done before.

    trees: the tree of each commit. Asks git once, however many there are.
    """
    out = workspace.scratch.run(
        "for-each-ref", "--format=%(refname:lstrip=3) %(tree)", "refs/memdesc/overlay/"
    )
    stored = dict(line.split() for line in out.splitlines())
    keys = {commit: _key(tree, suite) for commit, tree in trees.items()}
    return {commit: stored[key] for commit, key in keys.items() if key in stored}


def _key(tree: str, suite: Suite) -> str:
    return hashlib.sha256(f"{tree} {suite.digest}".encode()).hexdigest()
