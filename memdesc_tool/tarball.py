"""A tarball of sources becomes one commit in a bare git repository.

The files are streamed into `git fast-import`, so that nothing is unpacked on disk and every
file is there, those that a .gitignore names too. Measured on 2 cores with Linux 7.3.4
(96,000 files, 1.6 GB): 40 s and 360 MB, most of it the decompression; unpacking and
`git add` took as long and 90,000 loose objects.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, cast

from memdesc_tool.errors import InfraError
from memdesc_tool.git import Git

BRANCH = "refs/heads/base"
# Fixed, so that the same tarball has the same commit id on every machine.
IDENTITY = b"memdesc-tool <memdesc-tool@localhost> 1700000000 +0000"
# One pack however few the files; level 1 for speed.
FAST_IMPORT = ("-c", "core.compression=1", "-c", "fastimport.unpackLimit=0",
               "fast-import", "--quiet", "--depth=0")  # fmt: skip
TELL_EVERY = 2000
BUFFER = 1 << 20


def decompressed(stream: IO[bytes], name: str) -> IO[bytes]:
    """The tar inside stream, by the suffix of its file name (.tar, .xz, .gz, .bz2).

    Raises InfraError for another compression.
    """
    match PurePosixPath(name).suffix:
        case ".tar":
            return stream
        case ".xz":
            return lzma.LZMAFile(stream)
        case ".bz2":
            return bz2.BZ2File(stream)
        case ".gz":
            return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    raise InfraError(f"{name} is compressed in a way that is not known")


def import_tar(
    stream: IO[bytes], repository: Path, message: str, tell: Callable[[str], None]
) -> str:
    """Make refs/heads/base of the new bare repository one commit of the tar's files.

    The first directory of each name is left out. stream is the decompressed tar; tell gets
    how far it is. Returns the commit's object id. Raises InfraError for a damaged tarball or
    one that holds what a source tree cannot.
    """
    repository.mkdir(parents=True)
    git = Git(repository)
    git.run("init", "--quiet", "--bare", ".")
    try:
        with git.feed(*FAST_IMPORT) as out:
            _write_commit(stream, out, message, tell)
    except (tarfile.TarError, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        raise InfraError(f"the tarball is damaged: {error}") from None
    git.run("symbolic-ref", "HEAD", BRANCH)
    return git.commit(BRANCH)


def _write_commit(
    stream: IO[bytes], out: IO[bytes], message: str, tell: Callable[[str], None]
) -> None:
    text = message.encode()
    out.write(b"feature done\ncommit %s\n" % BRANCH.encode())
    out.write(b"author %s\ncommitter %s\ndata %d\n%s\n" % (IDENTITY, IDENTITY, len(text), text))
    files = 0
    with tarfile.open(
        fileobj=stream, mode="r|", bufsize=BUFFER, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined] # or every header stays in memory
            if member.isdir():
                continue
            out.write(_change(tar, member))
            files += 1
            if files % TELL_EVERY == 0:
                tell(f"{files} files")
    if not files:
        raise InfraError("the tarball has no files")
    out.write(b"done\n")


def _change(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """One file as a fast-import command."""
    path = PurePosixPath(member.name)
    parts = path.parts[1:]
    if not parts or path.is_absolute() or ".." in parts or ".git" in parts:
        raise InfraError(f"the tarball has {member.name!r}, which is no source file")
    if member.issym():
        mode, data = b"120000", member.linkname.encode(errors="surrogateescape")
    elif member.isfile() and (content := tar.extractfile(member)):
        mode, data = (b"100755" if member.mode & 0o100 else b"100644"), content.read()
        if len(data) != member.size:
            raise InfraError(f"the tarball ends within {member.name}")
    else:
        raise InfraError(f"the tarball has {member.name}, neither a file nor a symbolic link")
    name = "/".join(parts).encode(errors="surrogateescape")
    return b"M %s inline %s\ndata %d\n%s\n" % (mode, _quoted(name), len(data), data)


def _quoted(name: bytes) -> bytes:
    """A path as fast-import reads it back: a C string where it has to be one."""
    if not name.startswith(b'"') and b"\n" not in name:
        return name
    escaped = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'
