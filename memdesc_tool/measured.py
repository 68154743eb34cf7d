"""Figures about a series that are no test's verdict, as the store keeps them.

Coverage comes from `regress --coverage`, figures from benchmarks; mutants have fates.py. All
belong to a span: the trees of the base and of the last patch, which say all about a series but
its messages. A later measurement of the same span replaces the earlier one. The place of a state is
what it was called when a suite ran on it: patch and revision of a series.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from memdesc_tool.cells import Row
from memdesc_tool.results import Store
from memdesc_tool.workspace import Workspace

COVERAGE, IDLE, BENCH, PLACE = "coverage", "idle", "bench", "place"
THRESHOLD = 0.02
"""By what share a path may become slower, unless somebody says otherwise."""


@dataclass(frozen=True)
class PatchShare:
    """What is run of the lines that a patch adds.

    lines, branches: (run, all that there is code for); missed: "FILE:LINE: text" of lines that
    are not run.
    """

    patch: str
    lines: tuple[int, int]
    branches: tuple[int, int]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A benchmark's figure of a revision.

    name: what was measured; unit; patch: the label of the revision; middle: the estimate; low,
    high: its interval, in the same unit; runs: how often it was taken; slower: whether more of
    it is a slower path.
    """

    name: str
    unit: str
    patch: str
    low: float
    middle: float
    high: float
    runs: int
    slower: bool = True


def span_inputs(workspace: Workspace, rows: Sequence[Row]) -> dict[str, str]:
    """What stands for the span from the first row to the last: object ids of both trees."""
    tree = workspace.scratch.tree
    return {"base": tree(rows[0].commit), "tip": tree(rows[-1].commit)}


def cell_inputs(span: Mapping[str, str], column: str, state: str) -> dict[str, str]:
    """What stands for a column on a span; state: of its suite (suitestate.py)."""
    return {**span, "column": column, "suite": state}


def keep_coverage(
    store: Store, span: Mapping[str, str], taken: float, patches: Sequence[PatchShare]
) -> None:
    """Store what a span's suites run of it; taken: seconds since the epoch."""
    _keep(store, COVERAGE, span, taken, [asdict(one) for one in patches])


def keep_idle(
    store: Store, cell: Mapping[str, str], taken: float, lines: Mapping[str, Set[int]]
) -> None:
    """Store the lines, by file, that a suite does not run though there is code for them.

    cell: cell_inputs().
    """
    _keep(store, IDLE, cell, taken, {file: sorted(numbers) for file, numbers in lines.items()})


def keep_figures(
    store: Store,
    span: Mapping[str, str],
    taken: float,
    figures: Sequence[Figure],
    benchmark: str,
    labels: Sequence[str],
) -> None:
    """Store the figures of a benchmark of a span; taken: seconds since the epoch.

    benchmark: stands for what measured them. What the same one has measured before, of other
    revisions or in other units, stays. labels: of the span's revisions, in order.
    """
    found = _read(store, BENCH, span, lambda data: data)
    old = found["figures"] if isinstance(found, dict) and found["benchmark"] == benchmark else ()
    kept = {(one.name, one.unit, one.patch): one for one in (*(Figure(**o) for o in old), *figures)}
    order = {label: number for number, label in enumerate(labels)}
    known = [one for one in kept.values() if one.patch in order]
    data = [asdict(one) for one in sorted(known, key=lambda one: order[one.patch])]
    _keep(store, BENCH, span, taken, {"benchmark": benchmark, "figures": data})


def keep_place(store: Store, tree: str, taken: float, place: str) -> None:
    """Store what the state of a tree is; taken: seconds since the epoch."""
    if read_place(store, tree) != place:
        _keep(store, PLACE, {"tree": tree}, taken, place)


def read_place(store: Store, tree: str) -> str:
    """What keep_place() stored last; "" for nothing."""
    return _read(store, PLACE, {"tree": tree}, str) or ""


def read_coverage(store: Store, span: Mapping[str, str]) -> tuple[PatchShare, ...] | None:
    """What keep_coverage() stored; None where nothing was measured."""
    return _read(store, COVERAGE, span, lambda data: tuple(_share(one) for one in data))


def read_idle(store: Store, cell: Mapping[str, str]) -> dict[str, frozenset[int]] | None:
    """What keep_idle() stored; None where nothing was measured."""
    return _read(store, IDLE, cell, lambda data: {str(one): frozenset(data[one]) for one in data})


def read_figures(store: Store, span: Mapping[str, str]) -> tuple[Figure, ...] | None:
    """What keep_figures() stored; None where nothing was measured."""
    return _read(store, BENCH, span, _figures)


def _keep(store: Store, kind: str, span: Mapping[str, str], taken: float, data: Any) -> None:
    store.keep_measured(kind, span, taken, json.dumps(data))


_Made = TypeVar("_Made")


def _read(
    store: Store, kind: str, span: Mapping[str, str], make: Callable[[Any], _Made]
) -> _Made | None:
    found = store.measured(kind, span)
    if found is None:
        return None
    try:
        return make(json.loads(found[1]))
    except (ValueError, TypeError, KeyError) as error:
        raise sqlite3.DatabaseError(f"what was measured ({kind}): {error}") from None


def _share(data: dict[str, Any]) -> PatchShare:
    (run, lines), (taken, branches) = data["lines"], data["branches"]
    missed = tuple(map(str, data["missed"]))
    return PatchShare(str(data["patch"]), (int(run), int(lines)),
                      (int(taken), int(branches)), missed)  # fmt: skip


def _figures(data: Any) -> tuple[Figure, ...]:
    every = data["figures"] if isinstance(data, dict) else data  # as they were stored at first
    return tuple(Figure(**one) for one in every)
