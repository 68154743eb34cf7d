"""What this machine can do, found by trying.

Programs are data (data/doctor.toml; data/arches/*.toml for compilers and QEMU). A probe
either ran what it speaks of or says that it did not.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool import arch, distribution, process, qemu
from memdesc_tool.cache import Cache, human_size
from memdesc_tool.errors import CommandError, InfraError
from memdesc_tool.tomlfile import read_toml

PROBES = Path(__file__).with_name("data") / "doctor.toml"
COMMAND_SECONDS = 4.0
KVM_SECONDS = 2.5
MAIN_JOB = "um KUnit"
# A tree in git, its worktree, a build directory (data measured with 7.3.4), and air.
WANTED_DISK = 8_000_000_000
NEEDED_DISK = 4_000_000_000
WANTED_MEMORY = 2_000_000_000


class Status(Enum):
    """What a probe found."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    detail: version, or what is wrong; purpose: what needs it; package: what to install
    where it is missing, "" where that does not help; required: without it the main job
    cannot run.
    """

    name: str
    status: Status
    detail: str
    purpose: str = ""
    package: str = ""
    required: bool = False


@dataclass(frozen=True)
class Probe:
    """A command that succeeds where something is installed."""

    name: str
    command: tuple[str, ...]
    package: str
    purpose: str
    required: bool = False

    def run(self) -> Finding:
        """Run it."""
        lacking = Finding(self.name, Status.MISSING, "", self.purpose, self.package, self.required)
        if not shutil.which(self.command[0]):
            return lacking
        try:
            done = process.capture(list(self.command), cwd=Path("/"), timeout=COMMAND_SECONDS)
        except CommandError:
            return lacking
        except InfraError as error:
            return Finding(self.name, Status.MISSING, error.message, self.purpose, self.package,
                           self.required)  # fmt: skip
        return Finding(self.name, Status.OK, version_in(done.output), self.purpose)


def version_in(output: str) -> str:
    """The version that the output of `--version` begins with; "" where it says none."""
    match = re.search(
        r"(?<![\w.])v?(\d+(?:\.\d+)+(?:[-+~]?\w+)*)", "\n".join(output.splitlines()[:3])
    )
    return match[1] if match else ""


def probes() -> list[Probe]:
    """The commands to try: data/doctor.toml, then compilers and QEMU of each architecture."""
    found = []
    for table in read_toml(PROBES, "the list of what doctor looks for").tables("probe"):
        table.only(["name", "command", "package", "purpose", "required"])
        found.append(
            Probe(
                name=table.string("name"),
                command=table.strings("command", None),
                package=table.string("package"),
                purpose=table.string("purpose"),
                required=table.boolean("required", False),
            )
        )
    return [*found, *_compilers(), *_emulators()]


def _compilers() -> list[Probe]:
    found: dict[str, tuple[str, list[str]]] = {}
    for one in map(arch.load, arch.names()):
        if one.cross_compile and not one.is_native:
            program = f"{one.cross_compile}gcc"
            found.setdefault(program, (one.compiler_package, []))[1].append(one.name)
    return [
        Probe(program, (program, "-dumpfullversion"), package, f"build {', '.join(names)}")
        for program, (package, names) in found.items()
    ]


def _emulators() -> list[Probe]:
    found: dict[str, tuple[str, list[str]]] = {}
    for name in arch.names():
        machine = arch.load(name).qemu
        if machine:
            found.setdefault(machine.binary, (machine.package, []))[1].append(name)
    return [
        Probe(binary, (binary, "--version"), package, f"vm, kunit: run {', '.join(names)}")
        for binary, (package, names) in found.items()
    ]


def examine(cache: Cache, tell: Callable[[str], None]) -> list[Finding]:
    """Try everything; at most a few seconds. tell gets what is being tried."""
    checks: list[Callable[[], Finding]] = [
        python,
        lambda: disk(cache),
        processors,
        memory,
        source_packages,
        *(probe.run for probe in probes()),
        lambda: kvm(kernels(cache)),
    ]
    tell(f"{len(checks)} probes")
    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 2) as pool:
        futures = [pool.submit(check) for check in reversed(checks)]  # the slow one first
        return [future.result() for future in reversed(futures)]


def can_do_main_job(findings: Sequence[Finding]) -> bool:
    """Whether nothing that the main job needs is missing."""
    return not any(f.required and f.status is Status.MISSING for f in findings)


def packages(findings: Sequence[Finding]) -> list[str]:
    """The packages to install for all that is missing, each once, in the order shown."""
    return list(dict.fromkeys(f.package for f in findings if f.package))


# -- the machine -----------------------------------------------------------------------


def python() -> Finding:
    """The Python that runs this."""
    return Finding("python", Status.OK, platform.python_version(), "everything")


def disk(cache: Cache) -> Finding:
    """Space where the cache is."""
    free = shutil.disk_usage(cache.root).free
    detail = f"{human_size(free)} free in {cache.root}"
    if free >= WANTED_DISK:
        return Finding("disk", Status.OK, detail, MAIN_JOB)
    status = Status.LIMITED if free >= NEEDED_DISK else Status.MISSING
    return Finding("disk", status, f"{detail}, {human_size(WANTED_DISK)} wanted; memdesc-tool gc",
                   MAIN_JOB, required=True)  # fmt: skip


def processors() -> Finding:
    """Processors that this process may use."""
    count = len(os.sched_getaffinity(0))
    status = Status.OK if count > 1 else Status.LIMITED
    return Finding("processors", status, f"{count} ({platform.machine()})", "speed")


def memory() -> Finding:
    """Memory that is available now."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    size = int(match[1]) * 1024 if match else 0
    status = Status.OK if size >= WANTED_MEMORY else Status.LIMITED
    return Finding("memory", status, f"{human_size(size)} available", MAIN_JOB)


def source_packages() -> Finding:
    """Whether releases can come from the distribution."""
    distro = distribution.this_distribution()
    if distro:
        return Finding(
            "releases", Status.OK, f"through apt ({distro.name}), kernel.org", "tree get"
        )
    return Finding("releases", Status.LIMITED, "kernel.org only: no apt that is known", "tree get")


# -- KVM -------------------------------------------------------------------------------


def kernels(cache: Cache) -> list[Path]:
    """x86 kernel images to try, those of our own builds first."""
    ours = sorted(
        cache.build.glob("*/*/arch/x86/boot/bzImage"), key=lambda path: -path.stat().st_mtime
    )
    machine = sorted(Path("/boot").glob("vmlinuz-*")) if Path("/boot").is_dir() else []
    return [path for path in (*ours, *machine) if os.access(path, os.R_OK)]


def kvm(images: Sequence[Path]) -> Finding:
    """Whether KVM runs a kernel: by running one of images, after a guest of one sector."""
    name, purpose = "KVM", "fast VMs"
    if not qemu.KVM_DEVICE.exists():
        return Finding(name, Status.LIMITED, "no /dev/kvm; VMs are emulated", purpose)
    if not os.access(qemu.KVM_DEVICE, os.R_OK | os.W_OK):
        detail = "/dev/kvm may not be opened (group kvm?); VMs are emulated"
        return Finding(name, Status.LIMITED, detail, purpose)
    if platform.machine() != "x86_64" or not shutil.which("qemu-system-x86_64"):
        detail = (
            "/dev/kvm is there; nothing was booted: the probe needs qemu-system-x86_64 on x86_64"
        )
        return Finding(name, Status.LIMITED, detail, purpose)
    if not qemu.boots_sector(KVM_SECONDS):
        detail = "/dev/kvm opens but does not work: a guest of one sector does not run"
        return Finding(name, Status.LIMITED, f"{detail}; VMs are emulated", purpose)
    if not images:
        detail = "a guest of one sector runs; no kernel at hand to boot, so that is not proven"
        return Finding(name, Status.LIMITED, detail, purpose)
    if boots_kernel(images[0]):
        return Finding(name, Status.OK, f"boots {images[0]}", purpose)
    detail = f"a guest of one sector runs, but {images[0]} does not boot"
    return Finding(name, Status.LIMITED, f"{detail}; VMs are emulated", purpose)


def boots_kernel(image: Path, accelerator: str = "kvm") -> bool:
    """Whether QEMU with the accelerator gets image to print its version within KVM_SECONDS."""
    with tempfile.TemporaryDirectory(prefix="memdesc-kvm-") as name:
        here = Path(name)
        argv = [
            "qemu-system-x86_64", "-accel", accelerator, "-m", "256", "-nodefaults", "-no-reboot",
            "-display", "none", "-serial", "file:serial", "-kernel", str(image),
            "-append", "console=ttyS0 earlyprintk=serial panic=-1",
        ]  # fmt: skip
        process.run_logged(argv, cwd=here, log_file=here / "log", timeout=KVM_SECONDS)
        serial = here / "serial"
        return serial.exists() and b"Linux version" in serial.read_bytes()
