"""The kernel.org way, against a real HTTP server that misbehaves, with real signatures."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memdesc_tool import release, tree
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.download import NotThereError, Patience, download, fetch
from memdesc_tool.errors import InfraError, ToolError, UserError
from memdesc_tool.release import KernelOrg

IMPATIENT = Patience(timeout=0.3, attempts=2, pause=0, floor=1)
TARBALL = "v7.x/linux-7.3.tar.xz"


@dataclass
class Fault:
    """What a server does wrong with a path; `left` counts down the answers that are wrong.

    cut: only the first so many bytes; stall: and then nothing more, the connection open;
    lie: Content-Length is larger by so many; status: this status instead.
    """

    cut: int | None = None
    stall: bool = False
    lie: int = 0
    status: int = 0
    left: int = 1_000_000


@dataclass
class Site:
    """A web server on this machine: files by path, faults by path, the requests it got."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: bool = True
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)
    reached_stall: threading.Event = field(default_factory=threading.Event)

    def ranges_asked(self, path: str) -> list[str]:
        return [asked for name, asked in self.requests if name == path]


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            asked = self.headers.get("Range", "")
            site.requests.append((path, asked))
            fault = site.faults.get(path, Fault())
            if fault.left <= 0:
                fault = Fault()
            fault.left -= 1
            if fault.status or path not in site.files:
                self.send_error(fault.status or 404)
                return
            data = site.files[path]
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and site.ranges else 0
            if start >= len(data) and start:
                self.send_error(416)
                return
            body = data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(body) + fault.lie))
            self.end_headers()
            self.wfile.write(body if fault.cut is None else body[: fault.cut])
            if fault.stall:
                self.wfile.flush()
                site.reached_stall.set()
                site.closing.wait()

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(served))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield served
    served.closing.set()
    server.shutdown()
    server.server_close()


def fake_tar() -> bytes:
    """A source tree with what is easily lost: ignored files, modes, links, odd names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, text in (
            ("linux-7.3/.gitignore", 0o644, b"*.o\n"),
            ("linux-7.3/Makefile", 0o644, b"VERSION = 7\nPATCHLEVEL = 3\n"),
            ("linux-7.3/ignored.o", 0o644, b"\0\1"),
            ("linux-7.3/scripts/run me.sh", 0o755, b"#!/bin/sh\n"),
            ('linux-7.3/"odd\nname', 0o644, b""),
            ("linux-7.3/noise", 0o644, os.urandom(200_000)),
        ):
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(text)
            tar.addfile(member, io.BytesIO(text))
        link = tarfile.TarInfo("linux-7.3/scripts/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../Makefile"
        tar.addfile(link)
    return buffer.getvalue()


@dataclass(frozen=True)
class Signer:
    """A throwaway OpenPGP key: home of its secret, the public keyring, its fingerprint."""

    home: Path
    keyring: Path
    fingerprint: str

    def gpg(self, *args: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet",
             "--pinentry-mode", "loopback", "--passphrase", "", *args],
            input=stdin, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def sign(self, data: bytes) -> bytes:
        return self.gpg("--armor", "--detach-sign", "--output", "-", stdin=data)


def make_signer(home: Path) -> Signer:
    home.mkdir(mode=0o700)
    signer = Signer(home, home / "public.gpg", "")
    signer.gpg("--quick-generate-key", "A Maintainer <maintainer@example.org>", "ed25519", "sign")
    signer.keyring.write_bytes(signer.gpg("--export"))
    listing = signer.gpg("--with-colons", "--list-keys").decode()
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line[:3] == "fpr")
    return Signer(home, signer.keyring, fingerprint)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    # The agent's socket has a short path only.
    made = make_signer(tmp_path_factory.mktemp("g") / "h")
    yield made
    subprocess.run(["gpgconf", "--homedir", str(made.home), "--kill", "all"], check=False)


@pytest.fixture
def kernel_org(site: Site, signer: Signer) -> KernelOrg:
    """A site that has 7.3 as kernel.org has it."""
    tar = fake_tar()
    archive = lzma.compress(tar)
    checksum = hashlib.sha256(archive).hexdigest()
    site.files[TARBALL] = archive
    site.files["v7.x/linux-7.3.tar.sign"] = signer.sign(tar)
    site.files["v7.x/sha256sums.asc"] = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        f"{'0' * 64}  linux-7.3.1.tar.xz\n{checksum}  linux-7.3.tar.xz\n"
    ).encode()
    return KernelOrg(site.url, signer.keyring, patience=IMPATIENT)


def get(kernel_org: KernelOrg, cache: Cache, spec: str = "7.3") -> tree.Base:
    sourcing = tree.Sourcing(tree.Source.KERNEL_ORG, kernel_org)
    return tree.resolve(spec, cache, Progress(), sourcing=sourcing)


def git(repository: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_signed_release_is_imported_whole(
    kernel_org: KernelOrg, signer: Signer, cache: Cache
) -> None:
    base = get(kernel_org, cache, "v7.3")
    assert (base.name, base.users, base.repository) == ("7.3", False, cache.trees / "7.3")
    assert signer.fingerprint in base.origin
    assert git(base.repository, "rev-parse", "refs/heads/base").strip() == base.commit
    listing = git(base.repository, "ls-tree", "-r", "-z", base.commit).split("\0")
    modes = {entry.split("\t")[1]: entry.split()[0] for entry in listing if entry}
    assert modes == {
        ".gitignore": "100644",
        "Makefile": "100644",
        "ignored.o": "100644",
        "scripts/run me.sh": "100755",
        '"odd\nname': "100644",
        "noise": "100644",
        "scripts/link": "120000",
    }
    assert git(base.repository, "cat-file", "blob", f"{base.commit}:scripts/link") == "../Makefile"
    assert git(base.repository, "fsck", "--strict", "--full") == ""
    assert not list(cache.downloads.iterdir())


def test_the_commit_is_the_same_everywhere(kernel_org: KernelOrg, tmp_path: Path) -> None:
    one, two = Cache(tmp_path / "one"), Cache(tmp_path / "two")
    assert get(kernel_org, one).commit == get(kernel_org, two).commit


def test_what_is_cached_is_not_asked_for_again(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    first = get(kernel_org, cache)
    site.requests.clear()
    assert get(kernel_org, cache) == first
    assert tree.resolve("7.3", cache, Progress()) == first
    assert site.requests == []


def test_an_armoured_keyring_works(kernel_org: KernelOrg, signer: Signer, cache: Cache) -> None:
    armoured = cache.root / "keys.asc"
    armoured.write_bytes(signer.gpg("--armor", "--export"))
    assert get(KernelOrg(kernel_org.url, armoured, patience=IMPATIENT), cache).commit


def test_without_a_keyring_nothing_is_fetched(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    with pytest.raises(UserError, match="no keyring") as caught:
        get(KernelOrg(kernel_org.url, None), cache)
    assert "gpg --locate-keys" in caught.value.hint
    assert "\n" not in caught.value.hint
    assert site.requests == []


def test_not_verifying_is_recorded(kernel_org: KernelOrg, cache: Cache) -> None:
    base = get(KernelOrg(kernel_org.url, None, verify_signature=False, patience=IMPATIENT), cache)
    assert "NOT VERIFIED" in base.origin


def refused(kernel_org: KernelOrg, cache: Cache, match: str) -> ToolError:
    """The error of an attempt to obtain 7.3, after which nothing is cached."""
    with pytest.raises(ToolError, match=match) as caught:
        get(kernel_org, cache)
    assert not (cache.trees / "7.3").exists()
    assert tree.releases(cache) == []
    return caught.value


def test_a_signature_of_somebody_else_is_refused(
    kernel_org: KernelOrg, site: Site, cache: Cache, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_signer(tmp_path_factory.mktemp("o") / "h")
    tar = lzma.decompress(site.files[TARBALL])
    site.files["v7.x/linux-7.3.tar.sign"] = other.sign(tar)
    subprocess.run(["gpgconf", "--homedir", str(other.home), "--kill", "all"], check=False)
    assert isinstance(refused(kernel_org, cache, "signature .* is not good"), InfraError)
    assert not list((cache.downloads / "7.3").iterdir())


def test_a_tar_that_is_not_the_signed_one_is_refused(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    """Somebody who can change the server changes the checksum with it."""
    archive = lzma.compress(fake_tar())
    old = hashlib.sha256(site.files[TARBALL]).hexdigest()
    sums = site.files["v7.x/sha256sums.asc"].decode()
    site.files["v7.x/sha256sums.asc"] = sums.replace(
        old, hashlib.sha256(archive).hexdigest()
    ).encode()
    site.files[TARBALL] = archive
    refused(kernel_org, cache, "BAD signature")


def test_an_empty_signature_is_refused(kernel_org: KernelOrg, site: Site, cache: Cache) -> None:
    site.files["v7.x/linux-7.3.tar.sign"] = b""
    refused(kernel_org, cache, "signature")


def test_a_corrupt_tarball_is_refused_and_not_kept(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    good = site.files[TARBALL]
    site.files[TARBALL] = good[:5000] + b"\xff" + good[5001:]
    refused(kernel_org, cache, "checksum")
    assert not list((cache.downloads / "7.3").iterdir())
    site.files[TARBALL] = good
    assert get(kernel_org, cache).commit


def test_a_download_that_breaks_off_is_gone_on_with(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(cut=60_000, left=2)
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == ["", "bytes=60000-", "bytes=120000-"]


def test_a_stalled_download_is_given_up_and_gone_on_with_later(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(cut=0, stall=True)
    site.files[TARBALL + ".x"] = b""
    error = refused(kernel_org, cache, "nothing for 0.3 s")
    assert isinstance(error, InfraError)
    assert "goes on" in error.hint


def test_a_stall_in_the_middle_keeps_what_came(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(cut=60_000, stall=True, left=1)
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == ["", "bytes=60000-"]


def test_a_server_without_ranges_starts_over(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.ranges = False
    site.faults[TARBALL] = Fault(cut=60_000, left=1)
    assert get(kernel_org, cache).commit


def test_a_part_of_another_file_is_thrown_away(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    part = cache.downloads / "7.3" / "linux-7.3.tar.xz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == ["bytes=1000-", ""]


def test_a_part_longer_than_the_file_is_thrown_away(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    part = cache.downloads / "7.3" / "linux-7.3.tar.xz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(site.files[TARBALL]) + 10))
    assert get(kernel_org, cache).commit


def test_a_length_that_is_too_large_is_asked_about_again(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    """The checksum decides: the file is whole, although the server never says so."""
    size = len(site.files[TARBALL])
    site.faults[TARBALL] = Fault(lie=1000)
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == ["", f"bytes={size}-"]


def test_a_length_that_is_too_small_is_an_error(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(lie=-1000)
    refused(kernel_org, cache, "checksum")


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_tried_again(
    kernel_org: KernelOrg, site: Site, cache: Cache, status: int
) -> None:
    site.faults[TARBALL] = Fault(status=status, left=1)
    assert get(kernel_org, cache).commit


def test_a_server_that_stays_broken_is_an_error(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(status=500)
    assert isinstance(refused(kernel_org, cache, "HTTP status 500"), InfraError)


@pytest.mark.parametrize("path", ["v7.x/sha256sums.asc", TARBALL, "v7.x/linux-7.3.tar.sign"])
def test_a_file_that_is_not_there_is_an_error(
    kernel_org: KernelOrg, site: Site, cache: Cache, path: str
) -> None:
    del site.files[path]
    refused(kernel_org, cache, "not there|has no release")


def test_a_release_that_is_not_listed_is_the_users_error(
    kernel_org: KernelOrg, cache: Cache
) -> None:
    with pytest.raises(UserError, match=r"has no release 7\.3\.9"):
        get(kernel_org, cache, "7.3.9")


def test_a_server_that_is_not_there_is_an_error(cache: Cache, signer: Signer) -> None:
    with pytest.raises(InfraError, match="cannot be reached"):
        get(KernelOrg("http://127.0.0.1:9", signer.keyring, patience=IMPATIENT), cache)


def test_something_that_is_no_url_is_the_users_error(cache: Cache, signer: Signer) -> None:
    with pytest.raises(UserError, match="no URL"):
        get(KernelOrg("nonsense", signer.keyring, patience=IMPATIENT), cache)


def test_too_little_space_is_said_before_the_download(
    kernel_org: KernelOrg, site: Site, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache.root)._replace(free=len(site.files[TARBALL]) * 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    refused(kernel_org, cache, "obtaining 7.3 needs")
    assert not list(cache.downloads.rglob("*.part"))


def test_a_small_file_that_breaks_off_is_read_again(site: Site) -> None:
    site.files["a"] = b"x" * 1000
    site.faults["a"] = Fault(cut=10, left=1)
    assert fetch(f"{site.url}/a", IMPATIENT) == b"x" * 1000
    with pytest.raises(NotThereError):
        fetch(f"{site.url}/b", IMPATIENT)


def test_a_finished_part_is_taken_as_it_is(site: Site, tmp_path: Path) -> None:
    """Killed between the last byte and the rename."""
    site.files["a"] = b"x" * 1000
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    sha256 = hashlib.sha256(b"x" * 1000).hexdigest()
    download(f"{site.url}/a", tmp_path / "a", sha256=sha256, patience=IMPATIENT,
             need_space=lambda _size: None, tell=lambda _text: None)  # fmt: skip
    assert (tmp_path / "a").read_bytes() == b"x" * 1000
    assert site.ranges_asked("a") == ["bytes=1000-"]


def start_tool(kernel_org: KernelOrg, cache: Cache) -> subprocess.Popen[bytes]:
    """The tool as a process of its own, obtaining 7.3."""
    return subprocess.Popen(
        [sys.executable, "-m", "memdesc_tool.cli", "tree", "get", "7.3", "--from", "kernel.org",
         "--source-url", kernel_org.url, "--keyring", str(kernel_org.keyring)],
        env={**os.environ, "MEMDESC_TOOL_CACHE": str(cache.root)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_killed_in_the_download_the_next_call_goes_on(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    site.faults[TARBALL] = Fault(cut=60_000, stall=True, left=1)
    running = start_tool(kernel_org, cache)
    assert site.reached_stall.wait(60)
    part = cache.downloads / "7.3" / "linux-7.3.tar.xz.part"
    while not (part.exists() and part.stat().st_size == 60_000):
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert not (cache.trees / "7.3").exists()
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == ["", "bytes=60000-"]


def test_killed_in_the_import_the_next_call_starts_over(
    kernel_org: KernelOrg, site: Site, cache: Cache
) -> None:
    """The signature stalls after the download; half an import is put where one would be."""
    site.faults["v7.x/linux-7.3.tar.sign"] = Fault(cut=0, stall=True, left=1)
    running = start_tool(kernel_org, cache)
    assert site.reached_stall.wait(60)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    half = cache.trees / ".7.3.new"
    (half / "objects").mkdir(parents=True)
    (half / "tree.json").write_text("{}")
    assert get(kernel_org, cache).commit
    assert site.ranges_asked(TARBALL) == [""], "the finished download is used"
    assert not half.exists()


def test_two_at_once_obtain_it_once(kernel_org: KernelOrg, site: Site, cache: Cache) -> None:
    site.faults["v7.x/linux-7.3.tar.sign"] = Fault(cut=0, stall=True, left=1)
    first = start_tool(kernel_org, cache)
    assert site.reached_stall.wait(60)
    second = start_tool(kernel_org, cache)
    assert second.stderr
    assert b"waiting for another memdesc-tool" in second.stderr.readline()
    site.closing.set()
    ended = [(*one.communicate(timeout=120), one.returncode) for one in (first, second)]
    assert [status for *_, status in ended] == [0, 0], ended
    assert ended[0][0] == ended[1][0]
    assert len(site.ranges_asked(TARBALL)) == 1


def test_default_url_is_kernel_org() -> None:
    assert release.DEFAULT_URL.startswith("https://cdn.kernel.org/")
