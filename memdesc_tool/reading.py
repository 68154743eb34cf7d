"""Which files of a source tree a build has read, and what of a change cannot matter to it.

Kbuild writes a command file (.NAME.cmd) beside each object, with every source and header
that the compiler opened; Kconfig writes include/config/auto.conf.cmd with every Kconfig file
(scripts/basic/fixdep.c, scripts/kconfig/confdata.c of the kernel). A change of other sources
leaves every object as it is. What is no source, such as a script or a Makefile, counts as
read, unless it belongs to a part of the tree where nothing was built. So do the sources of
programs in tools/ that the build itself runs, objtool for one: their command files have names
that are relative to directories of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from memdesc_tool.git import Git

_KCONFIG = Path("include/config/auto.conf.cmd")
_WORDS = re.compile(rb"[^\s\\:=]+")
_BUILD = re.compile(r"(^|/)(Kbuild|Kconfig|Makefile)[^/]*$|^scripts/")
_SOURCES = (".c", ".h", ".S", ".rs")
_NEVER_READ = ("Documentation/", "LICENSES/", "tools/testing/selftests/")
_BUILDS_TOOLS = re.compile(r"tools/(objtool|bpf/resolve_btfids|lib|include|arch|build|scripts)/")
_NEVER_READ_FILES = ("MAINTAINERS", "CREDITS", ".mailmap", ".gitignore", ".get_maintainer.ignore")


def files_read(build_dir: Path, source: Path) -> frozenset[str] | None:
    """The files of the source tree, as paths in it, that made what is in a build directory.

    None where there is no command file: nothing is known then.
    """
    prefix = os.fsencode(source) + b"/"
    found: set[bytes] = set()
    known = False
    for path in _command_files(build_dir):
        known = True
        _, _, dependencies = path.read_bytes().partition(b"\nsource_")
        found.update(word for word in _WORDS.findall(dependencies) if word.startswith(prefix))
    kconfig = build_dir / _KCONFIG
    if kconfig.is_file():
        found.update(_WORDS.findall(kconfig.read_bytes()))
    if not known:
        return None
    return frozenset(os.fsdecode(os.path.normpath(word.removeprefix(prefix))) for word in found)


def _command_files(build_dir: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(build_dir):
        for name in names:
            if name.startswith(".") and name.endswith(".cmd"):
                yield Path(directory) / name


@dataclass(frozen=True)
class Touched:
    """A file that differs between two trees; added: the older one has none."""

    path: str
    added: bool = False


def never_read(path: str) -> bool:
    """Whether no build of a kernel reads this file."""
    return path.startswith(_NEVER_READ) or path in _NEVER_READ_FILES


def matters(change: Touched, read: frozenset[str]) -> bool:
    """Whether a change could make a difference to what was built by reading these files."""
    path = PurePosixPath(change.path)
    if change.path in read:
        return True
    if never_read(change.path):
        return False
    if path.suffix in _SOURCES and not _BUILDS_TOOLS.match(change.path):
        # A new header can hide one of the same name that stands later in the search path.
        return change.added and path.suffix == ".h" and any(
            other.endswith(f"/{path.name}") for other in read
        )  # fmt: skip
    if path.name.startswith("Kconfig"):
        return False  # every one that counts was read
    return not _elsewhere(path, read)


def _elsewhere(path: PurePosixPath, read: Iterable[str]) -> bool:
    """Whether it belongs to an architecture or to samples of which nothing was read."""
    if path.parts[0] == "arch" and len(path.parts) > 2:
        place = f"arch/{path.parts[1]}/"
    elif path.parts[0] == "samples":
        place = "samples/"
    else:
        return False
    return not any(other.startswith(place) and "Kconfig" not in other for other in read)


def cannot_differ(changes: Iterable[Touched], read: frozenset[str] | None) -> bool:
    """Whether what was built by reading these files cannot differ after the changes."""
    return read is not None and not any(matters(change, read) for change in changes)


def touching(git: Git, commits: Iterable[str], read: Collection[str]) -> set[str]:
    """The commits that touch one of these files, or that could change what is.

    A merge counts where it differs from each parent there.
    """
    out = git.run(
        "diff-tree", "--stdin", "--root", "-r", "-c", "--name-only", "--no-renames",
        stdin="".join(f"{commit}\n" for commit in commits).encode(),
    )  # fmt: skip
    wanted, found, commit = set(commits), set(), ""
    for line in out.splitlines():
        if line in wanted:
            commit = line
        elif line in read or _BUILD.search(line):
            found.add(commit)
    return found
