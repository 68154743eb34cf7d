"""What a check of a series found, and what was said beforehand about it.

A finding is silenced in series.toml, with a reason:

    [[silence]]
    check = "checkpatch:LONG_LINE"
    patch = "0003-*"
    text = "*table*"
    reason = "one row a line"
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from memdesc_tool.tomlfile import Table


class Severity(Enum):
    """How much a finding matters; a note never makes a check fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something that a check found.

    check: its name, with the kind of finding behind a colon where there are several
    ("checkpatch:LONG_LINE"); patch: the name of the patch file, "" for the whole series;
    file, line: in the kernel, "" and 0 where it is about none.
    """

    check: str
    severity: Severity
    text: str
    patch: str = ""
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """ "mm/migrate.c:12", or less."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.text) if part)


@dataclass(frozen=True)
class Silence:
    """Findings that are meant to be: globs over check, patch file and the finding's text."""

    check: str
    reason: str
    patch: str = "*"
    text: str = "*"

    def covers(self, finding: Finding) -> bool:
        return (
            fnmatchcase(finding.check, self.check)
            and fnmatchcase(finding.patch, self.patch)
            and fnmatchcase(str(finding), self.text)
        )


def read_silence(table: Table) -> Silence:
    """A [[silence]] of series.toml. Raises UserError."""
    table.only(["check", "patch", "text", "reason"])
    return Silence(
        check=table.string("check"),
        reason=table.string("reason"),
        patch=table.string("patch", "*"),
        text=table.string("text", "*"),
    )
