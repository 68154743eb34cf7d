"""b4, run as a command: its prep branches, its mail, its trailers.

It works in a worktree of ours with the settings that the user's own tree has for it, so that
what it does there is what it would do in the tree; the tree itself is not touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.errors import CommandError, InfraError
from memdesc_tool.git import Git

SECTIONS = ("user", "b4", "sendemail", "patatt", "gpg")
"""Sections of the user's configuration that say how b4 names, signs and sends."""
STRATEGY = "b4.prep-cover-strategy"
SECONDS = 600.0


def find_b4() -> str:
    """The program. Raises InfraError where it is not installed."""
    beside = Path(sys.executable).with_name("b4")
    found = str(beside) if beside.exists() else shutil.which("b4")
    if not found:
        raise InfraError("b4 is not installed", "pip install b4, or apt install b4")
    return found


def users_settings(tree: Git) -> tuple[tuple[str, str], ...]:
    """The (key, value) pairs of SECTIONS as the user's git has them in a tree."""
    home = Path.home()
    xdg = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"
    config = next((p for p in (home / ".gitconfig", xdg) if p.exists()), Path(os.devnull))
    env = {"GIT_CONFIG_NOSYSTEM": "0", "GIT_CONFIG_GLOBAL": str(config)}
    out = tree.run("config", "--list", "-z", "--show-scope", env=env)
    fields = out.split("\0")
    found = []
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        key, _, value = entry.partition("\n")
        if scope != "command" and key.split(".")[0] in SECTIONS and key != STRATEGY:
            found.append((key, value))
    return tuple(found)


@dataclass(frozen=True)
class B4:
    """b4 in one directory. settings: git configuration that it sees, and no other."""

    top: Path
    settings: tuple[tuple[str, str], ...]

    def run(
        self,
        *args: str,
        text: str | None = None,
        answers: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run b4; return what it printed.

        text: what its editor is to leave in the file; answers: lines for its questions.
        Raises CommandError.
        """
        with tempfile.TemporaryDirectory(prefix="memdesc-b4.") as directory:
            env = {**self._environment(), **(environment or {})}
            if text is not None:
                file = Path(directory) / "text"
                file.write_text(text, encoding="utf-8")
                env["GIT_EDITOR"] = f"cp {shlex.quote(str(file))}"
            argv = [find_b4(), "--offline-mode", "--no-interactive", *args]
            if not answers:
                return process.capture(argv, cwd=self.top, env=env, timeout=SECONDS).output
            log = Path(directory) / "log"
            with process.writing(argv, cwd=self.top, env=env, log_file=log) as stream:
                stream.write(answers)
            return log.read_text(encoding="utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        settings = (*self.settings, (STRATEGY, "commit"), ("core.hooksPath", os.devnull))
        env = {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
        }
        for number, (key, value) in enumerate(settings):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        return env

    def info(self, branch: str) -> dict[str, str]:
        """What `b4 prep --show-info` says of a prep branch. Raises CommandError."""
        out = self.run("prep", "--show-info", f"{branch}:_all")
        pairs = (line.partition(": ") for line in out.splitlines())
        return {key: value for key, separator, value in pairs if separator}


def last_line(error: CommandError) -> str:
    """What b4 said last; its own words are better than an exit status."""
    lines = [line for line in error.tail.splitlines() if line.strip().strip("-")]
    said = [line for line in lines if line.startswith(("CRITICAL", "ERROR"))]
    return (said or lines or [error.message])[-1].removeprefix("CRITICAL: ").strip()
