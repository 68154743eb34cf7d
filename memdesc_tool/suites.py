"""Test suites that live beside the series, and laying them over any revision.

kernel-test-modules/<suite>/suite.toml names the files that a suite brings into the kernel
and the lines that it adds to files there (Makefile, Kconfig). The *overlay* of a revision
is that revision with the suite in it, as a tree in the scratch repository, so that the
same tests run on the base, where they show red, and on every patch. The `files` patches of
a series are made from the same description (generate.py).

A suite is of one kind: KUnit suites run when their kernel boots, kselftests are programs
that kselftest's own runner runs in a virtual machine (kselftest.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import Git
from memdesc_tool.series import NAME
from memdesc_tool.tomlfile import Table, read_toml
from memdesc_tool.vetting import bad_name
from memdesc_tool.workspace import Workspace

SUITE_FILE = "suite.toml"
PLAIN, EXECUTABLE = "100644", "100755"
"""Modes of files, as git has them."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\n\0]*")
_TEST = re.compile(r"[\w./-]+:[\w.-]+")


class Kind(Enum):
    """What runs a suite."""

    KUNIT = "kunit"
    KSELFTEST = "kselftest"


class SuiteFile(NamedTuple):
    """A file that a suite brings: its path in the kernel; mode: PLAIN or EXECUTABLE."""

    path: str
    content: bytes
    mode: str = PLAIN


@dataclass(frozen=True)
class Edit:
    """Lines brought into a file that the kernel has already.

    path: in the kernel; lines: without newlines; before, after: one of them, a pattern that
    the line at the place matches; start: the search for the place begins at the first line
    that matches it; optional: no place means no edit instead of an error.
    """

    path: str
    lines: tuple[str, ...]
    before: str = ""
    after: str = ""
    start: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Suite:
    """A test suite.

    directory: where its sources are; filter: what of it is run, for KUnit a glob of suites,
    for kselftest COLLECTION:TEST as in kselftest-list.txt; configs: fragments that the
    kernel needs for it, in order; arches: where it runs unless the command says otherwise
    (names of data/arches); kernel_args: command line of the kernel; timeout: seconds for
    one run; attempts: runs that are made of it, more than one for suites with races.

    For kselftest only: machine: the file with the virtual machine's spec, None for the
    tool's default; programs: the collection's TEST_GEN_FILES that are built, none for all;
    modules: directories of kernel-test-modules/ whose modules the tests use; environment:
    NAME=VALUE for the tests.
    """

    name: str
    directory: Path
    title: str
    filter: str
    configs: tuple[Path, ...]
    arches: tuple[str, ...] = ("um",)
    files: tuple[SuiteFile, ...] = ()
    edits: tuple[Edit, ...] = ()
    kernel_args: tuple[str, ...] = ()
    timeout: int = 300
    attempts: int = 1
    kind: Kind = Kind.KUNIT
    machine: Path | None = None
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    @property
    def collection(self) -> str:
        """The directory below tools/testing/selftests of a kselftest."""
        return self.filter.partition(":")[0]

    @property
    def modes(self) -> dict[str, str]:
        """The modes of the files, by path in the kernel."""
        return {file.path: file.mode for file in self.files}

    @property
    def digest(self) -> str:
        """Stands for all that the suite brings into the kernel."""
        digest = hashlib.sha256()
        for path, content, mode in self.files:
            digest.update(f"{path}\0{mode}\0{len(content)}\0".encode() + content)
        digest.update(repr(self.edits).encode())
        return digest.hexdigest()


def read_suite(directory: Path) -> Suite:
    """Read a suite. Raises UserError naming file, line and field."""
    top = read_toml(directory / SUITE_FILE, "the description of a test suite")
    top.only(["suite", "file", "edit"])
    suite = top.table("suite")
    kinds = {kind.value: kind for kind in Kind}
    kind = suite.string("kind", Kind.KUNIT.value)
    if kind not in kinds:
        raise suite.error("kind", f"no such kind: {kind}", f"known: {', '.join(kinds)}")
    read = _read_kunit if kinds[kind] is Kind.KUNIT else _read_kselftest
    if not NAME.fullmatch(suite.string("name")):
        raise suite.error("name", "must be letters, digits, '.', '_' and '-'")
    return read(top, suite, directory)


_COMMON = ("name", "kind", "title", "filter", "arches", "kernel_args", "timeout", "attempts")


def _read_kunit(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only([*_COMMON, "kunitconfig"])
    return Suite(
        name=suite.string("name"),
        directory=directory,
        title=suite.string("title"),
        filter=suite.string("filter"),
        configs=(suite.file("kunitconfig", directory, ".kunitconfig"),),
        arches=suite.strings("arches", ("um",)),
        files=tuple(_read_file(table, directory) for table in top.tables("file")),
        edits=tuple(_read_edit(table, directory) for table in top.tables("edit")),
        kernel_args=suite.strings("kernel_args"),
        timeout=suite.integer("timeout", 300, minimum=1),
        attempts=suite.integer("attempts", 1, minimum=1),
    )


def _read_kselftest(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only([*_COMMON, "config", "vm", "programs", "modules", "environment"])
    if not _TEST.fullmatch(suite.string("filter")) or bad_name(suite.string("filter")):
        raise suite.error("filter", "must be COLLECTION:TEST, as run_kselftest.sh --test takes it")
    for program in suite.strings("programs"):
        if not NAME.fullmatch(program):
            raise suite.error("programs", f"{program!r} is no name of a program")
    for variable in suite.strings("environment"):
        if not _VARIABLE.fullmatch(variable):
            raise suite.error("environment", f"{variable!r} is not NAME=VALUE")
    return Suite(
        name=suite.string("name"),
        directory=directory,
        title=suite.string("title"),
        filter=suite.string("filter"),
        configs=(suite.file("config", directory),) if "config" in suite.values else (),
        arches=suite.strings("arches", ("x86_64",)),
        files=tuple(_read_file(table, directory) for table in top.tables("file")),
        edits=tuple(_read_edit(table, directory) for table in top.tables("edit")),
        kernel_args=suite.strings("kernel_args"),
        timeout=suite.integer("timeout", 900, minimum=1),
        attempts=suite.integer("attempts", 1, minimum=1),
        kind=Kind.KSELFTEST,
        machine=suite.file("vm", directory) if "vm" in suite.values else None,
        programs=suite.strings("programs"),
        modules=suite.strings("modules"),
        environment=suite.strings("environment"),
    )


def _read_file(table: Table, directory: Path) -> SuiteFile:
    """A [[file]]; its mode is as written ("0755"), never what the source's happens to be."""
    table.only(["source", "path", "mode"])
    modes = {"0644": PLAIN, "0755": EXECUTABLE}
    mode = table.string("mode", "0644")
    if mode not in modes:
        raise table.error("mode", 'must be "0644" or "0755"')
    source = table.file("source", directory)
    return SuiteFile(_kernel_path(table), source.read_bytes(), modes[mode])


def _read_edit(table: Table, directory: Path) -> Edit:
    table.only(["path", "lines", "source", "before", "after", "start", "optional"])
    if ("lines" in table.values) == ("source" in table.values):
        raise table.error("lines", "give either lines or source")
    if ("before" in table.values) == ("after" in table.values):
        raise table.error("before", "give either before or after")
    if "lines" in table.values:
        lines = table.strings("lines")
    else:
        lines = tuple(
            table.file("source", directory)
            .read_bytes()
            .decode(errors="surrogateescape")
            .splitlines()
        )
    patterns = {name: table.string(name, "") for name in ("before", "after", "start")}
    for name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise table.error(name, f"not a regular expression: {error}") from None
    return Edit(_kernel_path(table), lines, optional=table.boolean("optional", False), **patterns)


def _kernel_path(table: Table) -> str:
    path = table.string("path")
    if bad_name(path):
        raise table.error("path", f"{path} is no path below the top of a kernel tree")
    return path


def find_suite(root: Path, name: str) -> Suite:
    """The suite called name in kernel-test-modules/ of a project, or at a path.

    Raises UserError.
    """
    directory = root / "kernel-test-modules" / name if NAME.fullmatch(name) else Path(name)
    if not (directory / SUITE_FILE).is_file():
        known = sorted(p.parent.name for p in root.glob(f"kernel-test-modules/*/{SUITE_FILE}"))
        raise UserError(f"there is no suite {name}", f"known here: {', '.join(known) or 'none'}")
    return read_suite(directory)


def find_suites(root: Path, names: Iterable[str], kind: Kind) -> tuple[Suite, ...]:
    """The suites called so, each of which must be of kind. Raises UserError."""
    found = tuple(find_suite(root, name) for name in names)
    for suite in found:
        if suite.kind is not kind:
            raise UserError(
                f"the suite {suite.name} is of the kind {suite.kind.value}",
                f"memdesc-tool {suite.kind.value} --suite {suite.name} runs it",
            )
    return found


def suites_of(root: Path, names: Iterable[str], *kinds: Kind) -> tuple[Suite, ...]:
    """Those of the suites called so that are of these kinds. Raises UserError."""
    found = (find_suite(root, name) for name in names)
    return tuple(suite for suite in found if suite.kind in kinds)


def overlaid_files(git: Git, revision: str, suite: Suite) -> dict[str, bytes]:
    """The files that differ from revision when the suite is in: path -> content.

    Raises FailedError where a place for an edit is not there.
    """
    changed: dict[str, bytes] = {}
    for path, content, mode in suite.files:
        if git.blob(revision, path) != content or git.mode(revision, path) != mode:
            changed[path] = content
    for edit in suite.edits:
        old = changed.get(edit.path)
        if old is None:
            old = git.blob(revision, edit.path)
        if old is None:
            if edit.optional:
                continue
            raise _no_place(suite, f"there is no {edit.path}")
        new = apply_edit(suite, edit, old)
        if new != old:
            changed[edit.path] = new
    return changed


def apply_edit(suite: Suite, edit: Edit, content: bytes) -> bytes:
    """The content of a file after an edit. Raises FailedError where it has no place."""
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    block = list(edit.lines)
    if _contains(lines, block):
        return content
    first = _match(lines, edit.start, 0) if edit.start else 0
    place = None if first is None else _match(lines, edit.before or edit.after, first)
    if place is None:
        if edit.optional:
            return content
        pattern = edit.start if first is None else edit.before or edit.after
        raise _no_place(suite, f"no line of {edit.path} matches {pattern!r}")
    at = place if edit.before else place + 1
    if (
        edit.before
        and block
        and block[-1] != ""
        and lines[at] != ""
        and edit.path.endswith(("Kconfig", ".debug"))
    ):
        block = [*block, ""]  # entries of a Kconfig file are set apart by an empty line
    merged = [*lines[:at], *block, *lines[at:]]
    return "\n".join(merged).encode("utf-8", errors="surrogateescape")


def _contains(lines: list[str], block: list[str]) -> bool:
    size = len(block)
    return any(lines[i : i + size] == block for i in range(len(lines) - size + 1))


def _match(lines: list[str], pattern: str, start: int) -> int | None:
    wanted = re.compile(pattern)
    return next((n for n in range(start, len(lines)) if wanted.search(lines[n])), None)


def _no_place(suite: Suite, why: str) -> FailedError:
    return FailedError(
        f"suite {suite.name} does not fit this revision: {why}",
        f"{suite.directory / SUITE_FILE} says where its lines go",
    )


def overlay(workspace: Workspace, commit: str, suites: Iterable[Suite]) -> str:
    """A commit that is the revision with the suites laid over it.

    commit itself where nothing differs. Remembered, so that asking again costs nothing.
    Raises FailedError where a suite does not fit.
    """
    for suite in suites:
        tree = workspace.scratch.tree(commit)
        key = hashlib.sha256(f"{tree} {suite.digest}".encode()).hexdigest()
        stored = workspace.remembered("overlay", key)
        if stored is None:
            files = overlaid_files(workspace.scratch, commit, suite)
            stored = workspace.write_tree(commit, files, suite.modes) if files else commit
            workspace.remember("overlay", key, stored)
        commit = stored
    return commit
