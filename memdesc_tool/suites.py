"""Test suites: what they bring into a kernel, and what runs them.

kernel-test-modules/<suite>/suite.toml describes one: the files that it brings into the kernel
and the lines that it adds to files there (Makefile, Kconfig). readsuite.py reads it, overlay.py
lays a suite over a revision. The `files` patches of a series are made from the same description
(generate.py).

A suite is of one kind: KUnit suites run when their kernel boots, kselftests are programs
that kselftest's own runner runs in a virtual machine (kselftest.py), benchmarks measure
(benchplan.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

SUITE_FILE = "suite.toml"
PLAIN, EXECUTABLE = "100644", "100755"
"""Modes of files, as git has them."""


class Kind(Enum):
    """What runs a suite."""

    KUNIT = "kunit"
    KSELFTEST = "kselftest"
    COMMAND = "command"
    """A command of the user's, which judges a source tree by its exit status."""
    BENCH = "bench"
    """Measured, not judged: benchplan.py."""
    COMPILE = "compile"
    """Nothing runs: what compilers and checkers say is compared."""


class Condition(NamedTuple):
    """That a file of a revision has a line that matches a pattern; or, not wanted, has none."""

    path: str
    pattern: str
    wanted: bool = True


class SuiteFile(NamedTuple):
    """A file that a suite brings: its path in the kernel; mode: PLAIN or EXECUTABLE;
    conditions: all must hold, or the file is left out.
    """

    path: str
    content: bytes
    mode: str = PLAIN
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Edit:
    """Lines brought into a file that the kernel has already.

    path: in the kernel; lines: without newlines; before, after: one of them, a pattern that
    the line at the place matches; start: the search for the place begins at the first line
    that matches it; optional: no place means no edit instead of an error; remove: the lines
    are taken out where they are, and need no place; conditions: all must hold, or there is
    no edit.
    """

    path: str
    lines: tuple[str, ...]
    before: str = ""
    after: str = ""
    start: str = ""
    optional: bool = False
    remove: bool = False
    conditions: tuple[Condition, ...] = ()


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
    NAME=VALUE for the tests. One that is `on` another has its files, edits and configs,
    too, before its own. command: of Kind.COMMAND, as argv (see commandrun.py).
    of_tree: what the kernel has itself, known by its fragments only (tree_suite()).
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
    command: tuple[str, ...] = ()
    of_tree: bool = False

    @property
    def compiles(self) -> bool:
        """Whether it only compiles."""
        return self.kind is Kind.COMPILE

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
        for path, content, mode, conditions in self.files:
            digest.update(f"{path}\0{mode}\0{len(content)}\0".encode() + content)
            digest.update(repr(conditions).encode())
        digest.update(repr(self.edits).encode())
        return digest.hexdigest()


def tree_suite(configs: Iterable[Path], glob: str = "") -> Suite:
    """KUnit suites that the kernel has itself: those that glob names, else all that the
    fragments switch on.
    """
    return Suite(
        name=glob or "kunit",
        directory=Path.cwd(),
        title="KUnit suites of the tree",
        filter=glob or "*",
        configs=tuple(path.absolute() for path in configs),
        of_tree=True,
    )
