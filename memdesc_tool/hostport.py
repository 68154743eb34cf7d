"""The tool's side of a running QEMU: QMP, and a port on which the guest asks for things.

The guest's program vmhost writes a request, one line, to the virtio-serial port
`memdesc.host` and gets `ok TEXT` or `error TEXT` once QEMU has done it:

    balloon MIB          target for the guest's size; TEXT is what it came to, in MiB
    plug SIZE_MIB NODE   a memory device (pc-dimm); TEXT is its name
    unplug NAME          takes such a device out; the guest must let go of it
    virtio-mem SIZE_MIB  requested size; TEXT is what it came to, in MiB
    echo TEXT            TEXT itself

All of it runs in a thread of its own, so that whoever waits for QEMU only has to wait.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from qemu.qmp import (
    EventListener,
    ExecInterruptedError,
    ExecuteError,
    Message,
    QMPClient,
    QMPError,
    Runstate,
    StateError,
)

MIB = 1 << 20
PORT = "memdesc.host"
VIRTIO_MEM = "/machine/peripheral/virtio-mem"

_UNPLUGGED = ("DEVICE_DELETED", "MEM_UNPLUG_ERROR", "DEVICE_UNPLUG_GUEST_ERROR")

POLL = 0.05
START_SECONDS = 5.0
"""How long a size may take until it begins to change."""
STILL_SECONDS = 2.0
"""A size that has changed and then stands still for this long will not change any more."""
UNPLUG_SECONDS = 60.0
LAST_WORDS_SECONDS = 3.0
"""How long what QEMU said before its end may take to arrive."""


@dataclass
class Ending:
    """What QEMU has said of the guest's end, as far as it is known.

    panicked: the guest's kernel has told so (pvpanic, RTAS); reason: QEMU's of the shutdown
    ("guest-shutdown", "guest-reset", "guest-panic", ...), "" while it runs.
    """

    panicked: bool = False
    reason: str = ""


@dataclass
class Machine:
    """The requests, on a QMP connection.

    The sizes of what is polled for are in bytes in QMP and in MiB here.
    """

    qmp: QMPClient
    plugged: int = 0

    async def answer(self, line: str) -> str:
        """The answer to a request. Nothing that a guest writes raises."""
        name, *words = line.split() or [""]
        handlers: dict[str, tuple[int, Callable[..., Awaitable[str]]]] = {
            "balloon": (1, self._balloon),
            "plug": (2, self._plug),
            "unplug": (1, self._unplug),
            "virtio-mem": (1, self._virtio_mem),
        }
        if name == "echo":
            return f"ok {' '.join(words)}"
        if name not in handlers:
            return f"error unknown request {name}".rstrip()
        count, handler = handlers[name]
        if len(words) != count:
            return f"error {name} takes {count} words, not {len(words)}"
        try:
            return f"ok {await handler(*words)}"
        except ValueError as error:
            return f"error {error}"
        except ExecuteError as error:
            return f"error {' '.join(str(error).split())}"

    async def _balloon(self, size: str) -> str:
        wanted = _mib(size)
        await self.qmp.execute("balloon", {"value": wanted * MIB})

        async def actual() -> int:
            return _number(await self.qmp.execute("query-balloon"), "actual")

        return str(await _settled(actual, wanted))

    async def _virtio_mem(self, size: str) -> str:
        wanted = _mib(size)
        where = {"path": VIRTIO_MEM}
        await self.qmp.execute(
            "qom-set", {**where, "property": "requested-size", "value": wanted * MIB}
        )

        async def actual() -> int:
            found = await self.qmp.execute("qom-get", {**where, "property": "size"})
            return found // MIB if isinstance(found, int) else 0

        return str(await _settled(actual, wanted))

    async def _plug(self, size: str, node: str) -> str:
        number = self.plugged
        backend, name = f"plugged{number}", f"dimm{number}"
        await self.qmp.execute(
            "object-add",
            {"qom-type": "memory-backend-ram", "id": backend, "size": _mib(size) * MIB},
        )
        self.plugged += 1
        try:
            await self.qmp.execute(
                "device_add",
                {"driver": "pc-dimm", "id": name, "memdev": backend, "node": _mib(node)},
            )
        except ExecuteError:
            await self.qmp.execute("object-del", {"id": backend})
            raise
        devices = await self.qmp.execute("query-memory-devices")
        if f"'{name}'" not in str(devices):
            raise ValueError(f"QEMU does not list {name}")
        return name

    async def _unplug(self, name: str) -> str:
        def ours(event: Message) -> bool:
            data = event.get("data")
            return isinstance(data, dict) and data.get("device") == name

        with self.qmp.listener(_UNPLUGGED, ours) as events:
            await self.qmp.execute("device_del", {"id": name})
            try:
                event = await asyncio.wait_for(events.get(), UNPLUG_SECONDS)
            except TimeoutError:
                raise ValueError(f"{name} still there after {UNPLUG_SECONDS:.0f} s") from None
        if event["event"] != "DEVICE_DELETED":
            raise ValueError(f"the guest does not let go of {name}")
        await self.qmp.execute("object-del", {"id": name.replace("dimm", "plugged")})
        return name


def _mib(word: str) -> int:
    """A number in a request. Raises ValueError with the answer's text."""
    if not word.isascii() or not word.isdigit() or len(word) > 9:
        raise ValueError(f"{word} is not a number")
    return int(word)


def _number(value: object, name: str) -> int:
    """A size in MiB out of what QMP returned."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, int):
        raise ValueError(f"QEMU says no {name}")
    return found // MIB


async def _settled(read: Callable[[], Awaitable[int]], wanted: int) -> int:
    """What read() gives when it is wanted, or does not change any more."""
    loop = asyncio.get_running_loop()
    first = last = await read()
    changed = loop.time()
    while last != wanted:
        await asyncio.sleep(POLL)
        now = await read()
        if now != last:
            last, changed = now, loop.time()
        elif loop.time() - changed > (STILL_SECONDS if now != first else START_SECONDS):
            break
    return last


class Bridge(Protocol):
    """What talks with the guest's console while it runs; see terminal.py."""

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...


class HostPort:
    """Serves a QEMU whose sockets are in a directory, in a thread, while the body runs.

    The sockets are `qmp`, `host` and, with a bridge, `console`; QEMU makes them and waits
    until they are connected. The body ends when QEMU has ended. `ending` says what came of
    the guest; `problem` is what went wrong here, in a sentence, "" for nothing. A bridge
    that ends before QEMU ends QEMU.
    """

    def __init__(self, directory: Path, bridge: Bridge | None = None) -> None:
        self.ending = Ending()
        self.problem = ""
        self._directory = directory
        self._bridge = bridge
        self._connected = False
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._main())
        self._thread = threading.Thread(target=self._run, name="hostport")

    def __enter__(self) -> HostPort:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connected:
            self._thread.join(LAST_WORDS_SECONDS)
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it may have ended just now
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # nobody could catch it in a thread; it is told as a reason
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    async def _main(self) -> None:
        """Connect everything, then serve until QEMU closes its ends."""
        qmp = QMPClient("vm")
        qmp.logger.setLevel("CRITICAL")  # that QEMU ends is no error to report
        qmp.register_listener(EventListener(("GUEST_PANICKED", "SHUTDOWN"), self._note))
        writer: asyncio.StreamWriter | None = None
        try:
            host = await asyncio.open_unix_connection(sock=await self._connect("host"))
            writer = host[1]
            console = await self._connect("console") if self._bridge else None
            await qmp.connect(await self._connect("qmp"))
            self._connected = True
            jobs: list[Coroutine[Any, Any, None]] = [_until_gone(qmp), _serve(qmp, *host)]
            if self._bridge and console:
                jobs.append(self._talk(qmp, self._bridge, console))
            await asyncio.gather(*jobs)
        finally:
            if writer:
                writer.close()
            with suppress(Exception):
                await qmp.disconnect()

    async def _connect(self, name: str) -> socket.socket:
        """A connection to a socket that QEMU has made, or makes soon."""
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            try:
                await self._loop.sock_connect(connection, str(self._directory / name))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                await asyncio.sleep(POLL)
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    def _note(self, event: Message) -> bool:
        """Keep what an event says; False, so that nothing is queued."""
        if event["event"] == "GUEST_PANICKED":
            self.ending.panicked = True
        elif event["event"] == "SHUTDOWN":
            data = event.get("data")
            self.ending.reason = str(data.get("reason", "")) if isinstance(data, dict) else ""
        return False

    async def _talk(self, qmp: QMPClient, bridge: Bridge, console: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=console)
        try:
            await bridge.run(reader, writer)
        finally:
            writer.close()
        with suppress(QMPError, OSError, EOFError):
            await qmp.execute("quit")


async def _until_gone(qmp: QMPClient) -> None:
    while qmp.runstate is Runstate.RUNNING:
        await qmp.runstate_changed()


async def _serve(
    qmp: QMPClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer the guest's requests, one after the other, until QEMU is gone."""
    machine = Machine(qmp)
    with suppress(ConnectionError, ExecInterruptedError, StateError):
        while line := await reader.readline():
            answer = await machine.answer(line.decode(errors="replace"))
            writer.write(f"{answer}\n".encode())
            await writer.drain()
