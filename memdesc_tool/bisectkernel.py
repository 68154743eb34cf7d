"""Test commits with a KUnit suite: build the kernel, boot it, look for one kind of failure.

A stored result is taken before anything is built, a kernel that is built is not built again
for another run, and one that is the same, bit for bit, as one that ran has that one's results.
An option that comes or goes on the way is left out where the kernel does not define it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from memdesc_tool import kunit, kunitrun, reading
from memdesc_tool.baseline import RUN, SPLAT
from memdesc_tool.bisect import Tested
from memdesc_tool.bisectlog import STORED
from memdesc_tool.build import Build
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, InfraError, UserError
from memdesc_tool.history import History
from memdesc_tool.kunit import KunitRequest
from memdesc_tool.kunitrun import KunitRunner
from memdesc_tool.overlay import overlaid_before, overlay
from memdesc_tool.posterior import Numbers
from memdesc_tool.regress import Column
from memdesc_tool.results import Attempt, Outcome, Store, key_of
from memdesc_tool.results import Verdict as CaseVerdict
from memdesc_tool.search import Verdict
from memdesc_tool.workspace import Workspace

UNLIKELY = 0.02
"""What a commit is worth that touches no file that the kernel at an end was built from."""
NOT_BUILT = (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED)


@dataclass(frozen=True)
class Wanted:
    """Which failure is looked for.

    case: glob of case ids, or of splats' names; anything: whatever fails is bad.
    """

    case: str = ""
    anything: bool = False


@dataclass
class KernelPredicate:
    """Tests commits with a suite on an arch; see bisect.Predicate."""

    workspace: Workspace
    store: Store
    column: Column
    progress: Progress
    wanted: Wanted
    overlaid: bool = True
    rerun: bool = False
    jobs: int | None = None
    sought: str = ""
    failing: tuple[str, ...] = ()
    _built: tuple[str, Build, bool] | None = None
    _images: dict[str, str] = field(default_factory=dict)
    _of_commit: dict[str, str] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _logs: dict[tuple[str, int], Path] = field(default_factory=dict)

    # -- bisect.Predicate --------------------------------------------------------------

    def test(self, commit: str, number: int, label: str, *, end: str = "") -> Tested:
        """The number-th attempt of a commit: the stored one, or a run. Raises InfraError."""
        try:
            tree = self._tree(commit)
        except FailedError as error:
            return Tested(Verdict.SKIP, error.message)
        attempts = () if self.rerun else self._stored(tree)
        if number < len(attempts):
            return self._judge(attempts[number], end, stored=True)
        with self.workspace.cache.lock(f"job-{key_of(self._inputs(tree))[:2]}"):
            attempt = self._run(commit, tree, label)
        self._logs[commit, number] = Path(attempt.log)
        if end:
            self._used |= self._runner.reading(self.column, self.workspace.source) or set()
        return replace(self._judge(attempt, end), same=self._is_parents(commit))

    def known(self, commits: Iterable[str]) -> dict[str, list[Tested]]:
        """The attempts that are stored of any commit, without laying anything over it anew."""
        if self.rerun:
            return {}
        out = self.workspace.scratch.run(
            "log", "--no-walk=unsorted", "--stdin", "--format=%H %T",
            stdin="".join(f"{commit}\n" for commit in commits).encode(),
        )  # fmt: skip
        trees = dict(line.split() for line in out.splitlines())
        if self.overlaid:
            trees = overlaid_before(self.workspace, trees, self.column.suite)
        found = {}
        for commit, tree in trees.items():
            if attempts := self._stored(tree):
                found[commit] = [self._judge(attempt, "", stored=True) for attempt in attempts]
        return found

    def evidence(self, commit: str, number: int) -> Path | None:
        if self.rerun or (commit, number) in self._logs:
            return self._logs.get((commit, number))
        attempts = self._stored(self._tree(commit))
        return Path(attempts[number].log) if number < len(attempts) else None

    def weights(self, history: History) -> Numbers | None:
        """Little for what touches no file of the kernels at the ends, as far as those are known."""
        if not self._used:
            return None
        touched = reading.touching(self.workspace.scratch, history.commits, self._used)
        return np.array([1 if commit in touched else UNLIKELY for commit in history.commits])

    # -- running -----------------------------------------------------------------------

    @property
    def _runner(self) -> KunitRunner:
        return KunitRunner(self.workspace, self.progress, self.jobs)

    def _tree(self, commit: str) -> str:
        if self.overlaid:
            commit = overlay(self.workspace, commit, [self.column.suite])
        return self.workspace.scratch.tree(commit)

    def _inputs(self, tree: str, *, strict: bool = True) -> Mapping[str, str]:
        """What a tree's results are stored by; not strict: some options may be left out."""
        inputs = self._runner.inputs(self.column, tree)
        return inputs if strict else {**inputs, "options": "as far as they are defined"}

    def _key(self, tree: str) -> str:
        """By what the results of a tree are stored that count here.

        Those of a kernel with every option; else those of one that was tried without some.
        """
        strict = key_of(self._inputs(tree))
        attempts = self.store.attempts(strict)
        if attempts and attempts[-1].outcome is not Outcome.CONFIG_FAILED:
            return strict
        return key_of(self._inputs(tree, strict=False))

    def _stored(self, tree: str) -> tuple[Attempt, ...]:
        return self.store.attempts(self._key(tree))

    def _build(self, request: KunitRequest, commit: str, label: str) -> tuple[Build, bool]:
        """Build a commit; without the options that it does not define, and False then."""
        cache = self.workspace.cache
        build = kunit.build_kernel(request, cache, self.progress, label)
        lacking = build.config.missing
        if not lacking or not all(missing.unknown for missing in lacking):
            return build, build.config.ok
        names = [missing.option.name for missing in lacking]
        self.progress.note(f"{commit[:12]} does not define {_few(names)}: built without")
        request = replace(request, fragment=request.fragment.without(names))
        return kunit.build_kernel(request, cache, self.progress, label), False

    def _run(self, commit: str, tree: str, label: str) -> Attempt:
        cache = self.workspace.cache
        logs = cache.logs / key_of(self._inputs(tree))[:16] / f"bisect-{len(self._stored(tree))}"
        source = self.workspace.source
        request = self._runner.request(self.column, source, logs)
        started, same = time.time(), None
        with cache.lock(kunit.build_lock(request.build_dir), on_wait=self.progress.note):
            if self._built is None or self._built[0] != tree:
                self._built = None
                self.workspace.checkout(tree)
                self._built = (tree, *self._build(request, commit, label))
            _, build, strict = self._built
            if build.image is None:
                attempt = kunitrun.attempt_of(kunit.not_built(build), started)
            elif (same := self._same_as(commit, build.image)) is not None:
                attempt = self.store.attempts(same)[-1]
            else:
                result = kunit.execute(request, build, cache, self.progress, label)
                if result.outcome is kunit.Outcome.NOT_BOOTED:
                    raise InfraError(
                        f"{self.column.name}: {'; '.join(result.reasons)}",
                        f"its output: {result.boot.log if result.boot else logs}",
                    )
                attempt = kunitrun.attempt_of(result, started)
        inputs = self._inputs(tree, strict=strict)
        first = not self.store.attempts(key_of(inputs))
        self.store.add(inputs, attempt)
        read = self._runner.reading(self.column, source) if first else None
        if read is not None and attempt.outcome is Outcome.RAN:
            self.store.keep_reading(key_of(inputs), read)
        if same and first:
            self.store.mark_inherited(key_of(inputs), same)
        return attempt

    def _same_as(self, commit: str, image: Path) -> str | None:
        """The key of another commit with the same kernel, bit for bit, if one has run."""
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        first = commit not in self._of_commit
        self._of_commit[commit] = digest
        other = self._images.setdefault(digest, commit)
        if other == commit or not first:
            return None
        key = self._key(self._tree(other))
        if not self.store.attempts(key):
            return None
        self.progress.note(f"{commit[:12]} gives the same kernel as {other[:12]}: not run")
        return key

    def _is_parents(self, commit: str) -> bool:
        """Whether the kernel is that of each parent, as far as those were built."""
        parents = self.workspace.scratch.run("rev-parse", f"{commit}^@").split()
        mine = self._of_commit.get(commit)
        return bool(mine and parents) and all(self._of_commit.get(p) == mine for p in parents)

    # -- judging -----------------------------------------------------------------------

    def _judge(self, attempt: Attempt, end: str, *, stored: bool = False) -> Tested:
        """What an attempt says about the failure that is looked for."""
        if attempt.outcome in NOT_BUILT:
            why = f"{attempt.outcome.value}: {attempt.detail}"
            return Tested(Verdict.SKIP, f"{why} {STORED}" if stored else why)
        if end == "bad":
            self._refuse_unknown_case(attempt)
        self._settle(attempt, end)
        if self.sought:
            tested = judge(attempt, self.sought)
        else:
            failing = failures(attempt, self.wanted)
            if end == "good" and self.failing and set(self.failing) - set(failing):
                failing = ()
            ended = attempt.outcome in (Outcome.RAN, Outcome.DIED, Outcome.TIMEOUT)
            plain = Verdict.PASS if ended else Verdict.SKIP
            tested = Tested(Verdict.FAIL if failing else plain, _few(failing) or attempt.detail)
        return replace(tested, detail=f"{tested.detail} {STORED}".strip()) if stored else tested

    def _refuse_unknown_case(self, attempt: Attempt) -> None:
        """Raise UserError where the run came to its end and no case in it is called as wanted.

        A splat, or the run's end, may not have come yet.
        """
        glob = self.wanted.case
        if attempt.outcome is not Outcome.RAN or not glob or glob.startswith((SPLAT, RUN)):
            return
        names = [result.name for result in attempt.results if not result.name.startswith(SPLAT)]
        if not any(fnmatchcase(result.name, glob) for result in attempt.results):
            raise UserError(
                f"--case {glob}: the bad revision reports no such case",
                f"it reports {_few(names)}; a splat is '{SPLAT}...'",
            )

    def _settle(self, attempt: Attempt, end: str) -> None:
        """Choose the failure that is looked for: the first that only the bad end has."""
        failing = failures(attempt, self.wanted)
        if end == "bad" and failing and not self.failing:
            self.failing = failing
        if end != "good" or self.sought or self.wanted.anything or not self.failing:
            return
        only = [name for name in self.failing if name not in failing]
        if only:
            self.sought = only[0]
            others = f"; also failing there: {_few(only[1:])}" if only[1:] else ""
            self.progress.note(f"looking for: {self.sought}{others} (--case chooses)")


def failures(attempt: Attempt, wanted: Wanted) -> tuple[str, ...]:
    """The failures of an attempt that may be looked for: cases, then splats, then its end."""
    names = [result.name for result in attempt.results if result.verdict is CaseVerdict.FAILED]
    if attempt.outcome in (Outcome.DIED, Outcome.TIMEOUT):
        names.append(f"{RUN}: {attempt.outcome.value}")
    names.sort(key=lambda name: (name.startswith(RUN), name.startswith(SPLAT)))
    return tuple(name for name in names if not wanted.case or fnmatchcase(name, wanted.case))


def judge(attempt: Attempt, sought: str) -> Tested:
    """Whether the failure sought is in an attempt, is not, or could not have been seen."""
    ended = attempt.outcome is Outcome.RAN
    found = next((result for result in attempt.results if result.name == sought), None)
    others = [name for name in failures(attempt, Wanted()) if name != sought]
    other = f"another failure: {_few(others)}" if others else ""
    if sought.startswith(RUN):
        if f"{RUN}: {attempt.outcome.value}" == sought:
            return Tested(Verdict.FAIL, attempt.detail)
        return Tested(Verdict.PASS if ended else Verdict.SKIP, other)
    if found and found.verdict is CaseVerdict.FAILED:
        return Tested(Verdict.FAIL, found.detail)
    if found and found.verdict is CaseVerdict.PASSED:
        return Tested(Verdict.PASS, other)
    if sought.startswith(SPLAT) and ended:
        return Tested(Verdict.PASS, other)
    why = "it was skipped" if found else f"it did not report ({attempt.outcome.value})"
    return Tested(Verdict.SKIP, f"{why}; {other}" if other else why)


def _few(names: Iterable[str], limit: int = 3) -> str:
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more
