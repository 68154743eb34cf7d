"""One KUnit run: configure, build, boot, read the console, judge.

The steps can be had one by one (build_kernel, execute); run() does all of them. What the
kernel did is in the KunitResult; what this machine could not do is raised.

Stricter than the tree's kunit.py: a splat anywhere fails the run, and so does a suite that
was asked for and reported nothing, or a run in which nothing passed because all was skipped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path

from memdesc_tool import boot as booting
from memdesc_tool import build as building
from memdesc_tool import consolelog
from memdesc_tool.arch import Arch
from memdesc_tool.boot import Boot, BootOutcome, BootRequest
from memdesc_tool.build import Build, BuildRequest, usable_cpus
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.kconfig import Fragment

BUILD_BYTES = 2_000_000_000
"""Disk space that a build directory without debug information may take."""


class Outcome(Enum):
    """What a run came to."""

    PASSED = "passed"
    FAILED = "failed"
    """A case failed, or something splatted."""
    NO_TESTS = "no tests"
    """Something that was asked for did not report, or nothing ran at all."""
    DIED = "died"
    """The kernel panicked or crashed."""
    TIMEOUT = "timeout"
    NOT_BOOTED = "not booted"
    """Not a word from the kernel: nothing is known about it."""
    BUILD_FAILED = "build failed"
    CONFIG_FAILED = "config failed"
    """Kconfig failed, or an option that was asked for cannot be had."""


@dataclass(frozen=True)
class KunitRequest:
    """What to run.

    source: top of a kernel tree; fragment: the kunitconfig, laid over the arch's base;
    build_dir, log_dir: made if need be; expect: globs of suites, each of which must report
    ("suite" or "suite.case", as in filter_glob, which always counts as one); filter_attr:
    KUnit's attribute filter ("speed>slow"); filter_action: "skip" or ""; action: "list" or
    "list_attr" to list instead of to run; timeout: seconds for the run without the build.
    The other fields are as in BuildRequest and BootRequest.
    """

    source: Path
    arch: Arch
    fragment: Fragment
    build_dir: Path
    log_dir: Path
    expect: tuple[str, ...] = ()
    filter_glob: str = ""
    filter_attr: str = ""
    filter_action: str = ""
    action: str = ""
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    make_options: tuple[str, ...] = ()
    cross_compile: str | None = None
    jobs: int = field(default_factory=usable_cpus)
    ccache: bool = True
    timeout: float = 300

    @property
    def arguments(self) -> tuple[str, ...]:
        """The kernel command line behind the arch's."""
        options = (
            ("action", self.action),
            ("filter_glob", self.filter_glob),
            ("filter", f'"{self.filter_attr}"' if self.filter_attr else ""),
            ("filter_action", self.filter_action),
            ("enable", "1"),
        )
        return (*self.kernel_args, *(f"kunit.{name}={value}" for name, value in options if value))

    @property
    def build_request(self) -> BuildRequest:
        return BuildRequest(
            source=self.source,
            build_dir=self.build_dir,
            arch=self.arch,
            fragment=self.fragment,
            log_file=self.log_dir / "build.log",
            make_options=self.make_options,
            cross_compile=self.cross_compile,
            jobs=self.jobs,
            ccache=self.ccache,
        )


@dataclass(frozen=True)
class KunitResult:
    """What a run came to, and all that led to it.

    reasons: why the outcome is not PASSED, in sentences for people; boot and report are
    None where the run did not get that far; seconds: of build and boot together.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    build: Build
    boot: Boot | None
    report: ConsoleReport | None
    seconds: float

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """What reached the machine besides the source, for the results: (name, value)."""
        config = hashlib.sha256(self.build.config_text.encode()).hexdigest()
        return (
            ("config", config),
            ("toolchain", self.build.toolchain.key),
            ("command_line", self.boot.command_line if self.boot else ""),
            ("machine", self.boot.machine if self.boot else ""),
        )


def build_directory(
    builds: Path, arch: Arch, fragment: Fragment, make_options: Iterable[str] = (), prefix: str = ""
) -> Path:
    """The directory below builds for one configuration: the same arguments, the same place.

    It does not depend on the source's revision, so that a series is walked in one directory.
    """
    what = "\n".join((arch.kconfig.key, fragment.key, *make_options, prefix))
    return builds / f"{arch.name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def build_lock(build_dir: Path) -> str:
    """The name of the cache's lock for a build directory."""
    return f"build-{hashlib.sha256(os.fsencode(build_dir.absolute())).hexdigest()[:16]}"


def run(request: KunitRequest, cache: Cache, progress: Progress, label: str = "") -> KunitResult:
    """Build and run; label names the revision in the progress.

    Two runs in one build directory wait for each other. Raises InfraError and UserError.
    """
    with cache.lock(build_lock(request.build_dir), on_wait=progress.note):
        build = build_kernel(request, cache, progress, label)
        if not build.ok:
            return not_built(build)
        return execute(request, build, cache, progress, label)


def build_kernel(request: KunitRequest, cache: Cache, progress: Progress, label: str = "") -> Build:
    """The first half of a run. The lock of the build directory is the caller's."""
    if not request.build_dir.exists():
        cache.need_space(BUILD_BYTES, "a build directory")
    with progress.step(f"{_prefix(label)}build {request.arch.name}") as tell:
        return building.build(request.build_request, tell)


def execute(
    request: KunitRequest,
    build: Build,
    cache: Cache,
    progress: Progress,
    label: str = "",
    log_name: str = "console.log",
) -> KunitResult:
    """The second half of a run: boot what was built and judge its console."""
    assert build.image is not None, "only a build that succeeded can be booted"
    with progress.step(f"{_prefix(label)}run {request.filter_glob or request.arch.name}") as tell:
        boot = booting.boot(
            BootRequest(
                arch=request.arch,
                image=build.image,
                log=request.log_dir / log_name,
                kernel_args=request.arguments,
                qemu_args=request.qemu_args,
                timeout=request.timeout,
            ),
            cache,
            tell,
        )
    report = consolelog.read(boot.log)
    expect = (*request.expect, *((request.filter_glob,) if request.filter_glob else ()))
    outcome, reasons = judge(boot, report, expect)
    return KunitResult(outcome, reasons, build, boot, report, build.seconds + boot.seconds)


def _prefix(label: str) -> str:
    return f"{label}: " if label else ""


def not_built(build: Build) -> KunitResult:
    """The result of a build that failed."""
    if build.config.missing:
        reasons = tuple(str(missing) for missing in build.config.missing)
    else:
        reasons = tuple(str(error) for error in build.errors)
    outcome = Outcome.BUILD_FAILED if build.config.ok else Outcome.CONFIG_FAILED
    return KunitResult(outcome, reasons, build, None, None, build.seconds)


def judge(
    boot: Boot, report: ConsoleReport, expect: Iterable[str] = ()
) -> tuple[Outcome, tuple[str, ...]]:
    """The outcome of a run and why it is not PASSED.

    What ended the run comes before what its cases said; each reason is kept either way.
    """
    cases = list(report.document.cases)
    failed = [case.id for case in cases if case.status.failed]
    silent = _silent(expect, [case.id for case in cases])
    reasons: list[str] = []
    if failed:
        reasons.append(f"{len(failed)} of {len(cases)} cases failed: {_some(failed)}")
    if report.splats:
        reasons.append(f"splats: {_some([splat.title for splat in report.splats])}")
    if silent:
        reasons.append(f"asked for, but nothing reported: {_some(silent)}")
    if not cases:
        reasons.append("no test reported anything")
    elif all(case.status.skipped for case in cases):
        reasons.append(f"all {len(cases)} cases were skipped")
    if boot.outcome is BootOutcome.TIMEOUT:
        return Outcome.TIMEOUT, (f"still running after {boot.seconds:.0f} s", *reasons)
    if not boot.started and not cases:
        return Outcome.NOT_BOOTED, (f"no output of a kernel (exit status {boot.status})", *reasons)
    if boot.outcome is BootOutcome.DIED:
        return Outcome.DIED, (f"the kernel died (exit status {boot.status})", *reasons)
    if failed or report.splats:
        return Outcome.FAILED, tuple(reasons)
    return (Outcome.NO_TESTS if reasons else Outcome.PASSED), tuple(reasons)


def _silent(expect: Iterable[str], reported: list[str]) -> list[str]:
    """The globs that no reported case matches; KUnit matches suite and case apart."""

    def matches(glob: str, case: str) -> bool:
        suite, _, name = case.partition(".")
        suite_glob, _, name_glob = glob.partition(".")
        return fnmatchcase(suite, suite_glob) and fnmatchcase(name, name_glob or "*")

    return [glob for glob in expect if not any(matches(glob, case) for case in reported)]


def _some(items: list[str], limit: int = 5) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
