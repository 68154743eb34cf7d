"""Run a bisection: ask the search what to test, test it, keep the log, check the answer.

What a test is comes from outside (Predicate): any command (bisectcommand.py) or the KUnit
suites of a kernel (bisectkernel.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Protocol

from memdesc_tool import bisectlog
from memdesc_tool.bisectcost import Costs
from memdesc_tool.bisectlog import Consensus, Log, Run
from memdesc_tool.cache import write_atomic
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.git import SCRATCH_IDENTITY, Git
from memdesc_tool.history import GOOD, History
from memdesc_tool.posterior import Numbers
from memdesc_tool.search import END_RUNS, Answer, Search, Verdict, around
from memdesc_tool.workspace import Workspace

TRIES = 3
"""How often a run is tried before an infrastructure failure ends the bisection."""
END_SECONDS, FEWEST_RUNS = 600, 10
"""A bad end that only passes is given up after so many seconds of running it again, but not before
so many runs: a failure that happens three times in ten is seen in them with 97 %."""


@dataclass(frozen=True)
class Tested:
    """What a test says: see bisectlog.Run. same: the kernel is that of the commit's parent."""

    verdict: Verdict
    detail: str = ""
    same: bool = False


class Predicate(Protocol):
    """What tests a commit."""

    sought: str
    """The kind of failure that is looked for; empty until it is known."""
    failing: tuple[str, ...]
    """What failed at the bad end, if the good end is to tell which of it is looked for."""

    def test(self, commit: str, number: int, label: str, *, end: str = "") -> Tested:
        """Test a commit for the number-th time (from 0). end: "bad", "good" or neither.

        Raises InfraError where nothing is said about the commit.
        """

    def known(self, commits: Iterable[str]) -> dict[str, list[Tested]]:
        """What is stored already about some of the commits; asked once the ends are verified."""

    def evidence(self, commit: str, number: int) -> Path | None:
        """The file with the output of a commit's number-th test, if there is one."""

    def weights(self, history: History) -> Numbers | None:
        """What each candidate is worth beforehand; None: all the same. Asked as known() is."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    git: a repository with all the commits; grounds: revisions that are said to be good, and
    merge bases, full object ids; first_parent as git's; end_runs: see Search, None where time
    counts too (END_SECONDS).
    """

    git: Git
    history: History
    grounds: tuple[str, ...]
    first_parent: bool = False
    confidence: float = 0.95
    end_runs: int | None = None
    max_runs: int = 0

    @cached_property
    def good(self) -> dict[str, int]:
        """The points of what is said to be good: the grounds, then the candidates' parents."""
        parents = chain.from_iterable(self.history.outside)
        every = dict.fromkeys(chain(self.grounds, parents))
        return {commit: GOOD - number for number, commit in enumerate(every)}

    def commit(self, point: int) -> str:
        """The object id of a point of the search."""
        return tuple(self.good)[GOOD - point] if point <= GOOD else self.history.commits[point]

    def point(self, commit: str) -> int | None:
        """The point of an object id; None where it is none."""
        return self.good.get(commit, self.history.index.get(commit))


@dataclass(frozen=True)
class Found:
    """What a bisection came to.

    answer: see search.py; whole: whether the search came to its end (max_runs did not end
    it); runs: all, in order; culprits: object ids, one unless commits that cannot be tested
    are in the way; reverted: what the culprit's revert on top of bad came to, None where that
    was not asked.
    """

    answer: Answer
    whole: bool
    runs: tuple[Run, ...]
    culprits: tuple[str, ...]
    parents: tuple[str, ...]
    sought: str
    log: Path
    reverted: str | None = None
    revert_good: bool = True


@dataclass
class Bisection:
    """A bisection that runs.

    log: the file; told: called with each run that has ended; subjects: of what has run.
    """

    question: Question
    predicate: Predicate
    log: Path
    progress: Progress
    told: Callable[[Run, int], None] = lambda _run, _left: None
    runs: list[Run] = field(default_factory=list)
    reverts: list[Run] = field(default_factory=list)
    same: dict[str, None] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        question = self.question
        self.search = Search(
            question.history, question.confidence, len(question.grounds),
            question.end_runs or END_RUNS,
            lambda point: question.commit(point)[:12],
            tuple(tuple(map(question.good.__getitem__, one)) for one in question.history.outside),
        )  # fmt: skip
        self.costs = Costs(question.history)

    def replay(self, path: Path) -> None:
        """Take the runs of a log into account that are about commits of this question.

        Where the log (one of git's, say) does not tell what failed at the bad end, both ends are
        run again: they tell which failure is looked for. Raises UserError where it has no run of
        this history.
        """
        log = bisectlog.read(path)
        self.predicate.sought, self.predicate.failing = log.sought, log.failing
        self.reverts = list(log.reverts)
        told, known = bool(log.sought or log.failing), False
        for run in log.runs:
            status, out, _ = self.question.git.attempt("rev-parse", "--verify", "--quiet",
                                                       f"{run.commit}^{{commit}}")  # fmt: skip
            point = None if status else self.question.point(out.strip())
            if point is None:
                continue
            known = True
            failed = point == self.question.history.bad and run.verdict is Verdict.FAIL
            if told or not (failed or point <= GOOD):
                self._record(replace(run, commit=out.strip()))
        if not known:
            raise UserError(f"{path} has no verdict on a commit between good and bad")
        for commit in log.same:
            self._exclude(commit)

    def skip(self, commit: str) -> None:
        """Take a commit for one that cannot be tested. Raises UserError where it is no point."""
        if self.question.point(commit) is None:
            raise UserError(f"--skip {commit[:12]}: it is not between good and bad")
        skipped = {run.commit for run in self.runs if run.verdict is Verdict.SKIP}
        if commit not in skipped:
            self._record(Run(commit, Verdict.SKIP, 0.0, "--skip"))

    def run(self) -> Found:
        """Search until the answer is final. Raises UserError, InfraError."""
        prepared = False
        while (point := self._next()) is not None:
            if self.search.verified and not prepared:
                prepared = True
                self._prepare()
                continue
            if self.question.max_runs and len(self.runs) >= self.question.max_runs:
                return self.found(whole=False)
            self._test(point)
        return self.found(whole=True)

    def _next(self) -> int | None:
        runs = self._bad_end_passes()
        if not self.question.end_runs and len(runs) > FEWEST_RUNS:
            spent = sum(run.seconds for run in runs[1:])
            self.search.bad_runs = len(runs) if spent >= END_SECONDS else END_RUNS
        return self.search.next(self.costs.expected())

    def _bad_end_passes(self) -> list[Run]:
        bad = self.question.history.commits[-1]
        return [run for run in self.runs if run.commit == bad and run.verdict is Verdict.PASS]

    def _prepare(self) -> None:
        """Ask what is stored and which commits are worth little, before anything more is run."""
        history = self.question.history
        had = {run.commit for run in self.runs}
        asked = [commit for commit in history.commits if commit not in had]
        for commit, tests in self.predicate.known(asked).items():
            for tested in tests:
                self._record(Run(commit, tested.verdict, 0.0, tested.detail))
        if (weights := self.predicate.weights(history)) is not None:
            self.search.posterior.weigh(weights)

    def _test(self, point: int) -> None:
        commit = self.question.commit(point)
        number = sum(run.commit == commit for run in self.runs)
        end = "bad" if point == self.question.history.bad else "good" if point <= GOOD else ""
        run, same = self._timed(commit, number, end)
        self._record(run)
        if same:
            self._exclude(commit)
        self.save()
        self.told(run, self.search.left)
        if end == "bad" and number == 0 and run.verdict is Verdict.PASS:
            self._say_that_bad_passed()

    def _say_that_bad_passed(self) -> None:
        name, most = self.question.commit(self.question.history.bad)[:12], self.search.end_runs - 1
        minutes = f", or {END_SECONDS // 60} minutes" if not self.question.end_runs else ""
        self.progress.note(
            f"the bad revision {name} passed: it is run again until it fails, {most} times at most"
            f"{minutes} (--end-runs says how often)"
        )

    def _timed(self, commit: str, number: int, end: str = "") -> tuple[Run, bool]:
        """A run, and whether the kernel is that of the commit's parent."""
        started = time.monotonic()
        tested = self.test(commit, number, end)
        run = Run(commit, tested.verdict, time.monotonic() - started, tested.detail)
        return run, tested.same

    def test(self, commit: str, number: int, end: str = "") -> Tested:
        """Test a commit; an infrastructure failure is retried, and at last raised."""
        label = f"[run {len(self.runs) + 1}, {self.search.left} left] {commit[:12]}"
        for attempt in range(1, TRIES + 1):
            try:
                return self.predicate.test(commit, number, label, end=end)
            except InfraError as error:
                if attempt == TRIES:
                    if not end:
                        over = f"--skip {commit[:12]} passes over this commit"
                        error.hint = f"{error.hint}; {over}" if error.hint else over
                    raise
                self.progress.note(f"{error.message}: tried again")
        raise AssertionError("the loop returns or raises")

    def test_revert(self, commit: str, number: int, found: Found) -> Run:
        """The number-th run of a revert of the culprit: that of the log, or a new one."""
        known = [run for run in self.reverts if run.commit == commit]
        if number < len(known):
            return known[number]
        run, _ = self._timed(commit, number)
        self.reverts.append(run)
        self.save(found)
        self.told(run, self.search.left)
        return run

    def _record(self, run: Run) -> None:
        point = self.question.point(run.commit)
        assert point is not None, "callers ask"
        self.search.record(point, run.verdict)
        if run.made:
            self.costs.took(point, run.seconds)
        self.runs.append(run)

    def _exclude(self, commit: str) -> None:
        point = self.question.history.index.get(commit)
        if point is not None:
            self.same[commit] = None
            self.search.posterior.exclude(point)

    def found(self, *, whole: bool) -> Found:
        """What the search has come to."""
        answer, commits = self.search.answer, self.question.history.commits
        _, parents = around(self.search.posterior, answer.candidates, self.search.outside)
        return Found(
            answer, whole, tuple(self.runs), tuple(commits[one] for one in answer.candidates),
            tuple(self.question.commit(point) for point in parents), self.predicate.sought,
            self.log,
        )  # fmt: skip

    def save(self, found: Found | None = None) -> None:
        """Write the log, all or nothing."""
        question = self.question
        log = Log(tuple(self.runs), self.predicate.sought, tuple(self.same),
                  self.predicate.failing, tuple(self.reverts))  # fmt: skip
        for commit in {run.commit for run in (*log.runs, *log.reverts)} - self.subjects.keys():
            self.subjects[commit] = question.git.subject(commit)
        start = [*(["--first-parent"] if question.first_parent else []),
                 question.history.commits[-1], *question.grounds]  # fmt: skip
        culprit = culprit_lines(found) if found and found.whole else ()
        consensus = Consensus(tuple(start), tuple(self._consensus()), self.subjects,
                              tuple(culprit))  # fmt: skip
        write_atomic(self.log, bisectlog.render(log, consensus).encode(errors="surrogateescape"))

    def _consensus(self) -> Iterable[tuple[Verdict, str]]:
        """A verdict for each commit that was run, as it follows from the answer so far."""
        candidate = self.search.answer.candidates[-1]
        run = {run.commit: run.verdict for run in self.runs}
        points = sorted((self.question.point(commit) or 0 for commit in run), reverse=True)
        for point in points:
            commit = self.question.commit(point)
            if point not in self.search.tallies:
                yield Verdict.SKIP, commit
            elif self.search.history.row(point)[candidate]:
                yield Verdict.FAIL, commit
            else:
                yield Verdict.PASS, commit


def culprit_lines(found: Found) -> list[str]:
    """The lines that say which commit it is."""
    if len(found.culprits) == 1:
        return [f"first bad commit: {found.culprits[0]}"]
    return ["first bad commit is one of:", *found.culprits]


def reverted(workspace: Workspace, bad: str, culprit: str) -> str | None:
    """A commit on top of bad without what culprit did; None where it cannot be reverted."""
    git = workspace.scratch
    files = git.run("diff", "--name-only", "-z", f"{culprit}^", culprit).split("\0")
    am = workspace.am_worktree(bad, [name for name in files if name])
    am.attempt("revert", "--quit")
    merge = ["-m", "1"] if len(git.run("rev-parse", f"{culprit}^@").split()) > 1 else []
    env = {**SCRATCH_IDENTITY, "GIT_AUTHOR_DATE": SCRATCH_IDENTITY["GIT_COMMITTER_DATE"]}
    if am.attempt("revert", "--no-edit", *merge, culprit, env=env)[0]:
        am.attempt("revert", "--abort")
        return None
    return am.commit("HEAD")


def check_revert(bisection: Bisection, workspace: Workspace, found: Found) -> Found:
    """Test the culprit's revert on top of bad as often as the confidence asks.

    Where that cannot be done, the result says why.
    """
    if len(found.culprits) != 1:
        return _unchecked(found, "there are several culprits")
    try:
        return _check_revert(bisection, workspace, found)
    except InfraError as error:
        return _unchecked(found, error.message)


def _check_revert(bisection: Bisection, workspace: Workspace, found: Found) -> Found:
    if not workspace.scratch.run("rev-parse", f"{found.culprits[0]}^@"):
        return _unchecked(found, "the culprit has no parent")
    commit = reverted(workspace, bisection.question.history.commits[-1], found.culprits[0])
    if commit is None:
        return _unchecked(found, "it does not revert on top of bad without conflicts")
    fails, passes, *_ = bisection.search.posterior.counts(found.answer.candidates[-1])
    wanted = bisection.search.passes_wanted(fails, passes)
    for number in range(wanted):
        run = bisection.test_revert(commit, number, found)
        if run.verdict is Verdict.SKIP:
            return _unchecked(found, f"bad with it reverted cannot be tested: {run.detail}")
        if run.verdict is Verdict.FAIL:
            says = f"bad with it reverted fails, too ({run.detail})"
            return replace(found, reverted=says, revert_good=False)
    times = "once" if wanted == 1 else f"{wanted} times"
    return replace(found, reverted=f"bad with it reverted passes ({times})")


def _unchecked(found: Found, why: str) -> Found:
    return replace(found, reverted=f"the revert was not checked: {why}")
