"""The directory of a series that was carried over, and what is in it that is not the tool's.

A file `.carried` (as sha256sum writes one) names what was written there. What is not named, or
has changed since, is somebody's work.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from memdesc_tool.cache import write_atomic
from memdesc_tool.errors import UserError

LIST = ".carried"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def refuse_foreign(target: Path, source: Path) -> None:
    """Raise UserError unless target can be replaced: it does not exist, is empty, or holds
    what was written there and nothing else.

    source: the directory of the series that is carried over; never the target.
    """
    if target.resolve() == source.resolve():
        raise UserError(f"{target} is the series itself", "--output names another directory")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{target} is no directory", "--output names another one")
    if foreign := _foreign(target):
        raise UserError(f"{target / foreign} was not written by generate, or has changed since",
                        f"remove {target}, or name another directory with --output")  # fmt: skip


def write_carried(target: Path, files: Mapping[str, bytes]) -> None:
    """Replace the directory target, all or nothing. Raises UserError where it cannot be written.

    files: name -> content. The caller has asked refuse_foreign(). After a kill the old files
    are there, the new ones or none; what else it left beside target the next call removes.
    """
    sums = {name: _digest(data) for name, data in files.items()}
    listed = "".join(f"{value}  {name}\n" for name, value in sums.items())
    new = target.with_name(f".{target.name}.memdesc-tool-new")
    old = target.with_name(f".{target.name}.memdesc-tool-old")
    try:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        for name, data in {**files, LIST: listed.encode()}.items():
            write_atomic(new / name, data)
        if target.is_dir():
            target.rename(old)
        new.replace(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None


def _foreign(target: Path) -> str:
    """A file of target that is not as it was written; "" for none."""
    listed = target / LIST
    text = listed.read_text(encoding="utf-8", errors="replace") if listed.is_file() else ""
    sums = {match[2]: match[1] for match in map(_LINE.fullmatch, text.splitlines()) if match}
    for path in sorted(target.rglob("*")):
        name = str(path.relative_to(target))
        if name == LIST and path.is_file():
            continue
        if path.is_symlink() or not path.is_file() or _digest(path.read_bytes()) != sums.get(name):
            return name
    return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
