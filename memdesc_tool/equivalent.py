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

from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.mutate import Mutant
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

    def covers(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        return (
            mutant.line.file == self.file
            and mutant.line.text.strip() == self.line
            and mutant.text.strip() == self.became
            and self.after in ("", mutant.before)
        )


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
