"""What the store knows of the revisions of a series: which suites ran on which of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memdesc_tool.baseline import BAD, RUN, cases_of, compare, is_case, worst
from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.cells import Column
from memdesc_tool.errors import FailedError
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.overlay import overlay
from memdesc_tool.results import Attempt, Outcome, Store, Verdict, key_of
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.workspace import Workspace

Runs = Mapping[str, tuple[Attempt, ...]]
"""The attempts of a suite on one revision, by arch."""


@dataclass(frozen=True)
class Evidence:
    """Answers what ran, from the inputs of every run that is stored."""

    workspace: Workspace
    store: Store
    stored: Mapping[tuple[str, str], tuple[Mapping[str, str], ...]]

    def runs(self, commit: str, suite: Suite) -> Runs:
        """The runs of a suite on a revision, with the suite as it is now."""
        try:
            tree = self.workspace.scratch.tree(overlay(self.workspace, commit, [suite]))
        except FailedError:
            return {}
        config = Column(suite, "").fragment.key if suite.of_tree else ""
        found: dict[str, tuple[Attempt, ...]] = {}
        for inputs in self.stored.get((tree, suite.filter), ()):
            if config and inputs.get("config") != config:
                continue  # other suites of the tree, by the same glob
            arch = inputs.get("arch", "")
            found[arch] = (*found.get(arch, ()), *self.store.attempts(key_of(inputs)))
        return found


def read_evidence(workspace: Workspace, store: Store) -> Evidence:
    """What is stored of KUnit suites and kselftests."""
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for kind in Kind:
        for inputs in store.inputs(kind.value):
            place = (inputs.get("tree", ""), inputs.get("filter", ""))
            found.setdefault(place, []).append(inputs)
    return Evidence(workspace, store, {place: tuple(every) for place, every in found.items()})


def check_evidence(
    candidate: Candidate, suites: Sequence[Suite], evidence: Evidence
) -> tuple[Finding, ...]:
    """Patches that did not build or boot, that made a case fail, or on which nothing ran.

    KUnit suites are due on every patch, kselftests after the last one.
    """
    if not suites:
        text = "names no suite, so nothing says that it boots"
        return (Finding("results", Severity.NOTE, text),)
    last = candidate.steps[-1:]
    return tuple(
        one
        for suite in suites
        for step in (candidate.steps if suite.kind is Kind.KUNIT else last)
        for one in _of_step(step, suite, evidence)
    )


def _of_step(step: Step, suite: Suite, evidence: Evidence) -> Iterator[Finding]:
    before, after = evidence.runs(step.parent, suite), evidence.runs(step.commit, suite)
    for arch in _due(suite, after):
        if arch not in after:
            option = "" if suite.kind is Kind.KUNIT else " --vm"
            yield _found(step, Severity.WARNING, f"{suite.name}/{arch} has not run on it"
                         f" (memdesc-tool regress{option})")  # fmt: skip
    for arch, attempts in after.items():
        column = f"{suite.name}/{arch}"
        for attempt in attempts:
            if attempt.outcome is not Outcome.RAN:
                detail = f": {attempt.detail}" if attempt.detail else ""
                yield _found(step, Severity.ERROR, f"{column}: {attempt.outcome.value}{detail}")
        if arch in before:
            changes = compare(cases_of(before[arch]), cases_of(attempts))
            for case, change in changes.items():
                if change in BAD:
                    yield _found(step, Severity.ERROR, f"{column}: {case} {change.value}")


def _due(suite: Suite, runs: Runs) -> tuple[str, ...]:
    """Where a suite is to run. One of the tree's own says nothing of it: anywhere will do."""
    return () if suite.of_tree and runs else suite.arches


def _found(step: Step, severity: Severity, text: str) -> Finding:
    return Finding("results", severity, text, step.name)


UNBUILT = {Outcome.BUILD_FAILED: "does not build", Outcome.CONFIG_FAILED: "cannot be configured"}
"""Outcomes of runs in which nothing was tested, in words."""


@dataclass(frozen=True)
class Tested:
    """What a suite came to on an arch, for people.

    patches: on how many of the series' revisions it ran, base included; passed, failed: how many
    cases at the end; skipped: names of the cases that are at the end; broken: what else went
    wrong there, in words; runs: on all of these revisions; seconds: of these together, None
    where that says nothing; builds: whether they are those of the builds, too.
    """

    suite: str
    arch: str
    patches: int
    passed: int
    failed: int
    skipped: tuple[str, ...]
    broken: tuple[str, ...]
    runs: int
    seconds: float | None
    builds: bool = False


@dataclass(frozen=True)
class Untested:
    """A "suite/arch" that says nothing of the state after the last patch; why: "" for not run."""

    name: str
    why: str = ""


def what_was_tested(
    candidate: Candidate, suites: Sequence[Suite], evidence: Evidence
) -> tuple[tuple[Tested, ...], tuple[Untested, ...]]:
    """What ran, and what did not run on the state after the last patch."""
    tested: list[Tested] = []
    untested: list[Untested] = []
    commits = [candidate.start, *(step.commit for step in candidate.steps)]
    for suite in suites:
        by_commit = [evidence.runs(commit, suite) for commit in commits]
        for arch in dict.fromkeys((*_due(suite, by_commit[-1]), *by_commit[-1])):
            every = [found.get(arch, ()) for found in by_commit]
            if any(attempt.outcome not in UNBUILT for attempt in every[-1]):
                tested.append(_came_to(suite, arch, every))
            else:
                untested.append(Untested(f"{suite.name}/{arch}", _why(every[-1])))
    return tuple(tested), tuple(untested)


def _why(attempts: Sequence[Attempt]) -> str:
    """Why nothing was tested in attempts; "" where there are none."""
    words = (": ".join(filter(None, (UNBUILT[one.outcome], one.detail))) for one in attempts)
    return next(words, "")


def _came_to(suite: Suite, arch: str, every: Sequence[Sequence[Attempt]]) -> Tested:
    """every: the attempts on each revision, of which the last one was tested."""
    ran = [[one for one in attempts if one.outcome not in UNBUILT] for attempts in every]
    last = {name: worst(verdicts) for name, verdicts in cases_of(every[-1]).items()}
    by_verdict = {
        verdict: [name for name, found in last.items() if found is verdict and is_case(name)]
        for verdict in Verdict
    }
    # An attempt that a revision has inherited from another was made once.
    made = {attempt for attempts in ran for attempt in attempts}
    timed = suite.kind is Kind.KSELFTEST or suite.attempts > 1
    return Tested(
        suite.name,
        arch,
        sum(bool(attempts) for attempts in ran),
        len(by_verdict[Verdict.PASSED]),
        len(by_verdict[Verdict.FAILED]),
        tuple(by_verdict[Verdict.SKIPPED]),
        tuple(_broken(every[-1], last)),
        len(made),
        sum(attempt.seconds for attempt in made) if timed else None,
        builds=suite.kind is Kind.KUNIT,
    )


def _broken(attempts: Sequence[Attempt], last: Mapping[str, Verdict]) -> Iterator[str]:
    """Runs that did not come to their end, then splats and the like."""
    outcomes = [one.outcome for one in attempts if one.outcome is not Outcome.RAN]
    for outcome in dict.fromkeys(outcomes):
        count = outcomes.count(outcome)
        yield f"{count} {'run' if count == 1 else 'runs'}: {outcome.value}"
    for name, verdict in last.items():
        if verdict is Verdict.FAILED and name != RUN and not is_case(name):
            yield name
