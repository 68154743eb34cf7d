"""Cells of a regression run made by kselftest in a virtual machine.

What kunitrun.py is for KUnit: a kernel is built (or given), the modules and the suite's
programs for it, and what a run says goes into the store.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import build as building
from memdesc_tool import (
    busybox,
    initramfs,
    kconfig,
    kselftest,
    kunit,
    modules,
    process,
    qemu,
    vm,
    vmcounts,
    vmspec,
)
from memdesc_tool.arch import Arch
from memdesc_tool.build import Build, BuildRequest, usable_cpus
from memdesc_tool.cells import Column
from memdesc_tool.console import Progress
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.kselftest import InstallRequest
from memdesc_tool.kunitrun import results_of
from memdesc_tool.modules import ModuleSource, ModulesRequest
from memdesc_tool.results import Attempt, Outcome
from memdesc_tool.suites import Suite
from memdesc_tool.vm import VmOutcome, VmRequest, VmResult
from memdesc_tool.vmspec import VmSpec
from memdesc_tool.workspace import Workspace

DEFAULT_CONFIG = ("debug",)
"""The parts of a guest's kernel besides vm-base."""
COUNTS = "counts"
"""Below the directory of the logs: counts and notes of the objects that count."""
TESTS_BYTES = 200_000_000
"""Disk space that headers and tests may take."""

OUTCOMES = {
    VmOutcome.EXITED: Outcome.RAN,
    VmOutcome.ENOUGH: Outcome.RAN,
    VmOutcome.HANG: Outcome.TIMEOUT,
    VmOutcome.PANIC: Outcome.DIED,
    VmOutcome.STOPPED: Outcome.DIED,
}


@dataclass(frozen=True)
class Settings:
    """What a run can be told besides its suite.

    config: the parts of the kernel as vm.fragment() takes them; kernel: an image in place
    of the one that would be built, and then modules: the .ko files built for it;
    environment: NAME=VALUE for the tests; spec: the machine in place of the suite's;
    timeout: seconds in place of the suite's; kernel_args, qemu_args: behind the suite's;
    busybox, bash: for the guest; jobs: of make; counted: C files of the kernel whose objects
    count what is run of them (vmcounts.py), into COUNTS, not for a kernel that is given;
    until_failure: the guest is ended soon after a case has failed or the kernel complained.
    """

    config: tuple[str, ...] = DEFAULT_CONFIG
    kernel: Path | None = None
    modules: tuple[Path, ...] = ()
    environment: tuple[str, ...] = ()
    spec: VmSpec | None = None
    timeout: int | None = None
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    busybox: Path | None = None
    bash: Path | None = None
    jobs: int | None = None
    counted: tuple[str, ...] = ()
    until_failure: bool = False


@dataclass(frozen=True)
class KselftestRunner:
    """Runs cells with kselftest.run(); see regress.Runner.

    root: the project, where the suites' modules are; on_line: is given what the console
    shows while the tests run.
    """

    workspace: Workspace
    progress: Progress
    root: Path
    settings: Settings = Settings()
    on_line: Callable[[str], None] | None = None

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """All that could change the outcome of a column on a tree."""
        suite, settings, arch = column.suite, self.settings, load_arch(column.arch)
        assert arch.qemu
        guest = (*initramfs.system(self._busybox(arch)), *kselftest.guest_programs(),
                 *kselftest.find_bash(arch, settings.bash))  # fmt: skip
        own = settings.modules or [
            path for source in self._modules(suite) for path in sorted(source.directory.iterdir())
        ]
        return {
            "kind": "kselftest",
            "tree": tree,
            "arch": arch.name,
            "arch config": arch.kconfig.key,
            "config": "" if settings.kernel else self._fragment(suite, arch).key,
            "kernel": _digest([settings.kernel]) if settings.kernel else "",
            "toolchain": architectures.toolchain(arch).key,
            "libc": _libc(arch),
            "modules": _digest(path for path in own if path.is_file()),
            "guest": _digest(file.source for file in guest if file.source),
            "machine": " ".join((qemu.version(arch.qemu), *self._spec(suite).qemu_args,
                                 *settings.qemu_args)),
            "filter": suite.filter,
            "programs": " ".join(suite.programs),
            "environment": "\n".join((*suite.environment, *settings.environment)),
            "command line": " ".join((*arch.kernel_args, *self._spec(suite).kernel_args,
                                      *suite.kernel_args, *settings.kernel_args)),
            "timeout": str(settings.timeout or suite.timeout),
            **({"counted": " ".join(settings.counted)} if settings.counted else {}),
            **({"until": "failure"} if settings.until_failure else {}),
        }  # fmt: skip

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Build kernel and tests and run them. Raises InfraError where it never booted, or
        was to count and has not.
        """
        started = time.time()
        scratch = log_dir / "guest"
        scratch.mkdir(parents=True, exist_ok=True)
        place = _Place(column.suite, load_arch(column.arch), source, log_dir, scratch, label)
        try:
            image, own = self._kernel(place)
            self._install(place)
            with self.progress.step(f"{label}: run {column.suite.filter}") as tell:
                result = kselftest.run(
                    self._request(place, image, own), self.workspace.cache, tell, self.on_line
                )
            if self.settings.counted and result.outcome is VmOutcome.EXITED:
                self._take_counts(column, place, result)
        except _BrokenError as broken:
            seconds = time.time() - started
            return Attempt(broken.outcome, (), started, seconds, str(broken.log), broken.detail)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return attempt_of(result, column.suite, started)

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:  # noqa: ARG002
        """Not known: the programs leave no trace of what they were made of."""
        return None

    def builds(self, column: Column, path: str) -> bool:
        """Whether the last kernel that was built for a column has the object of a C file."""
        build_dir = self._build_dir(column.suite, load_arch(column.arch))
        return (build_dir / path).with_suffix(".o").is_file()

    def _build_dir(self, suite: Suite, arch: Arch) -> Path:
        return kunit.build_directory(self.workspace.builds, arch, self._fragment(suite, arch))

    def _kernel(self, place: _Place) -> tuple[Path, tuple[Path, ...]]:
        """The image and the modules for it: given, or built and copied, so that others may
        go on building in their place while these run.
        """
        if given := self.settings.kernel:
            return given.absolute(), self.settings.modules
        wanted, counted = self._modules(place.suite), self.settings.counted
        fragment = self._fragment(place.suite, place.arch)
        build_dir = self._build_dir(place.suite, place.arch)
        cache = self.workspace.cache
        with cache.lock(kunit.build_lock(build_dir), on_wait=self.progress.note):
            if not build_dir.exists():
                cache.need_space(kunit.BUILD_BYTES, "a build directory")
            request = BuildRequest(
                place.source, build_dir,
                modules.with_modules(place.arch) if wanted else place.arch,
                fragment, place.log_dir / "build.log", jobs=self._jobs,
                make_options=(vmcounts.make_option(counted),) if counted else (),
            )  # fmt: skip
            with self.progress.step(f"{place.label}: build {place.arch.name}") as tell:
                build = building.build(request, tell)
            if build.image is None:
                raise _BrokenError.of(build)
            if counted:
                vmcounts.keep_notes(counted, build_dir, place.counts)
            image = shutil.copyfile(build.image, place.scratch / build.image.name)
            return image, tuple(
                path for source in wanted for path in self._module(place, source, build_dir)
            )

    def _module(self, place: _Place, source: ModuleSource, build_dir: Path) -> tuple[Path, ...]:
        """The .ko files of a module directory."""
        request = ModulesRequest(
            source, build_dir, place.scratch / source.name, place.log_dir, place.arch,
            sparse=False, jobs=self._jobs,
        )  # fmt: skip
        with self.progress.step(f"{place.label}: build {source.name}") as tell:
            built = modules.build(request, tell)
        if not built.ok:
            raise _BrokenError(Outcome.BUILD_FAILED, _lines(built.errors), built.log)
        return built.modules

    def _install(self, place: _Place) -> None:
        """The suite's programs, in the place's scratch directory."""
        build_dir = self.workspace.builds / f"kselftest-{place.arch.name}"
        cache = self.workspace.cache
        with cache.lock(kunit.build_lock(build_dir), on_wait=self.progress.note):
            if not build_dir.exists():
                cache.need_space(TESTS_BYTES, "a build directory")
            request = InstallRequest(
                place.source, build_dir, place.scratch / "kselftest", place.suite, place.arch,
                place.log_dir / "kselftest.log", self._jobs,
            )  # fmt: skip
            with self.progress.step(f"{place.label}: build {place.suite.name}") as tell:
                installed = kselftest.install(request, tell)
        if not installed.ok:
            raise _BrokenError(Outcome.BUILD_FAILED, _lines(installed.errors), installed.log)

    def _request(self, place: _Place, image: Path, own: tuple[Path, ...]) -> VmRequest:
        suite, settings = place.suite, self.settings
        bash = kselftest.find_bash(place.arch, settings.bash)
        request = VmRequest(
            arch=place.arch,
            image=image,
            log_dir=place.log_dir,
            spec=self._spec(suite),
            command=kselftest.command(suite, settings.environment),
            files=kselftest.guest_files(place.scratch / "kselftest", suite, bash, own),
            kernel_args=(*suite.kernel_args, *settings.kernel_args),
            qemu_args=settings.qemu_args,
            timeout=settings.timeout or suite.timeout,
            source=place.source,
            busybox=self._busybox(place.arch),
            until=_has_failed if settings.until_failure else None,
        )
        if not settings.counted:
            return request
        return replace(
            request,
            command=vmcounts.command(request.command),
            files=(*request.files, vmcounts.PROGRAM),
            qemu_args=(*request.qemu_args, *vmcounts.make_disk(place.disk)),
        )

    def _take_counts(self, column: Column, place: _Place, result: VmResult) -> None:
        """Put what the guest has counted into the place's counts. Raises InfraError."""
        try:
            vmcounts.take(place.disk, place.counts)
        except InfraError as error:
            raise InfraError(
                f"{column.name}: {error.message}", f"its output: {result.log}"
            ) from None

    def _spec(self, suite: Suite) -> VmSpec:
        return self.settings.spec or vmspec.find(str(suite.machine or vmspec.DEFAULT))

    def _fragment(self, suite: Suite, arch: Arch) -> Fragment:
        """The kernel's configuration; what is asked for as a module is built in, since a
        guest has no others than the suite's own.
        """
        counting = (vmcounts.FRAGMENT,) if self.settings.counted else ()
        merged = vm.fragment(arch, (*self.settings.config, *counting))
        for path in suite.configs:
            asked = kconfig.read(path)
            merged = merged.merge(
                Fragment(tuple(replace(o, value="y") if o.value == "m" else o for o in asked))
            )
        return merged.merge(*(source.fragment for source in self._modules(suite)))

    def _modules(self, suite: Suite) -> tuple[ModuleSource, ...]:
        return modules.find_modules(self.root, suite.modules) if suite.modules else ()

    def _busybox(self, arch: Arch) -> Path:
        return busybox.provide(arch, self.settings.busybox, self.workspace.cache, self.progress)

    @property
    def _jobs(self) -> int:
        return self.settings.jobs or usable_cpus()


@dataclass(frozen=True)
class _Place:
    """Where a run happens: logs stay in log_dir, what is in scratch goes with the run."""

    suite: Suite
    arch: Arch
    source: Path
    log_dir: Path
    scratch: Path
    label: str

    @property
    def counts(self) -> Path:
        return self.log_dir / COUNTS

    @property
    def disk(self) -> Path:
        """What the guest writes its counts to."""
        return self.scratch / "counts.img"


class _BrokenError(Exception):
    """Something could not be built, and why: the kernel, a module, the tests."""

    def __init__(self, outcome: Outcome, detail: str, log: Path) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.log = log

    @classmethod
    def of(cls, build: Build) -> _BrokenError:
        if build.config.missing:
            return cls(Outcome.CONFIG_FAILED, _lines(build.config.missing), build.log)
        return cls(Outcome.BUILD_FAILED, _lines(build.errors), build.log)


def _lines(problems: Iterable[object]) -> str:
    return "; ".join(str(problem) for problem in problems)


def load_arch(name: str) -> Arch:
    """An architecture that runs in QEMU. Raises UserError."""
    arch = architectures.load(name)
    if arch.qemu is None:
        raise UserError(f"{name} does not run in QEMU", "choose another --arch")
    return arch


def attempt_of(result: VmResult, suite: Suite, started: float) -> Attempt:
    """What the store keeps of a run. Cases are named from below the test that was asked for.

    A run to its end in which nothing but skipping happened has run no test.
    """
    outcome = OUTCOMES[result.outcome]
    if result.outcome is VmOutcome.EXITED and not result.report.document.ran:
        outcome = Outcome.NO_TESTS
    results = tuple(
        replace(found, name=short_name(suite, found.name)) for found in results_of(result.report)
    )
    return Attempt(
        outcome, results, started, time.time() - started, str(result.log),
        "; ".join(result.reasons),
    )  # fmt: skip


def short_name(suite: Suite, case: str) -> str:
    """The name of a case without what every case of the suite's run begins with."""
    collection, _, test = suite.filter.partition(":")
    return case.removeprefix(f"selftests: {collection}: {test}.")


def _has_failed(report: ConsoleReport) -> bool:
    """Whether a run is bad whatever follows: what has not been reported may still be."""
    cases = report.document.cases
    return bool(report.splats) or any(one.status.failed and not one.status.error for one in cases)


def _digest(paths: Iterable[Path]) -> str:
    """Stands for the names and contents of files; "" for none."""
    digest, some = hashlib.sha256(), False
    for path in paths:
        some = True
        digest.update(f"{path.name}\0".encode() + _hash_of(path, process.state_of_file(path)))
    return digest.hexdigest() if some else ""


@lru_cache(maxsize=1000)
def _hash_of(path: Path, _state: tuple[object, ...]) -> bytes:
    """The hash of a file, which is read once as long as it is in this state."""
    return hashlib.sha256(path.read_bytes()).digest()


def _libc(arch: Arch) -> str:
    """Stands for the C library that the tests are linked with; "" where there is none."""
    compiler = architectures.toolchain(arch).compiler
    path = Path(process.answer([compiler, "-print-file-name=libc.a"], compiler).strip())
    return _digest([path]) if path.is_absolute() and path.is_file() else ""
