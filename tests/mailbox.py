"""A project with a cover letter, a tree with an identity, and a server that takes its mail."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from tests.conftest import GitTree, numbers

COVER = """\
{{ series.title }}

Figures are short, words are clear. This series of {{ series.patches | length }} patches
is for {{ base }}.

# A heading that is no comment
==============================

{{ tested }}
"""
NAME = "Anna Müller-Lüdenscheidt"
MAIL = "anna@example.org"
B4 = Path(sys.executable).with_name("b4")


@dataclass
class Sink:
    """What a local SMTP server was given: (envelope's recipients, message)."""

    port: int = 0
    mails: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = BytesParser().parsebytes(envelope.content)
        self.mails.append((list(envelope.rcpt_tos), message))
        return "250 OK"


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    """An SMTP server on a free port of this machine."""
    sink = Sink()
    with socket.create_server(("127.0.0.1", 0)) as free:
        sink.port = free.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def give_identity(tree: GitTree, port: int = 0) -> None:
    """A name outside ASCII, and where mail goes, in the configuration of a tree."""
    tree.git("config", "user.name", NAME)
    tree.git("config", "user.email", MAIL)
    if port:
        for key, value in {"smtpserver": "127.0.0.1", "smtpserverport": str(port),
                           "from": MAIL}.items():  # fmt: skip
            tree.git("config", f"sendemail.{key}", value)


def home(path: Path) -> dict[str, str]:
    """Variables that keep git and b4 away from whoever runs the tests."""
    path.mkdir(exist_ok=True)
    return {"HOME": str(path), "XDG_CONFIG_HOME": str(path / "config"),
            "XDG_DATA_HOME": str(path / "data"), "XDG_CACHE_HOME": str(path / "cache")}  # fmt: skip


def describe(project: Path, lines: str = "", cover: str = COVER) -> Path:
    """Give the series "first" a cover letter, and more lines at the top of its series.toml."""
    series = project / "patches" / "first"
    (series / "cover.md.j2").write_text(cover)
    toml = series / "series.toml"
    toml.write_text(lines + toml.read_text())
    return series


def make_long(tree: GitTree, series: Path, count: int, words: int = 50) -> None:
    """Replace the series by one of many patches, written by git format-patch."""
    tree.git("checkout", "-q", "-B", "long", "main")
    for number in range(1, count + 1):
        (tree.path / "a.txt").write_text(
            numbers(*((n, f"Zeile {n} für größere {'sehr lange Zeilen ' * words}")
                      for n in range(1, number + 1)))
        )  # fmt: skip
        tree.commit(f"a: write line {number} in German\n\nÜbersetzt.")
    for old in series.glob("*.patch"):
        old.unlink()
    tree.git("format-patch", "-q", "-o", str(series), "main..long")
    tree.git("checkout", "-q", "main")
    names = sorted(path.name for path in series.glob("*.patch"))
    head = (series / "series.toml").read_text().partition("[[patch]]")[0]
    listed = "\n".join(f'[[patch]]\nfile = "{name}"\n' for name in names)
    (series / "series.toml").write_text(head + listed)


def header(message: Message, name: str) -> str:
    """A header, unfolded."""
    return re.sub(r"\s+", " ", str(message.get(name, "")))


def without_git(variables: dict[str, str]) -> dict[str, str]:
    """An environment without GIT_*, with these variables."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return {**env, **variables}


def run_b4(tree: GitTree, variables: dict[str, str], *args: str, **more: str) -> None:
    """Run b4 in the tree as its owner does; Enter answers all it asks."""
    done = subprocess.run(
        [B4, "--offline-mode", *args], cwd=tree.path, env=without_git(variables) | more,
        input="\n" * 9, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def show_info(tree: GitTree, variables: dict[str, str], branch: str = "b4/first") -> dict[str, str]:
    """What b4 says of a branch."""
    done = subprocess.run(
        [B4, "--offline-mode", "prep", "--show-info", f"{branch}:_all"], text=True,
        cwd=tree.path, env=without_git(variables), check=True, capture_output=True,
    )  # fmt: skip
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


def begin_prep(tree: GitTree, variables: dict[str, str], cover: str = "") -> None:
    """Make b4/mine of the commits main..work; cover: "" for the one that b4 begins with."""
    run_b4(tree, variables, "prep", "--new", "mine", "--fork-point", "main")
    if cover:
        file = Path(variables["HOME"]) / "cover"
        file.write_text(cover)
        run_b4(tree, variables, "prep", "--edit-cover", GIT_EDITOR=f"cp '{file}'")
    # b4 renumbers no branch with commits of another committer than its owner.
    subprocess.run(["git", "cherry-pick", "main..work"], cwd=tree.path, check=True,
                   env=without_git(variables), capture_output=True)  # fmt: skip
    tree.git("checkout", "-q", "main")
