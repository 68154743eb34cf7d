"""A static busybox for guests: this machine's, or the distribution's for another architecture.

The distribution's comes through apt, with apt's private state in the cache (aptsource.py);
it is obtained once.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

from memdesc_tool import distribution, process
from memdesc_tool.aptsource import Apt
from memdesc_tool.arch import Arch
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError, UserError

PACKAGE = "busybox-static"
PROGRAM = "bin/busybox"
MACHINES = {
    "x86_64": 62,
    "i386": 3,
    "arm64": 183,
    "arm": 40,
    "powerpc": 21,
    "riscv": 243,
    "s390": 22,
}
"""e_machine of ELF programs, by make's ARCH."""
_PT_INTERP = 3


def find(arch: Arch, chosen: Path | None, cache: Cache) -> Path | None:
    """A static busybox that runs on arch: chosen, this machine's, or one obtained before.

    None where there is none. Raises UserError for a chosen one that does not do.
    """
    if chosen:
        if problem := unfit(chosen, arch):
            raise UserError(f"{chosen} {problem}")
        return chosen.absolute()
    own = shutil.which("busybox")
    if own and not unfit(Path(own), arch):
        return Path(own).resolve()
    obtained = _obtained(arch, cache)
    return obtained if obtained.is_file() else None


def provide(arch: Arch, chosen: Path | None, cache: Cache, progress: Progress) -> Path:
    """The same, obtained through apt where there is none and apt is at hand.

    Raises InfraError naming what to do where it cannot be had.
    """
    if found := find(arch, chosen, cache):
        return found
    if arch.is_native:
        raise InfraError("there is no static busybox here", f"apt install {PACKAGE}")
    distro = distribution.this_distribution()
    if not distro or not arch.debian:
        raise InfraError(f"there is no busybox for {arch.name}", "name a static one with --busybox")
    with cache.lock("apt", on_wait=progress.note):
        apt = Apt(cache.apt / arch.debian, distro, arch.debian)
        apt.directory.mkdir(parents=True, exist_ok=True)
        try:
            return _unpacked(apt, arch, cache, progress)
        except InfraError as error:
            raise InfraError(
                f"no busybox for {arch.name}: {error.message}", "name a static one with --busybox"
            ) from None


def _unpacked(apt: Apt, arch: Arch, cache: Cache, progress: Progress) -> Path:
    """Download the package and put its program into the cache."""
    target = _obtained(arch, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="busybox-", dir=target.parent) as name:
        deb = apt.binary(PACKAGE, Path(name), progress)
        process.capture(["dpkg-deb", "-x", str(deb), f"{name}/x"], cwd=deb.parent)
        program = next(Path(name, "x").glob(f"**/{PROGRAM}"), None)
        problem = unfit(program, arch) if program else f"has no {PROGRAM}"
        if not program or problem:
            raise InfraError(f"{deb.name} {problem}")
        program.replace(target)
    return target


def _obtained(arch: Arch, cache: Cache) -> Path:
    return cache.root / "tools" / f"busybox-{arch.debian}"


def unfit(program: Path, arch: Arch) -> str:
    """Why a program cannot be the guest's busybox; "" where it can."""
    try:
        with program.open("rb") as stream:
            data = stream.read(65536)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(data) < 64 or data[:4] != b"\x7fELF":
        return "is not an ELF program"
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    if struct.unpack_from(f"{order}H", data, 18)[0] != MACHINES.get(arch.make_arch):
        return f"is not a program of {arch.make_arch}"
    offset = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(f"{order}HH", data, 54 if wide else 42)
    kinds = (struct.unpack_from(f"{order}I", data, offset + n * size)[0] for n in range(count))
    return "is not static" if _PT_INTERP in kinds else ""
