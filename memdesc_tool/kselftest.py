"""kselftests in a virtual machine: built and installed by the kernel's own makefiles, packed
into the guest, run there by kselftest's own runner.

install() does the first part, run() the rest. The programs are linked statically, so that
the guest needs no libraries for them; bash, which the kernel's scripts ask for, is the
machine's static one, or its own with the libraries that it needs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import buildlog, busybox, initramfs, process, vm
from memdesc_tool.arch import DATA, Arch
from memdesc_tool.build import usable_cpus
from memdesc_tool.buildlog import Diagnostic
from memdesc_tool.cache import Cache
from memdesc_tool.errors import CommandError, CommandTimeout, InfraError, UserError
from memdesc_tool.initramfs import GuestFile
from memdesc_tool.suites import Suite
from memdesc_tool.vm import VmOutcome, VmResult

PROGRAMS = DATA / "kselftest"
SELFTESTS = "tools/testing/selftests"
LIST = "kselftest-list.txt"
GUEST_TOP = "/kselftest"
BUILD_TIMEOUT = 1800.0
"""Seconds for each make."""

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class InstallRequest:
    """What to install.

    source: a kernel tree with the suite in it; build_dir: O= of the tests, not of a kernel,
    its lock is the caller's; output: where to, made anew. The kernel's makefiles write a
    little into source (local_config.mk), which must be the tool's own.
    """

    source: Path
    build_dir: Path
    output: Path
    suite: Suite
    arch: Arch
    log_file: Path
    jobs: int = field(default_factory=usable_cpus)


@dataclass(frozen=True)
class Installed:
    """What came of it. errors: why it failed; log: of make; seconds: of all steps."""

    directory: Path
    errors: tuple[Diagnostic, ...]
    log: Path
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.errors


def install(request: InstallRequest, tell: Tell = lambda _: None) -> Installed:
    """Build the suite's collection, or the programs of it that the suite names, and install.

    Raises InfraError where the machine is to blame, UserError for a source without the
    collection.
    """
    collection = request.suite.collection
    if not (request.source / SELFTESTS / collection / "Makefile").is_file():
        raise UserError(f"{request.source} has no {SELFTESTS}/{collection}")
    if not shutil.which("rsync"):
        raise InfraError("rsync is not installed", "apt install rsync")
    shutil.rmtree(request.output, ignore_errors=True)
    # Nothing of an earlier build counts: these makefiles do not know all that they depend on.
    shutil.rmtree(request.build_dir / "kselftest" / collection, ignore_errors=True)
    request.build_dir.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    for what, arguments in (("headers", ["headers"]), ("tests", _install_arguments(request))):
        tell(what)
        done = _make(request, arguments, append=what != "headers")
        seconds += done.seconds
        if done.status:
            return Installed(request.output, _failure(request), request.log_file, seconds)
    return Installed(request.output, _lacking(request), request.log_file, seconds)


def _install_arguments(request: InstallRequest) -> list[str]:
    suite = request.suite
    programs = " ".join(f"$(OUTPUT)/{name}" for name in suite.programs)
    return [
        "-C", SELFTESTS,
        f"TARGETS={suite.collection}",
        "FORCE_TARGETS=1",
        f"KSFT_INSTALL_PATH={request.output}",
        "USERLDFLAGS=-static",
        "TEST_GEN_MODS_DIR=",
        *([f"TEST_GEN_FILES={programs}"] if programs else []),
        "install",
    ]  # fmt: skip


def _make(request: InstallRequest, arguments: list[str], *, append: bool) -> process.Finished:
    tools = architectures.toolchain(request.arch)
    argv = ["make", f"-j{request.jobs}", f"O={request.build_dir}",
            f"ARCH={request.arch.make_arch}"]  # fmt: skip
    if tools.prefix:
        argv.append(f"CROSS_COMPILE={tools.prefix}")
    done = process.run_logged(
        [*argv, *arguments], cwd=request.source, log_file=request.log_file,
        timeout=BUILD_TIMEOUT, append=append,
    )  # fmt: skip
    if done.timed_out:
        raise CommandTimeout(list(done.argv), BUILD_TIMEOUT, log=request.log_file)
    if done.status < 0:
        raise CommandError(list(done.argv), done.status, log=request.log_file)
    return done


def _failure(request: InstallRequest) -> tuple[Diagnostic, ...]:
    """The errors of a failed make; raises InfraError where the machine is to blame."""
    if trouble := buildlog.machine_trouble(request.log_file):
        raise InfraError(trouble.message, trouble.hint or f"whole log: {request.log_file}")
    found = buildlog.errors(request.log_file, request.source)
    return found or (Diagnostic("", 0, "error", "make failed; its log says why"),)


def _lacking(request: InstallRequest) -> tuple[Diagnostic, ...]:
    """What was to be installed and is not there: make says nothing of some of it."""
    suite, top = request.suite, request.output
    test = suite.filter.partition(":")[2]
    listed = (top / LIST).read_text(encoding="utf-8").split() if (top / LIST).is_file() else []
    missing = [name for name in (*suite.programs, test)
               if not (top / suite.collection / name).is_file()]  # fmt: skip
    if suite.filter not in listed and not missing:
        missing = [f"{suite.filter} in {LIST}"]
    where = f"{SELFTESTS}/{suite.collection}"
    return tuple(Diagnostic(where, 0, "error", f"installs no {name}") for name in missing)


def find_bash(arch: Arch, chosen: Path | None = None) -> tuple[GuestFile, ...]:
    """bash for a guest: chosen (static), else a static one of this machine's, else its own
    with what it is linked with.

    Raises UserError for a chosen one that does not do, InfraError where there is none.
    """
    if chosen:
        if problem := busybox.unfit(chosen, arch):
            raise UserError(f"{chosen} {problem}")
        return (GuestFile("/bin/bash", chosen.absolute(), mode=0o755),)
    for name in ("bash-static", "bash"):
        program = shutil.which(name)
        if program and not busybox.unfit(Path(program), arch):
            return (GuestFile("/bin/bash", Path(program).resolve(), mode=0o755),)
    if not arch.is_native:
        raise InfraError(
            f"there is no static bash for {arch.name}",
            "unpack that architecture's package bash-static (dpkg-deb -x) and name its program "
            "with --bash",
        )
    if not program:
        raise InfraError("bash is not installed", "apt install bash")
    return (GuestFile("/bin/bash", Path(program).resolve(), mode=0o755),
            *_libraries(Path(program)))  # fmt: skip


def _libraries(program: Path) -> tuple[GuestFile, ...]:
    """The loader and libraries of a dynamic program of this machine, at the same places."""
    lines = process.answer(["ldd", str(program)], str(program)).splitlines()
    found = [match[1] for line in lines if (match := _LIBRARY.search(line))]
    if not found:
        raise InfraError(f"ldd does not say what {program} is linked with",
                         "apt install bash-static")  # fmt: skip
    return tuple(GuestFile(path, Path(path).resolve(), mode=0o755) for path in found)


def guest_programs() -> tuple[GuestFile, ...]:
    """Our programs for guests that run kselftests."""
    return (
        GuestFile(f"{GUEST_TOP}/run", PROGRAMS / "run", mode=0o755),
        GuestFile("/usr/local/bin/sed", PROGRAMS / "sed", mode=0o755),
    )


def guest_files(
    directory: Path, suite: Suite, bash: Iterable[GuestFile], modules: Iterable[Path] = ()
) -> tuple[GuestFile, ...]:
    """All that a guest needs for a suite that install() has put into directory.

    modules: .ko files, which go to the tests' own directory.
    """
    place = f"{GUEST_TOP}/{suite.collection}"
    return (
        *initramfs.directory(directory, GUEST_TOP),
        *bash,
        *guest_programs(),
        *(GuestFile(f"{place}/{module.name}", module) for module in modules),
    )


def command(suite: Suite, environment: Iterable[str] = ()) -> tuple[str, ...]:
    """What the guest runs; environment: NAME=VALUE, behind the suite's."""
    return (f"{GUEST_TOP}/run", suite.filter, *suite.environment, *environment)


def run(
    request: vm.VmRequest, cache: Cache, tell: Tell, on_line: Callable[[str], None] | None = None
) -> VmResult:
    """Run a suite in its guest. Raises InfraError where the kernel did not say a word."""
    result = vm.run(request, cache, tell, on_line)
    if result.outcome is VmOutcome.NOT_BOOTED:
        raise InfraError("; ".join(result.reasons), f"its output: {result.log}")
    return result
