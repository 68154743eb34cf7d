"""What a bundle's runner brings back from a machine: read from whatever form it comes in.

A directory, a tar of it, or the KTAP file alone, which has the facts of the machine in its
first lines. It comes from elsewhere, so nothing of it is unpacked or believed: sizes are
bounded, names are not used, text is printed with its control characters escaped.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from memdesc_tool import consolelog
from memdesc_tool.bundle import parse_facts
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import UserError, one_line
from memdesc_tool.files import read_regular

KTAP = "result.ktap"
CONFIG = "config"
KTAP_BYTES = 256_000_000
CONFIG_BYTES = 4_000_000
MEMBERS = 10_000
"""Files of the largest archive that is read."""
ARCHIVE_BYTES = 1_000_000_000
"""All that one may hold when it is unpacked."""
FACT_CHARACTERS = 4096
_FACT = "# memdesc-fact "
_RUN = re.compile(r"[0-9a-f-]{8,64}")
_HEAD_BYTES = 1_000_000


@dataclass(frozen=True)
class MachineResult:
    """A result: ktap and config as they came (config b"" where it did not come)."""

    ktap: bytes
    config: bytes = b""

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the file says of the machine; empty for a KTAP file of somebody else's."""
        head = self.ktap[:_HEAD_BYTES].decode(errors="replace").splitlines()
        lines = (line.removeprefix(_FACT) for line in head if line.startswith(_FACT))
        return {
            one_line(name): one_line(value)[:FACT_CHARACTERS]
            for name, value in parse_facts(lines).items()
        }

    @cached_property
    def report(self) -> ConsoleReport:
        """Results and splats."""
        return consolelog.read(io.BytesIO(self.ktap))

    @property
    def run(self) -> str:
        """What tells this run from every other: the runner's own id, else the content."""
        given = self.facts.get("run", "")
        return given if _RUN.fullmatch(given) else hashlib.sha256(self.ktap).hexdigest()


def read(path: Path) -> MachineResult:
    """The result at path. Raises UserError where there is none."""
    try:
        if path.is_dir():
            found = _from_directory(path)
        elif _is_tar(path):
            found = _from_tar(path)
        else:
            found = MachineResult(read_regular(path, KTAP_BYTES))
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not found.report.document.found:
        raise UserError(f"{path}: there is no test result in it")
    return found


def _from_directory(path: Path) -> MachineResult:
    place = path if (path / KTAP).exists() else path / "result"
    if not (place / KTAP).exists():
        raise UserError(f"{path}: there is no {KTAP} in it", "the runner writes it into result/")
    config = place / CONFIG
    return MachineResult(
        read_regular(place / KTAP, KTAP_BYTES),
        read_regular(config, CONFIG_BYTES) if config.exists() else b"",
    )


def _is_tar(path: Path) -> bool:
    if not path.is_file():  # nothing is opened that may block
        return False
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, lzma.LZMAError, zlib.error):
        return False


def _from_tar(path: Path) -> MachineResult:
    ktap: bytes | None = None
    config = b""
    try:
        with tarfile.open(path, "r:*") as tar:
            total = 0
            for number, member in enumerate(tar):
                name = member.name.rsplit("/", 1)[-1]
                total += member.size
                if number >= MEMBERS or total > ARCHIVE_BYTES:
                    raise UserError(f"{path}: holds more than any result does; refused")
                if not member.isfile():
                    continue
                if name == KTAP:
                    ktap = _content(tar, member, KTAP_BYTES, path)
                elif name == CONFIG:
                    config = _content(tar, member, CONFIG_BYTES, path)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    if ktap is None:
        raise UserError(f"{path}: there is no {KTAP} in it")
    return MachineResult(ktap, config)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, limit: int, path: Path) -> bytes:
    if member.size > limit:
        raise UserError(f"{path}: {member.name} is larger than {limit // 1_000_000} MB; refused")
    stream = tar.extractfile(member)
    data = stream.read(limit) if stream else b""
    if len(data) != member.size:
        raise UserError(f"{path} is damaged: {member.name} is cut short")
    return data
