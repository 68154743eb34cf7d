"""Simulated bisections: histories with merges, failures that happen now and then.

The same trials can be given to git-bayesect, where it is installed: it sees the line of first
parents, as it does in a repository, so it has fewer candidates to tell apart.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from memdesc_tool.bisectcost import Costs
from memdesc_tool.errors import UserError
from memdesc_tool.history import GOOD, History
from memdesc_tool.search import Search, Verdict

MOST_RUNS, MOST_OF_THEIRS = 20_000, 5_000
"""Where a trial is given up: git-bayesect may never end where the culprit cannot be built."""


@dataclass(frozen=True)
class Setting:
    """A kind of trial: commits; probabilities to fail with and without the culprit; the part
    of the commits that cannot be built.
    """

    commits: int
    when_bad: float
    when_good: float
    unbuildable: float = 0.1
    confidence: float = 0.95


@dataclass(frozen=True)
class Trial:
    """A history, its culprit (an index), and the commits that cannot be built."""

    setting: Setting
    history: History
    culprit: int
    unbuildable: frozenset[int]
    seed: str

    def run(self, point: int, random_: random.Random) -> Verdict:
        """Run a point of the history."""
        if point in self.unbuildable:
            return Verdict.SKIP
        bad = point > GOOD and bool(self.history.row(point)[self.culprit])
        rate = self.setting.when_bad if bad else self.setting.when_good
        return Verdict.FAIL if random_.random() < rate else Verdict.PASS


@dataclass(frozen=True)
class Outcome:
    """What a search came to: whether it was right, its runs with verdict, and the others."""

    right: bool
    runs: int
    skips: int


@dataclass(frozen=True)
class Figures:
    """Of all trials of a setting: part that was right, median and most runs, median skips."""

    right: float
    median: float
    most: int
    skips: float


def make_history(commits: int, random_: random.Random) -> History:
    """A mainline with branches of one to six commits, begun up to twenty commits before."""
    parents: list[tuple[int, ...]] = [()]
    tip = 0
    while len(parents) < commits:
        room = commits - len(parents)
        if room >= 2 and random_.random() < 0.15:
            last = random_.randrange(max(0, tip - 20), tip + 1)
            for _ in range(min(random_.randint(1, 6), room - 1)):
                parents.append((last,))
                last = len(parents) - 1
            parents.append((tip, last))
        else:
            parents.append((tip,))
        tip = len(parents) - 1
    return History(tuple(f"{number:040x}" for number in range(commits)), tuple(parents))


def make_trial(setting: Setting, number: int) -> Trial:
    """The number-th trial of a setting: always the same one."""
    seed = f"{setting} {number}"
    random_ = random.Random(seed)
    history = make_history(setting.commits, random_)
    culprit = random_.randrange(setting.commits)
    broken = (n for n in range(setting.commits - 1) if random_.random() < setting.unbuildable)
    return Trial(setting, history, culprit, frozenset(broken), seed)


def ours(trial: Trial, rebuild: float = 0.0) -> Outcome:
    """The search of this tool on a trial. Ends that it takes for what they are not are wrong.

    rebuild: how long it takes to go from one end of the history to the other, where a run takes
    1; 0 where the search is not to know of costs.
    """
    random_ = random.Random(trial.seed + " runs")
    search, costs = Search(trial.history, trial.setting.confidence), Costs(trial.history)
    counts = dict.fromkeys(Verdict, 0)
    here = GOOD
    right = True
    try:
        while (point := search.next(costs.expected())) is not None:
            if sum(counts.values()) >= MOST_RUNS:
                break
            verdict = trial.run(point, random_)
            search.record(point, verdict)
            counts[verdict] += 1
            if rebuild:
                changed = (trial.history.row(point) ^ trial.history.row(here)).mean()
                costs.took(point, 1 + rebuild * math.sqrt(changed))
                here = point
    except UserError:
        right = False
    candidates = search.answer.candidates
    right = right and trial.culprit in candidates and _together(trial, candidates)
    return Outcome(right, counts[Verdict.FAIL] + counts[Verdict.PASS], counts[Verdict.SKIP])


def _together(trial: Trial, candidates: Sequence[int]) -> bool:
    """Whether no commit that can be built tells the candidates apart: else the answer is vague."""
    rows = [number for number in range(len(trial.history)) if number not in trial.unbuildable]
    block = trial.history.block(np.array(rows), np.array(candidates))
    return bool((block == block[:, :1]).all())


@np.errstate(divide="ignore", invalid="ignore")  # of commits that it has ruled out
def theirs(trial: Trial, bisector: Callable[..., object]) -> Outcome:
    """git-bayesect's class Bisector on the first parents of a trial.

    Index 0 is the newest commit there. It is told of a commit that cannot be built (which it
    then rules out as culprit), and where it asks for it again it gets the next one that can.
    """
    random_ = random.Random(trial.seed + " runs")
    line = [len(trial.history) - 1]
    while parents := trial.history.parents[line[-1]]:
        line.append(parents[0])
    wanted = max(n for n, point in enumerate(line) if trial.history.row(point)[trial.culprit])
    engine = bisector(np.ones(len(line)))
    runs = skips = 0
    told: set[int] = set()
    while engine.distribution.max() < trial.setting.confidence:  # type: ignore[attr-defined]
        index = int(engine.select())  # type: ignore[attr-defined]
        while index in told:
            index = index + 1 if index + 1 < len(line) else 0
        verdict = trial.run(line[index], random_)
        if verdict is Verdict.SKIP:
            told.add(index)
            skips += 1
        runs += verdict is not Verdict.SKIP
        failed = None if verdict is Verdict.SKIP else verdict is Verdict.FAIL
        engine.record(index, failed)  # type: ignore[attr-defined]
        if runs + skips > MOST_OF_THEIRS:
            break
    best = int(engine.distribution.argmax())  # type: ignore[attr-defined]
    return Outcome(best == wanted, runs, skips)


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """The figures of a setting's trials."""
    runs = [one.runs for one in outcomes]
    return Figures(
        sum(one.right for one in outcomes) / len(outcomes), median(runs), max(runs),
        median(one.skips for one in outcomes),
    )  # fmt: skip
