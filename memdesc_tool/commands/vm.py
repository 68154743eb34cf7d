"""memdesc-tool vm: build a kernel, boot it in QEMU, run one command in it."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from memdesc_tool import arch as architectures
from memdesc_tool import build as building
from memdesc_tool import busybox, initramfs, kunit, vm, vmspec
from memdesc_tool.apply import apply_stack
from memdesc_tool.arch import Arch
from memdesc_tool.build import BuildRequest, usable_cpus
from memdesc_tool.cache import write_atomic
from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.commands.completion import complete_arch
from memdesc_tool.console import err
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, FailedError, UserError
from memdesc_tool.initramfs import GuestFile
from memdesc_tool.project import find_project
from memdesc_tool.series import Stack
from memdesc_tool.terminal import Terminal
from memdesc_tool.vm import VmOutcome, VmRequest, VmResult
from memdesc_tool.vmspec import VmSpec
from memdesc_tool.workspace import open_workspace

SHOWN = 12
"""Lines of a splat or a failure that are printed; the log has the rest."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    command: tuple[str, ...]
    tree_spec: str | None
    rev: str | None
    series: tuple[str, ...]
    upto: int | None
    arch: str
    config: tuple[str, ...]
    kernel: Path | None
    save: Path | None
    spec: str
    memory: int | None
    nodes: int | None
    cpus: int | None
    append: tuple[str, ...]
    qemu_args: tuple[str, ...]
    file: tuple[str, ...]
    busybox: Path | None
    timeout: int | None
    shell: bool
    gdb: bool
    jobs: int | None
    project: Path | None


@dataclass(frozen=True)
class Kernel:
    """What is booted: image; source: the tree that it was built from, None for a given
    image; vmlinux: with symbols, None where there is none; label: names it.
    """

    image: Path
    source: Path | None
    vmlinux: Path | None
    label: str


@click.command("vm")
@click.argument("command", metavar="[-- CMD...]", nargs=-1, type=click.UNPROCESSED)
@tree_options
@click.option(
    "--series", multiple=True, metavar="S", help="Apply this series and what it depends on."
)
@click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only.")
@click.option(
    "--arch",
    shell_complete=complete_arch,
    default="x86_64",
    metavar="ARCH",
    help="[default: x86_64]",
)
@click.option(
    "--config",
    multiple=True,
    metavar="FRAGMENT",
    help="More of the kernel: debug, kasan, kcsan, faults, hooks, rt, gdb, or a file; repeatable.",
)
@click.option(
    "--kernel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="IMAGE",
    help="Boot this instead of building one.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="IMAGE",
    help="Keep the kernel that was built, for --kernel.",
)
@click.option(
    "--spec",
    default=vmspec.DEFAULT,
    metavar="NAME|FILE",
    help="The machine: default, hotplug, or a file such as data/vm/default.toml.",
)
@click.option("--memory", type=click.IntRange(64), metavar="MIB", help="In place of the spec's.")
@click.option("--nodes", type=click.IntRange(1), metavar="N", help="NUMA nodes, likewise.")
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="Processors, likewise.")
@click.option("--append", multiple=True, metavar="ARGS", help="For the kernel command line.")
@click.option("--qemu_args", "--qemu-args", multiple=True, metavar="ARGS", help="For QEMU.")
@click.option(
    "--file",
    multiple=True,
    metavar="HOST:GUEST",
    help="Copy a file or directory into the guest; without :GUEST, a file goes to /usr/bin.",
)
@click.option(
    "--busybox",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A static busybox for the guest [default: this machine's, for another architecture "
    "the distribution's package].",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    metavar="SECONDS",
    help=f"For the run, without the build [default: {vm.TIMEOUT}; none with --shell or --gdb].",
)
@click.option("--shell", is_flag=True, help="A shell on the guest's console instead of a command.")
@click.option("--gdb", is_flag=True, help="Wait for gdb before the first instruction.")
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all processors].")
@project_option
@click.pass_context
def vm_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Build a kernel, boot it in QEMU and run CMD in it (none: only boot it).

    CMD is run by the guest's busybox sh, without a terminal. What the host does for the
    guest (its size, memory devices, virtio-mem) its program vmhost asks for. Exit status 1
    where CMD fails, a case that it reports fails, or the kernel complains, panics or hangs.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    status = _vm(click_context.obj, options)
    if status:
        click_context.exit(status)


def _vm(context: Context, options: Options) -> ExitStatus:
    arch, spec, terminal, files = _check(options)
    program = busybox.provide(arch, options.busybox, context.cache, context.progress)
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    log_dir = context.cache.logs / "vm" / stamp
    kernel = _kernel(context, options, arch, log_dir)
    interactive = options.shell or options.gdb
    request = VmRequest(
        arch=arch,
        image=kernel.image,
        log_dir=log_dir,
        spec=spec,
        command=options.command,
        files=files,
        kernel_args=tuple(word for words in options.append for word in shlex.split(words)),
        qemu_args=tuple(word for words in options.qemu_args for word in shlex.split(words)),
        timeout=options.timeout or (None if interactive else vm.TIMEOUT),
        source=kernel.source,
        busybox=program,
        on_gdb=(lambda stub: _print_gdb(stub, kernel)) if options.gdb else None,
    )
    try:
        result = _run(context, request, terminal, kernel.label)
    finally:
        if not options.kernel:
            kernel.image.unlink(missing_ok=True)
    _show(result)
    if result.outcome is VmOutcome.NOT_BOOTED:
        return ExitStatus.INFRA
    return ExitStatus.OK if _good(result, options.shell) else ExitStatus.FAILED


def _check(options: Options) -> tuple[Arch, VmSpec, Terminal | None, tuple[GuestFile, ...]]:
    """All that can be wrong with the options, before anything is built."""
    if options.shell and options.command:
        raise UserError("give either --shell or a command")
    if options.kernel and (
        options.tree_spec or options.rev or options.series or options.config
        or options.upto is not None or options.save
    ):  # fmt: skip
        raise UserError("--kernel is booted as it is", "no --tree, --rev, --series, --config")
    arch = architectures.load(options.arch)
    if arch.qemu is None:
        raise UserError(f"{arch.name} does not run in QEMU", "choose another --arch")
    spec = vmspec.find(options.spec).changed(options.memory, options.cpus, options.nodes)
    vm.fragment(arch, options.config)
    files = tuple(file for argument in options.file for file in _files(argument))
    return arch, spec, Terminal() if options.shell else None, files


def _files(argument: str) -> tuple[GuestFile, ...]:
    """The files that --file HOST:GUEST asks for."""
    host, _, guest = argument.partition(":")
    if not host:
        raise UserError(f"--file: {argument} names no file of this machine", "write HOST:GUEST")
    source = Path(host)
    if source.is_dir():
        return initramfs.directory(source, guest or f"/{source.resolve().name}")
    if not source.is_file():
        raise UserError(f"--file: {host} does not exist")
    return (GuestFile(guest or f"/usr/bin/{source.name}", source.absolute(),
                      mode=source.stat().st_mode & 0o777),)  # fmt: skip


def _kernel(context: Context, options: Options, arch: Arch, log_dir: Path) -> Kernel:
    """The kernel to boot: given, or built. What was built is copied, so that others may go
    on building in its place while this one runs. Raises FailedError where it cannot be built.
    """
    if options.kernel:
        return Kernel(options.kernel.absolute(), None, None, options.kernel.name)
    fragment = vm.fragment(arch, options.config)
    with _source(context, options) as (source, builds, label):
        build_dir = kunit.build_directory(builds, arch, fragment)
        lock = kunit.build_lock(build_dir)
        with context.cache.lock(lock, on_wait=context.progress.note):
            if not build_dir.exists():
                context.cache.need_space(kunit.BUILD_BYTES, "a build directory")
            request = BuildRequest(
                source, build_dir, arch, fragment, log_dir / "build.log",
                jobs=options.jobs or usable_cpus(),
            )  # fmt: skip
            with context.progress.step(f"{label}: build {arch.name}") as tell:
                build = building.build(request, tell)
            if build.image is None:
                wrong = build.config.missing or build.errors
                for line in wrong[:SHOWN]:
                    click.echo(str(line))
                raise FailedError(f"{label} does not build", f"whole log: {build.log}")
            image = shutil.copyfile(build.image, log_dir / build.image.name)
            if options.save:
                write_atomic(options.save, image.read_bytes())
    return Kernel(image, source, build_dir / "vmlinux", label)


@contextmanager
def _source(context: Context, options: Options) -> Iterator[tuple[Path, Path, str]]:
    """The kernel source asked for, where build directories go, and its name for people."""
    stack = Stack(())
    if options.series or options.upto is not None:
        stack = find_project(options.project).stack(options.series)
    base = resolve_base(context, options.tree_spec, options.rev, stack if stack.series else None)
    with open_workspace(context.cache, base, context.progress) as workspace:
        commit = base.commit
        if applied := apply_stack(workspace, commit, stack.up_to(options.upto), context.progress):
            commit = applied[-1].commit
        yield workspace.checkout(commit), workspace.builds, f"{base.name} {commit[:12]}"


def _print_gdb(stub: Path, kernel: Kernel) -> None:
    vmlinux = shlex.quote(str(kernel.vmlinux)) if kernel.vmlinux else "VMLINUX"
    err.print(f"  gdb {vmlinux} -ex 'target remote {stub}'", markup=False, soft_wrap=True)


def _run(context: Context, request: VmRequest, terminal: Terminal | None, label: str) -> VmResult:
    """Run; with a terminal, it is the guest's until the end."""
    if terminal:
        err.print("  a shell in the guest; exit ends it, ^] ends it at once", markup=False)
        with terminal:
            return vm.run(replace(request, terminal=terminal), context.cache)
    with context.progress.step(f"{label}: run") as tell:
        return vm.run(request, context.cache, tell, click.echo)


def _good(result: VmResult, shell: bool) -> bool:
    """Whether it passed. How a shell of the user's ended is no verdict; a splat is."""
    if shell and result.outcome in (VmOutcome.EXITED, VmOutcome.STOPPED):
        return not result.report.splats
    return result.passed


def _show(result: VmResult) -> None:
    """Print on standard error what went wrong and the verdict; the command's output is out."""
    for case in result.report.document.failures:
        click.echo(f"{case.status.value}: {case.id}", err=True)
    for splat in result.report.splats:
        click.echo(f"splat: {splat.title}", err=True)
        for line in splat.text[:SHOWN]:
            click.echo(f"    {line}", err=True)
    if result.reasons:
        click.echo(f"console: {result.log}", err=True)
    counts = [f"{n} {status.value}" for status, n in result.report.document.counts().items()]
    if result.boot_seconds is not None:
        counts.append(f"boot {result.boot_seconds:.1f} s")
    counts.append(f"run {result.seconds:.1f} s")
    why = f": {'; '.join(result.reasons)}" if result.reasons else ""
    click.echo(f"{result.outcome.value.upper()}{why} ({', '.join(counts)})", err=True)
