"""What a regression run found, each thing once: the patch, the hunk, and who shows it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from unidiff.patch import PatchSet

from memdesc_tool.baseline import OBJECT, WARNING, Change
from memdesc_tool.cells import Cell, Regression, Row
from memdesc_tool.git import Git

HUNK_LINES = 40
_PLACE = re.compile(r"(?P<file>[^\s:()]+):(?P<line>\d+)\b")


@dataclass(frozen=True)
class Finding:
    """A change of a case in a row.

    parent: the commit that the row is compared with; among: see Cell, "" where it is the row's
    own; columns: names of those that show it;
    detail: why, in a few words; file, line: where, in the row's tree, "" and 0 where that is
    not known; hunk: header of the hunk of the patch that has the line, "" where none has or
    nobody has looked (with_hunks); lines: the first HUNK_LINES lines of that hunk.
    """

    row: Row
    parent: str
    case: str
    change: Change
    columns: tuple[str, ...]
    detail: str
    file: str = ""
    line: int = 0
    hunk: str = ""
    lines: tuple[str, ...] = ()
    among: str = ""

    @property
    def by(self) -> str:
        """Which patch it is put down to."""
        return f"one of {self.among}" if self.among else self.row.label

    @property
    def fingerprint(self) -> str:
        """Stands for the finding in reports that outlive a run."""
        what = f"{self.case}\0{self.change.value}\0{self.row.label}"
        return hashlib.sha256(what.encode(errors="surrogateescape")).hexdigest()[:32]


def findings(found: Regression) -> tuple[Finding, ...]:
    """Every change of the run: by row, and in it once for all columns that show the same."""
    merged: dict[tuple[int, str, Change, str], Finding] = {}
    parents: dict[str, str] = {}
    for row in found.rows:
        for cell in found.of_row(row):
            name = cell.column.name
            for case, change in cell.changes.items():
                key = row.number, case, change, cell.among(case)
                if key in merged:
                    merged[key] = replace(merged[key], columns=(*merged[key].columns, name))
                else:
                    merged[key] = _finding(cell, parents[name], case, change)
            parents[name] = row.commit
    return tuple(merged.values())


def _finding(cell: Cell, parent: str, case: str, change: Change) -> Finding:
    detail = cell.detail(case)
    finding = Finding(cell.row, parent, case, change, (cell.column.name,), detail,
                      among=cell.among(case))  # fmt: skip
    if case.startswith((WARNING, OBJECT)) and (place := _PLACE.search(detail)):
        return replace(finding, file=place["file"], line=int(place["line"]))
    return finding


def with_hunks(every: Iterable[Finding], git: Git) -> tuple[Finding, ...]:
    """The findings, those with a place with the hunk of their patch that has it."""
    patches: dict[tuple[str, str], PatchSet] = {}
    named = []
    for one in every:
        if one.file:
            ends = one.parent, one.row.commit
            if ends not in patches:
                text = git.run("diff", "--no-color", "--no-ext-diff", *ends)
                patches[ends] = PatchSet(text + "\n")
            hunk, lines = _hunk(patches[ends], one.file, one.line)
            one = replace(one, hunk=hunk, lines=lines)
        named.append(one)
    return tuple(named)


def _hunk(patch: PatchSet, file: str, line: int) -> tuple[str, tuple[str, ...]]:
    for changed in patch:
        if changed.path != file:
            continue
        for hunk in changed:
            if hunk.target_start <= line < hunk.target_start + hunk.target_length:
                header = (
                    f"@@ -{hunk.source_start},{hunk.source_length}"
                    f" +{hunk.target_start},{hunk.target_length} @@ {hunk.section_header}".strip()
                )
                text = (str(one).rstrip("\n") for one in islice(hunk, HUNK_LINES))
                return header, tuple(text)
    return "", ()
