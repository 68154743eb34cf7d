#!/usr/bin/env python3
"""A QEMU for tests: the real one's arguments and sockets, a guest that is a small program.

The guest is the Python file guest.py beside it: it gets `boot()` for its root file system,
`say(line)` for the console, `ask(line)` for vmhost's requests, `event(name, **data)` for QMP
events and `qmp` for the commands that came, and ends as it likes (os._exit, signals).
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

if sys.argv[1:] == ["--version"]:
    print("QEMU emulator version 9.9")
    sys.exit()

words = " ".join(sys.argv)
state = {"balloon": 2048 << 20, "size": 0}
asked: list[dict] = []


def listen(pattern: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(re.search(pattern, words)[1])
    server.listen()
    return server.accept()[0]


def reply(command: dict) -> dict:
    """What QEMU answers; sizes get half of the way at each question."""
    name, arguments = command["execute"], command.get("arguments", {})
    asked.append(command)
    if name == "balloon":
        state["wanted"] = arguments["value"]
    elif name == "query-balloon":
        state["balloon"] += max(min(state["wanted"] - state["balloon"], 200 << 20), -(200 << 20))
        return {"return": {"actual": state["balloon"]}}
    elif name == "qom-set":
        state["wanted"] = arguments["value"]
    elif name == "qom-get":
        state["size"] = min(state["wanted"], 512 << 20)
        return {"return": state["size"]}
    elif name == "query-memory-devices":
        plugged = [c["arguments"]["id"] for c in asked if c["execute"] == "device_add"]
        return {"return": [{"type": "dimm", "data": {"id": name}} for name in plugged]}
    elif name == "device_add" and arguments["node"] > 1:
        return {"error": {"class": "GenericError", "desc": "no node 9"}}
    elif name == "device_del":
        threading.Timer(0.05, event, ("DEVICE_DELETED",), {"device": arguments["id"]}).start()
    return {"return": {}}


def event(name: str, **data: object) -> None:
    send({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})


def send(message: dict) -> None:
    qmp.sendall(json.dumps(message).encode() + b"\n")


def monitor() -> None:
    """Answer commands, which come one after the other, not one on a line."""
    text = ""
    while data := qmp.recv(4096):
        text = (text + data.decode()).lstrip()
        while text:
            try:
                command, end = json.JSONDecoder().raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            send({**reply(command), **({"id": command["id"]} if "id" in command else {})})
            negotiated.set()


def say(line: str) -> None:
    with console.open("a") as stream:
        stream.write(line + "\n")


def boot() -> Path:
    """Say which kernel it is: the directory that the root file system was unpacked to."""
    root = Path(tempfile.mkdtemp(dir=Path(__file__).parent))
    with Path(re.search(r"-initrd (\S+)", words)[1]).open("rb") as archive:
        subprocess.run(["cpio", "-i", "-d", "--quiet"], stdin=archive, cwd=root, check=True)
    say("Linux version 7.3.0 (mini)")
    return root


def ask(line: str) -> str:
    host.sendall(line.encode() + b"\n")
    return answers.readline().decode().strip()


console = Path(re.search(r"id=console,path=(\S+)", words)[1].replace(",,", ","))
guest = (Path(__file__).parent / "guest.py").read_text()
if "# refuses" not in guest:
    host = listen(r"id=host,path=([^, ]+)")
    answers = host.makefile("rb")
    qmp = listen(r"-qmp unix:([^, ]+)")
    send({"QMP": {"version": {"qemu": {"major": 9, "minor": 9, "micro": 0}, "package": ""},
                  "capabilities": []}})  # fmt: skip
    negotiated = threading.Event()
    threading.Thread(target=monitor, daemon=True).start()
    negotiated.wait()
exec(compile(guest, "guest.py", "exec"))  # the test's own words
sys.stdout.flush()
