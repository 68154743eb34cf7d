"""Bundles: the same content is the same archive, and what goes into one."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from memdesc_tool import bundlekernel
from memdesc_tool.bundle import Bundle, Entry, Step, directory_entries, read_manifest, write
from memdesc_tool.bundleselftests import NO_LIMIT_SECONDS, SECONDS, Selected, selftests
from memdesc_tool.errors import UserError


def bundle(directory: Path) -> Bundle:
    entries = (
        *directory_entries(directory, "kselftest"),
        Entry("modules/b.ko", b"b"), Entry("modules/a.ko", b"a"),
    )  # fmt: skip
    return Bundle(entries, (Step("one", "run", "true"),), {"kernel": "7.3.4", "arch": "x86_64"})


def filled(directory: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {name}\n")
        path.chmod(0o755)
    (directory / "mm" / "link").symlink_to("second")
    return directory


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz"])
def test_two_builds_are_identical(tmp_path: Path, suffix: str) -> None:
    """Whatever the order, time, owner and mask of the files, and the name of the archive."""
    names = ("mm/first", "mm/second", "net/third")
    first = bundle(filled(tmp_path / "1", names))
    old = os.umask(0o077)
    second = bundle(filled(tmp_path / "2", tuple(reversed(names))))
    os.umask(old)
    os.utime(tmp_path / "2" / "mm" / "first", (1, 1))
    archives = [tmp_path / f"first{suffix}", tmp_path / f"another{suffix}"]
    ids = [write(one, path) for one, path in zip((first, second), archives, strict=True)]
    assert ids[0] == ids[1]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as tar:
        members = tar.getmembers()
    assert {(one.uid, one.gid, one.mtime, one.uname) for one in members} == {(0, 0, 1767225600, "")}
    modes = {one.name.partition("/")[2]: one.mode for one in members}
    assert modes["run.sh"] == modes["kselftest/mm/first"] == 0o755
    assert modes["modules/a.ko"] == modes["steps"] == 0o644
    body = [one.name for one in members][1:]
    assert body == sorted(body)


def test_any_change_is_another_bundle() -> None:
    def identity(*entries: Entry, **facts: str) -> str:
        return Bundle(entries, (Step("one", "run", "true"),), facts).identity

    ids = {
        identity(), identity(kernel="7.3"), identity(Entry("a", b"a")), identity(Entry("a", b"b")),
        identity(Entry("a", b"a", executable=True)), identity(Entry("b", b"a")),
        identity(Entry("a", link="a")),
        Bundle((), (Step("one", "run", "true", seconds=1),)).identity,
    }  # fmt: skip
    assert len(ids) == 8


def test_the_manifest_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    identity = write(Bundle((), (), {"commit": "abc", "base": "two\nlines"}), path)
    assert read_manifest(path) == {"bundle": identity, "commit": "abc", "base": "two lines"}


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b\x08\x00" + bytes(6)])
def test_what_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no bundle"):
        read_manifest(path)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(__file__, "top/other")
    with pytest.raises(UserError, match="does not begin with a manifest"):
        read_manifest(path)


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no name for a bundle"):
        write(Bundle((), ()), tmp_path / "x.zip")
    with pytest.raises(UserError, match="cannot write"):
        write(Bundle((), ()), tmp_path / "nowhere" / "x.tar.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["name", "directory", "command"])
@pytest.mark.parametrize("bad", ["a\tb", "a\nb", ""])
def test_a_step_is_one_line_of_fields(field: str, bad: str) -> None:
    fields = {"name": "n", "kind": "run", "command": "c", field: bad}
    with pytest.raises(UserError):
        Step(**fields).line  # noqa: B018


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("outside")
    top = tmp_path / "top"
    top.mkdir()
    (top / "in").write_text("inside")
    (top / "inner").symlink_to("in")
    (top / "outer").symlink_to("../out")
    (top / "absolute").symlink_to(tmp_path / "out")
    (top / "nowhere").symlink_to("../none")
    found = {one.path: (one.link, one.read()) for one in directory_entries(top, "p")}
    assert found == {
        "p/in": ("", b"inside"), "p/inner": ("in", b""),
        "p/outer": ("", b"outside"), "p/absolute": ("", b"outside"),
    }  # fmt: skip


def installed(directory: Path) -> Path:
    """What kselftest's install makes, as far as it matters."""
    filled(directory, ("mm/second", "mm/run.sh", "net/sub/third"))
    (directory / "kselftest-list.txt").write_text("mm:run.sh\nnet/sub:third\n")
    (directory / "mm" / "settings").write_text("# more\ntimeout=900\n")
    return directory


def test_selftests_are_steps(tmp_path: Path) -> None:
    found = selftests(installed(tmp_path / "a"), ["modules/x.ko"])
    assert [(s.name, s.command, s.directory, s.seconds) for s in found.steps] == [
        ("mm.run.sh", "./run.sh", "kselftest/mm", 900),
        ("net.sub.third", "./third", "kselftest/net/sub", SECONDS),
    ]
    links = {one.path: one.link for one in found.entries if one.path.endswith(".ko")}
    assert links == {
        "kselftest/mm/x.ko": "../../modules/x.ko",
        "kselftest/net/sub/x.ko": "../../../modules/x.ko",
    }


def test_one_selftest_of_many(tmp_path: Path) -> None:
    top = installed(tmp_path)
    (top / "mm" / "settings").write_text("timeout=0\n")
    (step,) = selftests(top, (), Selected("mm:run.sh", ("A=b c",))).steps
    assert (step.command, step.seconds) == ("env 'A=b c' ./run.sh", NO_LIMIT_SECONDS)
    assert selftests(top, (), Selected("mm:run.sh", seconds=5)).steps[0].seconds == 5


def test_what_was_not_installed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no kselftest-list\.txt"):
        selftests(tmp_path)
    for line in ("mm:none", "../x:y", "nonsense", "mm:a b"):
        (tmp_path / "kselftest-list.txt").write_text(f"{line}\n")
        with pytest.raises(UserError, match="txt:1: there is no test"):
            selftests(tmp_path)


def test_a_build_directory_without_a_kernel(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was built there"):
        bundlekernel.release_of(tmp_path)
