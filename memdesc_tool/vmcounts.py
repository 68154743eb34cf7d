"""gcov in a guest: which objects of its kernel count, and how their counts get to this machine.

A kernel with CONFIG_GCOV_KERNEL shows what its objects have counted in debugfs
(Documentation/dev-tools/gcov.rst of the kernel). Only the objects of given sources count: a
kernel that counts everywhere is much larger, and an emulated one slower than its tests have time
for. In the guest, `counted` (data/kselftest) writes the counts to a disk
that has no file system: a file of this machine that no guest can make larger than DISK_BYTES.

What a guest has written names no file here. Its objects are looked up among those whose notes
(.gcno) were kept, and counts that do not belong to these notes are refused, since gcov takes
rubbish for an object that was not run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from memdesc_tool.arch import DATA
from memdesc_tool.errors import InfraError
from memdesc_tool.initramfs import GuestFile

FRAGMENT = "counts"
"""Of the kernel's configuration, as vm.fragment() takes it; "gcov" is um's in a matrix."""
DISK_BYTES = 64 << 20
"""More than any series' objects count; the file is sparse."""
SERIAL = "memdesc-counts"
PROGRAM = GuestFile("/usr/local/bin/counted", DATA / "kselftest" / "counted", mode=0o755)

_SOURCE = re.compile(r"[\w./+-]+\.c")
_HEADER = re.compile(rb"gcda (\d{1,9}) (/[^\n]+)\n")
_HEADER_BYTES = 5000
"""A longest path (PATH_MAX of the kernel's) and what stands before it."""
_MAGIC, _STAMP = b"adcg", slice(4, 12)
"""How a file of counts begins, and what it has in common with its notes: version and stamp of
the compilation, four bytes each (gcc/gcov-io.h), as a little-endian machine writes them.
"""


def make_option(sources: Iterable[str]) -> str:
    """What lets make compile the objects of these sources, and no others, with counters.

    sources: C files, from the top of the tree. It takes the place of every GCOV_PROFILE in
    makefiles, and make expands it for each target (scripts/Makefile.lib).
    """
    # Make would expand other names.
    objects = [f"{one.removesuffix('.c')}.o" for one in sources if _SOURCE.fullmatch(one)]
    return f"GCOV_PROFILE=$(if $(filter {' '.join(objects)},$@),y)"


def keep_notes(sources: Iterable[str], build_dir: Path, directory: Path) -> None:
    """Copy what the compiler has noted of those of the objects that were built.

    They are at the same place below directory, which is made anew, as in the build
    directory, whose lock is the caller's.
    """
    shutil.rmtree(directory, ignore_errors=True)
    for source in sources:
        notes = Path(source).with_suffix(".gcno")
        if (build_dir / notes).is_file():
            (directory / notes).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(build_dir / notes, directory / notes)


def make_disk(path: Path) -> tuple[str, ...]:
    """Make the disk for a guest's counts; returns QEMU's arguments for it."""
    with path.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    file = str(path.absolute()).replace(",", ",,")
    return ("-drive", f"if=none,id=counts,format=raw,file={file}",
            "-device", f"virtio-blk-pci,drive=counts,serial={SERIAL}")  # fmt: skip


def command(words: tuple[str, ...]) -> tuple[str, ...]:
    """What the guest runs in place of a command so that its counts are kept."""
    return (PROGRAM.path, SERIAL, *words)


def take(disk: Path, directory: Path) -> None:
    """Put the counts that a guest has written to a disk beside the notes in directory.

    Objects without notes there are passed over. Raises InfraError where there are no counts, not
    all, or others than those of the kernel that the notes are of.
    """
    known = {f"/{path.relative_to(directory).with_suffix('.gcda')}": path
             for path in sorted(directory.rglob("*.gcno"))}  # fmt: skip
    taken = 0
    with disk.open("rb") as stream:
        for name, counts in _objects(stream):
            place = max((end for end in known if name.endswith(end)), key=len, default="")
            if not place:
                continue
            notes = known[place]
            if counts[:4] != _MAGIC or counts[_STAMP] != _start_of(notes)[_STAMP]:
                raise InfraError(
                    f"what the guest has written as {place[1:]} are no counts of its kernel"
                )
            notes.with_suffix(".gcda").write_bytes(counts)
            taken += 1
    if not taken:
        raise InfraError("the guest's kernel counts in no object that the series touches")


def _objects(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """What `counted` has written: paths in the guest's debugfs and what was read there."""
    line, found = stream.readline(_HEADER_BYTES), 0
    if line.startswith(b"\0"):
        raise InfraError("the guest has written no counts")
    while header := _HEADER.fullmatch(line):
        size = int(header[1])
        if len(counts := stream.read(size)) < size:
            break
        yield header[2].decode(errors="replace"), counts
        line, found = stream.readline(_HEADER_BYTES), found + 1
    if line != b"end %d\n" % found:
        raise InfraError(f"the guest's counts end in the middle (whole: {found} objects)")


def _start_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_STAMP.stop)
