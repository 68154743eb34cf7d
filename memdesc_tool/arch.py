"""Architectures as data: how a kernel is built and run for each (data/arches/*.toml).

A name is either one of make's ARCH (um, x86_64, arm64, ...) or a variant of one: um-smp is
um with more options and kernel arguments. A variant's `base` names what it varies; lists
are added to the base's, other fields replace them.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from memdesc_tool import kconfig, process
from memdesc_tool.errors import CommandError, InfraError, UserError
from memdesc_tool.kconfig import Fragment
from memdesc_tool.tomlfile import Table, read_toml

DATA = Path(__file__).parent / "data"

_SRCARCH = {"x86_64": "x86", "i386": "x86", "sparc64": "sparc", "parisc64": "parisc"}
_FIELDS = (
    "base", "make_arch", "debian", "cross_compile", "compiler_package", "native", "targets",
    "image", "runner", "kconfig", "tree_kconfig", "kernel_args", "qemu",
)  # fmt: skip


class Runner(Enum):
    """What runs a kernel."""

    UML = "uml"
    """The kernel itself, as a program of this machine."""
    QEMU = "qemu"


@dataclass(frozen=True)
class Qemu:
    """How QEMU runs a kernel of an architecture.

    binary: its program; package: Debian's package that has it; args: machine and firmware;
    tcg_cpu: -cpu under emulation ("" for the machine's default); kvm_hosts: machines
    (uname -m) on which KVM is worth a probe; serial: argument of -serial; memory: in MiB;
    vm_args: behind args, for guests with devices (vm.py).
    """

    binary: str
    package: str
    args: tuple[str, ...] = ()
    tcg_cpu: str = "max"
    kvm_hosts: tuple[str, ...] = ()
    serial: str = "stdio"
    memory: int = 1024
    vm_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arch:
    """An architecture or variant.

    name: as given to --arch; make_arch: make's ARCH; debian: Debian's name of it, "" where
    it has none; cross_compile: prefix of the tools
    where this machine is not native (in Debian's naming); compiler_package: Debian's
    package with them; native: machines (uname -m) whose own compiler builds it, empty for
    every one; targets: of make; image: the kernel, below the build directory; kconfig: what
    a kernel needs to boot and be heard; tree_kconfig: path in a kernel tree of more of
    that, where the tree has it; kernel_args: its command line.
    """

    name: str
    make_arch: str
    targets: tuple[str, ...]
    image: str
    runner: Runner
    debian: str = ""
    cross_compile: str = ""
    compiler_package: str = "gcc"
    native: tuple[str, ...] = ()
    kconfig: Fragment = field(default_factory=Fragment)
    tree_kconfig: str = ""
    kernel_args: tuple[str, ...] = ()
    qemu: Qemu | None = None

    @property
    def is_native(self) -> bool:
        """Whether this machine's own compiler builds it."""
        return not self.native or platform.machine() in self.native

    def base_fragment(self, source: Path) -> Fragment:
        """What every kernel of the architecture from this source is built with."""
        tree = source / self.tree_kconfig
        if self.tree_kconfig and tree.is_file():
            return kconfig.read(tree).merge(self.kconfig)
        return self.kconfig


def names() -> list[str]:
    """The names that load() knows."""
    return sorted(path.stem for path in (DATA / "arches").glob("*.toml"))


def load(name: str) -> Arch:
    """The architecture or variant called name. Raises UserError naming what is known."""
    path = DATA / "arches" / f"{name}.toml"
    if name not in names():
        raise UserError(f"there is no architecture {name}", f"known: {', '.join(names())}")
    table = read_toml(path, "the description of an architecture")
    table.only(_FIELDS)
    return _variant(table) if "base" in table.values else _arch(table)


def _arch(table: Table) -> Arch:
    runner = table.string("runner")
    if runner not in {member.value for member in Runner}:
        raise table.error("runner", "must be uml or qemu")
    native = table.strings("native")
    return Arch(
        name=table.path.stem,
        make_arch=table.string("make_arch"),
        targets=table.strings("targets", None),
        image=table.string("image"),
        runner=Runner(runner),
        debian=table.string("debian", ""),
        cross_compile=table.string("cross_compile", ""),
        compiler_package=table.string("compiler_package", "gcc"),
        native=native,
        kconfig=_fragment(table),
        tree_kconfig=table.string("tree_kconfig", ""),
        kernel_args=table.strings("kernel_args"),
        qemu=_qemu(table.table("qemu"), native) if Runner(runner) is Runner.QEMU else None,
    )


def _qemu(table: Table, native: tuple[str, ...]) -> Qemu:
    table.only(["binary", "package", "args", "tcg_cpu", "kvm_hosts", "serial", "memory", "vm_args"])
    return Qemu(
        binary=table.string("binary"),
        package=table.string("package"),
        args=table.strings("args"),
        tcg_cpu=table.string("tcg_cpu", "max"),
        kvm_hosts=table.strings("kvm_hosts", native),
        serial=table.string("serial", "stdio"),
        memory=table.integer("memory", 1024, minimum=16),
        vm_args=table.strings("vm_args"),
    )


def _variant(table: Table) -> Arch:
    base = load(table.string("base"))
    fixed = {
        name: table.string(name)
        for name in ("debian", "cross_compile", "compiler_package", "image")
        if name in table.values
    }
    return replace(
        base,
        name=table.path.stem,
        native=table.strings("native", base.native),
        kconfig=base.kconfig.merge(_fragment(table)),
        kernel_args=(*base.kernel_args, *table.strings("kernel_args")),
        **fixed,  # type: ignore[arg-type]
    )


def _fragment(table: Table) -> Fragment:
    fragment = Fragment()
    for name in table.strings("kconfig"):
        path = DATA / "kconfig" / name
        if not path.is_file():
            raise table.error("kconfig", f"there is no data/kconfig/{name}")
        fragment = fragment.merge(kconfig.read(path))
    return fragment


def common_fragment() -> Fragment:
    """What every kernel of every architecture is built with."""
    return kconfig.read(DATA / "kconfig" / "common.config")


@dataclass(frozen=True)
class Toolchain:
    """What builds a kernel.

    prefix: CROSS_COMPILE, "" for this machine's own tools; compiler: the C compiler's
    program; version: its first line of --version; linker: the same of the linker.
    """

    prefix: str
    compiler: str
    version: str
    linker: str

    @property
    def key(self) -> str:
        """What tells two toolchains apart in the results."""
        return f"{self.version}; {self.linker}"


def srcarch(make_arch: str) -> str:
    """The directory below arch/ that an ARCH of make's is built from (the Makefile's SRCARCH)."""
    return _SRCARCH.get(make_arch, make_arch)


def toolchain(
    arch: Arch, make_options: tuple[str, ...] = (), cross_compile: str | None = None
) -> Toolchain:
    """The toolchain that a build for arch would use.

    make_options: X=Y as given to make (LLVM, CC, LD count here); cross_compile: a prefix to
    use in place of the arch's. Raises InfraError with the package where it is missing.
    """
    options = dict(option.partition("=")[::2] for option in make_options)
    prefix = cross_compile
    if prefix is None:
        prefix = options.get("CROSS_COMPILE", "" if arch.is_native else arch.cross_compile)
    compiler, linker = _programs(options, prefix)
    package = arch.compiler_package if prefix == arch.cross_compile and prefix else "gcc"
    if "LLVM" in options:
        number = compiler.removeprefix("clang") if compiler.startswith("clang-") else ""
        package, prefix = f"clang{number} lld{number} llvm{number}", ""
    return Toolchain(
        prefix=prefix,
        compiler=compiler,
        version=_first_line(compiler, package),
        linker=_first_line(linker, package),
    )


def _programs(options: Mapping[str, str], prefix: str) -> tuple[str, str]:
    """The programs CC and LD that kbuild picks (see "LLVM" in the tree's Makefile)."""
    llvm = options.get("LLVM", "")
    if llvm and llvm != "0":
        path = llvm if llvm.endswith("/") else ""
        suffix = llvm if llvm.startswith("-") else ""
        compiler, linker = f"{path}clang{suffix}", f"{path}ld.lld{suffix}"
    else:
        compiler, linker = f"{prefix}gcc", f"{prefix}ld"
    return options.get("CC", compiler).split()[-1], options.get("LD", linker).split()[-1]


def _first_line(program: str, package: str) -> str:
    """The first line of `program --version`."""
    try:
        return process.version_of(program)
    except CommandError as error:
        raise InfraError(f"{program} does not work: {error.message}") from None
    except InfraError:
        raise InfraError(f"{program} is not installed", f"apt install {package}") from None
