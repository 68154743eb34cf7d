"""The results store and comparing revisions."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from memdesc_tool.baseline import RUN, SPLAT, Change, cases_of, compare
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.results import Attempt, Outcome, Result, Verdict, key_of, open_store

P, F, S = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED


def attempt(outcome: Outcome = Outcome.RAN, **results: Verdict) -> Attempt:
    return Attempt(outcome, tuple(Result(n, v) for n, v in results.items()), 1.0, 2.0, "log", "why")


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    inputs = {"tree": "1", "arch": "um"}
    first = attempt(a=P, b=F)
    second = attempt(Outcome.DIED, a=P)
    with open_store(path) as store:
        store.add(inputs, first)
    with open_store(path) as store:
        store.add(inputs, second)
        assert store.attempts(key_of(inputs)) == (first, second)
        assert store.attempts(key_of({"tree": "2"})) == ()
        third = attempt(c=S)
        store.add(inputs, third, replace=True)
        assert store.attempts(key_of(inputs)) == (third,)
        assert store.database.execute("SELECT count(*) FROM result").fetchone() == (1,)


def test_the_key_depends_on_every_input_and_on_no_order() -> None:
    assert key_of({"a": "1", "b": "2"}) == key_of({"b": "2", "a": "1"})
    assert key_of({"a": "1", "b": "2"}) != key_of({"a": "12", "b": ""})


def test_a_newer_store_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="newer memdesc-tool"), open_store(path):
        pass


def test_a_damaged_store_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(InfraError, match="cannot be used"), open_store(path):
        pass
    assert path.read_bytes().startswith(b"this is no database")


def _fill(path: Path, number: int) -> None:
    with open_store(path) as store:
        for turn in range(20):
            store.add({"process": str(number), "turn": str(turn)}, attempt(a=P))


def test_processes_share_a_store(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    with open_store(path) as store:
        assert store.database.execute("SELECT count(*) FROM run").fetchone() == (80,)


def change(before: Verdict | None, after: Verdict | None, name: str = "case") -> Change | None:
    parent = {} if before is None else {name: (before,)}
    now = {} if after is None else {name: (after,)}
    return compare(parent, now).get(name)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (P, P, None), (F, F, None), (S, S, None),
        (P, F, Change.REGRESSED), (S, F, Change.REGRESSED), (P, S, Change.REGRESSED),
        (F, P, Change.FIXED), (F, S, None), (S, P, None),
        (None, P, Change.NEW), (None, F, Change.NEW),
        (P, None, Change.VANISHED), (F, None, Change.VANISHED), (S, None, Change.VANISHED),
    ],
)  # fmt: skip
def test_changes(before: Verdict | None, after: Verdict | None, expected: Change | None) -> None:
    assert change(before, after) is expected


@pytest.mark.parametrize("name", [RUN, f"{SPLAT}WARNING in f"])
def test_splats_and_broken_runs_are_never_new_nor_vanished(name: str) -> None:
    assert change(None, F, name) is Change.REGRESSED
    assert change(F, None, name) is Change.FIXED
    assert change(F, F, name) is None
    assert change(None, P, name) is None


@pytest.mark.parametrize(
    ("parent", "now", "expected"),
    [
        ({"(test 9).race.all": F}, {"mo_race.race.all": P}, {"mo_race.race.all": Change.FIXED}),
        ({"mo_race.race.all": P}, {"(test 9).race.all": F}, {"mo_race.race.all": Change.REGRESSED}),
        ({"a.(test 2).x": P, "a.y": P}, {"a.b.x": P, "a.y": P}, {}),
        # Which of the two it is cannot be known; nor whether it is what has a name already
        ({"(test 9).x": P}, {"a.x": P, "b.x": P},
         {"(test 9).x": Change.VANISHED, "a.x": Change.NEW, "b.x": Change.NEW}),
        ({"(test 9).x": F, "a.x": P}, {"a.x": P}, {"(test 9).x": Change.VANISHED}),
        # Neither has a name
        ({"(test 9).x": P}, {"(test 9).x": F}, {"(test 9).x": Change.REGRESSED}),
        ({f"{SPLAT}(test 9).x": F}, {f"{SPLAT}a.x": F},
         {f"{SPLAT}(test 9).x": Change.FIXED, f"{SPLAT}a.x": Change.REGRESSED}),
    ],
)  # fmt: skip
def test_cases_of_a_test_that_was_cut_off_are_the_same_cases(
    parent: dict[str, Verdict], now: dict[str, Verdict], expected: dict[str, Change]
) -> None:
    cases = [cases_of([attempt(**results)]) for results in (parent, now)]
    assert compare(*cases) == expected


def test_attempts_of_which_one_was_cut_off_have_the_same_cases() -> None:
    cut = attempt(Outcome.TIMEOUT, **{"a.x": P, "(test 2).y": F})
    cases = cases_of([cut, attempt(**{"a.x": P, "b.y": P})])
    assert cases == {"a.x": (P, P), "b.y": (F, P), RUN: (F, P)}


def test_a_case_fails_when_any_attempt_does_not_pass_it() -> None:
    cases = cases_of([attempt(a=P, b=P), attempt(a=F, b=P)])
    assert cases == {"a": (P, F), "b": (P, P)}
    assert compare({"a": (P,)}, cases) == {"a": Change.REGRESSED, "b": Change.NEW}
    missing = cases_of([attempt(a=P, b=P), attempt(Outcome.DIED, a=P)])
    assert missing["b"] == (P, F)
    assert missing[RUN] == (P, F)
