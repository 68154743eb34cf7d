"""What compiler (W=1), kernel-doc and sparse say of single objects of a revision.

An object is compiled before and after a patch in the same build directory, and what is only
said after it is the patch's. Options come from the Makefile lines of the objects themselves,
so that a file that nothing else selects is compiled, too.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from memdesc_tool import arch as architectures
from memdesc_tool import build, kunit, vm
from memdesc_tool.arch import Arch
from memdesc_tool.build import BuildRequest
from memdesc_tool.buildlog import Diagnostic
from memdesc_tool.cache import write_atomic
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError
from memdesc_tool.git import Git
from memdesc_tool.kconfig import Fragment, Option
from memdesc_tool.workspace import Workspace

BUILD_BYTES = 1_000_000_000
# What sparse 0.6.4 has to be told to read a kernel that uses what it does not know.
SPARSE_FLAGS = ("", "-D__typeof_unqual__=__typeof__ '-D__builtin_strlen(x)=(sizeof(x)-1)'")
_CHECKED = re.compile(r"^  CHECK ", re.MULTILINE)
_RULE = re.compile(r"([\w/.-]+)-(?:\$\(CONFIG_(\w+)\)|objs|y)\s*[:+]?=(.*)")
_LOCATION = re.compile(r"(\S+?):\d+(:\d+)?")


@dataclass(frozen=True)
class Checker:
    """What objects are compiled with.

    sparse: what make is told of sparse, empty where it cannot be used; without: why then.
    """

    arch: Arch
    fragment: Fragment
    sparse: tuple[str, ...]
    without: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        return ("W=1", "-k", *self.sparse)


@dataclass(frozen=True)
class Diagnosis:
    """What was said of objects of one revision; absent: those that could not be compiled
    with this configuration, and were not because of an error; checked: whether sparse read
    them, which kbuild leaves out where it finds sparse too old.
    """

    diagnostics: tuple[Diagnostic, ...]
    absent: tuple[str, ...]
    checked: bool = False


def new(before: Diagnosis, after: Diagnosis) -> tuple[Diagnostic, ...]:
    """What is said after and not before, wherever in the file it is said."""
    known = {_unlocated(one) for one in before.diagnostics}
    return tuple(one for one in after.diagnostics if _unlocated(one) not in known)


def _unlocated(one: Diagnostic) -> tuple[str, str]:
    return one.file, _LOCATION.sub(r"\1", one.text)


def objects_of(files: Iterable[str]) -> tuple[str, ...]:
    """The objects of the C files among these, each once."""
    names = (PurePosixPath(name) for name in dict.fromkeys(files) if name.endswith(".c"))
    return tuple(
        str(name.with_suffix(".o")) for name in names if name.parts[0] not in ("tools", "scripts")
    )


def with_source(git: Git, commit: str, objects: Iterable[str]) -> tuple[str, ...]:
    """Those of the objects whose C file a revision has."""
    sources = {name: f"{name.removesuffix('.o')}.c" for name in objects}
    there = git.modes(commit, list(sources.values()))
    return tuple(name for name, source in sources.items() if source in there)


def options_for(git: Git, commit: str, objects: Iterable[str]) -> Fragment:
    """The options that Makefile lines name for these objects: their own, those of an object
    that they are parts of, and those of the directories that they are in.
    """
    found: dict[str, Option] = {}
    for name in objects:
        path = PurePosixPath(name)
        words = path.name
        for directory in path.parents:
            for option in _options_of(_makefile(git, commit, directory), words):
                found[option] = Option(option, "y")
            words = f"{directory.name}/"
    return Fragment(tuple(found.values()))


def _makefile(git: Git, commit: str, directory: PurePosixPath) -> str:
    data = [git.blob(commit, str(directory / name)) or b"" for name in ("Kbuild", "Makefile")]
    return b"\n".join(data).decode(errors="replace").replace("\\\n", " ")


def _options_of(makefile: str, name: str) -> Iterator[str]:
    """The options that select an object or directory, by itself or as a part of another."""
    lines = [found.groups() for line in makefile.splitlines() if (found := _RULE.match(line))]
    todo, seen = [name], set()
    while todo:
        part = todo.pop()
        seen.add(part)
        for target, option, parts in lines:
            if part not in parts.split():
                continue
            if option:
                yield option
            if target not in ("obj", "lib") and (whole := f"{target}.o") not in seen:
                todo.append(whole)


def arch_of(file: str) -> str | None:
    """The name of the architecture whose kernel a file below arch/ belongs to."""
    match = re.match(r"arch/(\w+)/", file)
    if not match:
        return None
    variants = [name for name in architectures.names() if name.startswith(match[1])]
    preferred = {"x86": "x86_64", "powerpc": "ppc64le"}.get(match[1], match[1])
    return preferred if preferred in architectures.names() else next(iter(variants), None)


@dataclass(frozen=True)
class Workbench:
    """Compiles objects of any revision; what it found once is kept in the cache."""

    workspace: Workspace
    progress: Progress
    jobs: int

    def checker(self, name: str, extra: Fragment, commit: str, probe: str) -> Checker:
        """What objects are compiled with on an architecture.

        sparse is tried on the object probe of commit, a known good state: where it reports an
        error in that, what it says means nothing. Raises InfraError without a compiler.
        """
        arch = architectures.load(name)
        architectures.toolchain(arch)
        base = vm.fragment(arch) if arch.qemu else Fragment()
        plain = Checker(arch, base.merge(extra), ())
        if not shutil.which("sparse"):
            return replace(plain, without="sparse is not installed")
        for flags in SPARSE_FLAGS:
            told = ("C=2", "CHECK=sparse", *([f"CF={flags}"] if flags else []))
            tried = replace(plain, sparse=told)
            found = self.diagnose(tried, commit, (probe,))
            if found.checked and not any(one.kind == "error" for one in found.diagnostics):
                return tried
        return replace(plain, without="sparse does not understand this kernel")

    def diagnose(self, checker: Checker, commit: str, objects: Sequence[str]) -> Diagnosis:
        """What is said of objects of a revision; those that it has no source of are left out."""
        git = self.workspace.scratch
        there = with_source(git, commit, objects)
        if not there:
            return Diagnosis((), ())
        key = "\n".join((git.tree(commit), checker.arch.name, checker.fragment.key,
                         architectures.toolchain(checker.arch).key, *checker.options,
                         *there))  # fmt: skip
        digest = hashlib.sha256(key.encode()).hexdigest()
        stored = self.workspace.root / "objects" / f"{digest}.json"
        if stored.exists():
            return _load(stored)
        found = self._compile(checker, commit, there)
        write_atomic(stored, _dump(found))
        return found

    def _compile(self, checker: Checker, commit: str, objects: tuple[str, ...]) -> Diagnosis:
        cache = self.workspace.cache
        source = self.workspace.checkout(commit)
        place = kunit.build_directory(self.workspace.builds, checker.arch, checker.fragment,
                                      ("objects",))  # fmt: skip
        if not place.exists():
            cache.need_space(BUILD_BYTES, "a build directory")
        arch = replace(checker.arch, targets=objects, image=objects[-1])
        request = BuildRequest(
            source, place, arch, checker.fragment, cache.logs / f"objects-{place.name}.log",
            make_options=checker.options, jobs=self.jobs, explain=False,
        )  # fmt: skip
        label = f"compiling {len(objects)} objects for {arch.name}"
        with (
            cache.lock(kunit.build_lock(place), on_wait=self.progress.note),
            self.progress.step(label) as tell,
        ):
            for name in objects:  # so that each is compiled, and says all that it has to say
                (place / name).unlink(missing_ok=True)
            tools = architectures.toolchain(arch)
            config = build.configure(request, tools)
            if config.errors:
                raise InfraError(f"{arch.name} cannot be configured: {config.errors[0]}",
                                 f"its output: {config.log}")  # fmt: skip
            done = build.compile_kernel(request, config, tools, tell)
        errors = tuple(one for one in done.errors if one.file)
        built = {name for name in objects if (place / name).exists()}
        if done.errors and not errors and not built:
            raise InfraError(f"{arch.name}: {done.errors[0]}", f"its output: {done.log}")
        failed = {one.file for one in errors}
        absent = tuple(
            name for name in objects
            if name not in built and f"{name.removesuffix('.o')}.c" not in failed
        )  # fmt: skip
        checked = _CHECKED.search(done.log.read_text(encoding="utf-8", errors="replace"))
        return Diagnosis((*errors, *done.warnings), absent, checked is not None)


def _load(path: Path) -> Diagnosis:
    values = json.loads(path.read_text())
    return Diagnosis(tuple(Diagnostic(*one) for one in values["diagnostics"]),
                     tuple(values["absent"]), values["checked"])  # fmt: skip


def _dump(found: Diagnosis) -> bytes:
    rows = [[one.file, one.line, one.kind, one.text] for one in found.diagnostics]
    return json.dumps(
        {"diagnostics": rows, "absent": found.absent, "checked": found.checked}
    ).encode()
