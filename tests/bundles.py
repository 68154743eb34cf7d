"""Bundles of harmless steps, written and unpacked by the tool's own code."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool.bundle import Bundle, Entry, Step, write
from memdesc_tool.cases import Case
from memdesc_tool.machineresult import MachineResult, read
from tests.conftest import Ran

SHELLS = (("dash",), ("busybox", "sh"))


def run_step(name: str, command: str, seconds: int = 60) -> Step:
    return Step(name, "run", command, seconds=seconds)


@dataclass(frozen=True)
class Unpacked:
    """A bundle on this machine; directory: where its run.sh is."""

    directory: Path
    shell: tuple[str, ...] = ("sh",)

    @property
    def result(self) -> Path:
        return self.directory / "result"

    def argv(self, *options: str) -> list[str]:
        return [*self.shell, str(self.directory / "run.sh"), *options]

    def run(self, *options: str) -> Ran:
        done = subprocess.run(
            self.argv(*options),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PWD_OF_TEST": str(self.directory)},
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def read(self) -> MachineResult:
        return read(self.result)

    def cases(self) -> dict[str, Case]:
        return {case.id: case for case in self.read().report.document.cases}

    def reboot(self) -> None:
        """What the files say after the machine went down while the runner ran."""
        for name in ("running", "pid"):
            path = self.result / name
            lines = path.read_text().splitlines()
            path.write_text(
                "".join(f"{'boot: another' if x.startswith('boot: ') else x}\n" for x in lines)
            )


def archive(path: Path, *steps: Step, entries: tuple[Entry, ...] = (), **facts: str) -> Path:
    """A bundle of these steps as an archive."""
    write(Bundle(entries, steps, facts), path)
    return path


def unpack(path: Path, where: Path, shell: tuple[str, ...] = ("sh",)) -> Unpacked:
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    with tarfile.open(path) as tar:
        tar.extractall(where, filter="data")
    (top,) = where.iterdir()
    return Unpacked(top, shell)


def unpacked(tmp_path: Path, shell: tuple[str, ...], *steps: Step, **facts: str) -> Unpacked:
    """A bundle of these steps below tmp_path, in a directory with a space in its name."""
    tmp_path.mkdir(exist_ok=True)
    made = archive(tmp_path / "bundle.tar.gz", *steps, **facts)
    return unpack(made, tmp_path / "a b", shell)
