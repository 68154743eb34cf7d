"""Read suite.toml, and find suites by name.

A series may change what its own tests call. A file or an edit can therefore depend on what
a revision has: `when = "batch"`, or `unless`, names a line of the table [conditions], such as
`batch = { path = "mm/internal.h", has = "^struct some_batch" }`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from memdesc_tool.errors import UserError
from memdesc_tool.series import NAME
from memdesc_tool.suites import (
    EXECUTABLE,
    PLAIN,
    SUITE_FILE,
    Condition,
    Edit,
    Kind,
    Suite,
    SuiteFile,
)
from memdesc_tool.tomlfile import Table, read_toml
from memdesc_tool.vetting import bad_name

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\n\0]*")
_TEST = re.compile(r"[\w./-]+:[\w.-]+")

_RUNS = {Kind.BENCH: "bench kernel"}
"""The commands that are not called as their kind."""


def read_suite(directory: Path) -> Suite:
    """Read a suite. Raises UserError naming file, line and field."""
    top = read_toml(directory / SUITE_FILE, "the description of a test suite")
    top.only(["suite", "conditions", "file", "edit"])
    suite = top.table("suite")
    readers = {
        Kind.KUNIT.value: _read_kunit,
        Kind.KSELFTEST.value: _read_kselftest,
        Kind.COMMAND.value: _read_command,
        Kind.BENCH.value: _read_bench,
    }
    kind = suite.string("kind", Kind.KUNIT.value)
    if kind not in readers:
        raise suite.error("kind", f"no such kind: {kind}", f"known: {', '.join(readers)}")
    if not NAME.fullmatch(suite.string("name")):
        raise suite.error("name", "must be letters, digits, '.', '_' and '-'")
    return readers[kind](top, suite, directory)


_COMMON = ("name", "kind", "title", "filter", "arches", "kernel_args", "timeout", "attempts")


def _read_common(top: Table, suite: Table, directory: Path, arch: str, timeout: int) -> Suite:
    """What suites of all kinds have, or may have; arch, timeout: where nothing is said."""
    return Suite(
        name=suite.string("name"),
        directory=directory,
        title=suite.string("title"),
        filter="",
        configs=(),
        arches=suite.strings("arches", (arch,)),
        files=_read_files(top, directory),
        edits=_read_edits(top, directory),
        kernel_args=suite.strings("kernel_args"),
        timeout=suite.integer("timeout", timeout, minimum=1),
        attempts=suite.integer("attempts", 1, minimum=1),
    )


def _read_kunit(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only([*_COMMON, "kunitconfig"])
    return replace(
        _read_common(top, suite, directory, "um", 300),
        filter=suite.string("filter"),
        configs=(suite.file("kunitconfig", directory, ".kunitconfig"),),
    )


def _read_kselftest(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only([*_COMMON, "config", "vm", "programs", "modules", "environment", "on"])
    if not _TEST.fullmatch(suite.string("filter")) or bad_name(suite.string("filter")):
        raise suite.error("filter", "must be COLLECTION:TEST, as run_kselftest.sh --test takes it")
    for program in suite.strings("programs"):
        if not NAME.fullmatch(program):
            raise suite.error("programs", f"{program!r} is no name of a program")
    for variable in suite.strings("environment"):
        if not _VARIABLE.fullmatch(variable):
            raise suite.error("environment", f"{variable!r} is not NAME=VALUE")
    own = replace(
        _read_common(top, suite, directory, "x86_64", 900),
        filter=suite.string("filter"),
        configs=(suite.file("config", directory),) if "config" in suite.values else (),
        kind=Kind.KSELFTEST,
        machine=suite.file("vm", directory) if "vm" in suite.values else None,
        programs=suite.strings("programs"),
        modules=suite.strings("modules"),
        environment=suite.strings("environment"),
    )
    if "on" not in suite.values:
        return own
    below = _read_below(suite, directory)
    return replace(
        own, configs=below.configs + own.configs, files=below.files + own.files,
        edits=below.edits + own.edits,
    )  # fmt: skip


def _read_below(suite: Table, directory: Path) -> Suite:
    """The suite that a suite stands on. Only one that stands on none itself."""
    name = suite.string("on")
    other = directory.absolute().parent / name
    if not NAME.fullmatch(name) or not (other / SUITE_FILE).is_file():
        raise suite.error("on", f"there is no suite {name} beside {directory.name}")
    if "on" in read_toml(other / SUITE_FILE, "a test suite").table("suite").values:
        raise suite.error("on", f"{name} stands on another suite itself")
    found = read_suite(other)
    if found.kind is not Kind.KSELFTEST:
        raise suite.error("on", f"{name} is of the kind {found.kind.value}, not kselftest")
    return found


def _read_command(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only(["name", "kind", "title", "arches", "timeout", "attempts", "command"])
    command = suite.strings("command", None)
    if not command:
        raise suite.error("command", "must be a program and its arguments")
    common = _read_common(top, suite, directory, "host", 900)
    return replace(common, kind=Kind.COMMAND, command=command)


def _read_bench(top: Table, suite: Table, directory: Path) -> Suite:
    suite.only(["name", "kind", "title", "arches", "kernel_args", "timeout", "config", "vm"])
    return replace(
        _read_common(top, suite, directory, "x86_64", 900),
        configs=(suite.file("config", directory),) if "config" in suite.values else (),
        kind=Kind.BENCH,
        machine=suite.file("vm", directory) if "vm" in suite.values else None,
    )


def _read_files(top: Table, directory: Path) -> tuple[SuiteFile, ...]:
    known = _known_conditions(top)
    return tuple(_read_file(table, directory, known) for table in top.tables("file"))


def _read_edits(top: Table, directory: Path) -> tuple[Edit, ...]:
    known = _known_conditions(top)
    return tuple(_read_edit(table, directory, known) for table in top.tables("edit"))


def _read_file(table: Table, directory: Path, known: Mapping[str, Condition]) -> SuiteFile:
    """A [[file]]; its mode is as written ("0755"), never what the source's happens to be."""
    table.only(["source", "path", "mode", "when", "unless"])
    modes = {"0644": PLAIN, "0755": EXECUTABLE}
    mode = table.string("mode", "0644")
    if mode not in modes:
        raise table.error("mode", 'must be "0644" or "0755"')
    source = table.file("source", directory)
    return SuiteFile(_kernel_path(table), source.read_bytes(), modes[mode],
                     _conditions(table, known))  # fmt: skip


def _read_edit(table: Table, directory: Path, known: Mapping[str, Condition]) -> Edit:
    table.only(
        ["path", "lines", "source", "before", "after", "start", "optional", "remove", "when",
         "unless"]
    )  # fmt: skip
    if ("lines" in table.values) == ("source" in table.values):
        raise table.error("lines", "give either lines or source")
    remove = table.boolean("remove", False)
    if remove and any(field in table.values for field in ("before", "after", "start")):
        raise table.error("remove", "lines are removed wherever they are")
    if not remove and ("before" in table.values) == ("after" in table.values):
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
    patterns = {name: _pattern(table, name) for name in ("before", "after", "start")}
    return Edit(
        _kernel_path(table), lines, optional=table.boolean("optional", False), remove=remove,
        conditions=_conditions(table, known), **patterns,
    )  # fmt: skip


def _pattern(table: Table, field: str, default: str | None = "") -> str:
    pattern = table.string(field, default)
    try:
        re.compile(pattern)
    except re.error as error:
        raise table.error(field, f"not a regular expression: {error}") from None
    return pattern


def _known_conditions(top: Table) -> dict[str, Condition]:
    """What [conditions] names: by name, what holds where the name stands after `when`."""
    if "conditions" not in top.values:
        return {}
    names = top.table("conditions")
    known = {}
    for name in names.values:
        condition = names.table(name)
        condition.only(["path", "has"])
        known[name] = Condition(_kernel_path(condition), _pattern(condition, "has", None))
    return known


def _conditions(table: Table, known: Mapping[str, Condition]) -> tuple[Condition, ...]:
    found = []
    for field in ("when", "unless"):
        if field in table.values:
            name = table.string(field)
            if name not in known:
                names = ", ".join(known) or "none"
                raise table.error(field, f"no condition is called {name}", f"known: {names}")
            found.append(known[name]._replace(wanted=field == "when"))
    return tuple(found)


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
                f"memdesc-tool {_RUNS.get(suite.kind, suite.kind.value)} --suite {suite.name} "
                "runs it",
            )
    return found


def suites_of(root: Path, names: Iterable[str], *kinds: Kind) -> tuple[Suite, ...]:
    """Those of the suites called so that are of these kinds. Raises UserError."""
    found = (find_suite(root, name) for name in names)
    return tuple(suite for suite in found if suite.kind in kinds)
