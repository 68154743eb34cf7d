"""The apt way: real apt against a signed repository of the test's own."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool import aptsource, distribution, tree
from memdesc_tool.aptsource import Apt
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.distribution import Distribution, Suite, family
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.git import Git

pytestmark = pytest.mark.skipif(
    distribution.this_distribution() is None, reason="no apt of a known distribution here"
)


def source_deb(directory: Path, package: str, version: str, member: str) -> Path:
    """A package that has a source tarball as usr/src/MEMBER."""
    root = directory / f"{package}_{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {package}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: A <a@example.org>\nDescription: source\n"
    )
    archive = root / "usr" / "src" / member
    archive.parent.mkdir(parents=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        text = f"VERSION = {version}\n".encode()
        info = tarfile.TarInfo("linux-source/Makefile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    archive.write_bytes(lzma.compress(buffer.getvalue()))
    deb = directory / f"{package}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, deb],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return deb


@dataclass(frozen=True)
class Archive:
    """A mirror in a directory, signed with a throwaway key."""

    root: Path
    home: Path

    @property
    def uri(self) -> str:
        return f"file:{self.root}/"

    @property
    def keyring(self) -> Path:
        return self.home / "archive.gpg"

    def gpg(self, *args: str) -> bytes:
        return subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet",
             "--pinentry-mode", "loopback", "--passphrase", "", *args],
            check=True, capture_output=True,
        ).stdout  # fmt: skip

    def suite(
        self, name: str, codename: str, *packages: tuple[str, str], architecture: str = ""
    ) -> None:
        """Publish a suite with packages: (name, version). architecture: "" for this one's."""
        architecture = (
            architecture
            or subprocess.run(
                ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
            ).stdout.strip()
        )
        pool = self.root / "pool"
        pool.mkdir(exist_ok=True)
        entries = []
        for package, version in packages:
            deb = pool / f"{package}_{version}_all.deb"
            if not deb.exists():
                source_deb(pool, package, version, f"{package}.tar.xz")
            data = deb.read_bytes()
            entries.append(
                f"Package: {package}\nVersion: {version}\nArchitecture: all\n"
                f"Maintainer: A <a@example.org>\nFilename: pool/{deb.name}\nSize: {len(data)}\n"
                f"SHA256: {hashlib.sha256(data).hexdigest()}\nDescription: source\n of it\n"
            )
        index = gzip.compress("\n".join(entries).encode(), mtime=0)
        place = self.root / "dists" / name
        file = f"main/binary-{architecture}/Packages.gz"
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(index)
        plain = gzip.decompress(index)
        (place / "Release").write_text(
            f"Origin: Test\nLabel: Test\nSuite: {name}\nCodename: {codename}\n"
            "Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
            f"Architectures: all {architecture}\nComponents: main\nSHA256:\n"
            f" {hashlib.sha256(index).hexdigest()} {len(index)} {file}\n"
            f" {hashlib.sha256(plain).hexdigest()} {len(plain)} {file.removesuffix('.gz')}\n"
        )
        self.gpg("--clearsign", "--output", str(place / "InRelease"), str(place / "Release"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("k") / "h"
    home.mkdir(mode=0o700)
    maker = Archive(home, home)
    maker.gpg("--quick-generate-key", "Archive <archive@example.org>", "ed25519", "sign")
    maker.keyring.write_bytes(maker.gpg("--export"))
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@pytest.fixture
def archive(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """A mirror that the machine's configuration names, with the suite "old" only."""
    root = tmp_path / "mirror"
    root.mkdir()
    made = Archive(root, key)
    made.suite("old", "old")
    parts = tmp_path / "etc"
    parts.mkdir()
    (parts / "machine.sources").write_text(
        f"Types: deb\nURIs: {made.uri}\nSuites: old\nComponents: main\n"
        f"Signed-By: {made.keyring}\n\n"
        f"Types: deb\nURIs: file:{tmp_path}/vendor\nSuites: nodistro\nComponents: main\n"
    )
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::SourceParts "{parts}";\nDir::Etc::SourceList "/dev/null";\n'
        f'APT::Update::Post-Invoke {{ "touch {tmp_path}/hook-ran"; }};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    return made


@pytest.fixture
def apt(tmp_path: Path, archive: Archive) -> Apt:
    directory = tmp_path / "cache" / "apt"
    directory.mkdir(parents=True)
    distro = Distribution(
        "Test", "old", archive.keyring, ("stable", "testing"), ("updates", "backports"),
        ("linux-source-{release}", "linux-source-{release}.0"),
    )  # fmt: skip
    return Apt(directory, distro)


def test_a_release_is_found_in_the_backports_of_a_newer_distribution(
    apt: Apt, archive: Archive
) -> None:
    archive.suite("stable", "new", ("linux-source-6.12", "6.12.5-1"))
    archive.suite("new", "new", ("linux-source-6.12", "6.12.5-1"))
    archive.suite("new-backports", "new-backports", ("linux-source-7.3", "7.3.4-1~bpo2+1"))
    found = apt.find("7.3", Progress())
    assert found
    assert (found.name, found.version, found.suite) == (
        "linux-source-7.3", "7.3.4-1~bpo2+1", "new-backports",
    )  # fmt: skip
    assert found.upstream == "7.3.4"
    assert "Test's patches" in found.origin


def test_an_alias_that_lags_behind_does_not_win(apt: Apt, archive: Archive) -> None:
    archive.suite("stable", "new")
    archive.suite("stable-backports", "new-backports", ("linux-source-7.3", "7.3.2-1"))
    archive.suite("new-backports", "new-backports", ("linux-source-7.3", "7.3.4-1"))
    found = apt.find("7.3", Progress())
    assert found
    assert (found.version, found.suite) == ("7.3.4-1", "new-backports")


def test_pockets_with_the_codename_of_their_release_are_asked(apt: Apt, archive: Archive) -> None:
    """As Ubuntu has them."""
    archive.suite("old-updates", "old", ("linux-source-7.3", "7.3.2-1"))
    archive.suite("testing-updates", "new", ("linux-source-7.3", "7.3.1-1"))
    archive.suite("new-updates", "new", ("linux-source-7.3", "7.3.4-1"))
    found = apt.find("7.3", Progress())
    assert found
    assert (found.version, found.suite) == ("7.3.4-1", "new-updates")
    sources = (apt.directory / "sources.list.d" / "mirror.sources").read_text()
    assert "Suites: old old-updates new-updates\n" in sources


def test_the_newest_version_is_taken_and_an_exact_one_when_asked(
    apt: Apt, archive: Archive
) -> None:
    archive.suite("old-backports", "old-backports", ("linux-source-7.3", "7.3.2-1~bpo1"))
    archive.suite("old-updates", "old-updates", ("linux-source-7.3", "7.3.10-1"))
    wanted = {"7.3": "7.3.10-1", "7.3.2": "7.3.2-1~bpo1", "7.3.9": None, "7.4": None}
    for release, version in wanted.items():
        found = apt.find(release, Progress())
        assert (found.version if found else None) == version, release


def test_another_name_of_the_package_is_found(apt: Apt, archive: Archive) -> None:
    archive.suite("old-updates", "old-updates", ("linux-source-6.8.0", "6.8.0-45.45"))
    found = apt.find("6.8", Progress())
    assert found
    assert found.name == "linux-source-6.8.0"


def test_an_archive_that_is_signed_by_somebody_else_is_not_read(
    apt: Apt, archive: Archive, tmp_path: Path
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    empty = tmp_path / "empty.gpg"
    empty.write_bytes(b"")
    distro = Distribution("Test", "old", empty, (), (), apt.distro.packages)
    with pytest.raises(InfraError):
        Apt(apt.directory, distro).find("7.3", Progress())


def test_a_package_comes_with_its_checksum_and_is_not_fetched_twice(
    apt: Apt, archive: Archive, tmp_path: Path
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    found = apt.find("7.3", Progress())
    assert found
    target = tmp_path / "cache" / "downloads" / "7.3"
    deb = apt.download(found, target, Progress())
    assert hashlib.sha256(deb.read_bytes()).hexdigest() == found.sha256
    for published in (archive.root / "pool").glob("*.deb"):
        published.unlink()
    assert apt.download(found, target, Progress()) == deb
    with aptsource.source_tar(deb) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        assert [member.name for member in tar] == ["linux-source/Makefile"]


def test_a_package_that_is_not_what_the_archive_signed_is_refused(
    apt: Apt, archive: Archive, tmp_path: Path
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    found = apt.find("7.3", Progress())
    assert found
    published = next((archive.root / "pool").glob("*.deb"))
    data = bytearray(published.read_bytes())
    data[-100] ^= 1
    published.write_bytes(data)
    target = tmp_path / "cache" / "downloads" / "7.3"
    with pytest.raises(InfraError):
        apt.download(found, target, Progress())


def test_a_half_package_of_a_killed_call_is_replaced(
    apt: Apt, archive: Archive, tmp_path: Path
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    found = apt.find("7.3", Progress())
    assert found
    target = tmp_path / "cache" / "downloads" / "7.3"
    target.mkdir(parents=True)
    (target / f"{found.name}_{found.version}_all.deb").write_bytes(b"half")
    assert apt.download(found, target, Progress()).stat().st_size == found.size


def test_the_machines_own_apt_is_left_alone(apt: Apt, archive: Archive, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        places = [Path("/etc/apt"), Path("/var/lib/apt"), Path("/var/cache/apt")]
        files = [path for place in places for path in sorted(place.rglob("*"))]
        return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in files]

    before = state()
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    assert apt.find("7.3", Progress())
    assert state() == before
    assert not (tmp_path / "hook-ran").exists()


def test_a_tree_from_a_package_says_what_it_is(
    apt: Apt, archive: Archive, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    monkeypatch.setattr(distribution, "this_distribution", lambda: apt.distro)
    base = tree.resolve("7.3", cache, Progress())
    assert (
        base.origin
        == "Test package linux-source-7.3 7.3.4-1 (old): Linux 7.3.4 with Test's patches"
    )
    git = Git(base.repository)
    assert git.subject(base.commit) == "linux-source-7.3 7.3.4-1 (Test)"
    assert "not v7.3, nor" in git.run("log", "-1", "--format=%b", base.commit)
    assert git.blob(base.commit, "Makefile") == b"VERSION = 7.3.4-1\n"


def test_too_little_space_is_said_before_the_download(
    apt: Apt, archive: Archive, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.suite("old", "old", ("linux-source-7.3", "7.3.4-1"))
    monkeypatch.setattr(distribution, "this_distribution", lambda: apt.distro)
    usage = shutil.disk_usage(cache.root)
    size = next((archive.root / "pool").glob("*.deb")).stat().st_size
    monkeypatch.setattr(tree, "LISTS_BYTES", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=size * 2))
    sourcing = tree.Sourcing(tree.Source.APT)
    with pytest.raises(InfraError, match=r"obtaining 7\.3 needs"):
        tree.resolve("7.3", cache, Progress(), sourcing=sourcing)
    assert not list(cache.root.rglob("*.deb"))


def test_a_release_that_apt_has_not_is_sought_at_kernel_org(
    apt: Apt, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "this_distribution", lambda: apt.distro)
    monkeypatch.delenv("MEMDESC_TOOL_KERNEL_KEYRING", raising=False)
    with pytest.raises(UserError, match=r"no keyring .* and the Test mirror .* has no"):
        tree.resolve("7.3", cache, Progress())
    with pytest.raises(UserError, match="through apt: the Test mirror"):
        tree.resolve("7.3", cache, Progress(), sourcing=tree.Sourcing(tree.Source.APT))


def test_a_package_without_source_is_an_error(tmp_path: Path) -> None:
    deb = source_deb(tmp_path, "linux-source-7.3", "1", "README.txt")
    with pytest.raises(InfraError, match="no kernel source"), aptsource.source_tar(deb):
        pass


def test_suites_of_other_vendors_are_not_asked() -> None:
    distro = Distribution("D", "old", None, ("stable",), ("backports",), ())
    configured = [
        Suite("http://mirror/d/", "old"),
        Suite("http://mirror/d-security/", "old-security"),
        Suite("https://vendor/", "nodistro"),
    ]
    wanted = family(configured, distro, ("new",))
    assert {suite.uri for suite in wanted} == {"http://mirror/d/", "http://mirror/d-security/"}
    names = [suite.name for suite in wanted if suite.uri == "http://mirror/d/"]
    assert names == [
        "old", "old-backports", "new", "new-backports", "stable", "stable-backports",
    ]  # fmt: skip


def test_distributions_are_told_by_os_release() -> None:
    debian = distribution.distribution({"ID": "debian", "VERSION_CODENAME": "bookworm"})
    assert debian
    assert (debian.name, debian.codename) == ("Debian", "bookworm")
    mint = distribution.distribution(
        {"ID": "mint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "wilma",
         "UBUNTU_CODENAME": "noble"}
    )  # fmt: skip
    assert mint
    assert (mint.name, mint.codename) == ("Ubuntu", "noble")
    assert distribution.distribution({"ID": "fedora"}) is None
