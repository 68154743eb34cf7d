"""What observations say about which commit is the first bad one. Pure computing.

The method is that of git-bayesect (Bayes' theorem over the culprits; the probabilities of
failing before and after it are not known and are integrated out, which a beta distribution as
prior makes a closed form), taken from a line of commits to any history, and with priors that
know of failures that always or never happen: so a sure failure needs no more tests than git
bisect, and a single failure on the good side does not end the search. That a bad commit fails
more often than a good one is known beforehand, too: without it a culprit whose bad commits would
fail less often can stay as likely as the right one for ever.

The next test is not the one that promises most information, which near the end goes on asking
whether anything but the likeliest culprit is possible. What a test promises is how much it
raises the expected log-odds of the culprit (Naghshvar, Javidi, Wigger: Extrinsic Jensen-Shannon
divergence, IEEE Trans. Inf. Theory 61, 2015), in which what is surer than asked for counts
little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memdesc_tool.history import GOOD, History, Mask

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

GROUPS = 192
"""Into so many groups of like probability the candidates are taken to choose the next test."""
LIKELY = 0.01
"""From this probability on a group has odds of its own in what a test promises."""
WORTH = 0.02
"""A test is worth a look at no other if it promises this part of what is not known yet, or where
the failure comes and goes, of what a test can tell of that."""
STEPS = 256
"""Of the grid that tells how likely a rate is above another. Its steps are even in the arcsine
of the rate's root, in which n runs leave a deviation of 1 / sqrt(4 n) whatever the rate is."""
ANGLES: Numbers = (np.arange(STEPS, dtype=np.float64) + 0.5) * (math.pi / 2 / STEPS)
TINY = 1e-290
"""No rate is less likely above another: its logarithm is a number."""


@dataclass(frozen=True)
class Rate:
    """What is known beforehand of the probability to fail: beta(alpha, beta), or sure.

    sure: the probability that it is exactly 1 (always) or exactly 0 (not always).
    """

    alpha: float
    beta: float
    sure: float
    always: bool

    def parts(self, fails: Counts, passes: Counts) -> tuple[Numbers, Numbers]:
        """The logarithms of the observations' probability: with a beta rate, with a sure one."""
        beta = (
            _lgamma(self.alpha, fails) + _lgamma(self.beta, passes)
            - _lgamma(self.alpha + self.beta, fails + passes)
            - (math.lgamma(self.alpha) + math.lgamma(self.beta)
               - math.lgamma(self.alpha + self.beta))
        )  # fmt: skip
        against = passes if self.always else fails
        return (
            beta + math.log1p(-self.sure),
            np.where(against == 0, math.log(self.sure), -np.inf),
        )

    def mean(self, fails: Counts, passes: Counts) -> Numbers:
        """The expected rate after the observations, if it is beta."""
        found: Numbers = (self.alpha + fails) / (self.alpha + self.beta + fails + passes)
        return found

    def density(self, fails: Counts, passes: Counts) -> Numbers:
        """Row i, column j: how likely the i-th observations make step j, if the rate is beta.

        The highest of a row is 1.
        """
        log = np.multiply.outer(2 * (self.alpha + fails) - 1, np.log(np.sin(ANGLES)))
        log += np.multiply.outer(2 * (self.beta + passes) - 1, np.log(np.cos(ANGLES)))
        found: Numbers = np.exp(log - log.max(axis=1, keepdims=True))
        return found

    def interval(self, fails: int, passes: int, mass: float = 0.95) -> tuple[float, float, float]:
        """The expected rate, and the bounds of the interval that has this mass."""
        grid = (np.arange(4000) + 0.5) / 4000
        log = (self.alpha + fails - 1) * np.log(grid) + (self.beta + passes - 1) * np.log1p(-grid)
        density = np.exp(log - log.max())
        counts = np.array([fails]), np.array([passes])
        beta, certain = self.parts(*counts)
        sure = float(np.exp(certain - np.logaddexp(beta, certain))[0])
        density *= (1 - sure) / density.sum()
        density[-1 if self.always else 0] += sure
        mean = sure * self.always + (1 - sure) * float(self.mean(*counts)[0])
        steps = np.cumsum(density) / density.sum()
        low = int(np.searchsorted(steps, (1 - mass) / 2))
        high = int(np.searchsorted(steps, 1 - (1 - mass) / 2))
        return mean, low / 4000, min(high + 1, 4000) / 4000


WHEN_BAD = Rate(alpha=0.5, beta=1.0, sure=0.6, always=True)
WHEN_GOOD = Rate(alpha=0.5, beta=12.5, sure=0.05, always=False)
"""Chosen by `bench bisect`: a failure that always happens needs few runs more than git bisect
takes, one that does not is found as often as the confidence says. That good commits never fail
is no likelier than this, or the search believes it where they seldom do, and ends too soon."""
EVERYWHERE = Rate(alpha=0.5, beta=0.5, sure=0.05, always=True)
"""The one rate of all commits, if there is no culprit."""


def observed(
    fails: Counts, passes: Counts, good_fails: Counts, good_passes: Counts
) -> tuple[Numbers, Numbers, Numbers]:
    """The logarithm of the probability of what was seen on bad commits and on good ones, and how
    often either are expected to fail: given that bad ones fail more often.
    """
    bad, always = WHEN_BAD.parts(fails, passes)
    good, never = WHEN_GOOD.parts(good_fails, good_passes)
    more, rate_bad, rate_good = _compared(fails, passes, good_fails, good_passes)
    cases = np.stack((bad + good + np.log(more), always + good, bad + never, always + never))
    top = cases.max(axis=0)
    weight = np.exp(cases - top)
    total = weight.sum(axis=0)
    weight /= total
    sure = weight[1] + weight[3]
    when_bad = weight[0] * rate_bad + sure + weight[2] * WHEN_BAD.mean(fails, passes)
    when_good = weight[0] * rate_good + weight[1] * WHEN_GOOD.mean(good_fails, good_passes)
    return top + np.log(total), when_bad, when_good


def _compared(
    fails: Counts, passes: Counts, good_fails: Counts, good_passes: Counts
) -> tuple[Numbers, Numbers, Numbers]:
    """If both rates are beta: how likely the bad one is above the good one, and if it is, what
    both are expected to be.
    """
    bad, good = WHEN_BAD.density(fails, passes), WHEN_GOOD.density(good_fails, good_passes)
    rates = np.sin(ANGLES) ** 2
    below = np.cumsum(good, axis=1) - good / 2
    share = good * rates
    share_below = np.cumsum(share, axis=1) - share / 2
    more = np.maximum(np.einsum("ij,ij->i", bad, below), TINY)
    rate_bad = np.einsum("ij,ij,j->i", bad, below, rates) / more
    rate_good = np.einsum("ij,ij->i", bad, share_below) / more
    whole = bad.sum(axis=1) * good.sum(axis=1)
    return more / whole, rate_bad, rate_good


class Posterior:
    """The probability of each candidate to be the first bad commit.

    weights: what each candidate is worth beforehand, 1 for all unless given; 0 for one that
    cannot be it; testable: of each candidate, and (the last one) of the good end; tested: the
    candidates that had a verdict.
    """

    def __init__(self, history: History, weights: Numbers | None = None) -> None:
        size = len(history)
        self.history = history
        self.testable: Mask = np.ones(size + 1, np.bool_)
        self.tested: Mask = np.zeros(size, np.bool_)
        self._classes = history.signatures.copy()
        self._grouping: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None
        self._weights = np.ones(size) if weights is None else weights.astype(np.float64)
        self._fails = np.zeros(size, np.int64)
        self._passes = np.zeros(size, np.int64)
        self.failed = self.passed = 0
        self._known: tuple[Numbers, Numbers, Numbers] | None = None
        self._evidence = 0.0

    def record(self, point: int, failed: bool) -> None:
        """Take one run at a point (an index, or GOOD and below) into account."""
        self._known = None
        row = self.history.row(point)
        if point > GOOD:
            self.tested[point] = True
        if failed:
            self.failed += 1
            self._fails += row
        else:
            self.passed += 1
            self._passes += row

    def skip(self, point: int) -> None:
        """A point that cannot be tested; what only it would tell apart stays together."""
        if point == GOOD:
            self.testable[GOOD] = False
        elif point > GOOD and self.testable[point]:
            self.testable[point] = False
            self._grouping = None
            self._classes[self.history.row(point)] -= self.history.marks[point]

    def exclude(self, candidate: int) -> None:
        """A candidate that cannot be the first bad commit (it changes nothing, say)."""
        self._known = None
        self._weights[candidate] = 0

    def weigh(self, weights: Numbers) -> None:
        """Take other weights; 0 stays 0."""
        self._known = None
        self._weights = np.where(self._weights > 0, weights, 0)

    @property
    def weights(self) -> Numbers:
        return self._weights

    def probabilities(self) -> Numbers:
        """The probability of each candidate; the sum is 1."""
        return self._computed()[0]

    def rates(self) -> tuple[Numbers, Numbers]:
        """For each candidate: were it the first bad, how often bad and good commits fail."""
        return self._computed()[1:]

    def counts(self, candidate: int) -> tuple[int, int, int, int]:
        """Were this the first bad: (failed, passed) on bad commits, (failed, passed) on good."""
        fails, passes = int(self._fails[candidate]), int(self._passes[candidate])
        return fails, passes, self.failed - fails, self.passed - passes

    def no_culprit(self) -> float:
        """How many times likelier what was seen is if all commits fail equally often than if one
        of the candidates is the first bad commit: the logarithm.
        """
        self._computed()
        beta, always = EVERYWHERE.parts(np.array([self.failed]), np.array([self.passed]))
        return float(np.logaddexp(beta, always)[0]) - self._evidence

    def _computed(self) -> tuple[Numbers, Numbers, Numbers]:
        if self._known is None:
            kinds = self._fails * (self.passed + 1) + self._passes
            _, firsts, place = np.unique(kinds, return_index=True, return_inverse=True)
            fails, passes = self._fails[firsts], self._passes[firsts]
            log, when_bad, when_good = (
                one[place]
                for one in observed(fails, passes, self.failed - fails, self.passed - passes)
            )
            with np.errstate(divide="ignore"):
                log += np.log(self._weights)
            found = np.exp(log - log.max())
            self._evidence = float(log.max() + np.log(found.sum() / self._weights.sum()))
            self._known = found / found.sum(), when_bad, when_good
        return self._known

    def leaders(self) -> tuple[npt.NDArray[np.intp], float]:
        """The likeliest candidates that no test can tell apart, and their probability."""
        place, _ = self._alike()
        mass = np.bincount(place, self.probabilities())
        best = int(mass.argmax())
        return np.flatnonzero((place == best) & (self._weights > 0)), float(mass[best])

    def _alike(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Classes that no test tells apart: that of each candidate, the first of each class."""
        if self._grouping is None:
            _, firsts, place = np.unique(self._classes, return_index=True, return_inverse=True)
            self._grouping = place, firsts
        return self._grouping

    def same(self, one: int, other: int) -> bool:
        """Whether no test can tell two candidates apart."""
        return bool(self._classes[one] == self._classes[other])

    def best(self, costs: Numbers, allowed: float, near: float = 0.0) -> int:
        """The point whose test promises most for its cost.

        costs: seconds of a run at each point; the last one (costs[GOOD]) is the good end's;
        allowed: the probability to be wrong at which the search ends; near: see choose().
        """
        probabilities, when_bad, when_good = self._computed()
        place, firsts = self._alike()
        together = np.zeros(len(probabilities))
        together[firsts] = np.bincount(place, probabilities)
        belief = Belief(together, when_bad, when_good, allowed)
        return choose(self.history, self.testable, belief, costs, near)


@dataclass(frozen=True)
class Belief:
    """What is believed of each candidate (or group of them).

    weight: its probability to be the first bad commit; bad, good: were it, how often bad and
    good commits fail; allowed: see Posterior.best; 1 if only information counts.
    """

    weight: Numbers
    bad: Numbers
    good: Numbers
    allowed: float = 1.0

    @property
    def doubt(self) -> float:
        """The entropy in bits."""
        return -float(self.weight @ np.log2(np.maximum(self.weight, 1e-300)))

    @property
    def telling(self) -> float:
        """The information (bits, at most 1) of a test that half of the candidates would fail."""
        bad, good = self.weight @ self.bad, self.weight @ self.good
        middle, bad, good = _entropy(np.array([(bad + good) / 2, bad, good]))
        return float(middle - (bad + good) / 2)

    def grouped(self) -> tuple[npt.NDArray[np.intp], Belief]:
        """The likeliest candidate of each group, and what is believed of the groups.

        A group is some candidates that follow one another.
        """
        best, starts = _groups(self.weight)
        weight = np.add.reduceat(self.weight, starts)
        return best, Belief(weight, self.bad[best], self.good[best], self.allowed)


def choose(
    history: History, testable: Mask, belief: Belief, costs: Numbers, near: float = 0.0
) -> int:
    """The testable point, or the good end, whose test promises most for its cost.

    testable: as Posterior has it; near: the cost counts among the tests only that promise at
    least this part of what the best one does. The candidates are taken in groups that follow one
    another, and points near each group are looked at; where none of these promises a good part of
    what is to be known, all are.
    """
    groups, grouped = belief.grouped()
    points = _points(history, testable[:GOOD], groups)
    for some in (points, np.flatnonzero(testable[:GOOD])):
        tried = np.append(some, GOOD) if testable[GOOD] else some
        gains = promises(history, tried, groups, grouped)
        if gains.max() > WORTH * grouped.doubt * grouped.telling:
            break
    worth = np.where(gains >= near * gains.max(), gains / costs[tried], 0)
    return int(tried[worth.argmax()])


def _groups(probabilities: Numbers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The likeliest candidate of each group, and where the groups begin."""
    size = len(probabilities)
    if size <= GROUPS:
        every = np.arange(size)
        return every, every
    number = np.floor((np.cumsum(probabilities) - probabilities / 2) * GROUPS).astype(np.int64)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(starts[1:], size)
    best = [start + int(probabilities[start:end].argmax()) for start, end in
            zip(starts, ends, strict=True)]  # fmt: skip
    return np.array(best, np.intp), starts


def _points(history: History, testable: Mask, groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The testable points at the groups' candidates, at their parents, or else before and after."""
    near = [*groups.tolist(), *(p for group in groups for p in history.parents[group])]
    wanted = np.array(sorted(set(near)), np.intp)
    there = np.flatnonzero(testable)
    if not there.size:
        return there
    after = there[np.minimum(np.searchsorted(there, wanted), there.size - 1)]
    before = there[np.maximum(np.searchsorted(there, wanted, side="right") - 1, 0)]
    return np.unique(np.concatenate((after, before)))


def promises(
    history: History, points: npt.NDArray[np.intp], groups: npt.NDArray[np.intp], belief: Belief
) -> Numbers:
    """What one test at each point promises (bits): of information, and of odds."""
    found = np.empty(points.size)
    for start in range(0, points.size, 1024):
        some = slice(start, start + 1024)
        inside = history.block(points[some], groups) & (points[some] > GOOD)[:, np.newaxis]
        failing, information = _information(inside, belief)
        found[some] = information + _odds(inside, failing, belief)
    return found


def _information(inside: Mask, belief: Belief) -> tuple[Numbers, Numbers]:
    """How often a test at each point is expected to fail, and its information (bits).

    inside: row i, column j: whether point i contains the candidates of group j.
    """
    weight, bad, good = belief.weight, belief.bad, belief.good
    differ = np.stack((weight * (bad - good), weight * (_entropy(bad) - _entropy(good))), axis=1)
    sums = inside @ differ
    failing = sums[:, 0] + float(weight @ good)
    return failing, _entropy(failing) - (sums[:, 1] + float(weight @ _entropy(good)))


def _odds(inside: Mask, failing: Numbers, belief: Belief) -> Numbers:
    """How much a test at each point is expected to lower the doubt in the culprit (bits).

    The doubt in a candidate of probability p is log2(1 - p + allowed); inside, failing: see
    _information().
    """
    likely = np.flatnonzero(belief.weight >= LIKELY)
    if belief.allowed >= 1 or not likely.size:
        return np.zeros(len(failing))
    weight = belief.weight[likely]
    fails = np.where(inside[:, likely], weight * belief.bad[likely], weight * belief.good[likely])
    rest = 1 + belief.allowed
    failing = np.clip(failing, 1e-12, 1 - 1e-12)[:, np.newaxis]
    after = fails * np.log2(rest - fails / failing)
    after += (weight - fails) * np.log2(rest - (weight - fails) / (1 - failing))
    found: Numbers = float(weight @ np.log2(rest - weight)) - after.sum(axis=1)
    return found


def _entropy(rate: Numbers) -> Numbers:
    """The bits of a test that fails at these rates."""
    rate = np.clip(rate, 1e-12, 1 - 1e-12)
    return -(rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate))


_tables: dict[float, Numbers] = {}


def _lgamma(offset: float, counts: Counts) -> Numbers:
    """log(gamma(offset + count)) for each count, from a table."""
    table = _tables.get(offset)
    top = int(counts.max(initial=0))
    if table is None or len(table) <= top:
        table = np.array([math.lgamma(offset + count) for count in range(2 * top + 64)])
        _tables[offset] = table
    return table[counts]
