"""Run a kernel once, with a deadline, and keep its whole console.

A User Mode Linux kernel is a program of this machine; others run in QEMU (qemu.py). Both
are started by process.run_logged, so that nothing of them outlives the tool.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool import process, qemu
from memdesc_tool.arch import Arch, Runner
from memdesc_tool.cache import Cache, human_size
from memdesc_tool.errors import InfraError

SHARED_MEMORY = Path("/dev/shm")
UML_MEMORY = 256 * 1024 * 1024
"""Bytes that a UML's memory file has grown to at the end of a KUnit run, and some more."""

_PANIC = re.compile(rb"Kernel panic - not syncing|---\[ end Kernel panic")
_BANNER = re.compile(rb"Linux version \d|KTAP version \d|TAP version \d")
_RESULT = re.compile(r"^(?:\[[^\]]*\] )?(\s*)(?:not )?ok \d+ -? ?(\S+)", re.MULTILINE)

Tell = Callable[[str], None]


class BootOutcome(Enum):
    """How a run of a kernel ended."""

    COMPLETE = "complete"
    """It shut down by itself."""
    DIED = "died"
    """It panicked, crashed or stopped in a way that nobody asked for."""
    TIMEOUT = "timeout"
    """It was still running at the deadline."""


@dataclass(frozen=True)
class BootRequest:
    """What to run.

    image: the kernel; kernel_args: its command line, behind the arch's; qemu_args: for
    QEMU, behind the arch's; timeout: seconds; log: file for the whole console.
    """

    arch: Arch
    image: Path
    log: Path
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    timeout: float = 300

    @property
    def command_line(self) -> str:
        """The kernel's command line as far as the request decides it."""
        return " ".join((*self.arch.kernel_args, *self.kernel_args))


@dataclass(frozen=True)
class Boot:
    """What came of a run.

    started: the kernel said something (its banner or KTAP); status: exit status of UML or
    QEMU (negative: the signal); machine: what ran it, for the results ("um",
    QEMU's version with its arguments); command: to paste.
    """

    outcome: BootOutcome
    started: bool
    status: int
    log: Path
    seconds: float
    command_line: str
    machine: str
    command: str


def boot(request: BootRequest, cache: Cache, tell: Tell = lambda _: None) -> Boot:
    """Run a kernel to its end or the deadline.

    Raises InfraError where the machine could not run it: QEMU is missing or refuses its
    arguments, no memory, ended from outside.
    """
    request.log.parent.mkdir(parents=True, exist_ok=True)
    if request.arch.runner is Runner.UML:
        return _boot_uml(request, tell)
    return _boot_qemu(request, cache, tell)


def _boot_uml(request: BootRequest, tell: Tell) -> Boot:
    """UML keeps its pid file and console socket in uml_dir, its memory in a file in TMPDIR."""
    private = _short_directory(request.log) / f"uml-{secrets.token_hex(4)}"
    argv = [str(request.image), *request.arch.kernel_args, *request.kernel_args,
            f"uml_dir={private}/", "umid=memdesc-tool"]  # fmt: skip
    temporary = _memory_directory(private)
    done = _run(argv, request, {"TMPDIR": str(temporary), "HOME": str(private)}, tell, private)
    text = request.log.read_bytes()
    if b"ran out of space" in text or done.status == -7:
        raise InfraError(
            f"User Mode Linux ran out of space in {temporary}",
            f"it keeps its memory there; console: {request.log}",
        )
    return _judge(done, request, text, "um", argv)


def _boot_qemu(request: BootRequest, cache: Cache, tell: Tell) -> Boot:
    machine = request.arch.qemu
    assert machine is not None, "arch.load() gives every QEMU arch a [qemu]"
    tell("which accelerator works here")
    accelerator = qemu.accelerator(machine, request.image, request.arch.kernel_args, cache)
    argv = qemu.command(
        machine, accelerator, request.image, request.command_line, request.qemu_args
    )
    done = _run(argv, request, None, tell)
    text = request.log.read_bytes()
    if done.status > 0 and not done.timed_out and not _BANNER.search(text):
        said = text.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise InfraError(f"{machine.binary} failed: {said[-1]}", f"its output: {request.log}")
    options = (*accelerator.args, "-m", str(machine.memory), *machine.args, *request.qemu_args)
    name = " ".join((qemu.version(machine), *options))
    return _judge(done, request, text, name, argv)


def _run(
    argv: list[str],
    request: BootRequest,
    env: dict[str, str] | None,
    tell: Tell,
    private: Path | None = None,
) -> process.Finished:
    return process.run_logged(
        argv,
        cwd=request.log.parent,
        log_file=request.log,
        env=env,
        timeout=request.timeout,
        on_tick=lambda: tell(_position(request.log)),
        private=private,
    )


def _judge(
    done: process.Finished, request: BootRequest, text: bytes, machine: str, argv: list[str]
) -> Boot:
    if done.status in (-9, -15) and not done.timed_out:
        raise InfraError(
            f"the kernel under test was killed from outside (signal {-done.status})",
            f"probably for want of memory; console: {request.log}",
        )
    outcome = BootOutcome.COMPLETE
    if done.timed_out:
        outcome = BootOutcome.TIMEOUT
    elif done.status != 0 or _PANIC.search(text):
        outcome = BootOutcome.DIED
    return Boot(
        outcome=outcome,
        started=bool(_BANNER.search(text)),
        status=done.status,
        log=request.log,
        seconds=done.seconds,
        command_line=request.command_line,
        machine=machine,
        command=shlex.join(argv),
    )


def _position(log: Path) -> str:
    """The last result on the console: where the run is."""
    found = _RESULT.findall(process.tail_of(log, 4096))
    return found[-1][1] if found else "booting"


def _short_directory(log: Path) -> Path:
    """Where UML's private directory goes: by the log, unless a socket's path gets too long.

    UML makes a socket UML_DIR/UMID/mconsole; sun_path has 108 bytes.
    """
    length = len(os.fsencode(log.parent.absolute())) + len("/uml-12345678/memdesc-tool/mconsole")
    return log.parent.absolute() if length < 104 else Path(tempfile.gettempdir())


def _memory_directory(private: Path) -> Path:
    """A directory for UML's memory: tmpfs with enough space that programs may map, or a disk.

    UML maps the file executable, so a noexec mount is no use.
    """
    with suppress(OSError):
        mount = os.statvfs(SHARED_MEMORY)
        free = mount.f_bavail * mount.f_frsize
        usable = not mount.f_flag & os.ST_NOEXEC and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
        if usable and free >= UML_MEMORY:
            return SHARED_MEMORY
    if shutil.disk_usage(private.parent).free < UML_MEMORY:
        raise InfraError(f"User Mode Linux needs {human_size(UML_MEMORY)} in {private}")
    return private
