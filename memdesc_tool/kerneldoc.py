"""The tree's own kernel-doc and its coccinelle scripts, on the files of a revision."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import CommandTimeout, InfraError

SCRIPT = "scripts/kernel-doc"
COCCI = "scripts/coccinelle"
SPATCH_SECONDS = 300.0
_OPTIONS = re.compile(r"^// +Options:(.*)", re.MULTILINE)
_TAKEN = ("--include-headers", "--no-loops")
"""What is taken of a script's options; other headers than those of the patches are not there."""
_DOC = re.compile(r"(?:(?:warning|error): )?(?P<file>[^\s:]+):(?P<line>\d+):? "
                  r"(?:(?:warning|error): )?(?P<text>.+)", re.IGNORECASE)  # fmt: skip
_REPORT = re.compile(
    r"(?:\./)?(?P<file>[^\s:]+):(?P<line>\d+):[\d-]+: (?P<text>(?:WARNING|ERROR|.).+)"
)
_LINES = re.compile(r"(?<=\bline)s? \d+(?:, ?\d+)*")
"""The lines that a complaint names beside its own."""

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


def coccicheck(
    top: Path, files: Mapping[str, bytes]
) -> tuple[tuple[Complaint, ...], dict[str, str]]:
    """What the scripts of `make coccicheck MODE=report` say of files (path -> content).

    Second: the scripts that this spatch cannot run, and why. Headers are read where a script
    asks for them by its options, and only those among files. Raises InfraError where spatch is
    not installed.
    """
    if not any(name.endswith((".c", ".h")) for name in files):
        return (), {}
    if not shutil.which("spatch"):
        raise InfraError("spatch is not installed", "apt install coccinelle")
    found: list[Complaint] = []
    unable: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="memdesc-coccicheck.") as directory:
        _lay_out(Path(directory), files)
        for script in sorted((top / COCCI).rglob("*.cocci")):
            text = script.read_text(errors="replace")
            if "virtual report" not in text:
                continue
            asked = " ".join(_OPTIONS.findall(text)).split()
            try:
                done = process.capture(
                    ["spatch", "-D", "report", "--very-quiet", "--no-show-diff", "--no-includes",
                     *(one for one in _TAKEN if one in asked),
                     "--cocci-file", str(script), "--dir", "."],
                    cwd=Path(directory), check=False, timeout=SPATCH_SECONDS,
                )  # fmt: skip
            except CommandTimeout:
                unable[script.name] = f"has not ended after {SPATCH_SECONDS:.0f} s"
                continue
            if done.status:
                unable[script.name] = (done.output.strip().splitlines() or ["no output"])[0]
            else:
                found += _complaints(_REPORT, done.output)
    return tuple(dict.fromkeys(found)), unable


def _lay_out(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _complaints(pattern: re.Pattern[str], output: str) -> tuple[Complaint, ...]:
    found = (pattern.match(line) for line in output.splitlines())
    return tuple((m["file"], int(m["line"]), m["text"].strip()) for m in found if m)


def new(before: tuple[Complaint, ...], after: tuple[Complaint, ...]) -> tuple[Complaint, ...]:
    """What is said after and not before, wherever in the file it is said, and of which line."""
    known = {(file, _LINES.sub("", text)) for file, _, text in before}
    return tuple(one for one in after if (one[0], _LINES.sub("", one[2])) not in known)
