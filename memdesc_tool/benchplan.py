"""What a benchmark of the kernel measures: bench.toml beside the suite.toml of its sources.

    [bench]
    script = '''...'''       run by the guest's sh; $1 is the counter's name. Prints the samples
                             (benchoutput.py)
    [[figure]]               each that the samples have, and no other
    name = "inflate"         as in the samples
    title = "inflate a page" for people
    unit = "bytes"           left out: what is counted, instructions or cycles
    per = "page"             left out: of the whole
    [[atomics]]              atomic instructions in the code of functions (disassembly.py)
    name = "isolate"         of the figure
    functions = ["mm/migrate.o:isolate_*"]
    with = "mm/x.o:f"        this table counts where that function is there;
    without = "mm/x.o:f"     or where it is not

Several [[atomics]] may have the same name: exactly one of them has to fit each revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.tomlfile import Table, read_toml
from memdesc_tool.vetting import bad_name

BENCH_FILE = "bench.toml"


@dataclass(frozen=True)
class PlannedFigure:
    """A figure that the guest takes. unit: "" for what the counter counts; per: "" for whole."""

    name: str
    title: str
    unit: str = ""
    per: str = ""

    def unit_with(self, counter: str) -> str:
        """The unit for people: "instructions/page"."""
        unit = self.unit or counter
        return f"{unit}/{self.per}" if self.per else unit


@dataclass(frozen=True)
class Functions:
    """Functions of an object file: its path below the build directory, and a glob of names."""

    object: str
    pattern: str


@dataclass(frozen=True)
class AtomicsPath:
    """Functions whose atomic instructions are counted together.

    needed: counts only where that function is there; barred: only where it is not.
    """

    name: str
    functions: tuple[Functions, ...]
    needed: Functions | None = None
    barred: Functions | None = None


@dataclass(frozen=True)
class Plan:
    """All that a benchmark measures. script: for sh."""

    script: str
    figures: tuple[PlannedFigure, ...]
    atomics: tuple[AtomicsPath, ...]

    @property
    def objects(self) -> tuple[str, ...]:
        """The object files that are disassembled."""
        every = [one for path in self.atomics
                 for one in (*path.functions, path.needed, path.barred) if one]  # fmt: skip
        return tuple(dict.fromkeys(one.object for one in every))


def read_plan(directory: Path) -> Plan:
    """The plan of a suite's directory. Raises UserError naming file, line and field."""
    top = read_toml(directory / BENCH_FILE, "what a benchmark measures")
    top.only(["bench", "figure", "atomics"])
    bench = top.table("bench")
    bench.only(["script"])
    figures: dict[str, PlannedFigure] = {}
    for table in top.tables("figure"):
        figure = _figure(table)
        if figure.name in figures:
            raise table.error("name", f"{figure.name} is there twice")
        figures[figure.name] = figure
    if not figures:
        raise top.error("figure", "nothing is measured")
    atomics = tuple(_atomics(table) for table in top.tables("atomics"))
    return Plan(bench.string("script"), tuple(figures.values()), atomics)


def _figure(table: Table) -> PlannedFigure:
    table.only(["name", "title", "unit", "per"])
    name = table.string("name")
    if not name or name.split() != [name]:
        raise table.error("name", "must be one word")
    return PlannedFigure(
        name, table.string("title", name), table.string("unit", ""), table.string("per", "")
    )


def _atomics(table: Table) -> AtomicsPath:
    table.only(["name", "functions", "with", "without"])
    functions = tuple(_functions(table, "functions", one) for one in table.strings("functions"))
    if not functions:
        raise table.error("functions", "must name at least one")
    conditions = [
        _functions(table, field, table.string(field)) if field in table.values else None
        for field in ("with", "without")
    ]
    return AtomicsPath(table.string("name"), functions, *conditions)


def _functions(table: Table, field: str, text: str) -> Functions:
    path, _, pattern = text.rpartition(":")
    if not path.endswith(".o") or bad_name(path) or not pattern:
        raise table.error(field, f"{text!r} is not OBJECT.o:FUNCTION")
    return Functions(path, pattern)
