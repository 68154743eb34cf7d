"""The guest's busybox: which one does, and one of another architecture through real apt."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool import arch, busybox, distribution
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.distribution import Distribution
from memdesc_tool.errors import InfraError, UserError
from tests.test_aptsource import Archive, archive, key

__all__ = ["archive", "key"]  # fixtures

ARM64 = arch.load("arm64")


def program(machine: int) -> bytes:
    """The header of a 64-bit little-endian static program."""
    return b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HH", 2, machine) + bytes(44)


def test_must_be_static_and_of_the_architecture(tmp_path: Path, cache: Cache) -> None:
    one = arch.load("x86_64")
    found = busybox.find(one, None, cache)
    assert found and found.name == "busybox"
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(UserError, match="not an ELF program"):
        busybox.find(one, script, cache)
    with pytest.raises(UserError, match="is not static"):
        busybox.find(one, Path("/bin/sh"), cache)
    with pytest.raises(UserError, match="not a program of arm64"):
        busybox.find(ARM64, found, cache)
    assert busybox.find(ARM64, None, cache) is None


def test_one_that_no_distribution_has_is_named_by_the_user(cache: Cache) -> None:
    with pytest.raises(InfraError) as caught:
        busybox.provide(replace(ARM64, debian=""), None, cache, Progress())
    assert "--busybox" in caught.value.hint


@pytest.fixture
def mirror(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """A mirror of this machine's distribution that has packages of arm64 only."""
    distro = Distribution("Test", "old", archive.keyring, (), (), ())
    monkeypatch.setattr(distribution, "this_distribution", lambda: distro)
    return archive


def publish(mirror: Archive, tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: busybox-static\nVersion: 1\nArchitecture: all\n"
        "Maintainer: A <a@example.org>\nDescription: a shell\n"
    )
    (root / "bin").mkdir()
    (root / "bin" / "busybox").write_bytes(content)
    (mirror.root / "pool").mkdir(exist_ok=True)
    deb = mirror.root / "pool" / "busybox-static_1_all.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", root, deb], check=True, capture_output=True)
    mirror.suite("old", "old", ("busybox-static", "1"), architecture="arm64")


def test_of_another_architecture_is_obtained_once(
    mirror: Archive, tmp_path: Path, cache: Cache
) -> None:
    publish(mirror, tmp_path, program(183))
    found = busybox.provide(ARM64, None, cache, Progress())
    assert found.read_bytes() == program(183)
    (mirror.root / "pool" / "busybox-static_1_all.deb").unlink()
    assert busybox.provide(ARM64, None, cache, Progress()) == found
    assert busybox.find(ARM64, None, cache) == found
    assert [path.name for path in found.parent.iterdir()] == [found.name]


@pytest.mark.parametrize(
    ("content", "message"), [(program(62), "is not a program of arm64"), (None, "apt-get")]
)
def test_what_the_mirror_has_must_do(
    mirror: Archive, tmp_path: Path, cache: Cache, content: bytes | None, message: str
) -> None:
    if content:
        publish(mirror, tmp_path, content)
    with pytest.raises(InfraError, match=message) as caught:
        busybox.provide(ARM64, None, cache, Progress())
    assert "--busybox" in caught.value.hint
    assert busybox.find(ARM64, None, cache) is None
