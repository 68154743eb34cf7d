"""The tree's own kernel-doc and its coccinelle scripts, on the files of a revision."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import InfraError

SCRIPT = "scripts/kernel-doc"
COCCI = "scripts/coccinelle"
SPATCH_SECONDS = 300.0
_DOC = re.compile(r"(?:(?:warning|error): )?(?P<file>[^\s:]+):(?P<line>\d+):? "
                  r"(?:(?:warning|error): )?(?P<text>.+)", re.IGNORECASE)  # fmt: skip
_REPORT = re.compile(
    r"(?:\./)?(?P<file>[^\s:]+):(?P<line>\d+):[\d-]+: (?P<text>(?:WARNING|ERROR|.).+)"
)

Complaint = tuple[str, int, str]
"""File, line, text."""


def kernel_doc(top: Path, files: Mapping[str, bytes]) -> tuple[Complaint, ...]:
    """What kernel-doc of the tree at top says of files (path -> content). Raises InfraError."""
    names = [name for name in files if name.endswith((".c", ".h"))]
    if not names:
        return ()
    if not (top / SCRIPT).is_file():
        raise InfraError(f"the tree has no {SCRIPT}")
    with tempfile.TemporaryDirectory(prefix="memdesc-kerneldoc.") as directory:
        _lay_out(Path(directory), files)
        done = process.capture([str(top / SCRIPT), "-none", *names],
                               cwd=Path(directory), check=False, timeout=300)  # fmt: skip
    found = _complaints(_DOC, done.output)
    if done.status and not found:
        last = (done.output.strip().splitlines() or ["no output"])[-1]
        raise InfraError(f"{SCRIPT} failed: {last}")
    return found


def coccicheck(top: Path, files: Mapping[str, bytes]) -> tuple[Complaint, ...]:
    """What the scripts of `make coccicheck MODE=report` say of files (path -> content).

    A script that this spatch cannot run is left out, as coccicheck does. Raises InfraError
    where spatch is not installed.
    """
    names = [name for name in files if name.endswith(".c")]
    if not names:
        return ()
    if not shutil.which("spatch"):
        raise InfraError("spatch is not installed", "apt install coccinelle")
    found: list[Complaint] = []
    with tempfile.TemporaryDirectory(prefix="memdesc-coccicheck.") as directory:
        _lay_out(Path(directory), files)
        for script in sorted((top / COCCI).rglob("*.cocci")):
            if "virtual report" not in script.read_text(errors="replace"):
                continue
            done = process.capture(
                ["spatch", "-D", "report", "--very-quiet", "--no-show-diff", "--no-includes",
                 "--cocci-file", str(script), "--dir", "."],
                cwd=Path(directory), check=False, timeout=SPATCH_SECONDS,
            )  # fmt: skip
            if done.status == 0:
                found += _complaints(_REPORT, done.output)
    return tuple(dict.fromkeys(found))


def _lay_out(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _complaints(pattern: re.Pattern[str], output: str) -> tuple[Complaint, ...]:
    found = (pattern.match(line) for line in output.splitlines())
    return tuple((m["file"], int(m["line"]), m["text"].strip()) for m in found if m)


def new(before: tuple[Complaint, ...], after: tuple[Complaint, ...]) -> tuple[Complaint, ...]:
    """What is said after and not before, wherever in the file it is said."""
    known = {(file, text) for file, _, text in before}
    return tuple(one for one in after if (one[0], one[2]) not in known)
