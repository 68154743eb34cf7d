"""What the doctor says is what the machine does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from memdesc_tool import doctor, qemu
from memdesc_tool.cache import Cache
from memdesc_tool.doctor import Finding, Probe, Status

from .conftest import Tool

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"
)


@pytest.fixture
def bin_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with one empty directory in it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_program_is_found_with_its_version(bin_only: Path) -> None:
    program(bin_only / "thing", "echo 'thing (Debian 1:3.2-1) 3.2.1'")
    found = Probe("thing", ("thing", "--version"), "thing-dev", "tests").run()
    assert (found.status, found.package) == (Status.OK, "")
    assert found.detail


def test_a_program_that_is_not_there_names_its_package(bin_only: Path) -> None:
    found = Probe("thing", ("thing",), "thing-dev", "tests", required=True).run()
    assert (found.status, found.package) == (Status.MISSING, "thing-dev")
    program(bin_only / "thing", "exit 1")
    assert Probe("thing", ("thing",), "thing-dev", "tests").run().status is Status.MISSING


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("git version 2.39.5\n", "2.39.5"),
        ("gcc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022", "12.2.0-14"),
        ("v1.24\n", "1.24"),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", "7.2.22"),
        ("", ""),
        ("no number\n", ""),
    ],
)
def test_versions(output: str, version: str) -> None:
    assert doctor.version_in(output) == version


def test_what_is_probed_has_a_package_and_a_purpose() -> None:
    probes = doctor.probes()
    names = [probe.name for probe in probes]
    assert len(set(names)) == len(names)
    assert {"git", "make", "gcc", "qemu-system-x86_64"} <= set(names)
    assert all(probe.package and probe.purpose and probe.command for probe in probes)
    assert any(probe.required for probe in probes)


def test_only_what_is_required_and_missing_stops_the_main_job() -> None:
    fine = Finding("a", Status.OK, "", required=True)
    extra = Finding("b", Status.MISSING, "", package="b")
    tight = Finding("c", Status.LIMITED, "", required=True)
    needed = Finding("d", Status.MISSING, "", package="d", required=True)
    assert doctor.can_do_main_job([fine, extra, tight])
    assert not doctor.can_do_main_job([fine, needed])
    assert doctor.packages([fine, extra, needed, extra]) == ["b", "d"]


def test_disk(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(cache.root)
    for free, status in ((10**12, Status.OK), (5 * 10**9, Status.LIMITED), (1, Status.MISSING)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _p, free=free: usage._replace(free=free))
        assert doctor.disk(cache).status is status


@needs_qemu
def test_the_boot_sector_runs_where_something_runs_it() -> None:
    """Under emulation it must, so that a failure under KVM is KVM's."""
    assert qemu.boots_sector(qemu.SECTOR_SECONDS, "tcg")


@needs_qemu
def test_a_kernel_that_is_none_does_not_boot(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"\0" * 4096)
    assert not doctor.boots_kernel(image, "tcg")


@needs_qemu
@pytest.mark.skipif(not os.access(qemu.KVM_DEVICE, os.R_OK | os.W_OK), reason="no /dev/kvm to open")
def test_kvm_is_ok_only_where_a_kernel_boots(tmp_path: Path) -> None:
    """Without a kernel at hand, and with one that does not boot, it is never "ok"."""
    unproven = doctor.kvm([])
    assert unproven.status is Status.LIMITED
    works = qemu.boots_sector(doctor.KVM_SECONDS)
    assert ("does not work" in unproven.detail) == (not works)
    assert ("not proven" in unproven.detail) == works
    image = tmp_path / "bzImage"
    image.write_bytes(b"\0" * 4096)
    assert doctor.kvm([image]).status is Status.LIMITED


def test_kvm_without_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(qemu, "KVM_DEVICE", tmp_path / "kvm")
    assert "no /dev/kvm" in doctor.kvm([]).detail


def test_the_command_ends_with_what_to_install(tool: Tool, tmp_path: Path) -> None:
    whole = tool("doctor")
    assert whole.status in (0, 3)
    assert {line.split()[0].rstrip("!") for line in whole.out.splitlines()} <= {
        "ok", "limited", "missing", "apt-get", "um",
    }  # fmt: skip
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "git").symlink_to(str(shutil.which("git")))
    bare = tool("doctor", PATH=str(directory))
    assert bare.status == 3
    lines = bare.out.splitlines()
    assert any(line.startswith("missing! make") for line in lines)
    install = next(line for line in lines if line.startswith("apt-get install "))
    assert {"make", "gcc", "flex", "bison", "bc"} <= set(install.split())
    assert "um KUnit cannot run" in lines[-1]
