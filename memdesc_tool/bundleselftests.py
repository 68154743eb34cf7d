"""The parts of a bundle that kselftest's own install has made.

Its kselftest-list.txt names the tests, "collection:program" a line; a collection's `settings`
may give the seconds that one may take.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from memdesc_tool.bundle import Entry, Step, directory_entries
from memdesc_tool.errors import UserError

LIST = "kselftest-list.txt"
SECONDS = 45
"""kselftest's own default (tools/testing/selftests/kselftest/runner.sh)."""
NO_LIMIT_SECONDS = 7200
_TEST = re.compile(r"([\w.+/-]+):([\w.+/-]+)")
_TIMEOUT = re.compile(r"^timeout=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class SelftestParts:
    """What the selftests give to a bundle."""

    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Selected:
    """What of an installation is run: one test, as in its list ("" for all); environment:
    NAME=VALUE for it; seconds: in place of what its settings say, 0 for those.
    """

    test: str = ""
    environment: tuple[str, ...] = ()
    seconds: int = 0


def selftests(
    directory: Path, modules: Iterable[str] = (), selected: Selected | None = None
) -> SelftestParts:
    """What was installed in directory; modules: paths in the bundle of .ko files, which the
    tests find beside themselves. Raises UserError where nothing was installed there.
    """
    entries = {entry.path: entry for entry in directory_entries(directory, "kselftest")}
    steps = tuple(_steps(directory, selected or Selected()))
    for step in steps:
        up = "/".join(".." for _ in PurePosixPath(step.directory).parts)
        for module in modules:
            path = f"{step.directory}/{PurePosixPath(module).name}"
            entries.setdefault(path, Entry(path, link=f"{up}/{module}"))
    return SelftestParts(tuple(entries.values()), steps)


def _steps(directory: Path, selected: Selected) -> Iterator[Step]:
    try:
        lines = (directory / LIST).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise UserError(
            f"{directory} has no {LIST}", "make -C tools/testing/selftests install makes it"
        ) from None
    for number, line in enumerate(lines, 1):
        test = line.strip()
        if not test or (selected.test and test != selected.test):
            continue
        found = _TEST.fullmatch(test)
        if not found or not (directory / found[1] / found[2]).is_file():
            raise UserError(f"{directory / LIST}:{number}: there is no test {test}")
        collection, program = found[1], found[2]
        command = f"./{program}"
        if selected.environment:
            command = f"env {shlex.join(selected.environment)} {command}"
        yield Step(
            f"{collection.replace('/', '.')}.{program}", "run", command,
            f"kselftest/{collection}",
            selected.seconds or _seconds(directory / collection / "settings"),
        )  # fmt: skip


def _seconds(settings: Path) -> int:
    """How long a test of the collection may take; 0 in its settings means no limit."""
    try:
        found = _TIMEOUT.search(settings.read_text(encoding="utf-8"))
    except OSError:
        return SECONDS
    return (int(found[1]) or NO_LIMIT_SECONDS) if found else SECONDS
