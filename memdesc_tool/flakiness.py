"""How sure one can be about a case that does not always come to the same.

A case's attempts on the same inputs are taken as independent draws with one probability of
failing. Estimates are Jeffreys' (Beta(1/2, 1/2) prior), intervals Wilson's: both behave with
the few attempts that a kernel test can be given (Brown, Cai and DasGupta, "Interval
Estimation for a Binomial Proportion", 2001).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, comb, log, sqrt

from memdesc_tool.results import Verdict

SURE = 0.01
"""The chance of a wrong answer that a confirmation is made long enough for."""
SIGNIFICANT = 0.05
Z95 = 1.959964
LEAST, MOST = 2, 8
"""Attempts of a confirmation."""


@dataclass(frozen=True)
class Rate:
    """How often a case failed: failures of runs."""

    failures: int
    runs: int

    @property
    def estimate(self) -> float:
        """The probability of failing."""
        return (self.failures + 0.5) / (self.runs + 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the probability."""
        if not self.runs:
            return 0.0, 1.0
        n, share, z = self.runs, self.failures / self.runs, Z95
        middle = share + z * z / (2 * n)
        spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.failures + other.failures, self.runs + other.runs)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"fails {self.failures} of {self.runs}: {self.estimate:.0%},"
            f" 95 % interval {low:.0%} to {high:.0%}"
        )


def rate_of(verdicts: Iterable[Verdict], bad: Verdict = Verdict.FAILED) -> Rate:
    """How often a case came to bad over its attempts."""
    every = list(verdicts)
    return Rate(sum(one is bad for one in every), len(every))


def repeats(chance: float) -> int:
    """How many times in a row something of this chance must happen until it is not chance."""
    if chance <= 0:
        return LEAST
    if chance >= 1:
        return MOST
    return min(MOST, max(LEAST, ceil(log(SURE) / log(chance))))


def worse(parent: Rate, now: Rate) -> float:
    """The chance that now fails as much more often than its parent as it did, or more, though
    both have the same probability (Fisher's exact test, one-sided).
    """
    failures, runs = parent.failures + now.failures, parent.runs + now.runs
    every = comb(runs, failures)
    most = min(failures, now.runs)
    return sum(
        comb(now.runs, k) * comb(parent.runs, failures - k) / every
        for k in range(now.failures, most + 1)
        if failures - k <= parent.runs
    )
