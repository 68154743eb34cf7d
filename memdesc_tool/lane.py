"""A column of a regression run on its way through the rows: which are run, which inherited,
and which run again until a suspected regression is beyond doubt.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from memdesc_tool.baseline import BAD, Change, Known, cases_of, compare, worst
from memdesc_tool.cellchange import cell_of
from memdesc_tool.cells import Cell, Column, Row, Strategy, Trouble
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError
from memdesc_tool.filling import DEFAULT_PATIENCE, Filler, Patience, Planned, Runner, enough, plan
from memdesc_tool.flakiness import Rate, rate_of, repeats
from memdesc_tool.measured import keep_place, read_place
from memdesc_tool.reading import Touched, cannot_differ
from memdesc_tool.results import Attempt, Outcome, Store, Verdict, key_of
from memdesc_tool.workspace import Workspace

EARLIER = 3
"""So many states that a row has been before are compared with it."""


@dataclass(frozen=True)
class Bench:
    """What stays the same during a walk; see regress.walk()."""

    workspace: Workspace
    store: Store
    runner: Runner
    rows: Sequence[Row]
    known: tuple[Known, ...] = ()
    rerun: bool = False
    patience: Patience = DEFAULT_PATIENCE
    progress: Progress | None = None

    def filler(self, label: str) -> Filler:
        return Filler(self.workspace, self.store, self.runner, self.patience, label, self.progress)


class Stopped(Exception):
    """A column cannot be walked on."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass
class Meter:
    """How far a walk is, in cells."""

    total: int = 0
    done: int = 0
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        """Like "[3/12, about 4 min left]"."""
        far = f"{self.done + 1}/{max(self.total, self.done + 1)}"
        if self.done and self.total > self.done:
            left = (time.monotonic() - self.begun) / self.done * (self.total - self.done)
            far += f", about {left / 60:.0f} min" if left >= 90 else f", about {left:.0f} s"
            far += " left"
        return f"[{far}]"


class Lane:
    """A column and the rows of it that were visited."""

    def __init__(self, bench: Bench, column: Column, meter: Meter) -> None:
        self._bench, self._column, self._meter = bench, column, meter
        last = len(bench.rows) - 1
        every = column.strategy is Strategy.EVERY
        self._first = tuple(range(last + 1)) if every else tuple(sorted({0, last}))
        self._plans: dict[int, Planned] = {}
        self._visited: set[int] = set()
        self._rerun = bench.rerun

    @property
    def pending(self) -> int:
        """How many cells are known to be missing."""
        plans = [self._plan(index) for index in self._first]
        return sum(self._rerun or not enough(self._bench.store, one) for one in plans)

    def plans(self) -> Iterator[Planned]:
        """Every row's cell, visited or not."""
        return map(self._plan, range(len(self._bench.rows)))

    def visited(self) -> tuple[Planned, ...]:
        """The cells that were visited, in the order of the rows."""
        return tuple(self._plan(index) for index in sorted(self._visited))

    def was_run(self) -> None:
        """What was to be run again has been, elsewhere."""
        self._rerun = False

    def adopt(self) -> None:
        """Visit what the store has, and run nothing."""
        have = range(len(self._bench.rows))
        store = self._bench.store
        self._visited |= {index for index in have if store.outcomes(self._plan(index).key)}

    def walk(self) -> None:
        """Visit the rows that the strategy asks for. Raises Stopped."""
        for index in self._first:
            self._visit(index)
        if self._column.strategy is Strategy.BISECT and len(self._first) > 1:
            self._between(self._first[0], self._first[-1])

    def cells(self) -> Iterator[Cell]:
        """The cells visited so far, in the order of the rows, compared."""
        before: list[Cell] = []
        store = self._bench.store
        for index in sorted(self._visited):
            planned = self._plan(index)
            attempts = store.attempts(planned.key)
            before.append(
                cell_of(
                    planned.row, planned.column, attempts, before, self._bench.known,
                    inherited=store.is_inherited(planned.key),
                )
            )  # fmt: skip
            yield before[-1]

    def _plan(self, index: int) -> Planned:
        if index not in self._plans:
            bench, column = self._bench, self._column
            self._plans[index] = plan(bench.workspace, bench.runner, bench.rows[index], column)
        return self._plans[index]

    def _attempts(self, index: int) -> tuple[Attempt, ...]:
        return self._bench.store.attempts(self._plan(index).key)

    # -- visiting ----------------------------------------------------------------------

    def _between(self, low: int, high: int) -> None:
        """Visit rows between two that differ until each difference has its row."""
        if high - low < 2 or not self._differ(low, high):
            return
        middle = (low + high) // 2
        self._visit(middle)
        self._between(low, middle)
        self._between(middle, high)

    def _differ(self, low: int, high: int) -> bool:
        before, after = (cases_of(self._attempts(index)) for index in (low, high))
        return bool(compare(before, after))

    def _visit(self, index: int) -> None:
        bench, planned = self._bench, self._plan(index)
        # What kept the base from being built may have been the machine: never held against it.
        again = self._rerun or (index == 0 and _not_built(self._attempts(index)))
        if again or not (enough(bench.store, planned) or self._inherit(index)):
            self._run(planned, f"{self._meter} {planned.row.label}", again=again)
            self._meter.done += 1
        self._visited.add(index)
        if planned.row.place:
            keep_place(bench.store, planned.inputs["tree"], time.time(), planned.row.place)
        if index == 0:
            _refuse_broken_base(planned, self._attempts(index))

    def _run(
        self, planned: Planned, label: str, *, again: bool = False, more: bool = False
    ) -> None:
        """Fill a cell, or run it once more. Raises Stopped."""
        filler = self._bench.filler(label)
        try:
            if more:
                filler.once_more(planned)
            else:
                filler.fill(planned, replace=again)
        except InfraError as error:
            trouble = Trouble(planned.row, planned.column, error.message, error.hint)
            raise Stopped(trouble) from None

    def _inherit(self, index: int) -> bool:
        """Store for a row what another state has, where nothing else can come of it: the row
        before it, or the row itself as it was before a patch below it has changed.
        """
        bench, planned = self._bench, self._plan(index)
        wanted = {**planned.inputs, "tree": ""}
        before = [other for other in self._visited if other < index]
        others = [self._plan(max(before)).inputs] if before else []
        others += self._earlier.get(planned.row.place, ())[: -EARLIER - 1 : -1]
        for inputs in others:
            key = key_of(inputs)
            read = bench.store.reading(key) if {**inputs, "tree": ""} == wanted else None
            if read is None or not enough(bench.store, replace(planned, key=key)):
                continue
            changes = _touched(bench.workspace, inputs["tree"], planned.inputs["tree"])
            if changes is not None and cannot_differ(changes, read):
                bench.store.inherit(planned.inputs, key)
                return True
        return False

    @cached_property
    def _earlier(self) -> dict[str, list[Mapping[str, str]]]:
        """The inputs of what is stored of the column, by the places of the rows, oldest first."""
        store = self._bench.store
        wanted = {**self._plan(0).inputs, "tree": ""}
        places = {row.place for row in self._bench.rows if row.place}
        found: dict[str, list[Mapping[str, str]]] = {}
        for inputs in store.inputs(wanted.get("kind", "")):
            if {**inputs, "tree": ""} == wanted:
                place = read_place(store, inputs["tree"])
                if place in places:
                    found.setdefault(place, []).append(inputs)
        return found

    # -- confirming --------------------------------------------------------------------

    def confirm(self) -> None:
        """Run suspected regressions again on patch and parent. Raises Stopped."""
        limit = self._bench.patience.confirm
        if not limit or self._column.suite.compiles:
            return
        visited, cells = sorted(self._visited), list(self.cells())
        for position in range(1, len(visited)):
            for _ in range(2 * limit):
                back = _doubtful(cells[: position + 1], limit)
                if back is None:
                    break
                planned = self._plan(visited[position - back])
                self._run(planned, f"confirming, {planned.row.label}", more=True)
                cells = list(self.cells())


def _doubtful(cells: Sequence[Cell], limit: int) -> int | None:
    """Which of the cells of a column up to a row has to run again until the suspected
    regressions of the last one are beyond doubt: 0 the last, 1 the one before; None for none.
    """
    cell, before = cells[-1], cells[:-1]
    if Outcome.BUILD_FAILED in (cell.broken, before[-1].broken):
        return None  # compilers do not flake
    for case, change in cell.changes.items():
        if change not in (*BAD, Change.FLAKY):
            continue
        # What a run has not reported is failed in it, as it is beside runs that have.
        verdicts = cell.cases.get(case, (Verdict.FAILED,) * len(cell.attempts))
        if worst(verdicts) is Verdict.SKIPPED:  # passing once is passing
            chance = _history(before, case, Verdict.SKIPPED).estimate
            of_patch, of_parent = min(limit, repeats(chance)), 1
        else:
            now, past = rate_of(verdicts), rate_of(before[-1].cases.get(case, ()))
            of_patch, of_parent = _wanted(now, past, _history(before, case), limit)
        if len(cell.attempts) < of_patch:
            return 0
        if len(before[-1].attempts) < of_parent:
            return 1
    return None


def _history(before: Sequence[Cell], case: str, bad: Verdict = Verdict.FAILED) -> Rate:
    """How often a case has come to bad on the rows before a patch."""
    return sum((rate_of(one.cases.get(case, ()), bad) for one in before), Rate(0, 0))


def _wanted(now: Rate, past: Rate, history: Rate, limit: int) -> tuple[int, int]:
    """How many runs of patch and parent settle whether a case regressed, limit at most.

    The patch must fail so often in a row that the flakiness measured before it does not
    explain it, and the parent pass as often. What disagrees with itself gets all there is.
    """
    if past.failures or now.failures not in (0, now.runs):
        return limit, limit
    return min(limit, repeats(history.estimate)), min(limit, repeats(1 - now.estimate))


def _touched(workspace: Workspace, old: str, new: str) -> list[Touched] | None:
    """The files that differ between two trees; None where the old one is not there any more."""
    if workspace.scratch.attempt("cat-file", "-e", f"{old}^{{tree}}")[0]:
        return None
    words = workspace.scratch.run(
        "diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new
    ).split("\0")
    return [
        Touched(path, added=letter == "A")
        for letter, path in zip(words[::2], words[1::2], strict=False)
    ]


def _not_built(attempts: Iterable[Attempt]) -> bool:
    """Whether an attempt did not get as far as booting."""
    return any(a.outcome in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED) for a in attempts)


def _refuse_broken_base(planned: Planned, attempts: Iterable[Attempt]) -> None:
    """A base that cannot be built says nothing about the patches. Raises Stopped."""
    for attempt in attempts:
        if attempt.outcome in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED):
            row, column = planned.row, planned.column
            said = f"{row.label}: {column.name}: {attempt.outcome.value}: {attempt.detail}"
            raise Stopped(Trouble(row, column, said, f"its output: {attempt.log}"))
