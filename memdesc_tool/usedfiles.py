"""Which source files a kernel was built from, and which commits touch any of them.

Kbuild writes what it read for each object into .NAME.o.cmd beside it (scripts/Kbuild.include,
fixdep). A commit that touches none of these files and nothing of the build itself most
likely gives the same kernel as its parent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from memdesc_tool.git import Git

_SOURCE = re.compile(rb"^source_\S+ := (\S+)|^\s+(\S+?)( \\)?$", re.MULTILINE)
_BUILD = re.compile(r"(^|/)(Kbuild|Kconfig|Makefile)[^/]*$|^scripts/")


def of_build(build_dir: Path, source: Path) -> set[str]:
    """The files below source that the objects in build_dir were made from."""
    found: set[str] = set()
    prefix = f"{source}/".encode()
    for directory, _, names in os.walk(build_dir):
        for name in names:
            if name.startswith(".") and name.endswith(".cmd"):
                text = (Path(directory) / name).read_bytes()
                for match in _SOURCE.finditer(text):
                    word = match[1] or match[2]
                    if word.startswith(prefix):
                        found.add(os.fsdecode(word[len(prefix) :]))
                    elif not word.startswith((b"/", b"$")):
                        found.add(os.path.normpath(os.fsdecode(word)))
    return found


def touching(git: Git, commits: Iterable[str], used: set[str]) -> set[str]:
    """The commits that touch a file that is used, or that could change what is.

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
        elif line in used or _BUILD.search(line):
            found.add(commit)
    return found
