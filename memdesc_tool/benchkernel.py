"""Figures of revisions of a kernel: build, disassemble, boot several times, read samples.

Instructions are counted by a machine in which each takes a nanosecond (qemu.counted()), so
every boot of a kernel does the same; cycles are those of this machine's processor, by a perf
event in a guest under KVM. Each revision's figures are stored under all that they depend on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import (
    benchoutput,
    busybox,
    disassembly,
    initramfs,
    kconfig,
    kunit,
    qemu,
    vm,
    vmspec,
)
from memdesc_tool import build as building
from memdesc_tool.arch import Arch
from memdesc_tool.benchoutput import Samples
from memdesc_tool.benchplan import Plan
from memdesc_tool.benchverdict import ATOMICS, RowFigures, Taken
from memdesc_tool.build import BuildRequest, usable_cpus
from memdesc_tool.cells import Row
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, InfraError, UserError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.overlay import overlay
from memdesc_tool.qemu import Accelerator
from memdesc_tool.results import Store
from memdesc_tool.suites import Suite
from memdesc_tool.vm import VmOutcome, VmRequest
from memdesc_tool.workspace import Workspace

INSTRUCTIONS, CYCLES = "instructions", "cycles"
MEASURED = "bench run"
"""The kind in the store of one revision's figures."""


@dataclass(frozen=True)
class Settings:
    """counter: INSTRUCTIONS or CYCLES; boots: of each kernel; jobs: of make."""

    counter: str = INSTRUCTIONS
    boots: int = 3
    jobs: int | None = None
    busybox: Path | None = None
    rerun: bool = False


@dataclass(frozen=True)
class KernelBench:
    """Measures revisions with a suite of the kind bench."""

    workspace: Workspace
    store: Store
    progress: Progress
    suite: Suite
    plan: Plan
    settings: Settings = Settings()

    def measure(self, row: Row, base: bool) -> RowFigures:
        """The figures of a revision, from the store where they are known.

        Raises FailedError where the revision does not build, fails, complains or lacks a
        figure, InfraError where the machine is to blame; a base that does not build is.
        """
        commit = overlay(self.workspace, row.commit, [self.suite])
        inputs = self._inputs(self.workspace.scratch.tree(commit))
        if not self.settings.rerun and (stored := self.store.measured(MEASURED, inputs)):
            return RowFigures(row, tuple(_taken(one) for one in json.loads(stored[1])))
        started = time.time()
        log_dir = (
            self.workspace.cache.logs / "bench" / f"{time.strftime('%Y%m%d-%H%M%S')}-{row.number}"
        )
        log_dir.mkdir(parents=True, exist_ok=True)
        image, atomics = self._kernel(row, commit, log_dir, base)
        try:
            boots = [self._boot(row, image, log_dir, number)
                     for number in range(1, self.settings.boots + 1)]  # fmt: skip
        finally:
            image.unlink(missing_ok=True)
        figures = (*self._sampled(boots), *atomics)
        text = json.dumps([asdict(one) for one in figures])
        self.store.keep_measured(MEASURED, inputs, started, text)
        return RowFigures(row, figures)

    # -- the kernel --------------------------------------------------------------------

    def _kernel(
        self, row: Row, commit: str, log_dir: Path, base: bool
    ) -> tuple[Path, tuple[Taken, ...]]:
        """A copy of the image, and what its object files come to."""
        arch, cache = self.arch, self.workspace.cache
        source = self.workspace.checkout(commit)
        build_dir = kunit.build_directory(self.workspace.builds, arch, self._fragment)
        with cache.lock(kunit.build_lock(build_dir), on_wait=self.progress.note):
            if not build_dir.exists():
                cache.need_space(kunit.BUILD_BYTES, "a build directory")
            request = BuildRequest(
                source, build_dir, arch, self._fragment, log_dir / "build.log",
                jobs=self.settings.jobs or usable_cpus(),
            )  # fmt: skip
            with self.progress.step(f"{row.label}: build {arch.name}") as tell:
                build = building.build(request, tell)
            if build.image is None:
                wrong = [str(one) for one in build.config.missing or build.errors]
                kind = InfraError if base else FailedError
                raise kind(f"{row.label} does not build: {'; '.join(wrong[:3])}",
                           f"whole log: {build.log}")  # fmt: skip
            with self.progress.step(f"{row.label}: disassemble"):
                atomics = self._atomics(build_dir)
            return Path(shutil.copyfile(build.image, log_dir / build.image.name)), atomics

    def _atomics(self, build_dir: Path) -> tuple[Taken, ...]:
        objects = {name: disassembly.disassemble(build_dir / name) for name in self.plan.objects}
        found = disassembly.of_path(self.plan.atomics, objects)
        return tuple(
            Taken(f"{ATOMICS} {name}", f"atomics: {name}", ATOMICS, (float(number),), False)
            for name, number in found.items()
        )

    # -- the boots ---------------------------------------------------------------------

    def _boot(self, row: Row, image: Path, log_dir: Path, number: int) -> Samples:
        request = VmRequest(
            arch=self.arch,
            image=image,
            log_dir=log_dir / f"boot-{number}",
            spec=vmspec.find(str(self.suite.machine or vmspec.DEFAULT)),
            command=("sh", "-c", self.plan.script, "bench", self.settings.counter),
            kernel_args=self.suite.kernel_args,
            timeout=self.suite.timeout,
            busybox=self._busybox,
            accelerator=self._accelerator(image),
        )
        label = f"{row.label}: boot {number} of {self.settings.boots}"
        with self.progress.step(label) as tell:
            result = vm.run(request, self.workspace.cache, tell)
        hint = f"console: {result.log}"
        if result.outcome is VmOutcome.NOT_BOOTED:
            raise InfraError(f"{label}: {'; '.join(result.reasons)}", hint)
        lines = result.log.read_text(encoding="utf-8", errors="replace").splitlines()
        if not result.passed:
            step = benchoutput.failure(lines)
            why = (*((f"step {step}",) if step else ()), *result.reasons)
            raise FailedError(f"{label}: {'; '.join(why)}", hint)
        try:
            samples = benchoutput.parse(lines, self.plan)
        except FailedError as error:
            raise FailedError(f"{label}: {error.message}", hint) from None
        if samples.counter != self.settings.counter:
            raise FailedError(f"{label}: the guest has counted {samples.counter}", hint)
        return samples

    def _sampled(self, boots: Sequence[Samples]) -> tuple[Taken, ...]:
        return tuple(
            Taken(one.name, one.title, one.unit_with(self.settings.counter),
                  tuple(boot.middle(one.name) for boot in boots), slower=not one.unit)
            for one in self.plan.figures
        )  # fmt: skip

    def _accelerator(self, image: Path) -> Accelerator:
        machine = self.arch.qemu
        assert machine
        if self.settings.counter == INSTRUCTIONS:
            return qemu.counted(machine)
        found = qemu.accelerator(machine, image, self.arch.kernel_args, self.workspace.cache)
        if found.name != "kvm":
            raise InfraError("cycles are counted under KVM, and KVM boots no kernel here",
                             "leave out --cycles to count instructions")  # fmt: skip
        return found

    # -- what all of it depends on -----------------------------------------------------

    @property
    def arch(self) -> Arch:
        """The first of the suite's. Raises UserError for one that is not understood."""
        arch = architectures.load(self.suite.arches[0])
        if arch.qemu is None or arch.make_arch not in disassembly.MACHINES:
            known = ", ".join(disassembly.MACHINES)
            raise UserError(f"benchmarks do not run on {arch.name}", f"known: {known}")
        return arch

    @property
    def _fragment(self) -> Fragment:
        own = (kconfig.read(path) for path in self.suite.configs)
        return vm.fragment(self.arch).merge(*own)

    @property
    def _busybox(self) -> Path:
        return busybox.provide(
            self.arch, self.settings.busybox, self.workspace.cache, self.progress
        )

    def _inputs(self, tree: str) -> Mapping[str, str]:
        arch, spec = self.arch, vmspec.find(str(self.suite.machine or vmspec.DEFAULT))
        assert arch.qemu
        instructions = self.settings.counter == INSTRUCTIONS
        accelerator = qemu.counted(arch.qemu) if instructions else qemu.kvm()
        guest = hashlib.sha256()
        for file in initramfs.system(self._busybox):
            guest.update(file.path.encode() + (file.source.read_bytes() if file.source else b""))
        return {
            "tree": tree,
            "arch": arch.name,
            "arch config": arch.kconfig.key,
            "config": self._fragment.key,
            "toolchain": architectures.toolchain(arch).key,
            "machine": " ".join((qemu.version(arch.qemu), *accelerator.args, *arch.qemu.args,
                                 *arch.qemu.vm_args, *spec.qemu_args)),
            "command line": " ".join((*arch.kernel_args, *spec.kernel_args,
                                      *self.suite.kernel_args)),
            "guest": guest.hexdigest(),
            "counter": self.settings.counter,
            "boots": str(self.settings.boots),
            "plan": repr(self.plan),
        }  # fmt: skip


def _taken(data: dict[str, object]) -> Taken:
    return Taken(**{**data, "boots": tuple(data["boots"])})  # type: ignore[arg-type]
