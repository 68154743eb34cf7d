"""How long a run at each candidate is going to take, judged by the runs so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from memdesc_tool.history import GOOD, History
from memdesc_tool.posterior import Numbers

_ONES = np.array([number.bit_count() for number in range(256)], np.int64)
LEAST, MOST = 0.25, 1.5
"""A change to another commit takes that part of the usual time at least, and at most."""


@dataclass
class Costs:
    """Seconds: a repetition at the commit that is built costs its run, any other commit the
    more the further away it is.

    here: the point that is built, None before the first.
    """

    history: History
    here: int | None = None
    repeats: list[float] = field(default_factory=list)
    changes: list[tuple[int, float]] = field(default_factory=list)

    def took(self, point: int, seconds: float) -> None:
        """A run at a point took so long."""
        if point == self.here:
            self.repeats.append(seconds)
        elif self.here is None:
            pass  # the first build of all is like no other
        else:
            self.changes.append((self._distance(point), seconds))
        self.here = point

    def expected(self) -> Numbers:
        """Seconds for a run at each candidate; the last number is the good end's."""
        size = len(self.history)
        if not self.changes or self.here is None:
            return np.ones(size + 1)
        change = max(fmean(seconds for _, seconds in self.changes), 1e-3)
        repeat = fmean(self.repeats) if self.repeats else change / 4
        typical = max(fmean(distance for distance, _ in self.changes), 1)
        far = np.append(self._distances(), self._distance(GOOD)) / typical
        costs = np.maximum(change * np.clip(np.sqrt(far), LEAST, MOST), repeat)
        costs[self.here if self.here > GOOD else GOOD] = repeat
        return np.maximum(costs, 1e-3)

    def _distance(self, point: int) -> int:
        """The commits that only one of a point and the one that is built has."""
        assert self.here is not None
        return int(np.count_nonzero(self.history.row(point) ^ self.history.row(self.here)))

    def _distances(self) -> Numbers:
        assert self.here is not None
        here = np.packbits(self.history.row(self.here))
        found: Numbers = _ONES[self.history.contained ^ here].sum(axis=1).astype(np.float64)
        return found
