"""Mutants that are no mistake: people have argued that nothing could notice them.

# patches/mutants.toml
[[equivalent]]
file = "mm/migrate.c"
after = "if (!page)"
line = "return -ENOMEM;"
became = "return -EINVAL;"
reason = "..."
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool.fates import Fate, Fates
from memdesc_tool.tomlfile import read_toml

MUTANTS_FILE = "mutants.toml"


@dataclass(frozen=True)
class Equivalent:
    """A mutant by the text of its line, and why it changes nothing.

    line, became: without and with the mistake (";" where a call is left out), without white
    space around; after: the line of code before it, "" where one line of the file is meant
    wherever it is.
    """

    file: str
    line: str
    became: str
    reason: str
    after: str = ""

    def covers(self, fate: Fate) -> bool:
        """Whether it is about this mutant."""
        return (
            fate.file == self.file
            and fate.line.strip() == self.line
            and fate.became.strip() == self.became
            and self.after in ("", fate.before)
        )


def argued(fates: Fates, listed: Sequence[Equivalent]) -> Fates:
    """The fates with the arguments of those that are listed."""

    def reason(fate: Fate) -> str:
        return next((one.reason.strip() for one in listed if one.covers(fate)), "")

    return replace(fates, every=tuple(replace(one, argued=reason(one)) for one in fates.every))


def read_equivalents(directory: Path) -> tuple[Equivalent, ...]:
    """Those listed in a directory (patches/); none where there is no list. Raises UserError."""
    path = directory / MUTANTS_FILE
    if not path.exists():
        return ()
    top = read_toml(path, "the list of mutants that change nothing")
    top.only(["equivalent"])
    found = []
    for table in top.tables("equivalent"):
        table.only(["file", "line", "became", "reason", "after"])
        found.append(
            Equivalent(
                table.string("file"), table.string("line"), table.string("became"),
                table.string("reason"), table.string("after", ""),
            )
        )  # fmt: skip
    return tuple(found)
