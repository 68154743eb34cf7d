"""Test suites that live beside the series, and laying them over any revision.

kernel-test-modules/<suite>/suite.toml names the files that a suite brings into the kernel
and the lines that it adds to files there (Makefile, Kconfig). The *overlay* of a revision
is that revision with the suite in it, as a tree in the scratch repository, so that the
same tests run on the base, where they show red, and on every patch. The `files` patches of
a series are made from the same description (generate.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import Git
from memdesc_tool.series import NAME
from memdesc_tool.tomlfile import Table, read_toml
from memdesc_tool.vetting import bad_name
from memdesc_tool.workspace import Workspace

SUITE_FILE = "suite.toml"


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

    directory: where its sources are; filter: glob of the KUnit suites that belong to it;
    kunitconfigs: fragments that enable it, in order; arches: where it runs unless the
    command says otherwise (names of data/arches); files: (path in the kernel, content);
    kernel_args: command line of the kernel; timeout: seconds for one run; attempts: runs
    that are made of it, more than one for suites with races.
    """

    name: str
    directory: Path
    title: str
    filter: str
    kunitconfigs: tuple[Path, ...]
    arches: tuple[str, ...] = ("um",)
    files: tuple[tuple[str, bytes], ...] = ()
    edits: tuple[Edit, ...] = ()
    kernel_args: tuple[str, ...] = ()
    timeout: int = 300
    attempts: int = 1

    @property
    def digest(self) -> str:
        """Stands for all that the suite brings into the kernel."""
        digest = hashlib.sha256()
        for path, content in self.files:
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        digest.update(repr(self.edits).encode())
        return digest.hexdigest()


def read_suite(directory: Path) -> Suite:
    """Read a suite. Raises UserError naming file, line and field."""
    top = read_toml(directory / SUITE_FILE, "the description of a test suite")
    top.only(["suite", "file", "edit"])
    suite = top.table("suite")
    suite.only(
        ["name", "kind", "title", "filter", "kunitconfig", "arches", "kernel_args", "timeout",
         "attempts"]
    )  # fmt: skip
    if suite.string("kind", "kunit") != "kunit":
        raise suite.error("kind", "only kunit is known")
    if not NAME.fullmatch(suite.string("name")):
        raise suite.error("name", "must be letters, digits, '.', '_' and '-'")
    return Suite(
        name=suite.string("name"),
        directory=directory,
        title=suite.string("title"),
        filter=suite.string("filter"),
        kunitconfigs=(suite.file("kunitconfig", directory, ".kunitconfig"),),
        arches=suite.strings("arches", ("um",)),
        files=tuple(_read_file(table, directory) for table in top.tables("file")),
        edits=tuple(_read_edit(table, directory) for table in top.tables("edit")),
        kernel_args=suite.strings("kernel_args"),
        timeout=suite.integer("timeout", 300, minimum=1),
        attempts=suite.integer("attempts", 1, minimum=1),
    )


def _read_file(table: Table, directory: Path) -> tuple[str, bytes]:
    table.only(["source", "path"])
    return _kernel_path(table), table.file("source", directory).read_bytes()


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


def overlaid_files(git: Git, revision: str, suite: Suite) -> dict[str, bytes]:
    """The files that differ from revision when the suite is in: path -> content.

    Raises FailedError where a place for an edit is not there.
    """
    changed: dict[str, bytes] = {}
    for path, content in suite.files:
        if git.blob(revision, path) != content:
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
            stored = workspace.write_tree(commit, files) if files else commit
            workspace.remember("overlay", key, stored)
        commit = stored
    return commit
