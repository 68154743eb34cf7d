"""Reading files that somebody else gave: never a device, never without bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from memdesc_tool.errors import UserError


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most limit bytes; symbolic links are followed.

    A FIFO or a device is not waited for. Raises UserError, FileNotFoundError where there is
    nothing at path.
    """
    with _open_regular(path) as stream:
        try:
            data = stream.read(limit + 1)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise UserError(f"{path}: is larger than {limit // 1_000_000} MB; refused")
    return data


def read_ends(path: Path, head: int, tail: int) -> tuple[bytes, bytes, int]:
    """The first head and the last tail bytes of a regular file, and its size in bytes.

    Nothing comes twice: of a file of head + tail bytes or less all is in the first part. Raises
    as read_regular() does.
    """
    with _open_regular(path) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            if size <= head + tail:
                return stream.read(head + tail), b"", size
            first = stream.read(head)
            stream.seek(size - tail)
            return first, stream.read(tail), size
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None


def _open_regular(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise UserError(f"{path}: is {what}")
    return os.fdopen(descriptor, "rb")


def refuse_outside(path: Path, directory: Path) -> None:
    """Raise UserError where path, symbolic links followed, is not below directory."""
    if not path.resolve().is_relative_to(directory.resolve()):
        raise UserError(f"{path}: a symbolic link that leads out of {directory}")
