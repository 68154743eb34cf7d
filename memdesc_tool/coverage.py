"""Which of the lines that a series adds its tests run, measured with gcov.

A um kernel with CONFIG_GCOV is a program as any other: when it ends it writes a .gcda file
beside each object, and gcov says which lines and branches were run
(Documentation/dev-tools/kunit/running_tips.rst of the kernel). What a guest has counted is
brought beside its notes by vmcounts.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import normpath

from memdesc_tool import process
from memdesc_tool.addedlines import AddedLine
from memdesc_tool.cells import Row
from memdesc_tool.errors import InfraError
from memdesc_tool.suites import Edit, Suite


@dataclass
class FileCoverage:
    """What was run of a source file: how often by line, and branches by line (taken or not)."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[int, list[bool]] = field(default_factory=dict)

    def add(self, number: int, count: int, branches: Sequence[bool]) -> None:
        """Take in one object's or one run's counts of a line."""
        self.lines[number] = self.lines.get(number, 0) + count
        known = self.branches.setdefault(number, [False] * len(branches))
        if len(known) == len(branches):
            self.branches[number] = [a or b for a, b in zip(known, branches, strict=True)]

    def merge(self, other: FileCoverage) -> None:
        """Take in the counts of another kernel.

        Where two kernels compile a line differently (page flags have checks with DEBUG_VM), no
        branch of one is known to be one of the other: those of the kernel count that takes the
        greater part of its own.
        """
        for number, count in other.lines.items():
            branches = other.branches.get(number, [])
            known = self.branches.get(number, branches)
            if len(known) != len(branches) and _taken(branches) > _taken(known):
                self.branches[number] = list(branches)
            self.add(number, count, branches)


def _taken(branches: Sequence[bool]) -> float:
    """The part of a line's branches that was taken; below 0 for a line without any."""
    return sum(branches) / len(branches) if branches else -1


def merge(counts: Mapping[str, FileCoverage], into: dict[str, FileCoverage]) -> None:
    """Add the counts of a kernel, by file, to those of others."""
    for name, one in counts.items():
        into.setdefault(name, FileCoverage()).merge(one)


DESTRUCTORS = Edit(
    path="arch/um/include/asm/common.lds.S",
    lines=("\t*(.fini_array.*)",),
    before=r"\s*\*\(\.fini_array\)",
    optional=True,
)
"""gcc puts what writes the counts into .fini_array.00100, which um's linker script leaves out
of what is called at the end (seen with gcc 12 and Linux 7.3).
"""


def writing(suite: Suite) -> Suite:
    """The suite in a um that writes its counts."""
    return replace(suite, edits=(*suite.edits, DESTRUCTORS))


def clear(build_dir: Path) -> None:
    """Remove the counts of earlier runs."""
    for path in build_dir.rglob("*.gcda"):
        path.unlink()


def collect(
    build_dir: Path,
    source: Path,
    files: Iterable[str],
    into: dict[str, FileCoverage],
    gcov: str = "gcov",
) -> None:
    """Add what the runs in a build directory have counted in these files of the source tree.

    gcov: that of the compiler. A source that other sources include counts in their objects, as
    a header does. A file of which no object was built is left out. Raises
    InfraError where gcov is missing or the kernel has written no counts at all.
    """
    wanted = set(files)
    names = {Path(file).name.encode(errors="surrogateescape") for file in wanted}
    counted = False
    for path in sorted(build_dir.rglob("*.gcda")):
        counted = True
        if _may_have(path.with_suffix(".gcno"), names):
            _collect_object(path, source, wanted, into, gcov)
    if not counted:
        raise InfraError(
            f"the kernel in {build_dir} has written no counts",
            "its compiler's gcov runtime must fit: see the kernel's running_tips.rst",
        )


def _may_have(notes: Path, names: Iterable[bytes]) -> bool:
    """Whether an object was made of files of these names; notes of it have their paths."""
    noted = notes.read_bytes() if notes.exists() else b""
    return any(name in noted for name in names)


def _collect_object(
    counts: Path, source: Path, wanted: set[str], into: dict[str, FileCoverage], gcov: str
) -> None:
    argv = [gcov, "--json-format", "--stdout", "--branch-probabilities", str(counts)]
    with process.reading(argv, cwd=counts.parent) as stream:
        reports = [json.loads(line) for line in stream]
    for file in (file for report in reports for file in report["files"]):
        name = normpath(file["file"]).removeprefix(f"{source}/")
        if name in wanted:
            _add(into.setdefault(name, FileCoverage()), file["lines"])


def _add(coverage: FileCoverage, lines: Iterable[Mapping[str, object]]) -> None:
    for line in lines:
        number, count, branches = line["line_number"], line["count"], line["branches"]
        assert isinstance(number, int) and isinstance(count, int) and isinstance(branches, list)
        coverage.add(number, count, [bool(one["count"]) for one in branches])


@dataclass(frozen=True)
class PatchCoverage:
    """What is run of the lines that a patch adds.

    lines, branches: (run, all that there is code for); missed: the lines that are not run.
    """

    row: Row
    lines: tuple[int, int]
    branches: tuple[int, int]
    missed: tuple[AddedLine, ...]


def by_patch(
    added: Iterable[AddedLine], coverage: Mapping[str, FileCoverage]
) -> tuple[PatchCoverage, ...]:
    """The coverage of each patch that adds code, in their order."""
    rows: dict[int, list[AddedLine]] = {}
    for line in added:
        if line.file in coverage and line.number in coverage[line.file].lines:
            rows.setdefault(line.row.number, []).append(line)
    return tuple(_of_patch(rows[number], coverage) for number in sorted(rows))


def not_run(
    added: Iterable[AddedLine], coverage: Mapping[str, FileCoverage]
) -> dict[str, set[int]]:
    """The lines of C files, by file, that have code which was counted and not run.

    Not those of headers: there may be more of their code in objects that do not count.
    """
    found: dict[str, set[int]] = {}
    for line in added:
        counts = coverage[line.file].lines if line.file in coverage else {}
        if line.file.endswith(".c") and counts.get(line.number) == 0:
            found.setdefault(line.file, set()).add(line.number)
    return found


def _of_patch(lines: Sequence[AddedLine], coverage: Mapping[str, FileCoverage]) -> PatchCoverage:
    missed = tuple(line for line in lines if not coverage[line.file].lines[line.number])
    branches = [
        taken for line in lines for taken in coverage[line.file].branches.get(line.number, [])
    ]  # fmt: skip
    return PatchCoverage(
        lines[0].row, (len(lines) - len(missed), len(lines)), (sum(branches), len(branches)), missed
    )
