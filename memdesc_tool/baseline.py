"""Compare a revision's results with its parent's: regressed, fixed, new, vanished, known.

Cases are told by their names. A test that did not come to its end has none in the log, and its
cases stand below its number there: they are those of the same name below it in another run.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from memdesc_tool.flakiness import LEAST, SIGNIFICANT, Rate, rate_of, worse
from memdesc_tool.results import Attempt, Outcome, Verdict
from memdesc_tool.tomlfile import read_toml

KNOWN_FILE = "known-failures.toml"

RUN = "(run)"
"""The name under which a run that did not come to its end fails."""
SPLAT = "splat: "
"""What the names of splats begin with."""
WARNING = "warning: "
"""What the names of warnings begin with (see warning.py)."""
OBJECT = "object: "
"""What the names of objects begin with that do not compile."""

SOURCE = "source: "
"""What the names of C files and headers begin with that the series touches: passed where the
objects were made of them, skipped where the configuration leaves them out.
"""

_UNNAMED = re.compile(r"\(test \d+\)")
"""In the name of a case: a test above it that has no name in the log (see cases.py)."""

_ABSENT_IS_FINE = (SPLAT, WARNING, OBJECT, SOURCE)


def is_case(name: str) -> bool:
    """Whether it is a test's case, not something else that a run can show."""
    return name != RUN and not name.startswith(_ABSENT_IS_FINE)


class Change(Enum):
    """What became of a case from the parent to the revision."""

    REGRESSED = "regressed"
    VANISHED = "vanished"
    FIXED = "fixed"
    NEW = "new"
    FLAKY = "flaky"
    """Fails more often than before, but chance explains it as well."""
    MOVED = "moved"
    """A warning that another file or function had before."""


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
        return fnmatch.fnmatchcase(case, self.case) and self.at(column)

    def at(self, column: str) -> bool:
        """Whether it is about a column of this name."""
        return fnmatch.fnmatchcase(column, self.where)


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
    every = _named_alike(attempts)
    names: dict[str, None] = {}
    for attempt in every:
        names |= dict.fromkeys(result.name for result in attempt.results)
        if attempt.outcome is not Outcome.RAN:
            names[RUN] = None
    found: dict[str, tuple[Verdict, ...]] = {}
    verdicts = [{result.name: result.verdict for result in one.results} for one in every]
    for name in names:
        found[name] = tuple(
            _verdict(attempt, by_name, name)
            for attempt, by_name in zip(every, verdicts, strict=True)
        )
    return found


def _named_alike(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Attempts whose cases have names that others of them have, as far as they are the same."""
    every = list(attempts)
    names = {result.name for one in every for result in one.results}
    if not any(map(_UNNAMED.search, names)):
        return every
    alike = []
    for one in every:
        own = {result.name for result in one.results}
        to = _renamed(own, names)
        results = (replace(result, name=to.get(result.name, result.name)) for result in one.results)
        alike.append(replace(one, results=tuple(results)))
    return alike


def _renamed(names: Collection[str], others: Collection[str]) -> dict[str, str]:
    """Names of cases below a test without one, with what others call the same case.

    A case is the same where only one of the others, that has a name, can be it.
    """
    found = {}
    for name in names:
        if is_case(name) and _UNNAMED.search(name):
            pattern = re.compile(r"[^.]+".join(map(re.escape, _UNNAMED.split(name))))
            same = [one for one in others if one not in names and pattern.fullmatch(one)
                    and not _UNNAMED.search(one)]  # fmt: skip
            if len(same) == 1:
                found[name] = same[0]
    return found


def _verdict(attempt: Attempt, by_name: Mapping[str, Verdict], name: str) -> Verdict:
    if name == RUN:
        return Verdict.PASSED if attempt.outcome is Outcome.RAN else Verdict.FAILED
    return by_name.get(name, Verdict.FAILED if is_case(name) else Verdict.PASSED)


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

    A splat, a warning or a run that breaks off where the parent has neither is a regression,
    not new. Where attempts disagree, a case regressed if that is not chance (flakiness.py).
    """
    to = _renamed(parent, now)
    parent = {to.get(name, name): verdicts for name, verdicts in parent.items()}
    to = _renamed(now, parent)
    now = {to.get(name, name): verdicts for name, verdicts in now.items()}
    changes: dict[str, Change] = {}
    fine_before, fine_now = (_fine(every) for every in (parent, now))
    for name in {**parent, **now}:
        if name.startswith(SOURCE):
            continue
        before, after = parent.get(name, ()), now.get(name, ())
        if not is_case(name):
            before, after = before or fine_before, after or fine_now
        change = _change(worst(before) if before else None, worst(after) if after else None)
        if len(set(before)) > 1 or len(set(after)) > 1:
            change = _measured(change, rate_of(before), rate_of(after))
        if change:
            changes[name] = change
    return _moved(changes)


def _fine(cases: Mapping[str, tuple[Verdict, ...]]) -> tuple[Verdict, ...]:
    """The verdicts of what is fine where it is not there, in as many attempts as there were."""
    return (Verdict.PASSED,) * max(map(len, cases.values()), default=1)


def _change(before: Verdict | None, after: Verdict | None) -> Change | None:
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


def _measured(change: Change | None, before: Rate, after: Rate) -> Change | None:
    """The change of a case whose attempts disagree: a verdict needs more than one draw.

    Until both revisions were run more often than LEAST, failing once counts as failing.
    """
    surely_worse = worse(before, after) <= SIGNIFICANT
    if change is None and before.failures and surely_worse:
        return Change.REGRESSED
    if change is Change.REGRESSED and min(before.runs, after.runs) > LEAST and not surely_worse:
        return Change.FLAKY
    return change


def _moved(changes: dict[str, Change]) -> dict[str, Change]:
    """Warnings that went from one place to another, as such: same kind and text."""
    gone = [
        what for name, change in changes.items()
        if change is Change.FIXED and (what := _what(name))
    ]  # fmt: skip
    moved = dict(changes)
    for name, change in changes.items():
        if change is Change.REGRESSED and (what := _what(name)) in gone:
            gone.remove(what)
            moved[name] = Change.MOVED
    return moved


def _what(name: str) -> str:
    """A warning's name without its place; "" for other names."""
    return name.split(": ", 2)[2] if name.startswith(WARNING) and name.count(": ") > 1 else ""
