"""Write commits of a branch back to patches/: `series export`.

A series that has not changed exports byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from tomlkit.items import AoT, Table

from memdesc_tool.cache import write_atomic
from memdesc_tool.errors import UserError
from memdesc_tool.files import read_regular
from memdesc_tool.git import Git
from memdesc_tool.mail import LIMIT
from memdesc_tool.patch import Patch, file_name, format_patch, parse_patch, read_patch
from memdesc_tool.series import SERIES_FILE, read_series
from memdesc_tool.vetting import refuse_unsafe

_DATE = re.compile(rb"^Date: .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Export:
    """What an export does to a series' directory: names of files, and the new contents."""

    directory: Path
    patches: tuple[Patch, ...]
    description: bytes
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def unchanged(self) -> bool:
        return not (self.added or self.changed or self.removed)


def plan_export(git: Git, base: str, tip: str, directory: Path) -> Export:
    """Work out the export of the commits after base up to tip to a series' directory.

    base, tip: object ids. Reads only. Raises UserError where there is no commit, or a merge.
    """
    commits = git.commits(base, tip)
    if not commits:
        raise UserError(f"there is no commit after {base[:12]} up to {tip[:12]}")
    merges = git.run("rev-list", "--merges", f"{base}..{tip}").split()
    if merges:
        raise UserError(f"{merges[0][:12]} is a merge; a series has none")
    patches = []
    for number, commit in enumerate(commits, 1):
        path = directory / file_name(number, git.subject(commit))
        patches.append(parse_patch(path, _dated_as_before(path, format_patch(git, commit))))
        refuse_unsafe(patches[-1])
    description = _describe(directory, patches)
    there = [*directory.glob("*.patch"), directory / SERIES_FILE]
    old = {path.name: read_regular(path, LIMIT) for path in there if path.exists()}
    new = {patch.path.name: patch.data for patch in patches} | {SERIES_FILE: description}
    return Export(
        directory,
        tuple(patches),
        description,
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
        removed=tuple(name for name in old if name not in new),
    )


def _dated_as_before(path: Path, data: bytes) -> bytes:
    """data; the file that is there where only the author's date is another.

    A patch that has gone through the mail has the date of the mail.
    """
    if path.exists():
        old = read_regular(path, LIMIT)
        if _DATE.sub(b"", old, count=1) == _DATE.sub(b"", data, count=1):
            return old
    return data


def write_export(export: Export) -> None:
    """Carry out an export. A call killed in the middle is completed by the next one."""
    for patch in export.patches:
        if patch.path.name in (*export.added, *export.changed):
            write_atomic(patch.path, patch.data)
    if SERIES_FILE in (*export.added, *export.changed):
        write_atomic(export.directory / SERIES_FILE, export.description)
    for name in export.removed:
        (export.directory / name).unlink(missing_ok=True)


def _describe(directory: Path, patches: list[Patch]) -> bytes:
    """series.toml for these patches; what it says otherwise, comments included, stays."""
    path = directory / SERIES_FILE
    if path.exists():
        read_series_loosely(directory)
        text = path.read_text(encoding="utf-8")
    else:
        text = f'title = "{directory.name}"\n'
    document = tomlkit.parse(text)
    before = document.get("patch", [])
    names = [patch.path.name for patch in patches]
    if [table["file"] for table in before] == names:
        return text.encode()
    known = _known_by_subject(directory, before)
    tables = tomlkit.aot()
    for patch in patches:
        table = known.get(patch.subject, tomlkit.table())
        table["file"] = patch.path.name
        if patch.subject not in known:
            table.add(tomlkit.nl())  # from what follows
        tables.append(table)
    document["patch"] = tables
    # tomlkit sets tables apart by as many empty lines as it finds reasons for.
    return (re.sub(r"\n{3,}", "\n\n", tomlkit.dumps(document)).rstrip("\n") + "\n").encode()


def _known_by_subject(directory: Path, before: object) -> dict[str, Table]:
    known = {}
    for table in before if isinstance(before, AoT) else ():
        path = directory / str(table["file"])
        if path.exists():
            known[read_patch(path).subject] = table
    return known


def read_series_loosely(directory: Path) -> None:
    """Raise UserError where series.toml is there but cannot be understood."""
    try:
        read_series(directory)
    except UserError as error:
        # Files in the way or missing are what an export mends; anything else is not.
        if "is there but not listed" not in error.message and "no file" not in error.message:
            raise
