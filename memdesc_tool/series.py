"""A patch series and the stack of them, as kept in patches/.

    patches/stack.toml            series = ["fixes", "isolation"]: the order of the series
    patches/<series>/series.toml  title, order and kind of the patches
    patches/<series>/NNNN-*.patch

A directory of *.patch files without series.toml is a series as well, in the order of the
file names.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool.errors import UserError
from memdesc_tool.files import refuse_outside
from memdesc_tool.finding import Silence, read_silence
from memdesc_tool.patch import Patch, read_patch
from memdesc_tool.tomlfile import Table, read_toml

SERIES_FILE = "series.toml"
STACK_FILE = "stack.toml"
FIELDS = ("title", "prefix", "revision", "base", "depends", "suites", "to", "cc", "links",
          "changes", "silence", "patch")  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Kind(Enum):
    """Where a patch comes from (`generate`)."""

    DIFF = "diff"
    """Written by hand."""
    FILES = "files"
    """Made from a suite in kernel-test-modules/."""
    COCCI = "cocci"
    """Made by a semantic patch."""


@dataclass(frozen=True)
class Entry:
    """A patch's place in a series: its file and how it is made.

    suite: for Kind.FILES the suite that it brings in; script, paths: for Kind.COCCI the
    semantic patch (below templates/) and the files and directories of the kernel that it is
    for; message: for both the template of the commit message (below templates/); notes: what
    changed in a revision, for the mail below ---: (revision, text) pairs.
    """

    patch: Patch
    kind: Kind = Kind.DIFF
    suite: str = ""
    message: str = ""
    script: str = ""
    paths: tuple[str, ...] = ()
    notes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Series:
    """A series: patches in order, and what is said about them.

    directory: where it is; base: the release that it was made for ("7.3") or empty; suites:
    names of the suites that test it; to, cc: recipients besides get_maintainer.pl's;
    changes: what changed in a revision as a whole: (revision, text) pairs; links: to earlier
    revisions and discussions; silences: findings of `check` that are meant to be; cover: the
    text of the cover letter that a branch keeps, "" where a template makes it.
    """

    name: str
    directory: Path
    title: str
    entries: tuple[Entry, ...]
    base: str = ""
    revision: int = 1
    prefix: str = "PATCH"
    depends: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    changes: tuple[tuple[int, str], ...] = ()
    links: tuple[str, ...] = ()
    silences: tuple[Silence, ...] = ()
    cover: str = ""

    @property
    def patches(self) -> tuple[Patch, ...]:
        return tuple(entry.patch for entry in self.entries)

    @property
    def missing(self) -> tuple[Patch, ...]:
        """Those that `generate` is still to make."""
        return tuple(patch for patch in self.patches if patch.mail is None)


@dataclass(frozen=True)
class Numbered:
    """A patch of a stack with its number in the stack, from 1."""

    number: int
    series: str
    patch: Patch

    @property
    def label(self) -> str:
        missing = f"{self.patch.path.name} (memdesc-tool generate {self.series} makes it)"
        return f"{self.number}. {self.patch.subject if self.patch.mail else missing}"


@dataclass(frozen=True)
class Stack:
    """Series in the order in which they are applied."""

    series: tuple[Series, ...]

    @property
    def patches(self) -> tuple[Numbered, ...]:
        """All patches, numbered through from 1."""
        every = [(series.name, patch) for series in self.series for patch in series.patches]
        return tuple(Numbered(n, name, patch) for n, (name, patch) in enumerate(every, 1))

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of all series, each once."""
        return tuple(dict.fromkeys(suite for series in self.series for suite in series.suites))

    def place(self, numbered: Numbered) -> str:
        """Which patch of which revision of its series it is: "fixes v2 3/9"."""
        before = 0
        for series in self.series:
            if numbered.number <= before + len(series.patches):
                break
            before += len(series.patches)
        place = f"{numbered.number - before}/{len(series.patches)}"
        return f"{series.name} v{series.revision} {place}"

    def up_to(self, number: int | None) -> tuple[Numbered, ...]:
        """The patches up to number (all for None). Raises UserError for no such number."""
        if number is None:
            return self.patches
        if not 0 <= number <= len(self.patches):
            raise UserError(
                f"there is no patch {number}: the stack has {len(self.patches)}",
                "memdesc-tool series show lists them with their numbers",
            )
        return self.patches[:number]


def read_series(directory: Path) -> Series:
    """Read a series. Raises UserError naming file, line and field.

    Patches that `generate` is still to make are in it, empty (Series.missing).
    """
    if not directory.is_dir():
        raise UserError(f"there is no series {directory}", "memdesc-tool series list names them")
    path = directory / SERIES_FILE
    if not path.exists():
        return _series_of_files(directory)
    top = read_toml(path, "the description of a series")
    entries = tuple(_read_entry(table, directory) for table in top.tables("patch"))
    series = _described(top, directory, entries)
    _refuse_strays(series, top)
    return series


def _described(top: Table, directory: Path, entries: tuple[Entry, ...]) -> Series:
    top.only(FIELDS)
    return Series(
        name=directory.name,
        directory=directory,
        title=top.string("title"),
        entries=entries,
        base=top.string("base", ""),
        revision=top.integer("revision", 1, minimum=1),
        prefix=top.string("prefix", "PATCH"),
        depends=top.strings("depends"),
        suites=top.strings("suites"),
        to=top.strings("to"),
        cc=top.strings("cc"),
        changes=_by_revision(top, "changes"),
        links=top.strings("links"),
        silences=tuple(read_silence(table) for table in top.tables("silence")),
    )


def read_description(path: Path) -> Series:
    """What a file like series.toml says of a series whose patches are elsewhere. UserError."""
    top = read_toml(path, "the description of a series")
    if "patch" in top.values:
        raise top.error("patch", "the patches are those of the branch", "leave them out")
    return _described(top, path.absolute().parent, ())


def _series_of_files(directory: Path) -> Series:
    files = sorted(directory.glob("*.patch"))
    if not files:
        raise UserError(
            f"{directory} holds no series: neither {SERIES_FILE} nor *.patch files",
            "memdesc-tool series export writes one from a branch",
        )
    for file in files:
        refuse_outside(file, directory)
    entries = tuple(Entry(read_patch(file)) for file in files)
    return Series(directory.name, directory, directory.name, entries)


def _read_entry(table: Table, directory: Path) -> Entry:
    table.only(["file", "kind", "suite", "message", "script", "paths", "notes"])
    kinds = {kind.value: kind for kind in Kind}
    name = table.string("kind", Kind.DIFF.value)
    if name not in kinds:
        raise table.error("kind", f"no such kind: {name}", f"known: {', '.join(kinds)}")
    kind = kinds[name]
    path = directory / table.string("file")
    if kind is not Kind.DIFF and not path.exists():
        patch = Patch(path, b"", "", "", (), ())
    else:
        patch = read_patch(table.file("file", directory))
    notes = _by_revision(table, "notes")
    if kind is Kind.FILES:
        suite, message = table.string("suite"), table.string("message")
        return Entry(patch, kind, suite=suite, message=message, notes=notes)
    if kind is Kind.COCCI:
        script, paths = table.string("script"), table.strings("paths", None)
        return Entry(patch, kind, message=table.string("message"), script=script,
                     paths=paths, notes=notes)  # fmt: skip
    return Entry(patch, kind, notes=notes)


def _by_revision(table: Table, field: str) -> tuple[tuple[int, str], ...]:
    """A table of texts by revision: { v2 = "text", v3 = "text" }; the newest comes first."""
    if field not in table.values:
        return ()
    texts = table.table(field)
    for name in texts.values:
        if not re.fullmatch(r"v[1-9]\d*", name):
            raise texts.error(name, "must be a revision: v2, v3, ...")
    numbers = sorted((int(name[1:]) for name in texts.values), reverse=True)
    return tuple((number, texts.string(f"v{number}").strip()) for number in numbers)


def _refuse_strays(series: Series, top: Table) -> None:
    """A patch named twice, or a patch file that series.toml forgot, is a mistake."""
    listed = [entry.patch.path.name for entry in series.entries]
    for name in listed:
        if listed.count(name) > 1:
            raise top.error("patch", f"{name} is listed twice")
    for path in sorted(series.directory.glob("*.patch")):
        if path.name not in listed:
            raise top.error("patch", f"{path.name} is there but not listed", "list or remove it")


def read_stack(patches: Path, only: tuple[str, ...] = ()) -> Stack:
    """The stack in a patches/ directory, or the series named and what they depend on.

    A name in only may also be the path of a series' directory. Raises UserError.
    """
    order = stack_order(patches) if (patches / STACK_FILE).exists() or not only else ()
    if not only:
        return Stack(tuple(read_series(patches / name) for name in order))
    chosen: dict[str, Series] = {}

    def add(series: Series, asking: tuple[str, ...]) -> None:
        if series.name in asking:
            raise UserError(f"series depend on each other: {' -> '.join((*asking, series.name))}")
        for name in series.depends:
            add(read_series(series.directory.parent / name), (*asking, series.name))
        chosen.setdefault(series.name, series)

    for name in only:
        is_name = NAME.fullmatch(name) and (patches / name).is_dir()
        add(read_series(patches / name if is_name else Path(name).absolute()), ())
    ranked = sorted(
        chosen.values(), key=lambda s: order.index(s.name) if s.name in order else len(order)
    )
    return Stack(tuple(ranked))


def stack_order(patches: Path) -> tuple[str, ...]:
    """The names in stack.toml. Raises UserError."""
    top = read_toml(patches / STACK_FILE, "the order of the series")
    top.only(["series"])
    names = top.strings("series", None)
    for name in names:
        if not NAME.fullmatch(name):
            raise top.error("series", f"{name!r} is no series name")
        if not (patches / name).is_dir():
            raise top.error("series", f"there is no directory {patches / name}")
    return names


def chain_key(parent: str, patch: Patch) -> str:
    """What stands for "this patch on top of parent": equal only for equal input."""
    return hashlib.sha256(f"{parent}\n".encode() + patch.data).hexdigest()
