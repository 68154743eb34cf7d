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
    return Cell(row, column, attempts, cases, kept, listed, inherited, after)


def _changes(
    before: Sequence[Cell],
    attempts: tuple[Attempt, ...],
    cases: Mapping[str, tuple[Verdict, ...]],
) -> tuple[dict[str, Change], int | None]:
    """What changed from the cells before (of one column, in order) to these attempts, and the
    number of the row that they are compared with.

    Cases are compared with the last revision that could be built, so that a patch that
    cannot hides nothing; whether the run came to its end, with the parent itself.
    """
    if not before:
        return {}, None
    changes, after = {}, before[-1].row.number
    if not any(attempt.outcome in NOT_BUILT for attempt in attempts):
        built = [cell for cell in before if cell.broken not in NOT_BUILT]
        if built:
            changes, after = _compared(built, attempts, cases), built[-1].row.number
    changes.pop(RUN, None)
    ended = [_ended(every) for every in (before[-1].attempts, attempts)]
    return {**compare(*ended), **changes}, after


def _ended(attempts: Iterable[Attempt]) -> dict[str, tuple[Verdict, ...]]:
    """The case RUN, whether or not it was there to be reported."""
    return {
        RUN: tuple(
            Verdict.PASSED if one.outcome is Outcome.RAN else Verdict.FAILED for one in attempts
        )
    }


def _compared(
    built: Sequence[Cell], attempts: tuple[Attempt, ...], cases: Mapping[str, tuple[Verdict, ...]]
) -> dict[str, Change]:
    """What changed since the last of these cells.

    What is not in a run that broke off is not known to be gone, and is compared with the last
    cell before it that has it; what was skipped and is not now, with the last cell in which it
    was not. What an object warns of is compared with the last cell that could
    compile it. A warning of an object that no cell could compile is new, and one of an object
    that does not compile now is not fixed.
    """
    last = built[-1]
    now = Cell(last.row, last.column, attempts, cases)
    then = _last_known(built)
    then |= _before_it_skipped(built, then, cases)
    unknown = set()
    for name in last.not_compiled:
        known = next((cell for cell in reversed(built) if name not in cell.not_compiled), None)
        if known is None:
            unknown.add(name)
        else:
            warned = [case for case in known.cases if known.object_of(case) == name]
            then |= {case: known.cases[case] for case in warned}
    changes = compare(then, cases)
    for case, change in tuple(changes.items()):
        if change is Change.REGRESSED and now.object_of(case) in unknown:
            changes[case] = Change.NEW
        elif change is Change.FIXED and case.startswith(WARNING):
            before = next((o for cell in reversed(built) if (o := cell.object_of(case))), "")
            if before in now.not_compiled:
                del changes[case]
    return _without_silence(changes, cases) if now.broken else changes


def _last_known(built: Sequence[Cell]) -> dict[str, tuple[Verdict, ...]]:
    """What the last cell has, and where its run broke off what those before it have."""
    known: dict[str, tuple[Verdict, ...]] = {}
    for cell in reversed(built):
        known = {**cell.cases, **known}
        if not cell.broken:
            break
    return known


def _before_it_skipped(
    built: Sequence[Cell],
    then: Mapping[str, tuple[Verdict, ...]],
    cases: Mapping[str, tuple[Verdict, ...]],
) -> dict[str, tuple[Verdict, ...]]:
    """What cases came to that were skipped and are not now, when they last were not."""
    found: dict[str, tuple[Verdict, ...]] = {}
    for name, verdicts in cases.items():
        skipped = then.get(name) and worst(then[name]) is Verdict.SKIPPED
        if skipped and worst(verdicts) is not Verdict.SKIPPED:
            before = (cell.cases.get(name, ()) for cell in reversed(built))
            ran = next((one for one in before if worst(one) is not Verdict.SKIPPED), None)
            found |= {name: ran} if ran else {}
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
