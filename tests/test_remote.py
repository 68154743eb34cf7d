"""`modules run` over a real ssh, to an sshd of the test's own on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bundles import archive, run_step
from tests.conftest import Tool

GOOD = run_step("good", "echo hello")
CRASH = """
for pid in $(pgrep -P $(cat ../../sshd.pid)); do sessions="$sessions $pid $(pgrep -P $pid)"; done;
sed -i 's/^boot: .*/boot: another/' result/running; runner=$(sed -n 's/^pid: //p' result/pid);
sed -i 's/^boot: .*/boot: another/' result/pid; kill -KILL $runner; kill -KILL $sessions
"""
"""As far as a process can: the runner is gone, every connection is, and the boot is another."""


@dataclass(frozen=True)
class Server:
    """A running sshd. place: an empty directory for bundles; options: for ssh."""

    place: Path
    options: tuple[str, ...]

    def left(self) -> list[str]:
        return [path.name for path in self.place.iterdir() if path.name != "sshd.pid"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """sshd as whoever runs the tests, on a high port, with keys of its own."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program or not shutil.which("ssh"):
        pytest.skip("openssh-server or openssh-client is not installed")
    if not os.geteuid():
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, made at boot elsewhere
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    host_key, user_key, port = _key(home / "host"), _key(home / "user"), _free_port()
    place = tmp_path / "place"
    place.mkdir()
    config = home / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {user_key}.pub\nPidFile {place}/sshd.pid\nPermitRootLogin yes\n"
        "MaxStartups 100\n"
    )
    public = host_key.with_suffix(".pub").read_text()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    log = home / "log"
    running = subprocess.Popen([program, "-D", "-f", config, "-E", log])
    deadline = time.monotonic() + 30
    while "Server listening" not in (log.read_text() if log.exists() else ""):
        assert running.poll() is None and time.monotonic() < deadline, log.read_text()
        os.sched_yield()
    options = ("-p", str(port), "-i", str(user_key), "-F", "none",
               "-o", f"UserKnownHostsFile={home}/known_hosts")  # fmt: skip
    yield Server(place, options)
    running.terminate()
    running.wait()


def test_there_and_back(tool: Tool, server: Server, tmp_path: Path) -> None:
    made = archive(tmp_path / "x.tar.xz", GOOD, run_step("other", "true"))
    words = ("127.0.0.1", "--directory", server.place, "--", *server.options)
    ran = tool("modules", "run", made, *words)
    assert ran.status == 0, ran.out + ran.err
    assert "passed: 2 passed" in ran.out
    assert server.left() == []
    ran = tool("modules", "ingest")
    assert ran.status == 0
    assert os.uname().nodename in ran.out


def test_a_failure_is_status_1(tool: Tool, server: Server, tmp_path: Path) -> None:
    made = archive(tmp_path / "x.tar.gz", GOOD, run_step("bad", "false"))
    tar = tmp_path / "kept.tar"
    ran = tool("modules", "run", made, "127.0.0.1", "--keep", "--directory", server.place,
               "--output", tar, "--", *server.options)  # fmt: skip
    assert ran.status == 1, ran.out + ran.err
    assert "failed: bad" in ran.out
    assert "left on 127.0.0.1" in ran.out and len(server.left()) == 1
    again = tool("modules", "ingest", tar)
    assert again.status == 1
    assert "was stored already" in again.out


def test_a_machine_that_crashes_is_waited_for(tool: Tool, server: Server, tmp_path: Path) -> None:
    if not shutil.which("pgrep"):
        pytest.skip("pgrep is not installed")
    crash = run_step("crash", " ".join(CRASH.split("\n")))
    made = archive(tmp_path / "x.tar.gz", GOOD, crash, run_step("last", "true"))
    ran = tool("modules", "run", made, "127.0.0.1", "--directory", server.place,
               "--timeout", "100", "--", *server.options)  # fmt: skip
    assert ran.status == 1, ran.out + ran.err
    assert "2 passed, 1 error" in ran.out
    assert "the machine went down in crash" in ran.out
    assert server.left() == []


def test_a_machine_that_never_ends(tool: Tool, server: Server, tmp_path: Path) -> None:
    """What it has stays there, and the message says where."""
    made = archive(tmp_path / "x.tar.gz", GOOD, run_step("long", "tail -f /dev/null", 15))
    ran = tool("modules", "run", made, "127.0.0.1", "--directory", server.place,
               "--timeout", "3", "--", *server.options)  # fmt: skip
    assert ran.status == 3
    (name,) = server.left()
    assert "did not come to an end within 3 s" in ran.err and f"{server.place}/{name}" in ran.err
    (top,) = (server.place / name).iterdir()
    assert subprocess.run(["sh", top / "run.sh", "--stop"], check=False).returncode == 0


def test_a_machine_that_does_not_fit(tool: Tool, server: Server, tmp_path: Path) -> None:
    made = archive(tmp_path / "x.tar.gz", GOOD, kernel="0.0.1")
    ran = tool("modules", "run", made, "127.0.0.1", "--directory", server.place, "--",
               *server.options)  # fmt: skip
    assert ran.status == 2
    assert "for kernel 0.0.1" in ran.err
    assert server.left() == []


def test_what_is_no_bundle_goes_nowhere(tool: Tool, server: Server, tmp_path: Path) -> None:
    for name, content in (("a.tar.gz", b"nothing"), ("b.tar.xz", b""), ("c.tar.gz", b"\x1f\x8b")):
        (tmp_path / name).write_bytes(content)
        ran = tool("modules", "run", tmp_path / name, "127.0.0.1", "--", *server.options)
        assert ran.status == 2
        assert len(ran.err.splitlines()) == 1, ran.err
    assert server.left() == []


def test_a_machine_that_cannot_be_reached(tool: Tool, tmp_path: Path) -> None:
    if not shutil.which("ssh"):
        pytest.skip("openssh-client is not installed")
    made = archive(tmp_path / "x.tar.gz", GOOD)
    ran = tool("modules", "run", made, "127.0.0.1", "--", "-p", str(_free_port()), "-F", "none")
    assert ran.status == 3
    assert "127.0.0.1: " in ran.err and "refused" in ran.err
