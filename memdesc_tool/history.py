"""The commits among which the first bad one is, and which of them contains which.

Those that the bad revision has and no good one: the same as git bisect takes. Which commit
contains which is kept as bits, an eighth of a byte a pair, so that a release's worth of commits
(15,000) takes 28 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from memdesc_tool.errors import UserError
from memdesc_tool.git import Git

Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]

GOOD = -1
"""The index of a good end, as is every one below: it contains none of the candidates."""
MOST = 60_000
"""Candidates that are taken at once: their bits are 450 MB."""


@dataclass(frozen=True)
class History:
    """The candidates, parents before children; the last one is the bad revision.

    commits: object ids; parents: for each candidate the indices of those of its parents that
    are candidates themselves; outside: the object ids of the others, which are said to be good.
    """

    commits: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    outside: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.commits)

    @property
    def bad(self) -> int:
        """The index of the bad end."""
        return len(self.commits) - 1

    @cached_property
    def index(self) -> dict[str, int]:
        """The index of each candidate by its object id."""
        return {commit: number for number, commit in enumerate(self.commits)}

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each candidate the indices of its children."""
        found: list[list[int]] = [[] for _ in self.commits]
        for child, parents in enumerate(self.parents):
            for parent in parents:
                found[parent].append(child)
        return tuple(map(tuple, found))

    @cached_property
    def contained(self) -> Bits:
        """Row i, column j: whether commit i contains commit j; packed along the rows."""
        size = len(self.commits)
        rows = np.zeros((size, (size + 7) // 8), np.uint8)
        for number, parents in enumerate(self.parents):
            for parent in parents:
                rows[number] |= rows[parent]
            rows[number, number >> 3] |= 128 >> (number & 7)
        return rows

    def row(self, point: int) -> Mask:
        """Which candidates a point (an index, or GOOD and below) contains."""
        if point <= GOOD:
            return np.zeros(len(self), np.bool_)
        return np.unpackbits(self.contained[point], count=len(self)).astype(np.bool_)

    def block(self, points: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Mask:
        """Row i, column j: whether points[i] contains columns[j]."""
        bits = self.contained[np.ix_(points, columns >> 3)]
        found: Mask = (bits >> (7 - (columns & 7)).astype(np.uint8)) & 1 != 0
        return found

    @cached_property
    def signatures(self) -> npt.NDArray[np.uint64]:
        """For each candidate the sum of marks() of the points that contain it."""
        total = np.zeros(len(self), np.uint64)
        for point, mark in enumerate(self.marks):
            total[self.row(point)] += mark
        return total

    @cached_property
    def marks(self) -> npt.NDArray[np.uint64]:
        """A number for each point; sums of them tell sets of points apart (64 random bits)."""
        generator = np.random.default_rng(len(self))
        return generator.integers(1, 2**63, len(self), np.uint64)


def read_history(git: Git, bad: str, good: Sequence[str], *, first_parent: bool) -> History:
    """The candidates between good and bad (full object ids) in a repository.

    Raises UserError where there is none, or there are more than MOST.
    """
    options = ["--first-parent"] if first_parent else []
    out = git.run(
        "rev-list", "--reverse", "--topo-order", "--parents", *options, bad, "--not", *good
    )
    lines = [line.split() for line in out.splitlines()]
    if not lines:
        raise UserError(
            f"{bad[:12]} has no commit that {', '.join(one[:12] for one in good)} lacks",
            "--good takes the older revision, --bad the newer",
        )
    if len(lines) > MOST:
        raise UserError(
            f"there are {len(lines)} commits between good and bad, more than {MOST}",
            "take --first-parent, or a range that is smaller",
        )
    index = {line[0]: number for number, line in enumerate(lines)}
    taken = 2 if first_parent else None
    parents = tuple(tuple(index[one] for one in line[1:taken] if one in index) for line in lines)
    outside = tuple(tuple(one for one in line[1:taken] if one not in index) for line in lines)
    return History(tuple(index), parents, outside)


def merge_bases(git: Git, bad: str, good: Sequence[str]) -> tuple[str, ...]:
    """Where the good revisions left the history of bad, as far as they are not in it.

    Each must be good too, or the failure was there before and good has its fix.
    """
    found: dict[str, None] = {}
    for one in good:
        if git.attempt("merge-base", "--is-ancestor", one, bad)[0]:
            status, out, _ = git.attempt("merge-base", "--all", one, bad)
            if status:
                raise UserError(f"{one[:12]} and {bad[:12]} have no history in common")
            found |= dict.fromkeys(out.split())
    return tuple(found)
