"""The initramfs of guests: busybox, our /init and programs, and what a run needs.

A list of GuestFiles is packed with the kernel's own usr/gen_init_cpio where there is a
source to take it from, else with cpio(1). Both give the same files, owned by root, and the
same input gives the same archive, byte for byte. /dev/console is in every kernel's built-in
initramfs, so no device node is packed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.cache import Cache
from memdesc_tool.errors import UserError
from memdesc_tool.vmspec import SPECS

GENERATOR = "usr/gen_init_cpio.c"


@dataclass(frozen=True)
class GuestFile:
    """A file in the guest.

    path: absolute, without spaces; source: the file on this machine that it is a copy of,
    else content; link: what a symbolic link points to; mode: its permission bits.
    """

    path: str
    source: Path | None = None
    content: bytes = b""
    link: str = ""
    mode: int = 0o644


def directory(source: Path, path: str) -> tuple[GuestFile, ...]:
    """All files and links below source, for the directory path of a guest; modes are kept.

    Raises UserError where it is no directory.
    """
    if not source.is_dir():
        raise UserError(f"{source} is not a directory")
    found = []
    for file in sorted(source.rglob("*")):
        name = f"{path.rstrip('/')}/{file.relative_to(source).as_posix()}"
        if file.is_symlink():
            found.append(GuestFile(name, link=str(file.readlink())))
        elif file.is_file():
            found.append(GuestFile(name, file, mode=file.stat().st_mode & 0o777))
    return tuple(found)


def system(busybox: Path) -> tuple[GuestFile, ...]:
    """What every guest has: busybox, /init, our programs in /usr/bin."""
    programs = sorted((SPECS / "bin").iterdir())
    return (
        GuestFile("/bin/busybox", busybox, mode=0o755),
        GuestFile("/init", SPECS / "init", mode=0o755),
        *(GuestFile(f"/usr/bin/{program.name}", program, mode=0o755) for program in programs),
    )


def pack(files: Iterable[GuestFile], output: Path, generator: Path | None) -> None:
    """Write the archive; a later file of the same path replaces the earlier one.

    generator: the program gen_init_cpio, None for cpio(1). Raises UserError for a path or
    source that cannot be packed, InfraError where packing fails.
    """
    chosen = {file.path: file for file in files}
    entries = [chosen[path] for path in sorted(chosen)]
    for file in entries:
        _check(file, chosen)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="memdesc-initramfs-") as name:
        if generator:
            _generate(entries, output, generator, Path(name))
        else:
            _archive(entries, output, Path(name))


def _check(file: GuestFile, chosen: dict[str, GuestFile]) -> None:
    parts = file.path.split("/")[1:]
    if not file.path.startswith("/") or not all(parts) or {".", ".."} & {*parts}:
        raise UserError(f"{file.path} is no absolute path of a file in the guest")
    if any(char.isspace() for char in file.path + file.link):
        raise UserError(f"{file.path}: no spaces in paths of the guest")
    for parent in _parents(file.path):
        if parent in chosen:
            raise UserError(f"{parent} is both a file and the directory of {file.path}")
    if file.source and not os.access(file.source, os.R_OK):
        raise UserError(f"{file.source} cannot be read", f"it was to be {file.path} in the guest")


def _parents(path: str) -> Iterator[str]:
    """The directories above a path, from the top; the root is not one."""
    parts = path.split("/")[1:-1]
    for count in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:count])


def _directories(entries: Iterable[GuestFile]) -> list[str]:
    return sorted({parent for file in entries for parent in _parents(file.path)})


def _generate(entries: list[GuestFile], output: Path, generator: Path, stage: Path) -> None:
    """Pack with gen_init_cpio, which reads a list whose words have no spaces."""
    lines = [f"dir {path} 0755 0 0" for path in _directories(entries)]
    for number, file in enumerate(entries):
        if file.link:
            lines.append(f"slink {file.path} {file.link} 0777 0 0")
            continue
        staged = stage / str(number)
        if file.source:
            staged.symlink_to(file.source.absolute())
        else:
            staged.write_bytes(file.content)
        lines.append(f"file {file.path} {staged} {file.mode:04o} 0 0")
    listing = stage / "list"
    listing.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    argv = [str(generator), "-t", "0", str(listing)]
    with process.reading(argv, cwd=stage) as archive, output.open("wb") as stream:
        shutil.copyfileobj(archive, stream)


def _archive(entries: list[GuestFile], output: Path, stage: Path) -> None:
    """Pack a copy of the tree with cpio(1)."""
    root = stage / "root"
    root.mkdir()
    directories = _directories(entries)
    for path in directories:
        (root / path[1:]).mkdir()
    for file in entries:
        target = root / file.path[1:]
        if file.link:
            target.symlink_to(file.link)
        else:
            if file.source:
                shutil.copyfile(file.source, target)
            else:
                target.write_bytes(file.content)
            target.chmod(file.mode)
    names = [*directories, *(file.path for file in entries)]
    for name in reversed(names):
        os.utime(root / name[1:], (0, 0), follow_symlinks=False)
    for path in directories:
        (root / path[1:]).chmod(0o755)
    argv = ["cpio", "--quiet", "-o", "-H", "newc", "--reproducible", "--owner=+0:+0",
            "-O", str(output.absolute())]  # fmt: skip
    with process.writing(argv, cwd=root) as listing:
        listing.write("".join(f"{name[1:]}\n" for name in names).encode())


def generator(source: Path | None, cache: Cache) -> Path | None:
    """The program gen_init_cpio of a kernel's source, compiled once for each version of it.

    None where there is no source, or it has none. Raises InfraError where it does not
    compile.
    """
    code = source / GENERATOR if source else None
    if code is None or not code.is_file():
        return None
    key = hashlib.sha256(code.read_bytes()).hexdigest()[:16]
    program = cache.root / "tools" / f"gen_init_cpio-{key}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{program.name}.{os.getpid()}")
        process.capture(["cc", "-O2", "-o", str(unfinished), str(code)], cwd=program.parent)
        unfinished.replace(program)
    return program
