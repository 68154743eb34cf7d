"""The parts of a bundle that come from a kernel's build directory.

The image and its configuration, the modules that it installs, and which of them are KUnit
suites. A kernel is told by its release and by the build id of its vmlinux, which the running
one shows in /sys/kernel/notes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.arch import Arch
from memdesc_tool.build import REPRODUCIBLE
from memdesc_tool.bundle import Entry, Step, directory_entries
from memdesc_tool.errors import CommandError, UserError

INSTALL_SECONDS = 600.0
KUNIT_SECTION = b".kunit_test_suites\0"
KUNIT_SECONDS = 300


@dataclass(frozen=True)
class KernelParts:
    """What a kernel gives to a bundle. facts: for its manifest."""

    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]
    facts: dict[str, str]


def release_of(build_dir: Path) -> str:
    """What `uname -r` says of the kernel in a build directory or of installed headers.

    Raises UserError where it was not built. Not from kernel.release, which need not be what
    the kernel says of itself (Debian's is not).
    """
    path = build_dir / "include" / "generated" / "utsrelease.h"
    try:
        found = re.search(r'UTS_RELEASE "(\S+)"', path.read_text(encoding="utf-8"))
    except OSError:
        found = None
    if not found:
        raise UserError(f"{build_dir}: nothing was built there: it has no {path.name}")
    return found[1]


def parts(
    build_dir: Path, arch: Arch, stage: Path, log_file: Path, prefix: str = ""
) -> KernelParts:
    """Image, configuration and modules of a kernel that was built with them.

    stage: a directory, made anew, that must stay until the bundle is written; prefix:
    CROSS_COMPILE. Raises InfraError where the modules cannot be installed, UserError where
    the image is not there.
    """
    image = build_dir / arch.image
    if not image.is_file():
        raise UserError(f"{build_dir} has no {arch.image}", "build it, or give --modules-only")
    release = release_of(build_dir)
    config = (build_dir / ".config").read_bytes()
    facts = {
        "kernel": release,
        "build-id": build_id(build_dir / "vmlinux"),
        "kernel image": f"kernel/{image.name}",
        "kernel config": hashlib.sha256(config).hexdigest(),
    }
    entries = [Entry("kernel/config", config), Entry(f"kernel/{image.name}", image)]
    steps: tuple[Step, ...] = ()
    if b"\nCONFIG_MODULES=y\n" in config:
        installed = _install(build_dir, arch, stage, log_file, prefix) / release
        entries += directory_entries(installed, f"lib/modules/{release}")
        steps = tuple(_kunit_steps(installed))
    return KernelParts(tuple(entries), steps, facts)


def _install(build_dir: Path, arch: Arch, stage: Path, log_file: Path, prefix: str) -> Path:
    """modules_install below stage; returns its lib/modules."""
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    variables = {"ARCH": arch.make_arch, "INSTALL_MOD_PATH": str(stage), "INSTALL_MOD_STRIP": "1",
                 **REPRODUCIBLE}  # fmt: skip
    if prefix:
        variables["CROSS_COMPILE"] = prefix
    argv = ["make", "-C", str(build_dir), *(f"{n}={v}" for n, v in variables.items()),
            "modules_install"]  # fmt: skip
    done = process.run_logged(argv, cwd=build_dir, log_file=log_file, timeout=INSTALL_SECONDS)
    if done.status:
        raise CommandError(argv, done.status, tail=process.tail_of(log_file), log=log_file)
    found = stage / "lib" / "modules"
    for name in ("build", "source"):
        for left in found.glob(f"*/{name}"):
            left.unlink()
    return found


def _kunit_steps(installed: Path) -> Iterator[Step]:
    for path in sorted(installed.rglob("*.ko")):
        if KUNIT_SECTION in path.read_bytes():
            yield Step(f"kunit.{path.stem}", "kunit", path.stem, seconds=KUNIT_SECONDS)


def build_id(vmlinux: Path) -> str:
    """The build id that a running kernel shows of itself, in hexadecimal; "" for none.

    Only the notes that end up in /sys/kernel/notes count: a vDSO inside has one of its own.
    Raises InfraError where the file cannot be read.
    """
    done = process.capture(["readelf", "--notes", "--wide", str(vmlinux)], cwd=Path.cwd())
    notes = done.output.partition("found in: .notes")[2].partition("found in: ")[0]
    found = re.search(r"Build ID: ([0-9a-f]+)", notes)
    return found[1] if found else ""
