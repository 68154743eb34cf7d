"""The search itself, on histories of hypothesis' making: pure, nothing is run."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memdesc_tool import bisectbench
from memdesc_tool.bisectbench import Setting, make_history, make_trial
from memdesc_tool.errors import UserError
from memdesc_tool.history import GOOD, History
from memdesc_tool.posterior import (
    LIKELY,
    WHEN_BAD,
    WHEN_GOOD,
    Belief,
    Numbers,
    Posterior,
    Rate,
    promises,
)
from memdesc_tool.search import Search, Verdict

HISTORIES = st.builds(
    lambda size, seed: make_history(size, random.Random(seed)),
    st.integers(1, 60),
    st.integers(0, 10_000),
)


def line(size: int) -> History:
    """A history without merges."""
    parents = tuple((n - 1,) if n else () for n in range(size))
    return History(tuple(f"{n:040x}" for n in range(size)), parents)


def ancestors(history: History, point: int) -> set[int]:
    """What a point contains, found by walking."""
    found, todo = set(), [point]
    while todo:
        if (one := todo.pop()) not in found:
            found.add(one)
            todo += history.parents[one]
    return found


@settings(deadline=None)
@given(HISTORIES)
def test_bits_are_what_walking_finds(history: History) -> None:
    every = np.arange(len(history))
    block = history.block(every, every)
    for point in every.tolist():
        wanted = ancestors(history, point)
        assert set(np.flatnonzero(history.row(point)).tolist()) == wanted
        assert set(np.flatnonzero(block[point]).tolist()) == wanted
    assert not history.row(GOOD).any()
    assert history.row(history.bad).all()


def run(search: Search, culprit: int, broken: frozenset[int] = frozenset()) -> int:
    """Answer a search where the failure always happens; the runs that it took."""
    runs = 0
    while (point := search.next()) is not None:
        if point in broken:
            search.record(point, Verdict.SKIP)
            continue
        bad = point > GOOD and bool(search.history.row(point)[culprit])
        search.record(point, Verdict.FAIL if bad else Verdict.PASS)
        runs += 1
        assert runs < 1000
    return runs


@settings(deadline=None, max_examples=60)
@given(HISTORIES, st.data())
def test_a_sure_failure_is_found_in_few_runs(history: History, data: st.DataObject) -> None:
    culprit = data.draw(st.integers(0, len(history) - 1))
    search = Search(history)
    runs = run(search, culprit)
    assert search.answer.candidates == (culprit,)
    assert not search.answer.flaky
    assert runs <= math.log2(len(history)) + 8


@settings(deadline=None, max_examples=60)
@given(HISTORIES, st.data())
def test_commits_that_cannot_be_tested_are_answered_by_a_set(
    history: History, data: st.DataObject
) -> None:
    size = len(history)
    culprit = data.draw(st.integers(0, size - 1))
    broken = frozenset(data.draw(st.sets(st.integers(0, max(0, size - 2))))) - {size - 1}
    search = Search(history)
    run(search, culprit, broken)
    candidates = search.answer.candidates
    assert culprit in candidates
    tested = [point for point in range(size) if point not in broken]
    told = [{point for point in tested if history.row(point)[one]} for one in candidates]
    assert all(one == told[0] for one in told), "a test could have told them apart"


@pytest.mark.parametrize("culprit", [0, 4, 7, 11])
def test_what_can_be_tested_once_only_is_not_asked_for_ever(culprit: int) -> None:
    """Its verdict counts: what the first run leaves behind may be in the way of a second one."""
    search, seen = Search(line(12)), set()
    for _ in range(100):
        if (point := search.next()) is None:
            break
        verdict = Verdict.FAIL if point >= culprit else Verdict.PASS
        search.record(point, Verdict.SKIP if point in seen else verdict)
        seen.add(point)
    assert search.next() is None
    assert search.answer.candidates == (culprit,)


def test_a_skip_now_and_then_is_an_accident() -> None:
    search = Search(line(4))
    for verdict in (Verdict.FAIL, Verdict.SKIP, Verdict.FAIL, Verdict.SKIP):
        search.record(2, verdict)
    assert search.posterior.testable[2]
    search.record(2, Verdict.SKIP)
    assert not search.posterior.testable[2]
    assert search.tallies[2].fails == 2


def test_a_bad_end_that_passed_and_cannot_be_tested_any_more_is_refused() -> None:
    search = Search(line(4))
    search.record(3, Verdict.PASS)
    search.record(3, Verdict.SKIP)
    with pytest.raises(UserError, match="the bad revision 3 cannot be tested"):
        search.record(3, Verdict.SKIP)


def test_what_is_left_is_what_the_verdicts_leave() -> None:
    search = Search(line(16))
    assert search.left == 16
    search.record(15, Verdict.FAIL)
    search.record(7, Verdict.FAIL)
    search.record(3, Verdict.PASS)
    assert search.left == 4
    search.record(7, Verdict.PASS)
    assert search.left > 4


def test_plain_search_takes_what_git_takes() -> None:
    """Between the ends, log2 of the candidates; then the check."""
    search = Search(line(1024))
    run(search, 700)
    assert len(search.tallies) <= 2 + 10 + 1


@pytest.mark.parametrize("p", [1.0, 0.5, 0.3])
def test_simulated_histories(p: float) -> None:
    """A cheap sample of `bench bisect`: seeded, so that it never changes."""
    setting = Setting(30, p, 0.0)
    outcomes = [bisectbench.ours(make_trial(setting, number)) for number in range(60)]
    figures = bisectbench.figures(outcomes)
    assert figures.right >= 0.95
    assert figures.median <= {1.0: 13, 0.5: 44.5, 0.3: 79}[p]


@pytest.mark.parametrize(("commits", "number"), [(30, 9), (300, 7)])
def test_cheap_runs_are_not_taken_for_good_ones(commits: int, number: int) -> None:
    """Found by simulating how long a run takes: the built commit and its neighbours were run."""
    trial = make_trial(Setting(commits, 1.0, 0.0), number)
    outcome = bisectbench.ours(trial, rebuild=24)
    assert outcome.right
    assert outcome.runs <= math.log2(commits) + 8


def test_a_test_that_tells_little_is_not_made_for_ever() -> None:
    """Found by `bench bisect`: what tells the last two candidates apart is near neither, by index.

    The candidate itself promised next to nothing, and was run until the trial was given up.
    """
    outcome = bisectbench.ours(make_trial(Setting(3000, 0.5, 0.0), 23))
    assert outcome.right
    assert outcome.runs < 300


def test_a_culprit_whose_bad_commits_fail_less_often_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by `bench bisect`: it was run until the trial was given up.

    The culprit is the first commit. Others stayed as likely as it, with which bad commits would
    have failed less often than good ones do, so the good end was run eight times only.
    """
    monkeypatch.setattr(bisectbench, "MOST_RUNS", 2500)
    outcome = bisectbench.ours(make_trial(Setting(30, 0.1, 0.02), 1063))
    assert outcome.right
    assert outcome.runs < 2500


def test_a_fluke_on_the_good_side_does_not_mislead() -> None:
    setting = Setting(300, 1.0, 0.02, unbuildable=0)
    outcomes = [bisectbench.ours(make_trial(setting, number)) for number in range(10)]
    assert all(one.right for one in outcomes)


def test_a_repeated_end_turns_to_the_flaky_search() -> None:
    search = Search(line(8))
    search.record(7, Verdict.FAIL)
    assert not search.flaky
    search.record(7, Verdict.PASS)
    assert search.flaky


def test_a_bad_end_that_passes_is_refused() -> None:
    search = Search(line(4), end_runs=3)
    with pytest.raises(UserError, match="does not fail: it passed 3 times"):
        while (point := search.next()) is not None:
            search.record(point, Verdict.PASS)


def test_a_good_end_that_fails_is_refused() -> None:
    search = Search(line(4))
    with pytest.raises(UserError, match="fails too: 4 of 4"):
        while (point := search.next()) is not None:
            search.record(point, Verdict.FAIL)


def test_a_good_end_that_fails_in_few_runs_is_refused() -> None:
    """Fewer runs than make it sure otherwise, but all that there are to be."""
    search = Search(line(4), end_runs=3)
    with pytest.raises(UserError, match="fails too: 3 of 3"):
        for _ in range(100):
            search.record(search.next() or 0, Verdict.FAIL)


@pytest.mark.parametrize(("rate", "most"), [(0.5, 120), (0.2, 1500), (0.05, 2000)])
@pytest.mark.parametrize("seed", range(3))
def test_a_failure_that_no_commit_makes_is_refused(rate: float, most: int, seed: int) -> None:
    """It happens as often wherever it is run, so no culprit is ever likely enough."""
    random_ = random.Random(seed)
    search = Search(line(30))
    with pytest.raises(UserError, match=r"nothing to do with|fails too"):
        for _ in range(most + 1):
            point = search.next()
            assert point is not None, "a commit was named"
            failed = random_.random() < rate
            search.record(point, Verdict.FAIL if failed else Verdict.PASS)


def test_a_fluke_of_the_culprits_parent_is_no_end_of_the_search() -> None:
    """The parent is no candidate, and the bad end has been run often already."""
    search = Search(line(4), outside=((GOOD - 1,), (), (), ()))
    for number in range(300):
        search.record(3, Verdict.FAIL if number % 2 else Verdict.PASS)
        search.record(0, Verdict.FAIL if number % 2 else Verdict.PASS)
        search.record(GOOD, Verdict.PASS)
    assert search.next() == GOOD - 1
    search.record(GOOD - 1, Verdict.FAIL)
    while (point := search.next()) is not None:
        assert point == GOOD - 1
        search.record(point, Verdict.PASS)
    assert search.answer.candidates == (0,)


@pytest.mark.parametrize(("point", "end"), [(3, "bad"), (GOOD, "good")])
def test_an_end_that_cannot_be_tested_is_refused(point: int, end: str) -> None:
    with pytest.raises(UserError, match=f"the {end} revision"):
        Search(line(4)).record(point, Verdict.SKIP)


def test_a_far_commit_is_dear() -> None:
    """With the same information to be had, the cheaper point is taken."""
    posterior = Posterior(line(9))
    costs = np.ones(10)
    middle = posterior.best(costs, 0.05)
    costs[middle] = 100
    assert posterior.best(costs, 0.05) != middle


def test_an_excluded_candidate_is_never_the_answer() -> None:
    search = Search(line(8))
    search.posterior.exclude(4)
    run(search, 5)
    assert search.answer.candidates == (5,)
    assert search.posterior.probabilities()[4] == 0


def test_a_test_promises_odds_of_the_culprit() -> None:
    """With no doubt allowed it is the Extrinsic Jensen-Shannon divergence, by its definition."""
    random_, size = np.random.default_rng(1), 12
    history = make_history(size, random.Random(1))
    belief = Belief(random_.dirichlet(np.ones(size) * 9), random_.uniform(0.3, 1, size),
                    random_.uniform(0, 0.2, size), allowed=0)  # fmt: skip
    assert (belief.weight > LIKELY).all()

    def divergence(one: float, other: float) -> float:
        return one * math.log2(one / other) + (1 - one) * math.log2((1 - one) / (1 - other))

    points = np.append(np.arange(size), GOOD)
    gains = promises(history, points, np.arange(size), belief)
    for point, gain in zip(points.tolist(), gains, strict=True):
        fails = np.where(history.row(point), belief.bad, belief.good)
        others = (float(belief.weight @ fails) - belief.weight * fails) / (1 - belief.weight)
        wanted = sum(map(lambda w, p, q: w * divergence(p, q), belief.weight, fails, others))
        assert gain == pytest.approx(wanted)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000), st.floats(0.001, 1))
def test_no_test_promises_less_than_nothing(size: int, seed: int, allowed: float) -> None:
    random_ = np.random.default_rng(seed)
    belief = Belief(random_.dirichlet(np.full(size, 0.3)), random_.uniform(0, 1, size),
                    random_.uniform(0, 1, size), allowed)  # fmt: skip
    history = make_history(size, random.Random(seed))
    gains = promises(history, np.append(np.arange(size), GOOD), np.arange(size), belief)
    assert (gains > -1e-9).all()


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(0, 50))
def test_intervals_hold_the_rate(fails: int, passes: int) -> None:
    for rate in (WHEN_BAD, WHEN_GOOD):
        mean, low, high = rate.interval(fails, passes)
        assert 0 <= low <= high <= 1
        assert 0 <= mean <= 1
    sure = replace(WHEN_BAD, sure=1e-9)
    wide, narrow = sure.interval(1, 1), sure.interval(40, 40)
    assert wide[2] - wide[1] > narrow[2] - narrow[1]


def test_the_posterior_is_bayes_theorem() -> None:
    """Against plain numeric integration over both rates, on a line of five.

    Given that the bad rate is the higher one.
    """
    posterior = Posterior(line(5))
    seen = [(4, True), (2, False), (2, True), (3, True), (GOOD, False), (1, False)]
    for point, failed in seen:
        posterior.record(point, failed)
    angles = (np.arange(1500) + 0.5) * (math.pi / 2 / 1500)
    rates = np.concatenate((np.sin(angles) ** 2, [0, 1]))  # even where the densities have poles

    def side(known: Rate, fails: int, passes: int) -> Numbers:
        beta = np.sin(angles) ** (2 * known.alpha - 1) * np.cos(angles) ** (2 * known.beta - 1)
        sure = known.sure * np.array([not known.always, known.always])
        prior = np.concatenate((beta / beta.sum() * (1 - known.sure), sure))
        found: Numbers = prior * rates**fails * (1 - rates) ** passes
        return found

    weights, when_bad, when_good = [], [], []
    for culprit in range(5):
        inside = [failed for point, failed in seen if point >= culprit]
        outside = [failed for point, failed in seen if point < culprit]
        both = np.outer(side(WHEN_BAD, sum(inside), len(inside) - sum(inside)),
                        side(WHEN_GOOD, sum(outside), len(outside) - sum(outside)))  # fmt: skip
        both *= np.subtract.outer(rates, rates) > 0
        weights.append(both.sum())
        when_bad.append(rates @ both.sum(axis=1) / both.sum())
        when_good.append(rates @ both.sum(axis=0) / both.sum())
    wanted = np.array(weights) / sum(weights)
    assert np.allclose(posterior.probabilities(), wanted, rtol=0.01)
    assert np.allclose(posterior.rates(), (when_bad, when_good), rtol=0.01)


@settings(deadline=None, max_examples=50)
@given(HISTORIES, st.lists(st.tuples(st.integers(-1, 59), st.booleans(), st.integers(1, 20))))
def test_bad_commits_fail_more_often(history: History, seen: list[tuple[int, bool, int]]) -> None:
    """Whatever is seen, and whichever candidate is the culprit."""
    posterior = Posterior(history)
    for point, failed, times in seen:
        for _ in range(times):
            posterior.record(min(point, history.bad), failed)
    when_bad, when_good = posterior.rates()
    assert (when_bad > when_good).all()
    assert posterior.probabilities().sum() == pytest.approx(1)
