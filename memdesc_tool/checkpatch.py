"""The tree's own scripts/checkpatch.pl, on a patch as it is sent."""

from __future__ import annotations

import email.utils
import re
import shutil
import tempfile
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import InfraError
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.patch import Patch

SCRIPT = "scripts/checkpatch.pl"
IGNORED = ("FILE_PATH_CHANGES", "UNKNOWN_COMMIT_ID", "BAD_FIXES_TAG")
"""Asked more exactly elsewhere: maintainers.py, trailers.py."""
_LINE = re.compile(r"(?P<where>\S*?):(?P<line>\d+): (?P<kind>ERROR|WARNING|CHECK):"
                   r"(?P<type>\w+): (?P<text>.*)")  # fmt: skip


def as_mail(patch: Patch, *, sign: bool) -> bytes:
    """The patch as mail; sign: signed off by its author, if it is not."""
    assert patch.mail
    body = patch.body
    trailer = f"Signed-off-by: {patch.mail.author}"
    own = email.utils.parseaddr(patch.mail.author)[1]
    signers = [value for name, value in patch.trailers if name == "Signed-off-by"]
    if sign and own not in {email.utils.parseaddr(value)[1] for value in signers}:
        body = f"{body}{chr(10) if patch.trailers else chr(10) * 2}{trailer}".lstrip()
    head = f"From: {patch.mail.author}\nSubject: [PATCH] {patch.subject}\n\n{body}\n---\n\n"
    return head.encode() + patch.diff


def check_patch(top: Path, patch: Patch, *, sign: bool = False) -> tuple[Finding, ...]:
    """What checkpatch --strict of the tree at top says of a patch.

    sign: it is signed off when it is sent. Raises InfraError where the script does not run.
    """
    script = top / SCRIPT
    if not script.is_file():
        raise InfraError(f"the tree has no {SCRIPT}")
    if not shutil.which("perl"):
        raise InfraError("perl is not installed", "apt install perl")
    with tempfile.TemporaryDirectory(prefix="memdesc-checkpatch.") as directory:
        path = Path(directory) / "x.patch"
        path.write_bytes(as_mail(patch, sign=sign))
        done = process.capture(
            ["perl", str(script), "--strict", "--show-types", "--terse", "--showfile",
             "--no-summary", "--codespell", "--ignore", ",".join(IGNORED), "--root", str(top),
             str(path)],
            cwd=top, check=False, timeout=300,
        )  # fmt: skip
    found = [match for line in done.output.splitlines() if (match := _LINE.match(line))]
    if done.status and not found:
        last = (done.output.strip().splitlines() or ["no output"])[-1]
        raise InfraError(f"{SCRIPT} failed on {patch.path.name}: {last}")
    return tuple(dict.fromkeys(_finding(match, patch) for match in found))


def _finding(match: re.Match[str], patch: Patch) -> Finding:
    in_tree = match["where"] in patch.files
    return Finding(
        f"checkpatch:{match['type']}",
        Severity.ERROR if match["kind"] == "ERROR" else Severity.WARNING,
        match["text"].strip(),
        patch.path.name,
        match["where"] if in_tree else "",
        int(match["line"]) if in_tree else 0,
    )
