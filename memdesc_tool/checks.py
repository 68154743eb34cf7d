"""Everything that is checked of a series before it is sent, patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from memdesc_tool import build, checkpatch, evidence, kconfig, kerneldoc, maintainers, objects
from memdesc_tool.build import usable_cpus
from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.console import Progress
from memdesc_tool.cover import check_cover
from memdesc_tool.errors import InfraError
from memdesc_tool.finding import Finding, Severity, Silence
from memdesc_tool.interfaces import check_interfaces
from memdesc_tool.kconfig import Fragment
from memdesc_tool.message import check_message
from memdesc_tool.objects import Workbench
from memdesc_tool.patch import Patch
from memdesc_tool.results import Store
from memdesc_tool.series import Series
from memdesc_tool.suites import Suite
from memdesc_tool.trailers import check_trailers
from memdesc_tool.workspace import Workspace

PROBE = "lib/sort.o"
"""An object of every kernel, for a series that adds all of its own."""
LEFT_OUT = ("cover", "spdx", "results", "kernel-doc", "coccicheck", "compile")
"""Checks that check_alone() does not make."""


@dataclass(frozen=True)
class Scope:
    """How much is checked: compile and coccicheck take minutes; arches: to compile for, and
    those that files below arch/ ask for; unsigned: the patches are signed off when they are sent.
    """

    compile: bool = True
    coccicheck: bool = False
    arches: tuple[str, ...] = ("x86_64",)
    jobs: int = field(default_factory=usable_cpus)
    unsigned: bool = False


@dataclass(frozen=True)
class Report:
    """What came of it. silenced: findings that are meant to be; checked: names of checks that
    ran; skipped: (name, reason) of those that did not.
    """

    findings: tuple[Finding, ...]
    silenced: tuple[tuple[Finding, Silence], ...]
    checked: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def good(self) -> bool:
        return all(one.severity is Severity.NOTE for one in self.findings)

    def count(self, severity: Severity, patch: str | None = None) -> int:
        """How many findings of a severity there are, of one patch or of all."""
        return sum(one.severity is severity and patch in (None, one.patch) for one in self.findings)


class _Collector:
    """Runs checks one after the other; what cannot run here is noted with its reason."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.findings: list[Finding] = []
        self.checked: list[str] = []
        self.skipped: list[tuple[str, str]] = []

    def run(self, name: str, check: Callable[[], Iterable[Finding]]) -> None:
        try:
            with self.progress.step(name):
                self.findings += check()
            self.checked.append(name)
        except InfraError as error:
            self.skipped.append((name, error.message))

    def report(self, series: Series, left_out: Sequence[str] = (), *, whole: bool = True) -> Report:
        """Silences applied; one that covers nothing is a finding itself.

        left_out: checks that were not to be made; whole: whether every patch of the series was
        there, else a silence may be for another one.
        """
        unique = list(dict.fromkeys(self.findings))
        order = {entry.patch.path.name: n for n, entry in enumerate(series.entries)}
        unique.sort(key=lambda one: order.get(one.patch, len(order)))
        left, silenced = [], []
        used: set[Silence] = set()
        for one in unique:
            covering = [silence for silence in series.silences if silence.covers(one)]
            used.update(covering)
            if covering:
                silenced.append((one, covering[0]))
            else:
                left.append(one)
        unmade = (*left_out, *(name for name, _ in self.skipped))
        for silence in series.silences if whole else ():
            if silence not in used and not any(_is_for(silence, name) for name in unmade):
                text = f"{silence.check} on {silence.patch} silences nothing, it can go"
                left.append(Finding("silence", Severity.WARNING, text))
        return Report(tuple(left), tuple(silenced), tuple(self.checked), tuple(self.skipped))


def _is_for(silence: Silence, check: str) -> bool:
    """Whether a silence may cover findings of a check, whose names may go on behind a colon."""
    return any(fnmatchcase(check, glob) for glob in (silence.check, silence.check.split(":")[0]))


def check_alone(series: Series, top: Path, candidate: Candidate) -> Report:
    """What can be said of patches without building: with the scripts of the tree at top.

    candidate: has no steps where the patches are mails only.
    """
    collector = _Collector(Progress())
    patches = [entry.patch for entry in series.entries]

    def of_patches(check: Callable[[Patch], Iterable[Finding]]) -> Callable[[], list[Finding]]:
        return lambda: [found for patch in patches for found in check(patch)]

    collector.run("message", of_patches(check_message))
    collector.run("trailers", of_patches(lambda p: check_trailers(p, candidate.history)))
    collector.run("checkpatch", of_patches(partial(checkpatch.check_patch, top)))
    collector.run("maintainers", of_patches(partial(maintainers.check_maintainers, top)))
    if candidate.steps:
        collector.run("interfaces", lambda: check_interfaces(candidate))
    return collector.report(series, LEFT_OUT, whole=bool(candidate.steps))


def check_series(
    candidate: Candidate,
    workspace: Workspace,
    store: Store,
    suites: Sequence[Suite],
    scope: Scope,
    progress: Progress,
) -> Report:
    """Check a series on its base, patch by patch. Raises UserError, ConflictError."""
    collector = _Collector(progress)
    top = workspace.checkout(candidate.start)
    steps = candidate.steps
    final = candidate.content(candidate.tip, [maintainers.MAINTAINERS])
    listed = final.get(maintainers.MAINTAINERS)

    def of_patches(check: Callable[[Step], Iterable[Finding]]) -> Callable[[], list[Finding]]:
        return lambda: [found for step in steps for found in check(step)]

    collector.run("message", of_patches(lambda step: check_message(step.patch)))
    collector.run("trailers", of_patches(lambda s: check_trailers(s.patch, candidate.history)))
    collector.run("checkpatch", of_patches(
        lambda s: checkpatch.check_patch(top, s.patch, sign=scope.unsigned)))  # fmt: skip
    collector.run("maintainers", of_patches(
        lambda s: maintainers.check_maintainers(top, s.patch, listed)))  # fmt: skip
    collector.run("spdx", of_patches(lambda s: maintainers.check_licences(
        s.patch, candidate.content(s.commit, s.changed))))  # fmt: skip
    own_doc = (top / kerneldoc.SCRIPT).is_file()
    collector.run("interfaces", lambda: check_interfaces(candidate, kernel_doc=not own_doc))
    collector.run("cover", lambda: check_cover(candidate.series))
    collector.run("results", lambda: evidence.check_evidence(
        candidate, suites, evidence.read_evidence(workspace, store)))  # fmt: skip
    collector.run("kernel-doc", of_patches(partial(_kernel_doc, candidate, top)))
    if scope.coccicheck:
        collector.run("coccicheck", lambda: _coccicheck(collector, candidate, top))
    else:
        collector.skipped.append(("coccicheck", "not asked for (--coccicheck)"))
    if scope.compile:
        own = Fragment().merge(*(kconfig.read(path) for suite in suites for path in suite.configs))
        bench = Workbench(workspace, progress, scope.jobs)
        _compile(collector, candidate, bench, scope, own)
    else:
        collector.skipped.append(("compile", "not asked for (--no-compile)"))
    return collector.report(candidate.series)


def _kernel_doc(candidate: Candidate, top: Path, step: Step) -> Iterator[Finding]:
    before = kerneldoc.kernel_doc(top, candidate.content(step.parent, step.patch.files))
    after = kerneldoc.kernel_doc(top, candidate.content(step.commit, step.changed))
    for file, line, text in kerneldoc.new(before, after):
        yield Finding("kernel-doc", Severity.WARNING, text, step.name, file, line)


def _coccicheck(collector: _Collector, candidate: Candidate, top: Path) -> Iterator[Finding]:
    """What is new at the end of the series, at the last patch that touches the file."""
    names = sorted({name for step in candidate.steps for name in step.patch.files})
    before, _ = kerneldoc.coccicheck(top, candidate.content(candidate.start, names))
    after, unable = kerneldoc.coccicheck(top, candidate.content(candidate.tip, names))
    collector.skipped += [(f"coccicheck:{script}", why) for script, why in unable.items()]
    for file, line, text in kerneldoc.new(before, after):
        touching = [step.name for step in candidate.steps if file in step.changed]
        yield Finding("coccicheck", Severity.WARNING, text, touching[-1] if touching else "",
                      file, line)  # fmt: skip


def _compile(
    collector: _Collector, candidate: Candidate, bench: Workbench, scope: Scope, own: Fragment
) -> None:
    """Compile what the patches touch, before and after each, for every arch that it is of; own:
    options that the suites of the series ask for.
    """
    there = candidate.git.modes(candidate.start, build.TOP_FILES)
    if lacking := [name for name in build.TOP_FILES if name not in there]:
        collector.skipped.append(("compile", f"this is no kernel: it has no {lacking[0]}"))
        return
    every = objects.objects_of(name for step in candidate.steps for name in step.changed)
    if not every:
        collector.skipped.append(("compile", "no C file is touched"))
        return
    home = {name: objects.arch_of(name) for name in every}
    arches = dict.fromkeys((*scope.arches, *(name for name in home.values() if name)))
    for arch in arches:
        wanted = [name for name in every if home[name] in (None, arch)]
        if arch not in scope.arches:
            wanted = [name for name in wanted if home[name] == arch]
        name = f"compile:{arch}"
        collector.run(name, partial(_compile_for, collector, candidate, bench, arch, wanted, own))


def _compile_for(
    collector: _Collector,
    candidate: Candidate,
    bench: Workbench,
    arch: str,
    wanted: list[str],
    own: Fragment,
) -> list[Finding]:
    git = candidate.git
    options = own.merge(
        *(objects.options_for(git, commit, wanted) for commit in (candidate.start, candidate.tip))
    )
    there = objects.with_source(git, candidate.start, wanted)
    checker = bench.checker(arch, options, candidate.start, there[0] if there else PROBE)
    if checker.without:
        collector.skipped.append((f"sparse:{arch}", checker.without))
    found = []
    absent: set[str] = set()
    for step in candidate.steps:
        headers = any(name.endswith(".h") for name in step.changed)
        touched = set(objects.objects_of(step.changed))
        chosen = [name for name in wanted if headers or name in touched]
        after = bench.diagnose(checker, step.commit, chosen)
        # The parent is compiled only where there is something to compare.
        before = bench.diagnose(checker, step.parent, chosen) if after.diagnostics else after
        fresh = objects.new(before, after) if before is not after else ()
        found += [
            Finding(f"compile:{arch}", Severity.ERROR if one.kind == "error" else Severity.WARNING,
                    one.text, step.name, one.file, one.line)
            for one in fresh
        ]  # fmt: skip
        absent |= set(after.absent)
    for name in sorted(absent):
        text = f"{name} is not in this configuration and was not compiled"
        found.append(Finding(f"compile:{arch}", Severity.NOTE, text))
    return found
