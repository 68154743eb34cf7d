"""The project that a command works on: the directory with patches/ in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import UserError
from memdesc_tool.series import STACK_FILE, Stack, read_stack

PACKAGE = Path(__file__).resolve().parent
SHIPPED = "shipped"
"""Where a wheel has patches/, templates/ and kernel-test-modules/ (pyproject.toml)."""


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


def around(here: Path) -> Project | None:
    """The project that here is in; None where no directory around it is one."""
    for directory in (here, *here.parents):
        if (directory / "patches" / STACK_FILE).is_file():
            return Project(directory)
    return None


def refuse_shipped(directory: Path) -> None:
    """Raise UserError where directory is in what a wheel has brought along: an update of the
    program would lose what is written there.
    """
    if directory.resolve().is_relative_to(PACKAGE / SHIPPED):
        raise UserError(
            "the series that came with the tool are not changed",
            'a project of yours begins with: mkdir patches && echo "series = []" >'
            f" patches/{STACK_FILE}",
        )


def shipped() -> Project | None:
    """The project that came with this program: the repository that it was installed from with
    pip -e, or what a wheel has brought along. None where there is none.
    """
    for directory in (PACKAGE.parent, PACKAGE / SHIPPED):
        if (directory / "patches" / STACK_FILE).is_file():
            return Project(directory)
    return None


def from_environment() -> Path | None:
    """What $MEMDESC_TOOL_PROJECT names, whether it is one or not; None where it names nothing."""
    named = os.environ.get("MEMDESC_TOOL_PROJECT")
    return Path(named) if named else None


def find_project(chosen: Path | None = None) -> Project:
    """The project chosen, else $MEMDESC_TOOL_PROJECT, else the one around the working
    directory, else the one that came with this program. Raises UserError.
    """
    if named := chosen or from_environment():
        if not (named / "patches").is_dir():
            raise UserError(f"there is no patches/ in {named}", "--project takes its parent")
        return Project(named.absolute())
    here = Path.cwd()
    if found := around(here) or shipped():
        return found
    raise UserError(
        f"there is no project around {here}: no directory has a patches/{STACK_FILE}",
        "change to one, or name it with --project",
    )
