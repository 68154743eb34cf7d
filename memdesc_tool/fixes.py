"""Fixes: trailers whose commit is only known by its subject.

Where a patch was written on a tree without history, the commit that it fixes cannot be
looked up. The trailer then has a zero hash, and the hash is filled in where a tree with
history is at hand (Documentation/process/submitting-patches.rst: 12 digits and the subject).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from memdesc_tool.git import Git

DIGITS = 12
_UNRESOLVED = re.compile(rf'^(Fixes: )0{{{DIGITS}}}( \("(?P<subject>.+)"\))$', re.MULTILINE)


def unresolved(message: str) -> tuple[str, ...]:
    """The subjects of the Fixes: trailers of a commit message that have a zero hash."""
    return tuple(match["subject"] for match in _UNRESOLVED.finditer(message))


def look_up(git: Git, revision: str, subjects: Iterable[str]) -> dict[str, str]:
    """The commit that each subject belongs to, in the history of revision.

    A subject that no commit has, or more than one, is left out.
    """
    wanted = set(subjects)
    if not wanted:
        return {}
    greps = [f"--grep={subject}" for subject in sorted(wanted)]
    log = git.run("log", "--format=%H %s", "--fixed-strings", *greps, revision)
    found: dict[str, list[str]] = {}
    for line in log.splitlines():
        commit, _, subject = line.partition(" ")
        if subject in wanted:
            found.setdefault(subject, []).append(commit)
    return {subject: commits[0] for subject, commits in found.items() if len(commits) == 1}


def resolve(message: str, commits: Mapping[str, str]) -> str:
    """The message with the hashes filled in that commits (subject -> commit) knows."""

    def fill(match: re.Match[str]) -> str:
        commit = commits.get(match["subject"])
        return f"{match[1]}{commit[:DIGITS]}{match[2]}" if commit else match[0]

    return _UNRESOLVED.sub(fill, message)
