"""A machine that is reached over ssh: a bundle goes there, runs, and its result comes back.

ssh is the user's, with the user's configuration; nothing asks for a password. The runner is
started so that it goes on without a connection. Where the connection drops, because the
machine crashed or the network did, the machine is waited for and the run goes on.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shlex
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import CommandError, InfraError, ToolError, UserError
from memdesc_tool.tarball import decompressed

DEFAULTS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5",
            "ServerAliveCountMax=3")  # fmt: skip
"""Options of ssh; the user's come before them and so win."""
PLACE = "/var/tmp"
"""Where the bundle is unpacked: outlives a reboot, by the hierarchy standard (hier(7))."""
LOST = 255
"""ssh's own exit status: there was no connection, or it has ended."""
COMMAND_SECONDS = 120.0
POLL_SECONDS = 2.0
COPY = 1 << 20
REFUSED = 2
"""The runner's exit status where the machine does not fit."""
_DIRECTORY = re.compile(r"/[\w./+-]+")

Tell = Callable[[str], None]


class LeftThere(InfraError):
    """The machine has not come to an end; what it has so far is still on it."""


@dataclass(frozen=True)
class Host:
    """A machine. name: for ssh; options: ssh's, as the user gave them; sudo: run as root
    through sudo; place: directory on it for the bundle.
    """

    name: str
    options: tuple[str, ...] = ()
    sudo: bool = False
    place: str = PLACE

    def argv(self, command: str) -> list[str]:
        """The ssh command that runs a shell command there."""
        defaults = [word for option in DEFAULTS for word in ("-o", option)]
        return ["ssh", *self.options, *defaults, "--", self.name, command]

    def root(self, command: str) -> str:
        """command as whoever runs the tests there."""
        return f"{'sudo -n ' if self.sudo else ''}sh -c {shlex.quote(command)}"

    def ask(self, command: str) -> str:
        """The output of a command there. Raises InfraError."""
        try:
            return process.capture(
                self.argv(command), cwd=Path.cwd(), timeout=COMMAND_SECONDS
            ).output
        except CommandError as error:
            last = (error.tail.strip().splitlines() or [error.message])[-1]
            raise InfraError(
                f"{self.name}: {last}",
                "ssh must get there without a question: keys, an agent, known_hosts",
            ) from None

    def answers(self) -> bool:
        """Whether it can be reached."""
        done = process.capture(
            self.argv("true"), cwd=Path.cwd(), timeout=COMMAND_SECONDS, check=False
        )
        return done.status == 0


@dataclass(frozen=True)
class Visit:
    """A bundle on a machine. top: the directory made for it; here: where run.sh is."""

    host: Host
    top: str
    here: str

    def run(self, log: Path, timeout: float, anyway: bool, tell: Tell) -> int:
        """Run it to its end, through crashes; returns the runner's exit status.

        log: gets what it prints; timeout: seconds for all of it. Raises InfraError where
        the machine does not come back or does not end in time.
        """
        deadline = time.monotonic() + timeout
        words = f"cd {shlex.quote(self.here)} && exec sh run.sh --attach"
        argv = self.host.argv(self.host.root(words + (" --anyway" if anyway else "")))
        while True:
            done = process.run_logged(
                argv, cwd=Path.cwd(), log_file=log, append=True,
                timeout=max(1.0, deadline - time.monotonic()), on_tick=lambda: tell(_last(log)),
            )  # fmt: skip
            if done.timed_out:
                raise self._late(timeout)
            if done.status != LOST:
                break
            tell("the connection is lost, waiting for the machine")
            self._wait(deadline, timeout)
        if done.status not in (0, 1):
            raise _refused(self.host, log, done.status)
        return done.status

    def _wait(self, deadline: float, timeout: float) -> None:
        while not self._there():
            if time.monotonic() > deadline:
                raise self._late(timeout)
            time.sleep(POLL_SECONDS)

    def _there(self) -> bool:
        """Whether the machine is back. Raises InfraError where it has lost the bundle."""
        with suppress(CommandError):
            if self.host.answers():
                found = self.host.ask(
                    f"test -e {shlex.quote(self.here)}/run.sh && echo y || echo n"
                )
                if found.strip() != "y":
                    raise LeftThere(
                        f"{self.host.name} came back without {self.here}",
                        "--directory names a place there that outlives a reboot",
                    )
                return True
        return False

    def _late(self, timeout: float) -> LeftThere:
        return LeftThere(
            f"{self.host.name} did not come to an end within {timeout:.0f} s",
            f"what there is so far is in {self.here}/result on it",
        )

    def fetch(self, path: Path) -> None:
        """Bring the result back as a tar. Raises InfraError."""
        files = "result.ktap config facts"
        words = f"cd {shlex.quote(self.here)}/result && tar -cf - $(ls -d {files} 2>/dev/null)"
        argv = self.host.argv(self.host.root(words))
        with process.reading(argv, cwd=Path.cwd()) as stream, path.open("wb") as out:
            while block := stream.read(COPY):
                out.write(block)

    def stop(self) -> None:
        """End the runner, if it runs and the machine answers."""
        with suppress(InfraError):
            self.host.ask(self.host.root(f"sh {shlex.quote(self.here)}/run.sh --stop"))

    def remove(self) -> None:
        """Remove all that was put there."""
        self.host.ask(self.host.root(f"rm -rf {shlex.quote(self.top)}"))


@contextmanager
def visit(host: Host, bundle: Path, keep: bool = False) -> Iterator[Visit]:
    """The bundle unpacked on the machine; removed after the body, unless keep is set or it
    raises LeftThere. Raises InfraError, UserError.
    """
    host.ask(host.root("true"))
    top = host.ask(f"mktemp -d {shlex.quote(host.place)}/memdesc-run.XXXXXX").strip()
    top = top.splitlines()[-1] if top else ""
    if not _DIRECTORY.fullmatch(top):
        raise InfraError(f"{host.name}: mktemp answers {top[:80]!r}")
    try:
        with process.writing(host.argv(f"cd {top} && tar -xf -"), cwd=Path.cwd()) as out:
            for block in _blocks(bundle):
                out.write(block)
        here = host.ask(f"ls -d {top}/*/").strip().rstrip("/")
        if not _DIRECTORY.fullmatch(here):
            raise UserError(f"{bundle} is no bundle: it does not have one directory")
        there = Visit(host, top, here)
        try:
            yield there
        except KeyboardInterrupt:
            there.stop()
            raise
    except LeftThere:
        raise
    except BaseException:
        with suppress(InfraError):
            host.ask(host.root(f"rm -rf {top}"))
        raise
    if not keep:
        there.remove()


def _blocks(bundle: Path) -> Iterator[bytes]:
    """The archive without its compression, which the machine may not know."""
    try:
        with bundle.open("rb") as stream:
            plain = decompressed(stream, bundle.name.replace(".tgz", ".gz"))
            while block := plain.read(COPY):
                yield block
    except OSError as error:
        raise UserError(f"cannot read {bundle}: {error}") from None
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError) as error:
        raise UserError(f"{bundle} is damaged: {error}") from None


def _refused(host: Host, log: Path, status: int) -> ToolError:
    last = _last(log).removeprefix("memdesc-run: ") or f"exit status {status}"
    hint = f"its output: {log}"
    if status == REFUSED:
        return UserError(f"{host.name}: {last}", hint)
    return InfraError(f"{host.name}: the runner failed: {last}", hint)


def _last(log: Path) -> str:
    lines = process.tail_of(log, 1000).strip().splitlines()
    return lines[-1] if lines else ""
