"""The one place that starts processes (git apart, which GitPython starts in git.py).

Every command is an argv list with an explicit working directory. Output is captured
(`capture`) or streamed to a log file (`run_logged`). Commands are logged in a form that
can be pasted into a shell.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from memdesc_tool.errors import CommandError, CommandTimeout, InfraError

log = logging.getLogger(__name__)

TAIL_BYTES = 8192
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit status (negative: signal), output and seconds."""

    argv: tuple[str, ...]
    status: int
    output: str
    seconds: float
    timed_out: bool = False


def printable(argv: list[str], cwd: Path) -> str:
    """The command as it can be pasted into a shell."""
    return f"(cd {shlex.quote(str(cwd))} && {shlex.join(argv)})"


# What make(1) would read as its own options, or the kernel's build as settings.
_MAKE_VARIABLE = re.compile(
    r"MAKEFLAGS|MFLAGS|GNUMAKEFLAGS|MAKELEVEL|MAKEFILES|ARCH|SUBARCH|CROSS_COMPILE|LLVM(_IAS)?"
    r"|[WCVO]|LOCALVERSION|KERNEL(RELEASE|VERSION)|KC(PP)?FLAGS|K(A|RUST)FLAGS"
    r"|(KBUILD|KCONFIG|CONFIG)_\w+|(HOST|USER)\w*FLAGS"
)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every command: the user's, in the C locale, plus extra."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {name: value for name, value in env.items() if not _MAKE_VARIABLE.fullmatch(name)}
    env.update(LC_ALL="C.UTF-8", LANGUAGE="")
    env.update(extra or {})
    return env


_ANSWERS: dict[tuple[object, ...], str] = {}


def version_of(program: str) -> str:
    """The first line of `program --version`, as answer() gives it."""
    lines = answer([program, "--version"], program).splitlines()
    return (lines or [program])[0].strip()


def answer(argv: list[str], about: str) -> str:
    """What a command prints; asked once as long as the program that it is about is the same.

    Raises as capture() does.
    """
    found = shutil.which(about)
    key = (*argv, *(state_of_file(Path(found)) if found else ()))
    if key not in _ANSWERS:
        _ANSWERS[key] = capture(argv, cwd=Path.cwd(), timeout=30).output
    return _ANSWERS[key]


def state_of_file(path: Path) -> tuple[str, int, int, int, int]:
    """What is another once a file is."""
    state = path.stat()
    return (str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


def capture(
    argv: list[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
    check: bool = True,
) -> Finished:
    """Run a short command and return what it printed, standard error included.

    timeout is in seconds. Raises CommandError where check is set and it fails,
    CommandTimeout when it does not end, InfraError when it is not installed.
    """
    log.debug("%s", printable(argv, cwd))
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            pass_fds=inherited_locks(),
        )
    except subprocess.TimeoutExpired as error:
        tail = (error.stdout or b"").decode(errors="replace")
        raise CommandTimeout(argv, timeout, tail=tail) from None
    except FileNotFoundError as error:
        raise missing_program(argv, error) from None
    output = done.stdout.decode(errors="replace")
    if check and done.returncode:
        raise CommandError(argv, done.returncode, tail=output[-TAIL_BYTES:])
    return Finished(tuple(argv), done.returncode, output, time.monotonic() - started)


@contextmanager
def reading(
    argv: list[str], *, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[IO[bytes]]:
    """Run a command and read its standard output as a stream, in binary.

    A body that leaves early ends the command. Raises CommandError where the body has read
    everything and the command still failed, InfraError where it is not installed.
    """
    log.debug("%s", printable(argv, cwd))
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=inherited_locks(),
            )
        except FileNotFoundError as error:
            raise missing_program(argv, error) from None
        assert process.stdout
        try:
            yield process.stdout
            at_end = not process.stdout.read(1)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            status = process.wait()
        if status and at_end:
            errors.seek(0)
            raise CommandError(argv, status, tail=errors.read().decode(errors="replace"))


@contextmanager
def writing(
    argv: list[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> Iterator[IO[bytes]]:
    """Run a command and write its standard input as a stream, in binary.

    log_file keeps what it prints, standard error included. A body that raises ends the
    command; a command that stops reading ends the body. Raises CommandError where it fails,
    InfraError where it is not installed.
    """
    log.debug("%s", printable(argv, cwd))
    with log_file.open("w+b") if log_file else tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=inherited_locks(),
            )
        except FileNotFoundError as error:
            raise missing_program(argv, error) from None
        assert process.stdin
        try:
            with suppress(BrokenPipeError):
                yield process.stdin
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait()
        if status:
            output.seek(0)
            tail = output.read()[-TAIL_BYTES:].decode(errors="replace")
            raise CommandError(argv, status, tail=tail, log=log_file)


def missing_program(argv: list[str], error: FileNotFoundError) -> InfraError:
    """The error for a program (or directory) that is not there."""
    if error.filename and str(error.filename) != argv[0]:
        return InfraError(f"{error.filename} does not exist")
    return InfraError(f"{argv[0]} is not installed", "memdesc-tool doctor names the package")


def run_logged(
    argv: list[str],
    *,
    cwd: Path,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_tick: Callable[[], None] | None = None,
    append: bool = False,
    private: Path | None = None,
    own_127: bool = False,
) -> Finished:
    """Run a long command, its output in log_file; it never outlives the tool.

    on_tick is called several times a second while it runs (for progress). On a timeout (in
    seconds), on ^C and when the tool is killed, the command and all it started in its
    process group are killed. private: a directory that is not there; it is made for the
    command and removed after it, whoever is killed. Returns whatever the exit status; output
    stays empty. Raises InfraError where it could not be started; exit status 127, a shell's
    for a program that is not there, counts as that, too, unless own_127.
    """
    log.info("%s", printable(argv, cwd))
    log_file.parent.mkdir(parents=True, exist_ok=True)
    lifeline, ours = socket.socketpair()
    guard = [sys.executable, "-I", str(Path(__file__).with_name("guard.py")),
             str(lifeline.fileno()), str(private or "")]  # fmt: skip
    started = time.monotonic()
    timed_out = False
    with log_file.open("ab" if append else "wb") as output:
        try:
            process = subprocess.Popen(
                [*guard, *argv],
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lifeline.fileno(), *inherited_locks()),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            ours.close()
            raise missing_program(argv, error) from None
        finally:
            lifeline.close()
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                    break
                if on_tick:
                    on_tick()
                if timeout is not None and time.monotonic() - started > timeout:
                    timed_out = True
                    break
        finally:
            ours.shutdown(socket.SHUT_WR)  # the guard sees it and kills what still runs
            status = process.wait()
            unstarted = bool(ours.recv(1))
            ours.close()
    if unstarted or (status == 127 and not own_127 and not timed_out):
        raise InfraError(f"{argv[0]} could not be started", f"its output: {log_file}")
    return Finished(tuple(argv), status, "", time.monotonic() - started, timed_out)


_locks: set[int] = set()


def inherited_locks() -> tuple[int, ...]:
    """File descriptors of locks that a running command keeps held if the tool dies.

    So that the next call waits until nothing that the killed one has started writes any more.
    """
    return tuple(_locks)


def register_lock(descriptor: int) -> None:
    """Let commands started from now on inherit this lock's file descriptor."""
    _locks.add(descriptor)


def release_lock(descriptor: int) -> None:
    """The counterpart of register_lock."""
    _locks.discard(descriptor)


def tail_of(path: Path, size: int = TAIL_BYTES) -> str:
    """The last size bytes of a file as text; empty where it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
