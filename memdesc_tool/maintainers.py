"""Who is responsible for what a patch touches: the tree's own scripts/get_maintainer.pl."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.diff import Action
from memdesc_tool.errors import InfraError
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.patch import Patch

SCRIPT = "scripts/get_maintainer.pl"
MAINTAINERS = "MAINTAINERS"
_LINE = re.compile(r"(?P<address>.+@\S+) \((?P<role>[a-z -]+)(?::(?P<section>.*))?\)$")
_PERSON = ("maintainer", "supporter", "odd fixer", "reviewer")
_SPDX = re.compile(rb"SPDX-License-Identifier: \S")
_NEEDS_SPDX = re.compile(r".*\.(c|h|S|sh|py|rst|dts|dtsi|yaml|lds|rs)$|(.*/)?(Makefile|Kconfig)$")


@dataclass(frozen=True)
class Recipient:
    """Somebody that a patch concerns: "Name <address>" or a list's address; role, section:
    as MAINTAINERS has it ("maintainer", "MEMORY MANAGEMENT - CORE").
    """

    address: str
    role: str
    section: str = ""

    @property
    def is_person(self) -> bool:
        return self.role in _PERSON


def recipients(top: Path, diff: bytes, maintainers: bytes | None = None) -> tuple[Recipient, ...]:
    """Whom a diff concerns, by the tree at top; maintainers: another content of MAINTAINERS.

    Raises InfraError where the script does not run.
    """
    if not (top / SCRIPT).is_file():
        raise InfraError(f"the tree has no {SCRIPT}")
    with tempfile.TemporaryDirectory(prefix="memdesc-maintainers.") as directory:
        path = Path(directory) / "x.patch"
        path.write_bytes(diff)
        argv = ["perl", str(top / SCRIPT), "--nogit", "--nogit-fallback", "--rolestats"]
        if maintainers is not None:
            (Path(directory) / MAINTAINERS).write_bytes(maintainers)
            argv.append(f"--mpath={directory}/{MAINTAINERS}")
        done = process.capture([*argv, str(path)], cwd=top, check=False, timeout=120)
    lines = done.output.splitlines()
    found = [match for line in lines if (match := _LINE.match(line))]
    if done.status:
        raise InfraError(f"{SCRIPT} failed: {(lines or ['no output'])[-1]}")
    return tuple(Recipient(m["address"], m["role"], m["section"] or "") for m in found)


def check_maintainers(
    top: Path, patch: Patch, maintainers: bytes | None = None
) -> tuple[Finding, ...]:
    """New files that no entry of MAINTAINERS has, and a patch that concerns nobody.

    maintainers: MAINTAINERS as it is at the end of the series.
    """
    new = [change.new for change in patch.changes if change.action is Action.ADD]
    found = [
        Finding("maintainers", Severity.WARNING, "no entry of MAINTAINERS has this new file",
                patch.path.name, name)
        for name in new
        if not _has_person(recipients(top, _new_file(name), maintainers))
    ]  # fmt: skip
    changed = any(change.action is not Action.ADD for change in patch.changes)
    if changed and not _has_person(recipients(top, patch.diff, maintainers)):
        text = "no entry of MAINTAINERS has a person for what it changes"
        found.append(Finding("maintainers", Severity.NOTE, text, patch.path.name))
    return tuple(found)


def _has_person(found: Iterable[Recipient]) -> bool:
    return any(one.is_person for one in found)


def _new_file(name: str) -> bytes:
    """A diff that makes a file of this name."""
    return (
        f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n"
        "@@ -0,0 +1 @@\n+\n"
    ).encode()


def check_licences(patch: Patch, contents: dict[str, bytes]) -> tuple[Finding, ...]:
    """New files without a licence in their first two lines (process/license-rules.rst).

    contents: the files after the patch.
    """
    return tuple(
        Finding("spdx", Severity.ERROR, "no SPDX-License-Identifier in the first two lines",
                patch.path.name, change.new)
        for change in patch.changes
        if change.action is Action.ADD and _NEEDS_SPDX.fullmatch(change.new)
        and not _SPDX.search(b"\n".join(contents.get(change.new, b"").split(b"\n")[:2]))
    )  # fmt: skip
