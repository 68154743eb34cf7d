"""What a patch changed in a column: a row's attempts, compared with the rows before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memdesc_tool.baseline import (
    RUN,
    WARNING,
    Change,
    Known,
    cases_of,
    compare,
    is_case,
    worst,
)
from memdesc_tool.cells import Cell, Column, Row
from memdesc_tool.results import Attempt, Outcome, Verdict

NOT_BUILT = (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED)
"""Outcomes after which nothing is known of any case."""


def cell_of(
    row: Row,
    column: Column,
    attempts: tuple[Attempt, ...],
    before: Sequence[Cell],
    known: Iterable[Known],
    *,
    inherited: bool = False,
) -> Cell:
    """The cell of these attempts; before: the column's cells of the rows before, in order."""
    cases = cases_of(attempts)
    listed = tuple(
        case
        for case, verdicts in cases.items()
        if worst(verdicts) is Verdict.FAILED and any(k.covers(case, column.name) for k in known)
    )
    changes, after = _changes(before, attempts, cases)
    kept = {name: change for name, change in changes.items() if name not in listed}
    after = {name: number for name, number in after.items() if name in kept}
    return Cell(row, column, attempts, cases, kept, listed, inherited, after)


def _changes(
    before: Sequence[Cell],
    attempts: tuple[Attempt, ...],
    cases: Mapping[str, tuple[Verdict, ...]],
) -> tuple[dict[str, Change], dict[str, int]]:
    """What changed from the cells before (of one column, in order) to these attempts, and for
    each change the number of the row that tells what was before.

    Cases are compared with the last revision that could be built, so that a patch that
    cannot hides nothing; whether the run came to its end, with the parent itself.
    """
    if not before:
        return {}, {}
    changes: dict[str, Change] = {}
    after: dict[str, int] = {}
    if not any(attempt.outcome in NOT_BUILT for attempt in attempts):
        built = [cell for cell in before if cell.broken not in NOT_BUILT]
        if built:
            changes, after = _compared(built, attempts, cases)
    changes.pop(RUN, None)
    ended = [_ended(every) for every in (before[-1].attempts, attempts)]
    return {**compare(*ended), **changes}, {**after, RUN: before[-1].row.number}


def _ended(attempts: Iterable[Attempt]) -> dict[str, tuple[Verdict, ...]]:
    """The case RUN, whether or not it was there to be reported."""
    return {
        RUN: tuple(
            Verdict.PASSED if one.outcome is Outcome.RAN else Verdict.FAILED for one in attempts
        )
    }


def _compared(
    built: Sequence[Cell], attempts: tuple[Attempt, ...], cases: Mapping[str, tuple[Verdict, ...]]
) -> tuple[dict[str, Change], dict[str, int]]:
    """What changed since the last of these cells, and for each change the row that tells.

    What is not in a run that broke off is not known to be gone, and is compared with the last
    cell before it that has it; what was skipped and is not now, with the last cell in which it
    was not. What an object warns of is compared with the last cell that could
    compile it. A warning of an object that no cell could compile is new, and one of an object
    that does not compile now is not fixed.
    """
    last = built[-1]
    now = Cell(last.row, last.column, attempts, cases)
    then, whole = _last_known(built)
    then |= _before_it_skipped(built, then, cases)
    compiled = {name: _compiled(built, name) for name in last.not_compiled}
    for name, known in compiled.items():
        if known:
            warned = [case for case in known.cases if known.object_of(case) == name]
            then |= {case: (known.cases[case], known.row.number) for case in warned}
    changes = compare({case: verdicts for case, (verdicts, _) in then.items()}, cases)
    after = {}
    for case, change in tuple(changes.items()):
        name = now.object_of(case)
        known = compiled.get(name) or whole
        after[case] = then[case][1] if case in then else known.row.number
        if change is Change.REGRESSED and name in compiled and not compiled[name]:
            changes[case] = Change.NEW
        elif change is Change.FIXED and case.startswith(WARNING):
            before = next((o for cell in reversed(built) if (o := cell.object_of(case))), "")
            if before in now.not_compiled:
                del changes[case]
    return _without_silence(changes, cases) if now.broken else changes, after


def _compiled(built: Sequence[Cell], name: str) -> Cell | None:
    """The last cell that could compile an object."""
    return next((cell for cell in reversed(built) if name not in cell.not_compiled), None)


_Told = dict[str, tuple[tuple[Verdict, ...], int]]
"""What cases came to, and the number of the row that each is from."""


def _last_known(built: Sequence[Cell]) -> tuple[_Told, Cell]:
    """What the last cell has, and where its run broke off what those before it have; and the
    first of those that were looked at.
    """
    known: _Told = {}
    for cell in reversed(built):
        known = {**{name: (found, cell.row.number) for name, found in cell.cases.items()}, **known}
        if not cell.broken:
            return known, cell
    return known, built[0]


def _before_it_skipped(
    built: Sequence[Cell], then: _Told, cases: Mapping[str, tuple[Verdict, ...]]
) -> _Told:
    """What cases came to that were skipped and are not now, when they last were not."""
    found: _Told = {}
    for name, verdicts in cases.items():
        skipped = name in then and worst(then[name][0]) is Verdict.SKIPPED
        if skipped and worst(verdicts) is not Verdict.SKIPPED:
            before = ((cell.cases.get(name, ()), cell.row.number) for cell in reversed(built))
            ran = next((one for one in before if worst(one[0]) is not Verdict.SKIPPED), None)
            found |= {name: ran} if ran and ran[0] else {}
    return found


def _without_silence(
    changes: Mapping[str, Change], cases: Mapping[str, tuple[Verdict, ...]]
) -> dict[str, Change]:
    """The changes without what only a run that broke off suggests: a splat is not fixed since
    it did not come to it, and no case vanished where it came to none.
    """
    to_none = not any(map(is_case, cases))
    return {
        name: change
        for name, change in changes.items()
        if name in cases or (is_case(name) and not to_none)
    }
