"""Run one command in a virtual machine: pack an initramfs, boot it in QEMU, judge.

The guest's /init runs the command and reports its exit status on the console, whose whole
text is kept. How the guest ended is in the VmResult; what this machine could not do (QEMU is
missing, refuses to start or dies) is raised. Nothing of it outlives the tool.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from memdesc_tool import busybox, consolelog, initramfs, kconfig, process, qemu
from memdesc_tool.arch import DATA, Arch, Qemu, Runner
from memdesc_tool.cache import Cache
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.hostport import PORT, HostPort
from memdesc_tool.initramfs import GuestFile
from memdesc_tool.kconfig import Fragment
from memdesc_tool.qemu import Accelerator
from memdesc_tool.terminal import Terminal
from memdesc_tool.vmconsole import Console, Until
from memdesc_tool.vmspec import VmSpec

TIMEOUT = 300
"""Seconds for a run unless told otherwise."""
GRACE = 15.0
"""Seconds that a guest has to end after its command has, or after a panic."""
FRAGMENTS = DATA / "kconfig"

Tell = Callable[[str], None]


class VmOutcome(Enum):
    """How a run ended."""

    EXITED = "exited"
    """The command ended; see status."""
    HANG = "hang"
    """The guest was still running at the deadline, or did not power off."""
    PANIC = "panic"
    STOPPED = "stopped"
    """The guest ended before the command did: it reset, or somebody ended it."""
    ENOUGH = "enough"
    """It was ended since VmRequest.until was true."""
    NOT_BOOTED = "not booted"
    """Not a word from the kernel."""


@dataclass(frozen=True)
class VmRequest:
    """What to run.

    arch, image: the kernel; log_dir: made if need be, for console.log and qemu.log; spec:
    the machine; command: argv in the guest, empty: only boot; files: laid over what every
    guest has; kernel_args, qemu_args: behind those of arch and spec; timeout: seconds, None
    for no end; source: a kernel tree whose gen_init_cpio packs the initramfs (None:
    cpio(1)); busybox: a static one for arch (None: what busybox.find() gives); terminal: an
    interactive shell on it in place of a command; on_gdb: start with the processors stopped
    and QEMU's gdb stub open; is given the stub's socket before it starts; accelerator: None
    for the one that works here; until: ends the guest before its command has ended, once it
    is true twice in a row of what the console has said.
    """

    arch: Arch
    image: Path
    log_dir: Path
    spec: VmSpec = field(default_factory=VmSpec)
    command: tuple[str, ...] = ()
    files: tuple[GuestFile, ...] = ()
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    timeout: float | None = TIMEOUT
    source: Path | None = None
    busybox: Path | None = None
    terminal: Terminal | None = None
    on_gdb: Callable[[Path], None] | None = None
    accelerator: Accelerator | None = None
    until: Callable[[ConsoleReport], bool] | None = None

    @property
    def command_line(self) -> str:
        """The kernel's command line."""
        own = (arg for arg in self.arch.kernel_args if not arg.startswith("kunit_shutdown="))
        gdb = ("nokaslr",) if self.on_gdb else ()
        return " ".join(
            (*own, "printk.devkmsg=on", *gdb, *self.spec.kernel_args, *self.kernel_args)
        )


@dataclass(frozen=True)
class VmResult:
    """What came of a run.

    status: the command's exit status, None where it did not end; reasons: why it has not
    passed, in sentences for people; log: the whole console; seconds: of QEMU; boot_seconds:
    until the command began, None where it did not; machine: QEMU's version and arguments,
    for the results; digest: of the initramfs; argv: QEMU's command line.
    """

    outcome: VmOutcome
    status: int | None
    reasons: tuple[str, ...]
    report: ConsoleReport
    log: Path
    seconds: float
    boot_seconds: float | None
    command_line: str
    machine: str
    digest: str
    argv: tuple[str, ...] = field(repr=False)

    @property
    def passed(self) -> bool:
        """The command succeeded, no case failed, the kernel did not complain."""
        return not self.reasons

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """What reached the machine besides the kernel, for the results: (name, value)."""
        return (("command_line", self.command_line), ("machine", self.machine),
                ("initramfs", self.digest))  # fmt: skip


def fragment(arch: Arch, names: tuple[str, ...] = ()) -> Fragment:
    """The kernel configuration of a guest: vm-base and those named, with arch's parts of them.

    names: "debug" for data/kconfig/vm-debug.config, or a path. Raises UserError.
    """
    merged = Fragment()
    for name in ("base", *names):
        for path in _fragments(arch, name):
            merged = merged.merge(kconfig.read(path))
    return merged


def _fragments(arch: Arch, name: str) -> list[Path]:
    """The files of one fragment: what holds for every architecture comes first."""
    own = FRAGMENTS / f"vm-{name}.config"
    if own.is_file():
        parts = (own, FRAGMENTS / f"vm-{name}-{arch.make_arch}.config")
        return [path for path in parts if path.is_file()]
    if Path(name).exists():
        return [Path(name)]
    known = sorted(path.stem.removeprefix("vm-") for path in FRAGMENTS.glob("vm-*.config"))
    known = [word for word in known if word != "base" and "-" not in word]
    raise UserError(f"there is no fragment {name}", f"known: {', '.join(known)}; or a file")


def run(
    request: VmRequest,
    cache: Cache,
    tell: Tell = lambda _: None,
    on_line: Callable[[str], None] | None = None,
) -> VmResult:
    """Run a command in a guest to its end or the deadline.

    on_line is given each line that the console shows while the command runs. Raises
    InfraError where this machine cannot run it, UserError for what cannot be packed.
    """
    if request.arch.runner is not Runner.QEMU or request.arch.qemu is None:
        raise UserError(f"{request.arch.name} does not run in QEMU", "choose another --arch")
    request.log_dir.mkdir(parents=True, exist_ok=True)
    archive = request.log_dir / "initramfs.cpio"
    try:
        tell("initramfs")
        packer = initramfs.generator(request.source, cache)
        initramfs.pack(_files(request, cache), archive, packer)
        return _boot(request, request.arch.qemu, archive, cache, tell, on_line)
    finally:
        archive.unlink(missing_ok=True)


def _files(request: VmRequest, cache: Cache) -> list[GuestFile]:
    """All that is in the guest."""
    program = busybox.find(request.arch, request.busybox, cache)
    if not program:
        raise InfraError(f"there is no busybox for {request.arch.name}", "see busybox.provide()")
    files = [*initramfs.system(program), *request.files]
    if terminal := request.terminal:
        size = f"stty rows {terminal.rows} cols {terminal.columns}\n"
        files.append(GuestFile("/memdesc/shell", content=size.encode()))
    command = f"exec {shlex.join(request.command)}\n" if request.command else "exit 0\n"
    files.append(GuestFile("/memdesc/command", content=command.encode()))
    return files


class _Enough(Exception):
    """The guest need not be waited for any longer."""


@dataclass(frozen=True)
class _Ended:
    """What came of QEMU: cut_off: it did not end by itself; seconds: it ran; enough: it was
    cut off since that was all that anybody wanted to know.
    """

    status: int
    cut_off: bool
    seconds: float
    enough: bool = False


def _boot(
    request: VmRequest,
    machine: Qemu,
    archive: Path,
    cache: Cache,
    tell: Tell,
    on_line: Callable[[str], None] | None,
) -> VmResult:
    """Boot, wait for the end, judge."""
    accelerator = request.accelerator
    if not accelerator:
        tell("which accelerator works here")
        accelerator = qemu.accelerator(machine, request.image, request.arch.kernel_args, cache)
    private = _short_directory()
    console = Console(request.log_dir / "console.log", on_line)
    console.log.write_bytes(b"")
    host = HostPort(private, request.terminal)
    argv = _argv(request, accelerator, archive, private, console.log)
    if request.on_gdb:
        request.on_gdb(private / "gdb")
    started = time.monotonic()
    ended = _wait(request, argv, private, console, host, tell)
    console.follow(last=True)
    if ended.status and not ended.cut_off:
        raise _qemu_failed(machine, ended.status, request.log_dir / "qemu.log")
    report = consolelog.read(console.log)
    outcome = _outcome(ended, console, host)
    return VmResult(
        outcome=outcome,
        status=console.status,
        reasons=tuple(_reasons(outcome, ended, console, host, report)),
        report=report,
        log=console.log,
        seconds=ended.seconds,
        boot_seconds=console.began - started if console.began else None,
        command_line=request.command_line,
        machine=" ".join((qemu.version(machine), *accelerator.args, *machine.args, *machine.vm_args,
                          *request.spec.qemu_args, *request.qemu_args)),
        digest=hashlib.sha256(archive.read_bytes()).hexdigest(),
        argv=tuple(argv),
    )  # fmt: skip


def _wait(
    request: VmRequest, argv: list[str], private: Path, console: Console, host: HostPort, tell: Tell
) -> _Ended:
    """Run QEMU to its end, the deadline, or until the guest should have ended long ago."""
    until = Until(request.until, console.log)

    def tick() -> None:
        console.follow()
        tell(console.position)
        if console.status is None and until.fulfilled():
            raise _Enough
        if host.ending.panicked or console.panicked or console.status is not None:
            console.ending = console.ending or time.monotonic()
            if time.monotonic() - console.ending > GRACE:
                raise _Enough

    started = time.monotonic()
    try:
        with host:
            done = process.run_logged(
                argv, cwd=request.log_dir, log_file=request.log_dir / "qemu.log",
                timeout=request.timeout, on_tick=tick, private=private,
            )  # fmt: skip
    except _Enough:
        enough = console.ending is None
        return _Ended(0, True, time.monotonic() - started, enough)
    return _Ended(done.status, done.timed_out, done.seconds)


def _argv(
    request: VmRequest, accelerator: Accelerator, archive: Path, private: Path, log: Path
) -> list[str]:
    """QEMU's command line. What it makes sockets of, it makes in private."""
    assert request.arch.qemu
    machine = replace(request.arch.qemu, memory=request.spec.memory, serial="chardev:console")
    if request.terminal:
        console = (
            f"socket,id=console,path={private}/console,server=on,wait=on,logfile={_quoted(log)}"
        )
    else:
        console = f"file,id=console,path={_quoted(log)}"
    extra = [
        *request.spec.qemu_args,
        "-initrd", str(archive),
        "-chardev", f"socket,id=host,path={private}/host,server=on,wait=on",
        "-chardev", console,
        "-device", "virtio-serial-pci",
        "-device", f"virtserialport,chardev=host,name={PORT}",
        "-qmp", f"unix:{private}/qmp,server=on,wait=on",
        # A panic is an event; the kernel then resets the machine itself (panic=-1).
        "-action", "panic=none",
    ]  # fmt: skip
    extra += machine.vm_args
    if request.on_gdb:
        extra += ["-gdb", f"unix:{private}/gdb,server=on,wait=off", "-S"]
    extra += request.qemu_args
    return qemu.command(machine, accelerator, request.image, request.command_line, extra)


def _quoted(path: Path) -> str:
    """A path as a value in one of QEMU's lists."""
    return str(path.absolute()).replace(",", ",,")


def _short_directory() -> Path:
    """A new directory's name whose sockets have paths that fit (sun_path has 108 bytes)."""
    top = Path(tempfile.gettempdir())
    if len(str(top)) > 70:
        top = Path("/tmp")
    return top / f"memdesc-vm-{secrets.token_hex(4)}"


def _qemu_failed(machine: Qemu, status: int, log: Path) -> InfraError:
    """QEMU refused to start, or died: its own last words say why."""
    lines = process.tail_of(log).splitlines()
    said = [line for line in lines if line.strip() and ": info: " not in line]
    last = said[-1].strip() if said else "it said nothing"
    how = f"was killed by signal {-status}" if status < 0 else f"failed (exit status {status})"
    return InfraError(f"{machine.binary} {how}: {last}", f"its output: {log}")


def _outcome(ended: _Ended, console: Console, host: HostPort) -> VmOutcome:
    if console.panicked or host.ending.panicked:
        return VmOutcome.PANIC
    if not console.booted:
        return VmOutcome.NOT_BOOTED
    if ended.enough:
        return VmOutcome.ENOUGH
    if ended.cut_off:
        return VmOutcome.HANG
    return VmOutcome.STOPPED if console.status is None else VmOutcome.EXITED


def _reasons(
    outcome: VmOutcome, ended: _Ended, console: Console, host: HostPort, report: ConsoleReport
) -> Iterator[str]:
    """Why a run has not passed: what ended it first, then what was said in it."""
    seconds = f"{ended.seconds:.0f} s"
    command = "the command" if console.began else "the guest's /init (it did not begin)"
    if outcome is VmOutcome.PANIC:
        yield "the guest's kernel panicked"
    elif outcome is VmOutcome.NOT_BOOTED:
        yield f"no output of a kernel within {seconds}"
    elif outcome is VmOutcome.STOPPED:
        why = f" ({host.ending.reason})" if host.ending.reason else ""
        yield f"the guest ended before {command} did{why}"
    elif outcome is VmOutcome.HANG and console.status is not None:
        yield f"the command ended with status {console.status}, but the guest did not power off"
    elif outcome is VmOutcome.HANG:
        yield f"{command} was still running after {seconds}"
    if outcome is VmOutcome.EXITED and console.status:
        yield f"the command failed: exit status {console.status}"
    if host.problem and outcome is not VmOutcome.EXITED:
        yield f"QMP: {host.problem}"
    cases = list(report.document.cases)
    failed = [case.id for case in cases if case.status.failed]
    if failed:
        yield f"{len(failed)} of {len(cases)} cases failed: {_some(failed)}"
    elif cases and all(case.status.skipped for case in cases):
        yield f"all {len(cases)} cases were skipped"
    if report.splats:
        yield f"splats: {_some([splat.title for splat in report.splats])}"


def _some(items: list[str], limit: int = 5) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
