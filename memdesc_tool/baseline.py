"""Compare a revision's results with its parent's: regressed, fixed, new, vanished, known."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool.results import Attempt, Outcome, Verdict
from memdesc_tool.tomlfile import read_toml

KNOWN_FILE = "known-failures.toml"

RUN = "(run)"
"""The name under which a run that did not come to its end fails."""
SPLAT = "splat: "
"""What the names of splats begin with."""


class Change(Enum):
    """What became of a case from the parent to the revision."""

    REGRESSED = "regressed"
    VANISHED = "vanished"
    FIXED = "fixed"
    NEW = "new"
    FLAKY = "flaky"


BAD = (Change.REGRESSED, Change.VANISHED)


@dataclass(frozen=True)
class Known:
    """A failure that is known: it never makes a verdict bad.

    case, where: globs over case ids and columns ("mysuite/um"); reason; remove_when: the
    condition under which the entry goes.
    """

    case: str
    where: str
    reason: str
    remove_when: str

    def covers(self, case: str, column: str) -> bool:
        return fnmatch.fnmatchcase(case, self.case) and fnmatch.fnmatchcase(column, self.where)


def read_known(directory: Path) -> tuple[Known, ...]:
    """The known failures listed in a directory; none where there is no list. UserError."""
    path = directory / KNOWN_FILE
    if not path.exists():
        return ()
    top = read_toml(path, "the list of known failures")
    top.only(["failure"])
    entries = []
    for table in top.tables("failure"):
        table.only(["case", "where", "reason", "remove_when"])
        entries.append(
            Known(
                table.string("case"),
                table.string("where", "*"),
                table.string("reason"),
                table.string("remove_when"),
            )
        )
    return tuple(entries)


def cases_of(attempts: Iterable[Attempt]) -> dict[str, tuple[Verdict, ...]]:
    """The verdicts of each case over all attempts.

    A run that did not come to its end has a failing case RUN; a case that an attempt did
    not report counts as failed in it.
    """
    every = list(attempts)
    names: dict[str, None] = {}
    for attempt in every:
        names |= dict.fromkeys(result.name for result in attempt.results)
        if attempt.outcome is not Outcome.RAN:
            names[RUN] = None
    found: dict[str, tuple[Verdict, ...]] = {}
    for name in names:
        found[name] = tuple(_verdict(attempt, name) for attempt in every)
    return found


def _verdict(attempt: Attempt, name: str) -> Verdict:
    if name == RUN:
        return Verdict.PASSED if attempt.outcome is Outcome.RAN else Verdict.FAILED
    for result in attempt.results:
        if result.name == name:
            return result.verdict
    return Verdict.PASSED if name.startswith(SPLAT) else Verdict.FAILED


def worst(verdicts: tuple[Verdict, ...]) -> Verdict:
    """One verdict for several attempts: failed if any failed, passed if any passed."""
    for verdict in (Verdict.FAILED, Verdict.PASSED):
        if verdict in verdicts:
            return verdict
    return Verdict.SKIPPED


def compare(
    parent: Mapping[str, tuple[Verdict, ...]], now: Mapping[str, tuple[Verdict, ...]]
) -> dict[str, Change]:
    """What changed from the parent's cases to these; a case that did not is not in it.

    A splat or a run that breaks off where the parent has neither is a regression, not new.
    """
    changes: dict[str, Change] = {}
    for name in {**parent, **now}:
        before = worst(parent[name]) if name in parent else None
        after = worst(now[name]) if name in now else None
        always = name == RUN or name.startswith(SPLAT)
        if change := _change(before, after, always):
            changes[name] = change
    return changes


def _change(before: Verdict | None, after: Verdict | None, always: bool) -> Change | None:
    if always:  # not there means fine
        before, after = before or Verdict.PASSED, after or Verdict.PASSED
    if after is None:
        return Change.VANISHED
    if before is None:
        return Change.NEW
    if after is Verdict.FAILED and before is not Verdict.FAILED:
        return Change.REGRESSED
    if before is Verdict.PASSED and after is Verdict.SKIPPED:
        return Change.REGRESSED
    if before is Verdict.FAILED and after is Verdict.PASSED:
        return Change.FIXED
    return None
