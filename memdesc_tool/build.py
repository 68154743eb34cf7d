"""Configure and build a kernel in a build directory (O=) that is kept between builds.

configure() and compile_kernel() are the two steps; build() does both. Nothing is built but
what the run needs (the arch's targets: no modules, no compile_commands.json). The same
source, fragment and toolchain give the same kernel, bit for bit: timestamp, user, host and
version number are fixed.

What a build says about the kernel (it does not compile, an option cannot be had) is in the
Build; what the machine did wrong (no compiler, no space) is raised as InfraError.

A build that is killed can leave a truncated object with a fresh time stamp, which make
would take for finished. So a marker is in the build directory while make runs; where it is
found at the start, whatever is newer than it is removed first (buildlog and Kconfig's own
files apart, see _ATOMIC).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from memdesc_tool import buildlog, kconfig, kconfig_why, process
from memdesc_tool.arch import Arch, Toolchain, toolchain
from memdesc_tool.buildlog import Diagnostic
from memdesc_tool.cache import remove_temporaries, write_atomic
from memdesc_tool.errors import CommandError, CommandTimeout, UserError
from memdesc_tool.kconfig import Fragment, Missing

TOP_FILES = ("Kbuild", "Kconfig", "Makefile")
"""What the top of every kernel tree has."""
MARKER = ".memdesc-building"
ASKED = ".config.asked"

# Written by Kconfig with rename(2), so never half written; and include/config/ has the
# empty files whose time stamps tell which objects an option's change concerns: without one
# of them an object would not be built again.
_ATOMIC = (".config", "include/config/", "include/generated/autoconf.h",
           "include/generated/rustc_cfg")  # fmt: skip

REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
    "KBUILD_BUILD_USER": "memdesc-tool",
    "KBUILD_BUILD_HOST": "localhost",
    "KBUILD_BUILD_VERSION": "1",
}

Tell = Callable[[str], None]


def _silent(_: str) -> None:
    """The progress of nobody."""


def usable_cpus() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    source: top of a kernel tree without build results in it; build_dir: made if need be,
    its lock is the caller's; fragment: laid over the arch's base; make_options: X=Y for
    make; cross_compile: prefix in place of the arch's; ccache: use it where it is
    installed; timeout: seconds for each step, None for no end; explain: find out why an
    option cannot be had, which takes a while for many; config_target: what of make's the
    configuration begins with (defconfig, allmodconfig); wishes: options that are asked for
    and not insisted on.
    """

    source: Path
    build_dir: Path
    arch: Arch
    fragment: Fragment
    log_file: Path
    make_options: tuple[str, ...] = ()
    cross_compile: str | None = None
    jobs: int = field(default_factory=usable_cpus)
    ccache: bool = True
    timeout: float | None = None
    explain: bool = True
    config_target: str = ""
    wishes: Fragment = field(default_factory=Fragment)

    @property
    def wanted(self) -> Fragment:
        """Every option that the final .config must have."""
        return self.arch.base_fragment(self.source).merge(self.fragment)


@dataclass(frozen=True)
class Config:
    """What configure() made: the text of .config, and what of the request it lacks.

    errors: why there is no .config, where Kconfig itself failed; log, seconds: of the step.
    """

    text: str
    missing: tuple[Missing, ...]
    errors: tuple[Diagnostic, ...]
    log: Path
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.missing and not self.errors


@dataclass(frozen=True)
class Build:
    """What a build came to.

    image: the kernel (None where ok is not set); config: what came of the first step;
    compiled: whether the second step was reached; errors and warnings: of the compilers,
    linkers and checkers, in the order of the log, each once. Warnings are only those of
    what was built this time. log: whole output of both steps; seconds: of both.
    """

    ok: bool
    image: Path | None
    config: Config
    compiled: bool
    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    log: Path
    seconds: float
    toolchain: Toolchain

    @property
    def config_text(self) -> str:
        return self.config.text


def build(request: BuildRequest, tell: Tell = _silent) -> Build:
    """Configure and compile. Raises InfraError, and UserError for a source that cannot be used.

    The compile step is left out where the configuration is not what was asked for.
    """
    tools = toolchain(request.arch, request.make_options, request.cross_compile)
    tell("configuration")
    config = configure(request, tools)
    if not config.ok:
        return Build(False, None, config, False, config.errors, (), config.log,
                     config.seconds, tools)  # fmt: skip
    return compile_kernel(request, config, tools, tell)


def configure(request: BuildRequest, tools: Toolchain | None = None) -> Config:
    """Make .config from the request's fragment with `make olddefconfig`, as kunit.py does.

    It is made anew from the fragment, so that it does not depend on what was built before;
    an unchanged .config is not touched, so that nothing is built again for it.
    """
    tools = tools or toolchain(request.arch, request.make_options, request.cross_compile)
    _check_source(request.source)
    asked = request.build_dir / ASKED
    with _marked(request.build_dir) as finished:
        done = _begin_config(request, tools, asked)
        if done is None or not done.status:
            done = _kconfig(request, tools, "olddefconfig", append=done is not None)
        finished(done)
    _check_ended(done, request)
    if done.status:
        return Config("", (), _failure(request), request.log_file, done.seconds)
    text = asked.read_text(encoding="utf-8")
    for left in request.build_dir.glob(f"{ASKED}*"):
        left.unlink()
    final = request.build_dir / ".config"
    if not final.exists() or final.read_text(encoding="utf-8") != text:
        write_atomic(final, text.encode())
    missing = kconfig.missing(request.wanted, text)
    if missing and request.explain:
        missing = kconfig_why.explain(missing, request.source, request.arch.make_arch, text)
    return Config(text, tuple(missing), (), request.log_file, done.seconds)


def _begin_config(request: BuildRequest, tools: Toolchain, asked: Path) -> process.Finished | None:
    """Write what is asked for, behind what config_target gives; the later line wins."""
    done = None
    if request.config_target:
        asked.unlink(missing_ok=True)
        done = _kconfig(request, tools, request.config_target)
    with asked.open("a" if done else "w", encoding="utf-8") as stream:
        stream.write(request.wishes.merge(request.wanted).text)
    return done


def _kconfig(
    request: BuildRequest, tools: Toolchain, target: str, *, append: bool = False
) -> process.Finished:
    """Run one of Kconfig's targets on the file ASKED."""
    return process.run_logged(
        _make(request, tools, target),
        cwd=request.source,
        env={"KCONFIG_CONFIG": ASKED},
        log_file=request.log_file,
        timeout=request.timeout,
        append=append,
    )


def compile_targets(
    request: BuildRequest, targets: Iterable[str], tools: Toolchain, tell: Tell = _silent
) -> process.Finished:
    """Make targets in a configured build directory, and go on where one cannot be made.

    What the tools print about an object stands together in the log (see warning.py), to
    which it is appended. Raises InfraError where make did not end by itself.
    """
    begin = _end_of(request.log_file)
    done = _run_make(request, tools, ["-k", "--output-sync=target", *targets], tell)
    if done.status and (trouble := buildlog.machine_trouble(request.log_file, begin)):
        raise trouble.error(request.log_file)
    return done


def compile_kernel(
    request: BuildRequest, config: Config, tools: Toolchain, tell: Tell = _silent
) -> Build:
    """Build the arch's targets in a build directory that configure() has prepared."""
    begin = _end_of(request.log_file)
    done = _run_make(request, tools, request.arch.targets, tell)
    image = request.build_dir / request.arch.image
    ok = done.status == 0 and image.is_file()
    warnings = buildlog.warnings(request.log_file, request.source, begin)
    errors = () if ok else _failure(request, begin)
    return Build(ok, image if ok else None, config, True, errors, warnings, request.log_file,
                 config.seconds + done.seconds, tools)  # fmt: skip


def _end_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _run_make(
    request: BuildRequest, tools: Toolchain, args: Iterable[str], tell: Tell
) -> process.Finished:
    """Run make in the build directory, its output behind what is in the log. InfraError."""
    counter = buildlog.Counter(request.log_file, _end_of(request.log_file))
    with _marked(request.build_dir) as finished:
        done = process.run_logged(
            _make(request, tools, *args),
            cwd=request.source,
            log_file=request.log_file,
            timeout=request.timeout,
            on_tick=lambda: tell(counter.state()),
            append=True,
        )
        finished(done)
    _check_ended(done, request)
    tell(counter.state())
    return done


def _make(request: BuildRequest, tools: Toolchain, *targets: str) -> list[str]:
    """The make command; variables are arguments, so that the log has all that matters."""
    names = {option.partition("=")[0] for option in request.make_options}
    variables = {"ARCH": request.arch.make_arch, "O": str(request.build_dir), **REPRODUCIBLE}
    if tools.prefix:
        variables["CROSS_COMPILE"] = tools.prefix
    if request.ccache and shutil.which("ccache"):
        variables["CC"] = f"ccache {tools.compiler}"
        variables["HOSTCC"] = f"ccache {tools.compiler if 'LLVM' in names else 'gcc'}"
    assigned = [f"{name}={value}" for name, value in variables.items() if name not in names]
    return ["make", f"-j{request.jobs}", *assigned, *request.make_options, *targets]


def _check_source(source: Path) -> None:
    """Refuse what is no kernel tree, and a tree in which somebody has built (kbuild does)."""
    for name in TOP_FILES:
        if not (source / name).is_file():
            raise UserError(f"{source} is not a kernel tree: it has no {name}")
    if (source / ".config").exists() or (source / "include/config").is_dir():
        raise UserError(
            f"{source} has been built in place, so a build directory cannot be used with it",
            f"make -C {source} mrproper, or commit and let the tool check out a copy",
        )


def _check_ended(done: process.Finished, request: BuildRequest) -> None:
    """Raise where make did not end by itself: that says nothing about the kernel."""
    argv = list(done.argv)
    if done.timed_out and request.timeout is not None:
        raise CommandTimeout(argv, request.timeout, log=request.log_file)
    if done.status < 0:
        raise CommandError(argv, done.status, log=request.log_file)


def _failure(request: BuildRequest, begin: int = 0) -> tuple[Diagnostic, ...]:
    """The errors of a failed make; raises InfraError where the machine is to blame."""
    if trouble := buildlog.machine_trouble(request.log_file, begin):
        raise trouble.error(request.log_file)
    return buildlog.errors(request.log_file, request.source, begin)


@contextmanager
def _marked(build_dir: Path) -> Iterator[Callable[[process.Finished], None]]:
    """Keep the marker in build_dir while make runs, and after it unless make ended by itself.

    The body hands the finished make to what is yielded.
    """
    marker = build_dir / MARKER
    build_dir.mkdir(parents=True, exist_ok=True)
    remove_temporaries(marker)
    remove_temporaries(build_dir / ".config")
    if marker.exists():
        remove_unfinished(build_dir)
    write_atomic(marker, b"make is running here, or was killed\n")
    ended = False

    def finished(done: process.Finished) -> None:
        nonlocal ended
        ended = not done.timed_out and done.status >= 0

    yield finished
    if ended:
        marker.unlink()


def remove_unfinished(build_dir: Path) -> int:
    """Remove what a killed build wrote; the marker stays until a build ends. Returns how many.

    Every object has its command file (.name.o.cmd) written after it, but an old one may be
    there from the build before; so the time stamp decides, not the command file.
    """
    since = (build_dir / MARKER).stat().st_mtime_ns
    removed = 0
    for directory, _, names in os.walk(build_dir):
        relative = Path(directory).relative_to(build_dir)
        for name in names:
            path = Path(directory) / name
            inside = (relative / name).as_posix()
            if inside == MARKER or inside.startswith(_ATOMIC) or path.is_symlink():
                continue
            if path.stat().st_mtime_ns >= since:
                path.unlink()
                removed += 1
    return removed
