"""A series on its base, as it is checked and sent: a commit for every patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from memdesc_tool.apply import Applied, How
from memdesc_tool.diff import Action
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.patch import Patch, file_name, format_patch, parse_patch
from memdesc_tool.series import Entry, Series
from memdesc_tool.trailers import History


@dataclass(frozen=True)
class Step:
    """A patch of the series between two states of the tree; number counts from 1."""

    number: int
    entry: Entry
    parent: str
    commit: str

    @property
    def patch(self) -> Patch:
        return self.entry.patch

    @property
    def name(self) -> str:
        return self.patch.path.name

    @property
    def changed(self) -> tuple[str, ...]:
        """The files that are there after the patch and that it touches."""
        return tuple(c.new for c in self.patch.changes if c.action is not Action.DELETE)


@dataclass(frozen=True)
class Candidate:
    """git: where all commits are; start: the state below the first patch (the base, with the
    series that this one depends on); history: where commits of trailers are looked up.
    """

    series: Series
    steps: tuple[Step, ...]
    git: Git
    start: str
    history: History

    @property
    def tip(self) -> str:
        return self.steps[-1].commit if self.steps else self.start

    @cached_property
    def mails(self) -> dict[str, bytes]:
        """What git makes of each step as a mail, by its commit."""
        return {step.commit: format_patch(self.git, step.commit) for step in self.steps}

    def content(self, commit: str, names: Sequence[str]) -> dict[str, bytes]:
        """The files of these names that a commit has."""
        found = {name: self.git.blob(commit, name) for name in names}
        return {name: data for name, data in found.items() if data is not None}


def of_applied(
    series: Series, applied: Sequence[Applied], base: str, git: Git, history: History
) -> Candidate:
    """The candidate of a stack that was applied and ends with series."""
    own = applied[len(applied) - len(series.entries) :]
    before = applied[: len(applied) - len(series.entries)]
    start = before[-1].commit if before else base
    steps, parent = [], start
    for number, (one, entry) in enumerate(zip(own, series.entries, strict=True), 1):
        if one.how is not How.ALREADY:
            steps.append(Step(number, entry, parent, one.commit))
        parent = one.commit
    return Candidate(series, tuple(steps), git, start, history)


def of_commits(git: Git, base: str, tip: str, name: str, described: Series | None = None) -> Series:
    """The commits after base up to tip as a series; empty ones (b4's cover) are left out.

    described: a series whose description (not its patches) holds for this one. Raises
    UserError for a merge, and where there is no commit.
    """
    commits = git.commits(base, tip)
    if merges := git.run("rev-list", "--merges", f"{base}..{tip}").split():
        raise UserError(f"{merges[0][:12]} is a merge; a series has none")
    filled = [one for one in commits if git.tree(one) != git.tree(f"{one}^")]
    if not filled:
        raise UserError(f"there is no commit after {base[:12]} up to {tip[:12]}")
    entries = []
    for number, commit in enumerate(filled, 1):
        path = Path(file_name(number, git.subject(commit)))
        entries.append(Entry(parse_patch(path, format_patch(git, commit))))
    start = described or Series(name, Path.cwd(), name, ())
    return replace(start, name=name, entries=tuple(entries))


def in_place(git: Git, series: Series, base: str, tip: str, history: History) -> Candidate:
    """The candidate of commits as they are in a repository; see of_commits()."""
    steps = []
    commits = [one for one in git.commits(base, tip) if git.tree(one) != git.tree(f"{one}^")]
    for number, (commit, entry) in enumerate(zip(commits, series.entries, strict=True), 1):
        steps.append(Step(number, entry, git.commit(f"{commit}^"), commit))
    return Candidate(series, tuple(steps), git, base, history)
