"""QEMU: its command line, and which accelerator really runs a kernel here.

A /dev/kvm that opens does not mean that a kernel boots under it (nested virtualisation may
be broken), so the answer comes from booting one. It is remembered per boot of this machine
and version of QEMU.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.arch import Qemu
from memdesc_tool.cache import Cache, write_atomic
from memdesc_tool.errors import InfraError

PROBE_SECONDS = 60
SECTOR_SECONDS = 10
KVM_DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# A boot sector for x86: writes "K" to the first serial port and leaves QEMU through
# isa-debug-exit (port 0xf4) with status 0x10 * 2 + 1.
#     cli; mov $0x3f8,%dx; mov $'K',%al; out %al,(%dx)
#     mov $0xf4,%dx; mov $0x10,%al; out %al,(%dx); 1: hlt; jmp 1b
BOOT_SECTOR = (
    bytes.fromhex("fa baf803 b04b ee baf400 b010 ee f4 ebfd").ljust(510, b"\0") + b"\x55\xaa"
)
BOOT_SECTOR_STATUS = 0x10 * 2 + 1

# The end of a boot without a root file system: everything before it worked.
_BOOTED = re.compile(rb"Unable to mount root fs|No working init found|reboot: |Run /\S*init as")
_STARTED = re.compile(rb"Linux version \d")


@dataclass(frozen=True)
class Accelerator:
    """What executes the guest's instructions: name ("kvm", "tcg") and QEMU's arguments."""

    name: str
    args: tuple[str, ...]


def kvm() -> Accelerator:
    """The processor itself."""
    return Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))


def tcg(machine: Qemu) -> Accelerator:
    """Emulation, a thread for each virtual CPU."""
    cpu = ("-cpu", machine.tcg_cpu) if machine.tcg_cpu else ()
    return Accelerator("tcg", ("-accel", "tcg,thread=multi", *cpu))


def counted(machine: Qemu) -> Accelerator:
    """Emulation of one processor in which each instruction takes a nanosecond of the guest's
    time (and of its TSC, of 1 GHz) and nothing else does but being idle, which is skipped.

    The guest's clock and what it takes for random begin the same each time.
    """
    cpu = ("-cpu", machine.tcg_cpu) if machine.tcg_cpu else ()
    args = (
        "-accel", "tcg,thread=single", *cpu,
        "-icount", "shift=0,align=off,sleep=off",
        "-seed", "1",
        "-rtc", "base=2026-01-01T00:00:00,clock=vm",
    )  # fmt: skip
    return Accelerator("icount", args)


def version(machine: Qemu) -> str:
    """The first line of `qemu-system-X --version`. Raises InfraError naming the package."""
    try:
        return process.version_of(machine.binary)
    except InfraError:
        raise InfraError(
            f"{machine.binary} is not installed", f"apt install {machine.package}"
        ) from None


def command(
    machine: Qemu,
    accelerator: Accelerator,
    image: Path,
    command_line: str,
    extra: Sequence[str] = (),
) -> list[str]:
    """The argv that boots image with the console on standard output."""
    return [
        machine.binary, "-nodefaults", "-no-reboot", "-nographic", "-m", str(machine.memory),
        *accelerator.args, "-kernel", str(image), "-append", command_line,
        "-serial", machine.serial, *machine.args, *extra,
    ]  # fmt: skip


def accelerator(
    machine: Qemu, image: Path, kernel_args: Sequence[str], cache: Cache
) -> Accelerator:
    """The accelerator that boots image here: KVM where a probe boots under it, else TCG."""
    known = version(machine)
    if platform.machine() not in machine.kvm_hosts or not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return tcg(machine)
    boot_id = BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else "unknown"
    key = hashlib.sha256(f"{boot_id} {machine.binary} {known}".encode()).hexdigest()[:16]
    remembered = cache.root / "probes" / key
    if remembered.exists():
        answer = remembered.read_text(encoding="ascii").strip()
        return kvm() if answer == "kvm" else tcg(machine)
    # What does not run a sector does not run a kernel, and says so sooner.
    sector = machine.binary != "qemu-system-x86_64" or boots_sector(SECTOR_SECONDS)
    verdict = probe_kvm(machine, image, kernel_args) if sector else False
    if verdict is not None:
        write_atomic(remembered, b"kvm\n" if verdict else b"tcg\n")
    return kvm() if verdict else tcg(machine)


def boots_sector(seconds: float, accelerator: str = "kvm") -> bool:
    """Whether QEMU for x86_64 with the accelerator runs BOOT_SECTOR to its end in time."""
    with tempfile.TemporaryDirectory(prefix="memdesc-kvm-") as name:
        here = Path(name)
        (here / "boot.img").write_bytes(BOOT_SECTOR)
        argv = [
            "qemu-system-x86_64", "-accel", accelerator, "-m", "16", "-nodefaults", "-no-reboot",
            "-display", "none", "-serial", "file:serial",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            "-drive", "file=boot.img,format=raw,if=floppy,readonly=on",
        ]  # fmt: skip
        done = process.run_logged(argv, cwd=here, log_file=here / "log", timeout=seconds)
        serial = here / "serial"
        said = serial.read_bytes() if serial.exists() else b""
        return done.status == BOOT_SECTOR_STATUS and said == b"K"


def probe_kvm(machine: Qemu, image: Path, kernel_args: Sequence[str]) -> bool | None:
    """Whether image boots to its end under KVM, without a root file system.

    None where it began to boot and did not arrive: that may be the kernel's own fault, so
    it is no answer to remember.
    """
    with tempfile.TemporaryDirectory(prefix="memdesc-kvm-") as directory:
        log = Path(directory) / "console.log"
        line = " ".join((*kernel_args, "kunit.enable=0"))
        argv = command(machine, kvm(), image, line)
        process.run_logged(argv, cwd=Path(directory), log_file=log, timeout=PROBE_SECONDS)
        console = log.read_bytes()
    if _BOOTED.search(console):
        return True
    return None if _STARTED.search(console) else False
