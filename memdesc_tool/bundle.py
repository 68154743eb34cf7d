"""A bundle: one archive with what a machine needs to run the tests, and what runs them.

    run.sh, machine.sh, ktap.sh   the runner, POSIX sh (data/bundle/)
    manifest                      what it is for and how it was made: "name: value"
    steps                         what is run: name, kind, seconds, directory, command
    kernel/                       the kernel's image and configuration
    lib/modules/RELEASE/          the kernel's own modules, KUnit suites among them
    modules/                      out-of-tree modules
    kselftest/                    as kselftest's own install makes it

The same content gives the same archive, byte for byte.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from memdesc_tool.arch import DATA
from memdesc_tool.errors import UserError

RUNNER = ("run.sh", "machine.sh", "ktap.sh")
SUFFIXES = (".tar.gz", ".tgz", ".tar.xz")
MTIME = 1767225600
"""Of every file: 2026-01-01 00:00 UTC, as the kernel's build time."""
STEP_SECONDS = 600
MANIFEST_BYTES = 1_000_000
_WORD = re.compile(r"[\w.,:+@%/-]+")


@dataclass(frozen=True)
class Step:
    """Something that the runner runs.

    kind: "module" (load and unload the .ko file called command), "kunit" (load the module
    called command, read its results from the kernel's log), "run" (command in directory);
    seconds: after which it is ended; directory: in the bundle.
    """

    name: str
    kind: str
    command: str
    directory: str = "."
    seconds: int = STEP_SECONDS

    @property
    def line(self) -> str:
        """The line in `steps`. Raises UserError for what would not fit there."""
        if not _WORD.fullmatch(self.name) or not _WORD.fullmatch(self.directory):
            raise UserError(f"a step cannot be called {self.name!r} or be in {self.directory!r}")
        if not self.command or "\t" in self.command or "\n" in self.command:
            raise UserError(f"step {self.name} has a command that does not fit on a line")
        fields = (self.name, self.kind, str(self.seconds), self.directory, self.command)
        return "\t".join(fields)


@dataclass(frozen=True)
class Entry:
    """A file of the bundle: path in it; content: bytes, or the file that has them; link:
    the target of a symbolic link, which has no content.
    """

    path: str
    content: bytes | Path = b""
    executable: bool = False
    link: str = ""

    def read(self) -> bytes:
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


@dataclass(frozen=True)
class Bundle:
    """What goes into an archive. facts: of the manifest, by name."""

    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Entry, ...]:
        """All but the manifest, by path."""
        steps = "".join(f"{step.line}\n" for step in self.steps).encode()
        runner = (Entry(name, DATA / "bundle" / name, name == "run.sh") for name in RUNNER)
        found = {one.path: one for one in (*self.entries, Entry("steps", steps), *runner)}
        return tuple(found[path] for path in sorted(found))

    @property
    def identity(self) -> str:
        """A short id of everything in it."""
        digest = hashlib.sha256(_manifest(self.facts).encode())
        for entry in self.files:
            head = f"{entry.path}\0{entry.executable}\0{entry.link}\0"
            digest.update(head.encode() + hashlib.sha256(entry.read()).digest())
        return digest.hexdigest()[:16]


def write(bundle: Bundle, path: Path) -> str:
    """Write the archive, all or nothing; returns the bundle's id.

    Raises UserError for a name that is no .tar.gz or .tar.xz, or cannot be written.
    """
    check_name(path)
    identity = bundle.identity
    manifest = _manifest({"bundle": identity, **bundle.facts}).encode()
    top = f"memdesc-bundle-{identity}"
    temporary = path.with_name(f".{path.name}.new")
    try:
        with (
            _compressed(temporary) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in (Entry("manifest", manifest), *bundle.files):
                _add(tar, top, entry)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return identity


def check_name(path: Path) -> None:
    """Raise UserError where path is not named like an archive that can be written."""
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path} is no name for a bundle", f"it ends in {' or '.join(SUFFIXES)}")


def _manifest(facts: Mapping[str, str]) -> str:
    return "".join(f"{name}: {' '.join(value.split())}\n" for name, value in facts.items())


def _add(tar: tarfile.TarFile, top: str, entry: Entry) -> None:
    info = tarfile.TarInfo(f"{top}/{entry.path}")
    info.mtime = MTIME
    info.mode = 0o755 if entry.executable else 0o644
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
        return
    content = entry.read()
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, compressed by the suffix of its name, without name or time in it."""
    with path.open("wb") as raw:
        if ".tar.xz" in path.name:
            with lzma.LZMAFile(raw, "wb", preset=6) as xz:
                yield cast(IO[bytes], xz)
        else:
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as gz:
                yield cast(IO[bytes], gz)


def read_manifest(path: Path) -> dict[str, str]:
    """The manifest of an archive. Raises UserError where it is no bundle."""
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                if member.name.count("/") == 1 and member.name.endswith("/manifest"):
                    stream = tar.extractfile(member)
                    text = stream.read(MANIFEST_BYTES).decode() if stream else ""
                    return parse_facts(text.splitlines())
                break
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, lzma.LZMAError, ValueError) as error:
        raise UserError(f"{path} is no bundle: {error}") from None
    raise UserError(f"{path} is no bundle: it does not begin with a manifest")


def parse_facts(lines: Iterable[str]) -> dict[str, str]:
    """ "name: value" lines; others are passed over."""
    pairs = (line.partition(": ") for line in lines)
    return {name: value.strip() for name, colon, value in pairs if colon}


def directory_entries(directory: Path, prefix: str) -> tuple[Entry, ...]:
    """Every file below directory, under prefix in the bundle, by path.

    A symbolic link that stays inside remains one; others become what they name, or are left
    out where they name nothing.
    """
    found = []
    root = directory.resolve()
    for path in sorted(directory.rglob("*")):
        name = f"{prefix}/{path.relative_to(directory).as_posix()}"
        if path.is_symlink():
            target = path.readlink()
            if not target.is_absolute() and path.resolve().is_relative_to(root):
                found.append(Entry(name, link=str(target)))
                continue
        if path.is_file():
            found.append(Entry(name, path, bool(path.stat().st_mode & 0o100)))
    return tuple(found)
