"""The project that a command works on: the directory with patches/ in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import UserError
from memdesc_tool.series import STACK_FILE, Stack, read_stack


@dataclass(frozen=True)
class Project:
    """A directory with patches/, and beside it kernel-test-modules/ and templates/."""

    root: Path

    @property
    def patches(self) -> Path:
        return self.root / "patches"

    def stack(self, names: tuple[str, ...] = ()) -> Stack:
        """The whole stack, or the series named with what they depend on."""
        return read_stack(self.patches, names)


def find_project(chosen: Path | None = None) -> Project:
    """The project chosen, else $MEMDESC_TOOL_PROJECT, else the one around the working
    directory, else the one that this program was installed from. Raises UserError.
    """
    named = chosen or (Path(p) if (p := os.environ.get("MEMDESC_TOOL_PROJECT")) else None)
    if named:
        if not (named / "patches").is_dir():
            raise UserError(f"there is no patches/ in {named}", "--project takes its parent")
        return Project(named.absolute())
    here = Path.cwd()
    for directory in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (directory / "patches" / STACK_FILE).is_file():
            return Project(directory)
    raise UserError(
        f"there is no project around {here}: no directory has a patches/{STACK_FILE}",
        "change to one, or name it with --project",
    )
