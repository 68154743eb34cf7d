"""Files that commands which run tests write."""

from __future__ import annotations

from pathlib import Path

from memdesc_tool.cache import write_atomic
from memdesc_tool.errors import UserError


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user asked for, all or nothing. Raises UserError."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
