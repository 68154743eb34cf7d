"""What the store has of a column over time: every state of the tree on which it ever ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memdesc_tool.baseline import cases_of, is_case, worst
from memdesc_tool.measured import read_place
from memdesc_tool.results import Outcome, Store, Verdict, key_of

STATES = 40
"""How many states a timeline has at most, the latest ones, beside the rows of the report."""
_FREE = ("tree", "toolchain", "machine", "libc", "guest", "modules")
"""Inputs in which the states of a timeline may differ."""


@dataclass(frozen=True)
class State:
    """A state of the tree on which a column ran.

    tree: object id with the suite laid over it; label: the row of the report that it is, else
    patch and revision of the series that it was, or ""; started: of its first run, in seconds
    since the epoch; runs: how many there are; outcome: the first that was no RAN, else RAN;
    passed, failed, skipped: cases; here: whether it is a row of the report.
    """

    tree: str
    label: str
    started: float
    runs: int
    outcome: Outcome
    passed: int
    failed: int
    skipped: int
    here: bool


def timeline(
    store: Store, inputs: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[tuple[State, ...], int]:
    """The states of the column that has these inputs, oldest first, and how many there are in
    all: those that are rows of the report, of whose trees there are labels, and the last STATES
    others.
    """
    wanted = _fixed(inputs)
    every = [one for one in store.inputs(inputs["kind"]) if _fixed(one) == wanted]
    others = [one for one in every if one.get("tree", "") not in labels][-STATES:]
    chosen = [one for one in every if one.get("tree", "") in labels or one in others]
    return tuple(_state(store, one, labels) for one in chosen), len(every)


def _fixed(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in inputs.items() if name not in _FREE}


def _state(store: Store, inputs: Mapping[str, str], labels: Mapping[str, str]) -> State:
    attempts = store.attempts(key_of(inputs))
    cases = cases_of(attempts)
    verdicts = [worst(found) for name, found in cases.items() if is_case(name)]
    outcome = next((a.outcome for a in attempts if a.outcome is not Outcome.RAN), Outcome.RAN)
    tree = inputs.get("tree", "")
    return State(
        tree=tree,
        label=labels.get(tree) or read_place(store, tree),
        started=min(one.started for one in attempts),
        runs=len(attempts),
        outcome=outcome,
        passed=verdicts.count(Verdict.PASSED),
        failed=verdicts.count(Verdict.FAILED),
        skipped=verdicts.count(Verdict.SKIPPED),
        here=tree in labels,
    )
