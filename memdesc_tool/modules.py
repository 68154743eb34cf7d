"""Out-of-tree kernel modules: found in the project, built for a kernel, checked.

An out-of-tree module directory is kernel-test-modules/<name>/ with a `Kbuild` file (what is
built) and a `config` file (the options that the kernel needs for it). It is copied and
built in the copy, always from scratch, so that every warning is seen every time.

The kernel is a directory that `make -C DIR M=...` works with: a build directory (O=) in
which `modules` or `modules_prepare` was made, or installed headers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from memdesc_tool import buildlog, kconfig, process
from memdesc_tool.arch import Arch, toolchain
from memdesc_tool.build import REPRODUCIBLE, usable_cpus
from memdesc_tool.buildlog import Diagnostic
from memdesc_tool.errors import CommandError, CommandTimeout, InfraError, UserError
from memdesc_tool.kconfig import Fragment

KBUILD = "Kbuild"
CONFIG = "config"
AUTO_CONF = "include/config/auto.conf"
TIMEOUT = 900.0
"""Seconds for each of the two steps, compiling and checking."""
# What an earlier build in the directory itself has left.
_BUILT = shutil.ignore_patterns(
    "*.o", "*.ko", "*.mod", "*.mod.c", "*.symvers", "modules.order", ".*"
)
_SYMBOLS = re.compile(r"undefined!|unresolved symbol|Module\.symvers|Symbol (info|version dump)")
"""What modpost says for want of the kernel's symbols."""
_CHECKED = re.compile(r"^  CHECK ", re.MULTILINE)
"""What kbuild prints for every file that sparse reads; nothing where it finds it too old."""
_PLAIN = re.compile(r"CONFIG_\w+=\w+")

Tell = Callable[[str], None]


def _silent(_: str) -> None:
    """The progress of nobody."""


@dataclass(frozen=True)
class ModuleSource:
    """An out-of-tree module directory; name is that of the directory."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def fragment(self) -> Fragment:
        """The options that the kernel needs; none where there is no `config`."""
        path = self.directory / CONFIG
        return kconfig.read(path) if path.is_file() else Fragment()


def find_modules(root: Path, names: tuple[str, ...] = ()) -> tuple[ModuleSource, ...]:
    """The module directories of a project, or those of these names, in order.

    Raises UserError for a name that is none.
    """
    found = {
        path.parent.name: ModuleSource(path.parent.absolute())
        for path in sorted((root / "kernel-test-modules").glob(f"*/{KBUILD}"))
    }
    for name in names:
        if name not in found:
            known = ", ".join(found) or "none"
            raise UserError(f"there is no module directory {name}", f"known here: {known}")
    return tuple(found[name] for name in names or found)


def lacking(kernel_dir: Path, source: ModuleSource) -> tuple[kconfig.Missing, ...]:
    """What of a module directory's `config` a kernel that was built elsewhere has not."""
    try:
        text = (kernel_dir / AUTO_CONF).read_text(encoding="utf-8")
    except OSError:
        return ()
    # Strings have no quotes there.
    text = "".join(f"{line}\n" for line in text.splitlines() if _PLAIN.fullmatch(line))
    has = kconfig.values(text)
    return tuple(
        one for one in kconfig.missing(source.fragment, text)
        if not (one.option.value == "y" and has.get(one.option.name) == "m")
    )  # fmt: skip


def with_modules(arch: Arch) -> Arch:
    """arch whose kernel is built with its modules, so that modpost knows its symbols."""
    return replace(arch, targets=(*arch.targets, "modules"))


@dataclass(frozen=True)
class ModulesRequest:
    """What to build.

    source: the module directory; kernel_dir: for `make -C`; output: made anew, for the copy
    and what is built from it; log_dir: for modules.log and sparse.log; arch: None for what
    kernel_dir says itself (installed headers); symbols: False where kernel_dir has only
    seen `modules_prepare`, so that symbols cannot be checked; sparse: check where it is
    installed. The other fields are as in build.BuildRequest.
    """

    source: ModuleSource
    kernel_dir: Path
    output: Path
    log_dir: Path
    arch: Arch | None = None
    symbols: bool = True
    sparse: bool = True
    make_options: tuple[str, ...] = ()
    cross_compile: str | None = None
    jobs: int = field(default_factory=usable_cpus)
    ccache: bool = True
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class ModulesBuild:
    """What came of it.

    modules: the .ko files, in the order of their names; errors: why there are none;
    warnings: of compiler (W=1), modpost and sparse; unchecked: why sparse did not check, ""
    where it did; log: of the compiler; seconds: of both steps.
    """

    source: ModuleSource
    modules: tuple[Path, ...]
    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    unchecked: str
    log: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it was built; warnings do not count."""
        return not self.errors

    @property
    def clean(self) -> bool:
        """Whether nothing was said against it."""
        return not self.errors and not self.warnings


def build(request: ModulesRequest, tell: Tell = _silent) -> ModulesBuild:
    """Copy, compile with W=1, check with sparse. Raises InfraError, UserError."""
    _check_kernel(request.kernel_dir)
    shutil.rmtree(request.output, ignore_errors=True)
    shutil.copytree(request.source.directory, request.output, ignore=_BUILT)
    log = request.log_dir / "modules.log"
    tell("compile")
    done = _make(request, log, "W=1")
    errors = _errors(done, request, log)
    found = tuple(sorted(request.output.rglob("*.ko")))
    if not errors and not found:
        errors = (Diagnostic(KBUILD, 0, "error", "names no module (obj-m)"),)
    warnings = _own(buildlog.warnings(log, request.output), request)
    if errors or not request.sparse:
        why = "" if request.sparse else "not asked for"
        return ModulesBuild(
            request.source, () if errors else found, errors, warnings, why or "not compiled",
            log, done.seconds,
        )  # fmt: skip
    tell("sparse")
    complaints, unchecked, seconds = _sparse(request)
    return ModulesBuild(
        request.source, found, (), tuple(dict.fromkeys((*warnings, *complaints))), unchecked,
        log, done.seconds + seconds,
    )  # fmt: skip


def _check_kernel(directory: Path) -> None:
    """Refuse what modules cannot be built for."""
    if not (directory / "Makefile").is_file():
        raise UserError(
            f"{directory} is no kernel build directory: it has no Makefile",
            "a build directory (O=), or /lib/modules/RELEASE/build of installed headers",
        )
    if not (directory / AUTO_CONF).is_file():
        raise UserError(
            f"{directory}: nothing was built there: it has no {AUTO_CONF}",
            "make modules_prepare",
        )


def _make(request: ModulesRequest, log: Path, *more: str) -> process.Finished:
    variables = {"M": str(request.output), **REPRODUCIBLE}
    if not request.symbols:
        variables["KBUILD_MODPOST_WARN"] = "1"
    if request.arch:
        tools = toolchain(request.arch, request.make_options, request.cross_compile)
        variables["ARCH"] = request.arch.make_arch
        if tools.prefix:
            variables["CROSS_COMPILE"] = tools.prefix
        if request.ccache and shutil.which("ccache"):
            variables["CC"] = f"ccache {tools.compiler}"
    given = {option.partition("=")[0] for option in request.make_options}
    assigned = [f"{name}={value}" for name, value in variables.items() if name not in given]
    return process.run_logged(
        ["make", "-C", str(request.kernel_dir), f"-j{request.jobs}", *assigned,
         *request.make_options, *more, "modules"],
        cwd=request.output,
        log_file=log,
        timeout=request.timeout,
    )  # fmt: skip


def _errors(done: process.Finished, request: ModulesRequest, log: Path) -> tuple[Diagnostic, ...]:
    """Why make failed; InfraError where the machine is to blame."""
    argv = list(done.argv)
    if done.timed_out:
        raise CommandTimeout(argv, request.timeout, log=log)
    if done.status < 0:
        raise CommandError(argv, done.status, log=log)
    if not done.status:
        return ()
    if trouble := buildlog.machine_trouble(log):
        raise InfraError(trouble.message, trouble.hint or f"whole log: {log}")
    return _own(buildlog.errors(log, request.output), request)


def _own(found: tuple[Diagnostic, ...], request: ModulesRequest) -> tuple[Diagnostic, ...]:
    """Diagnostics with files named as in the project; without those for want of symbols."""
    kept = (one for one in found if request.symbols or not _SYMBOLS.search(one.text))
    return tuple(
        replace(one, file=f"{request.source.name}/{one.file}") if _ours(one, request) else one
        for one in kept
    )


def _ours(found: Diagnostic, request: ModulesRequest) -> bool:
    """Whether a diagnostic is about a file of the module directory."""
    path = Path(found.file)
    return bool(found.file) and not path.is_absolute() and (request.output / path).is_file()


def _sparse(request: ModulesRequest) -> tuple[tuple[Diagnostic, ...], str, float]:
    """What sparse complains about in the module's own files, why it did not check, seconds.

    Where it reports an error in a header of the kernel it has not understood the kernel:
    what it says of the module then means nothing.
    """
    if not shutil.which("sparse"):
        return (), "sparse is not installed", 0.0
    version = process.capture(["sparse", "--version"], cwd=request.output, check=False).output
    name = " ".join(version.split()[:1]) or "?"
    log = request.log_dir / "sparse.log"
    done = _make(request, log, "W=1", "C=2", "CHECK=sparse")
    if not _CHECKED.search(log.read_text(encoding="utf-8", errors="replace")):
        return (), f"sparse {name} is not good enough for this kernel's makefile", done.seconds
    found = buildlog.diagnostics(log, request.output)
    foreign = [one for one in found if one.kind == "error" and not _ours(one, request)]
    if foreign:
        where = f"{foreign[0].file}:{foreign[0].line}: {foreign[0].text}"
        return (), f"sparse {name} does not understand this kernel ({where})", done.seconds
    own = tuple(one for one in found if _ours(one, request))
    return _own(own, request), "", done.seconds
