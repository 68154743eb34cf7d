"""The matrix file: which suites, architectures, configs and compilers a series is tested with.

    [[test]]                       suites that run
    suites = ["name*"]             globs over the suites of the series [default: all]
    kinds = ["kunit"]              kunit, kselftest, command [default: kunit and command]
    arches = ["um"]                [default: what the suite names]
    configs = ["kasan"]            [default: the suite's own config alone]

    [[compile]]                    objects that are only compiled
    arches = ["arm64", "i386"]
    configs = ["defconfig+rt"]
    checks = ["W=1"]               arguments of make [default: W=1]
    depth = "objects"              or "kernel"
    wishes = true                  ask for the options of the suites, too, where they can be had

and in both: compilers = ["gcc", "clang", "clang-19"], strategy = "every", "ends" or "bisect",
optional = true where a toolchain that is missing, or too old for the tree, is no error. A config
is a sum of parts: one of make's targets (defconfig, allmodconfig, ...) may come first, then
fragments: NAME.config or NAME-ARCH.config of data/kconfig (there also as vm-NAME), or a path that
ends in .config, below the directory of the matrix file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool.arch import DATA
from memdesc_tool.cells import Column, Strategy, Variant
from memdesc_tool.compilerun import DEPTHS, OBJECTS, compile_suite
from memdesc_tool.errors import InfraError
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.tomlfile import Table, read_toml
from memdesc_tool.toolage import too_old

MATRIX_FILE = "matrix.toml"
DEFAULT = DATA / "matrix" / "default.toml"

_TARGETS = ("defconfig", "allnoconfig", "allmodconfig", "allyesconfig", "tinyconfig")
_CLANG = re.compile(r"clang(-[0-9]+)?")
_COMMON = ("arches", "configs", "compilers", "strategy", "optional")


@dataclass(frozen=True)
class Skipped:
    """A column that is not run, and why."""

    column: Column
    why: str


@dataclass(frozen=True)
class Matrix:
    """The columns of a matrix file, and those that no toolchain of this machine can build."""

    columns: tuple[Column, ...]
    skipped: tuple[Skipped, ...]


def read_matrix(
    path: Path, suites: Sequence[Suite], only: Sequence[str] = (), script: str = ""
) -> Matrix:
    """Read a matrix file for suites of a series; only: arches to keep, all where empty; script:
    the tree's toolage.SCRIPT.

    Raises UserError with file, line and field, InfraError where a toolchain is missing or too
    old for what is not optional.
    """
    top = read_toml(path, "a matrix of what to test")
    top.only(["test", "compile"])
    columns: list[Column] = []
    skipped: list[Skipped] = []
    for table in (*top.tables("test"), *top.tables("compile")):
        optional = table.boolean("optional", False)
        for column in _columns(table, suites):
            if only and column.arch not in only:
                continue
            why = _missing(column, script)
            if why and not optional:
                raise InfraError(f"{column.name}: {why.message}", why.hint)
            if why:
                skipped.append(Skipped(column, why.message))
            else:
                columns.append(column)
    if not columns and not skipped:
        raise top.error("test", "nothing is left to test", "name suites, arches and configs")
    return Matrix(told_apart(columns), tuple(skipped))


def told_apart(columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns, each once, those that would have the same name with what they differ in."""
    every = tuple(dict.fromkeys(columns))
    alike: dict[str, list[Column]] = {}
    for column in every:
        alike.setdefault(column.name, []).append(column)
    used: set[tuple[str, str, str]] = set()
    named = []
    for column in every:
        same = alike[column.name]
        known = set.intersection(*(set(_words(one)) for one in same))
        own = [word for word in _words(column) if word not in known] if len(same) > 1 else []
        wanted = "+".join(word for word in (column.variant.name, *own) if word)
        name, number = wanted, 1
        while (column.suite.name, column.arch, name) in used:
            number += 1
            name = f"{wanted}#{number}"
        used.add((column.suite.name, column.arch, name))
        named.append(replace(column, variant=replace(column.variant, name=name)))
    return tuple(named)


def _words(column: Column) -> tuple[str, ...]:
    """What a column may differ in that is not in its name."""
    variant = column.variant
    depth = column.suite.filter if column.suite.compiles else ""
    return (depth, variant.base, *variant.make_options, column.strategy.value)


def _missing(column: Column, script: str) -> InfraError | None:
    """Why the toolchain of a column cannot be used, if so."""
    if column.suite.kind is Kind.COMMAND:
        return None
    try:
        arch = architectures.load(column.arch)
        tools = architectures.toolchain(arch, column.variant.make_options)
    except InfraError as error:
        return error
    if why := too_old(tools, arch, script):
        return InfraError(why, 'name a version that is installed, such as "clang-19"')
    return None


def _columns(table: Table, suites: Sequence[Suite]) -> Iterator[Column]:
    strategy = _one_of(table, "strategy", [one.value for one in Strategy], "every")
    compiling = table.name.startswith("compile")
    chosen = [_compile(table, suites)] if compiling else list(_tests(table, suites))
    checks = table.strings("checks", ["W=1"]) if compiling else ()
    for suite in chosen:
        arches = table.strings("arches", None if compiling else suite.arches)
        for arch in arches:
            for variant in _variants(table, arch, checks):
                yield Column(suite, arch, Strategy(strategy), variant)


def _compile(table: Table, suites: Sequence[Suite]) -> Suite:
    table.only([*_COMMON, "checks", "depth", "wishes"])
    depth = _one_of(table, "depth", DEPTHS, OBJECTS)
    wishes = [path for suite in suites for path in suite.configs]
    return compile_suite(depth, wishes if table.boolean("wishes", True) else ())


def _tests(table: Table, suites: Sequence[Suite]) -> Iterator[Suite]:
    table.only([*_COMMON, "suites", "kinds"])
    known = [Kind.KUNIT.value, Kind.KSELFTEST.value, Kind.COMMAND.value]
    kinds = table.strings("kinds", [Kind.KUNIT.value, Kind.COMMAND.value])
    for kind in kinds:
        if kind not in known:
            raise table.error("kinds", f"no such kind: {kind}", f"known: {', '.join(known)}")
    for glob in table.strings("suites", ["*"]):
        found = [one for one in suites if fnmatchcase(one.name, glob)]
        if not found and glob != "*":
            names = ", ".join(one.name for one in suites) or "none"
            raise table.error("suites", f"no suite matches {glob}", f"suites here: {names}")
        for suite in found:
            if suite.kind.value in kinds:
                if suite.kind is not Kind.KUNIT and table.strings("configs"):
                    raise table.error("configs", f"{suite.name} is no KUnit suite")
                yield suite


def _one_of(table: Table, field: str, known: Iterable[str], default: str) -> str:
    value = table.string(field, default)
    if value not in known:
        raise table.error(field, f"no such {field}: {value}", f"known: {', '.join(known)}")
    return value


def _variants(table: Table, arch: str, checks: tuple[str, ...]) -> Iterator[Variant]:
    for config in table.strings("configs", [""]) or ("",):
        base, fragments = _config(table, config, arch)
        for compiler in table.strings("compilers", ["gcc"]):
            options = _compiler(table, compiler)
            own = config.removeprefix("defconfig").lstrip("+")
            name = "+".join(part for part in (own, compiler) if part and part != "gcc")
            yield Variant(name, base, fragments, (*options, *checks))


def _compiler(table: Table, name: str) -> tuple[str, ...]:
    """What make is told of a compiler."""
    if name == "gcc":
        return ()
    if not (clang := _CLANG.fullmatch(name)):
        raise table.error("compilers", f"no such compiler: {name}", "gcc, clang or clang-19")
    return (f"LLVM={clang[1] or 1}",)


def _config(table: Table, config: str, arch: str) -> tuple[str, tuple[Path, ...]]:
    """The target that a config begins with, and its fragments."""
    parts = [part for part in config.split("+") if part]
    base = parts.pop(0) if parts and parts[0] in _TARGETS else ""
    if not parts:
        return base, ()
    make_arch = architectures.load(arch).make_arch
    return base, tuple(path for part in parts for path in _fragments(table, part, make_arch))


def _fragments(table: Table, part: str, make_arch: str) -> list[Path]:
    if part.endswith(".config"):
        path = table.path.parent / part
        if not path.is_file():
            raise table.error("configs", f"there is no file {path}")
        return [path]
    names = (part, f"{part}-{make_arch}", f"vm-{part}", f"vm-{part}-{make_arch}")
    found = [
        path for name in names if (path := DATA / "kconfig" / f"{name}.config").is_file()
    ]  # fmt: skip
    if not found:
        raise table.error(
            "configs", f"there is no config {part} for {make_arch}",
            f"one of {', '.join(_TARGETS)}, or a fragment of data/kconfig, or a file",
        )  # fmt: skip
    return found
