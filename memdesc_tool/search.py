"""What to test next, and when the first bad commit is found. Pure: it runs nothing.

First the ends; then a plain search, which takes every verdict at its word; and as soon as two
verdicts contradict each other, a Bayesian search (posterior.py), which keeps all that was seen.
At the end the culprit must have failed and its parents passed, as often as the confidence asks.
A failure that comes as often wherever it is run ends the search, too: no commit makes it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from memdesc_tool.errors import UserError
from memdesc_tool.history import GOOD, History, Mask
from memdesc_tool.posterior import WHEN_BAD, WHEN_GOOD, Belief, Numbers, Posterior, choose

END_RUNS = 60
"""How often an end is run before it counts as what it was not expected to be: a failure that
happens once in ten runs is seen with a probability of 99.8 %."""
SURE_RUNS = 4
"""A good end that fails so often without ever passing is bad."""
NOISE, NOISE_RUNS = 20, 120
"""The search is given up where what was seen is so many times likelier if all commits fail equally
often; not before so many runs, among which a few flukes look like that."""
LONG_RUNS = 2000
"""From so many runs on it is given up where that is likelier at all."""
MARGIN = 0.65
"""The search goes on until what is left of doubt is this part of what the confidence allows, or
less, the more often bad commits fail: the priors are not those of the failure at hand, and to be
surer takes the fewer runs."""
LEAST_MARGIN = 0.05
"""No less of it: where bad commits all but always fail, one search of 200 over 3,000 went on for
a thousand runs, more than 99.9 % sure of the right answer."""
SURE_MARGIN = 0.25
"""The same while nothing is flaky: a failure that happens every other time has looked for ten
runs as if it always happened in one search of thirty."""
EXTRA_RUNS = 6
"""Where nothing is flaky, so many runs beyond the logarithm of the candidates to be surer than
the confidence asks."""

NEAR = 0.98
"""Where nothing is flaky, a cheaper test is taken only if it promises this part of what the best
one does: else a failure that always happens took up to 21 runs among 300 commits, not 16."""


class Verdict(Enum):
    """What a run says of a commit."""

    FAIL = "fail"
    PASS = "pass"
    SKIP = "skip"


@dataclass
class Tally:
    """The runs at one point."""

    fails: int = 0
    passes: int = 0

    @property
    def runs(self) -> int:
        return self.fails + self.passes


@dataclass(frozen=True)
class Answer:
    """Where the search stands.

    candidates: the likeliest first bad commits that no test tells apart, by index;
    probability: that it is among them; bad, good: expected probability to fail on either side,
    and its 95 % interval (low, high); flaky: whether verdicts contradicted each other.
    """

    candidates: tuple[int, ...]
    probability: float
    bad: tuple[float, float, float]
    good: tuple[float, float, float]
    flaky: bool


@dataclass
class Search:
    """A search among the candidates of a history.

    confidence: how sure the answer has to be; grounds: how many revisions besides the
    candidates are said to be good (the good ends, and merge bases): points GOOD, GOOD - 1, ...;
    bad_runs: the bad end is given up after so many, end_runs of them unless set;
    name: how a point is called in errors; outside: for each candidate the points (GOOD or below)
    of its parents that are no candidates, () where none is known.
    """

    history: History
    confidence: float = 0.95
    grounds: int = 1
    end_runs: int = END_RUNS
    name: Callable[[int], str] = str
    outside: tuple[tuple[int, ...], ...] = ()
    tallies: dict[int, Tally] = field(default_factory=dict)
    flaky: bool = False

    def __post_init__(self) -> None:
        self.posterior = Posterior(self.history)
        self.verified = False
        self.bad_runs = self.end_runs
        self._skips: Counter[int] = Counter()
        self._left = np.ones(len(self.history), np.bool_)

    def record(self, point: int, verdict: Verdict) -> None:
        """Take a run at a point into account.

        A skip after a verdict may be an accident. A point that was skipped more often than it had
        verdicts is not run again; the verdicts stay.
        """
        if verdict is Verdict.SKIP:
            self._skips[point] += 1
            if not self._runs_again(point):
                self._cannot_be_tested(point)
            return
        failed = verdict is Verdict.FAIL
        tally = self.tallies.setdefault(point, Tally())
        tally.fails += failed
        tally.passes += not failed
        self.posterior.record(point, failed)
        row = self.history.row(point)
        self._left &= row if failed else ~row
        self.flaky = self.flaky or not self._left.any()
        if failed and point <= GOOD - self.grounds:
            self.verified = False

    def _runs_again(self, point: int) -> bool:
        return self._skips[point] <= self._tally(point).runs

    def _cannot_be_tested(self, point: int) -> None:
        tally = self._tally(point)
        if (point == self.history.bad and not tally.fails) or (
            point in self._grounds and not tally.runs
        ):
            end = "bad" if point == self.history.bad else "good"
            raise UserError(
                f"the {end} revision {self.name(point)} cannot be tested itself",
                f"name one with --{end} that can",
            )
        self.posterior.skip(point)

    def next(self, costs: Numbers | None = None) -> int | None:
        """The point to test next; None when the answer is final.

        costs: seconds of a run at each candidate and (the last one) at the good end, all the
        same unless given. Raises UserError where the ends are not what they are said to be, or
        no commit makes a difference.
        """
        self._refuse_noise()
        costs = np.ones(len(self.history) + 1) if costs is None else costs
        if not self.verified:
            end = self._end()
            if end is not None:
                return end
            self.verified = True
        if not self.flaky and self._more_than_one_left():
            weights = np.where(self._left, self.posterior.weights, 0)
            if weights.any():
                ones = np.ones(len(weights))
                belief = Belief(weights / weights.sum(), ones, ones * 0)
                return choose(self.history, self.posterior.testable, belief, costs, NEAR)
        leaders, probability = self.posterior.leaders()
        allowed = (1 - self.confidence) * self._margin(int(leaders[-1]))
        if 1 - probability > allowed:
            return self.posterior.best(costs, allowed, 0.0 if self.flaky else NEAR)
        return self._unchecked()

    def _margin(self, culprit: int) -> float:
        if self.flaky:
            rate = float(self.posterior.rates()[0][culprit])
            return max(MARGIN * (1 - rate), LEAST_MARGIN)
        lost = sum(self._skips[point] for point in self.tallies)
        runs = self.posterior.failed + self.posterior.passed + lost
        return 1 if runs >= math.log2(len(self.history)) + EXTRA_RUNS else SURE_MARGIN

    @property
    def left(self) -> int:
        """How many candidates could still be the first bad commit: as the verdicts say, or where
        those contradict each other, as far as 1 % matters.
        """
        if not self.flaky:
            return int((self._left & (self.posterior.weights > 0)).sum())
        probabilities = self.posterior.probabilities()
        return int((probabilities > 0.01 / len(probabilities)).sum())

    @property
    def answer(self) -> Answer:
        """The answer so far."""
        leaders, probability = self._leaders()
        counts = self.posterior.counts(int(leaders[-1]))
        return Answer(
            tuple(int(one) for one in leaders), probability,
            WHEN_BAD.interval(*counts[:2]), WHEN_GOOD.interval(*counts[2:]), self.flaky,
        )  # fmt: skip

    def _leaders(self) -> tuple[npt.NDArray[np.intp], float]:
        """The likeliest candidates, and the probability that it is among them.

        What no test tells apart any more, the verdicts may have told before: where nothing is
        flaky, they are taken at their word, though the answer may be less sure than was asked.
        """
        leaders, probability = self.posterior.leaders()
        left = leaders[self._left[leaders]]
        if self.flaky or left.size in (0, leaders.size):
            return leaders, probability
        return left, float(self.posterior.probabilities()[left].sum())

    def _refuse_noise(self) -> None:
        failed = self.posterior.failed
        runs = failed + self.posterior.passed
        if runs < NOISE_RUNS:
            return
        if self.posterior.no_culprit() > (math.log(NOISE) if runs < LONG_RUNS else 0):
            raise UserError(
                f"the failure has nothing to do with the commits: {failed} of {runs} runs failed,"
                " equally often wherever they were made",
                "--good takes a revision that does not fail, or fails less often",
            )

    # -- the ends ----------------------------------------------------------------------

    def _end(self) -> int | None:
        """The end to run next; None when both are what they are said to be."""
        bad = self._tally(self.history.bad)
        if not bad.fails:
            if bad.passes >= self.bad_runs:
                raise UserError(
                    f"the bad revision {self.name(self.history.bad)} does not fail: it passed"
                    f" {bad.passes} times",
                    "--end-runs has more runs made of it",
                )
            return self.history.bad
        if bad.runs < 2 and self._runs_again(self.history.bad):
            return self.history.bad
        good = [*self._grounds, *(one for one in self.tallies if one <= GOOD - self.grounds)]
        runs = (self._to_verify(bad, point) for point in good)
        return next((point for point in runs if point is not None), None)

    def _to_verify(self, bad: Tally, point: int) -> int | None:
        """What to run next, this point or the bad end, before the point counts as good."""
        ground = self._tally(point)
        if not ground.runs:
            return point
        if not ground.fails:
            return None
        surer = _surely_more(bad, ground)
        exhausted = min(bad.runs, ground.runs) >= self.end_runs
        enough = ground.fails >= min(SURE_RUNS, self.end_runs)
        if (enough and not ground.passes) or (exhausted and surer < 0.5):
            raise self._not_good(point)
        if surer >= self.confidence or exhausted:
            return None
        fewer = point if ground.runs <= bad.runs else self.history.bad
        return fewer if self._runs_again(fewer) else None

    @property
    def _grounds(self) -> range:
        return range(GOOD, GOOD - self.grounds, -1)

    def _not_good(self, point: int) -> UserError:
        bad, good, name = self._tally(self.history.bad), self._tally(point), self.name(point)
        often = f"{good.fails} of {good.runs} runs, the bad one {bad.fails} of {bad.runs}"
        if point in self._grounds:
            return UserError(
                f"the good revision {name} fails too: {often}",
                "--good takes a revision that does not fail, or fails less often",
            )
        return UserError(
            f"the failure is older than the commits between: {name}, which a good revision"
            f" contains, fails too: {often}",
            f"--bad {name} and an older --good find where the failure began",
        )

    def _tally(self, point: int) -> Tally:
        return self.tallies.get(point, Tally())

    # -- the plain search --------------------------------------------------------------

    def _more_than_one_left(self) -> bool:
        left = np.flatnonzero(self._left & (self.posterior.weights > 0))
        return any(not self.posterior.same(int(left[0]), int(other)) for other in left[1:])

    # -- the check at the end ----------------------------------------------------------

    def _unchecked(self) -> int | None:
        """The point next to the culprit that has not been run often enough; None: all have."""
        leaders, _ = self._leaders()
        culprit, parents = around(self.posterior, leaders, self.outside)
        if culprit is not None and self._runs_again(culprit) and not self._tally(culprit).fails:
            return culprit
        fails, passes, _, _ = self.posterior.counts(int(leaders[-1]))
        wanted = self.passes_wanted(fails, passes)
        known = [point for point in parents if self._runs_again(point) or self._tally(point).runs]
        again = filter(self._runs_again, known or (GOOD,))
        return next((point for point in again if self._tally(point).passes < wanted), None)

    def passes_wanted(self, fails: int, passes: int) -> int:
        """How often a commit must pass before it counts as good, where bad ones did this."""
        rate = min(WHEN_BAD.interval(fails, passes)[0], 1 - 1e-9)
        return max(1, math.ceil(math.log(1 - self.confidence) / math.log1p(-rate) - 1e-9))


def around(
    posterior: Posterior, leaders: Iterable[int], outside: Sequence[Iterable[int]] = ()
) -> tuple[int | None, tuple[int, ...]]:
    """The first point that has the culprit, and the last ones that have it not: those that can
    be tested, or were.

    leaders: candidates that no test tells apart; outside: see Search. It is GOOD where nothing
    else is known.
    """
    history, inside = posterior.history, {int(one) for one in leaders}
    tells = posterior.testable[:GOOD] | posterior.tested
    culprit = next((one for one in sorted(inside) if tells[one]), None)
    if culprit is None:
        culprit = _first(inside, history.children, tells)
    parents: dict[int, None] = {}
    seen, todo = set(inside), sorted(inside)
    while todo:
        candidate = todo.pop()
        parents |= dict.fromkeys(outside[candidate] if outside else ())
        for parent in history.parents[candidate]:
            if parent not in seen:
                seen.add(parent)
                if tells[parent]:
                    parents[parent] = None
                else:
                    todo.append(parent)
    return culprit, tuple(parents) or (GOOD,)


def _first(inside: set[int], ways: tuple[tuple[int, ...], ...], tells: Mask) -> int | None:
    """The first point that tells something on the ways from the candidates inside."""
    todo, seen = sorted(inside), set(inside)
    while todo:
        here = todo.pop(0)
        for point in ways[here]:
            if tells[point]:
                return point
            if point not in seen:
                seen.add(point)
                todo.append(point)
    return None


def _surely_more(bad: Tally, good: Tally) -> float:
    """The probability that the bad end fails more often than the good one."""
    steps = (np.arange(400) + 0.5) / 400
    chances = []
    for tally in (bad, good):
        log = tally.fails * np.log(steps) + tally.passes * np.log1p(-steps)
        density = np.exp(log - log.max())
        chances.append(density / density.sum())
    below = np.cumsum(chances[1]) - chances[1] / 2
    return float(chances[0] @ below)
