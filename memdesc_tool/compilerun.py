"""Cells of a regression run in which nothing runs: objects are compiled and checked.

A case of such a cell is a warning (warning.py), or an object that does not compile. What is
compiled are the directories of the sources that the series touches, or the whole kernel; that,
too, where it touches only what belongs to no directory, such as headers in include/, and nothing
where no build reads what it touches.
Make compiles again what a patch touches or whose dependencies it touches; every object keeps
the warnings that it was last compiled with.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from memdesc_tool import arch as architectures
from memdesc_tool import build as building
from memdesc_tool import buildlog, kconfig, kunit, process
from memdesc_tool.arch import DATA, Arch, Toolchain
from memdesc_tool.baseline import SOURCE
from memdesc_tool.build import BuildRequest, usable_cpus
from memdesc_tool.cells import Column
from memdesc_tool.console import Progress
from memdesc_tool.kconfig import Fragment
from memdesc_tool.reading import files_read, never_read
from memdesc_tool.results import Attempt, Outcome, Result, Verdict
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.warning import ObjectLog, State, object_case, read_log
from memdesc_tool.workspace import Workspace

OBJECTS, KERNEL = "objects", "kernel"
DEPTHS = (OBJECTS, KERNEL)
COMPILED = "compiled"
"""The case that says how many objects there are."""
MAKE = "(make)"
"""Stands among objects for what make could not do and no object is to blame for."""

_NOT_COMPILED = {"Documentation", "tools", "scripts", "include", "samples", "LICENSES", "rust"}


def compile_suite(depth: str, wishes: Iterable[Path] = ()) -> Suite:
    """The suite that compiles; depth: one of DEPTHS; wishes: fragments not insisted on."""
    return Suite(
        name="compile",
        directory=DATA,
        title="what compilers and checkers say",
        filter=depth,
        configs=tuple(wishes),
        kind=Kind.COMPILE,
    )


def directories(paths: Iterable[str], arch: Arch) -> tuple[str, ...]:
    """The directories whose objects show what a change of these files does, outermost only."""
    own = _source_arches(arch)
    found = set()
    for path in map(PurePosixPath, paths):
        parts = path.parts[:-1]
        if not parts or parts[0] in _NOT_COMPILED:
            continue
        if parts[0] == "arch" and (len(parts) < 3 or parts[1] not in own or "include" in parts):
            continue
        found.add(f"{'/'.join(parts)}/")
    return tuple(
        sorted(one for one in found if not any(one != o and one.startswith(o) for o in found))
    )


def _source_arches(arch: Arch) -> tuple[str, ...]:
    """The directories below arch/ that a kernel of arch is made of."""
    own = architectures.srcarch(arch.make_arch)
    return ("um", "x86") if own == "um" else (own,)


@dataclass(frozen=True)
class CompileRunner:
    """Runs cells by compiling; see filling.Runner.

    paths: what the series touches; left: those of them that are there at its end.
    """

    workspace: Workspace
    progress: Progress
    paths: tuple[str, ...]
    jobs: int | None = None
    left: tuple[str, ...] = ()

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """All that could change the outcome of a column on a tree."""
        arch = architectures.load(column.arch)
        options = column.variant.make_options
        checks = any(option.startswith("C=") for option in options)
        return {
            "kind": "compile",
            "tree": tree,
            "arch": arch.name,
            "arch config": arch.kconfig.key,
            "config": _wishes(column).key,
            "toolchain": architectures.toolchain(arch, options).key,
            "checker": _sparse() if checks else "",
            "depth": column.suite.filter,
            "targets": " ".join(self._targets(column, arch)),
            **column.variant.inputs,
        }

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Configure and compile. Raises InfraError."""
        started = time.time()
        arch = architectures.load(column.arch)
        tools = architectures.toolchain(arch, column.variant.make_options)
        request = self._request(column, arch, source, log_dir)
        cache = self.workspace.cache
        with cache.lock(kunit.build_lock(request.build_dir), on_wait=self.progress.note):
            if not request.build_dir.exists():
                cache.need_space(kunit.BUILD_BYTES, "a build directory")
            with self.progress.step(f"{label}: compile {column.name}") as tell:
                tell("configuration")
                config = building.configure(request, tools)
                if not config.ok:
                    words = [str(one) for one in (*config.missing, *config.errors)]
                    return Attempt(
                        Outcome.CONFIG_FAILED, (), started, config.seconds,
                        str(request.log_file), "; ".join(words),
                    )  # fmt: skip
                targets = [
                    one for one in self._targets(column, arch)
                    if not one.endswith("/") or _has_makefile(source / one)
                ]  # fmt: skip
                if not targets and all(map(never_read, self.paths)):  # make would take them all
                    none = Result(COMPILED, Verdict.PASSED, "0 objects")
                    return Attempt(
                        Outcome.RAN, (none,), started, config.seconds, str(request.log_file)
                    )
                ours = tuple(path for path in self.left if _compiles(path, arch))
                return _compile(_Job(request, targets, ours, tools, started), tell)

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:
        """What the objects in the column's build directory were made of."""
        build_dir = self._build_dir(column)
        if State(build_dir, source).failed:
            return None  # what an object is made of that could not be made, nobody has noted
        return files_read(build_dir, source)

    def _targets(self, column: Column, arch: Arch) -> tuple[str, ...]:
        if column.suite.filter == KERNEL:
            return ("all",)
        return directories(self.paths, arch)

    def _build_dir(self, column: Column) -> Path:
        arch, variant = architectures.load(column.arch), column.variant
        fragment = _wishes(column).merge(variant.fragment)
        options = (*variant.make_options, f"base={variant.base}", f"depth={column.suite.filter}")
        return kunit.build_directory(self.workspace.builds, arch, fragment, options)

    def _request(
        self, column: Column, arch: Arch, source: Path, log_dir: Path
    ) -> BuildRequest:  # fmt: skip
        return BuildRequest(
            source=source,
            build_dir=self._build_dir(column),
            arch=arch,
            fragment=column.variant.fragment,
            log_file=log_dir / "build.log",
            make_options=column.variant.make_options,
            jobs=self.jobs or usable_cpus(),
            config_target=column.variant.base,
            wishes=_wishes(column),
        )


@dataclass(frozen=True)
class _Job:
    """ours: the C files and headers that the series touches."""

    request: BuildRequest
    targets: list[str]
    ours: tuple[str, ...]
    tools: Toolchain
    started: float


def _compile(job: _Job, tell: building.Tell) -> Attempt:
    """Compile what make thinks necessary; a warning that an object did not have when it was
    last compiled is believed when the object, compiled once more by itself, shows it again.
    """
    request = job.request
    state = State(request.build_dir, request.source)
    before = {name: set(state.warnings.get(name, ())) for name in state.compiled}
    said, status = _make(job, state, tell)
    if doubtful := [
        name for name, every in said.warnings.items()
        if name in before and name not in said.failed and set(every) - before[name]
        and (request.build_dir / name).is_file()
    ]:  # fmt: skip
        for name in doubtful:
            (request.build_dir / name).unlink(missing_ok=True)
        again, _ = _make(job, state, tell)
        for name in doubtful:
            kept = tuple(one for one in said.warnings[name] if one in again.warnings.get(name, ()))
            state.warnings[name] = kept
    state.end()
    log, seconds = str(request.log_file), time.time() - job.started
    if status and not said.failed:
        why = str(buildlog.errors(request.log_file, request.source)[0])
        if said.lost or not _objects(job):
            return Attempt(Outcome.BUILD_FAILED, (), job.started, seconds, log, why)
        said = replace(said, failed={MAKE: why})
    results = tuple(_results(said, state, job))
    return Attempt(Outcome.RAN, results, job.started, seconds, log)


def _make(job: _Job, state: State, tell: building.Tell) -> tuple[ObjectLog, int]:
    begin = state.begin(job.request.log_file)
    done = building.compile_targets(job.request, job.targets, job.tools, tell)
    said = read_log(job.request.log_file, job.request.source, begin)
    state.update(said)
    if not done.status:
        state.failed.clear()
    return said, done.status


def _results(said: ObjectLog, state: State, job: _Job) -> list[Result]:
    objects = _objects(job)
    counted = "1 object" if objects == 1 else f"{objects} objects"
    results = [Result(COMPILED, Verdict.PASSED, counted)]
    read = files_read(job.request.build_dir, job.request.source) or frozenset()
    for path in job.ours:
        tried = path in read or str(PurePosixPath(path).with_suffix(".o")) in said.failed
        results.append(Result(f"{SOURCE}{path}", Verdict.PASSED if tried else Verdict.SKIPPED))
    results += [
        Result(object_case(name), Verdict.FAILED, why) for name, why in sorted(said.failed.items())
    ]
    seen: dict[str, str] = {}
    for name, warned in state.current():
        if name not in said.failed:
            seen.setdefault(warned.name, f"{warned.where} ({name})")
    return results + [Result(name, Verdict.FAILED, where) for name, where in seen.items()]


def _objects(job: _Job) -> int:
    """How many objects there are of what was asked for, and not of what make needs for itself."""
    top = job.request.build_dir
    places = [f"{one}" for one in job.targets if one.endswith("/")]
    names = (str(path.relative_to(top)) for path in top.rglob(".*.o.cmd"))
    return sum(
        name.startswith(tuple(places)) if places else not name.startswith(("scripts/", "tools/"))
        for name in names
    )


def _compiles(path: str, arch: Arch) -> bool:
    """Whether a kernel of arch may be made of this file, a C file or a header."""
    if path.endswith(".h"):
        top, _, below = path.partition("/")
        if top == "arch":
            return below.startswith(tuple(f"{one}/" for one in _source_arches(arch)))
        return top == "include" or top not in _NOT_COMPILED
    return path.endswith(".c") and bool(directories([path], arch))


def _wishes(column: Column) -> Fragment:
    """What compile-only kernels are asked for: no -Werror, and the series' own options."""
    own = [kconfig.read(path) for path in column.suite.configs]
    return kconfig.read(DATA / "kconfig" / "compile.config").merge(*own)


def _has_makefile(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("Makefile", "Kbuild"))


def _sparse() -> str:
    done = process.capture(["sparse", "--version"], cwd=Path.cwd(), timeout=30)
    return f"sparse {done.output.strip()}"
