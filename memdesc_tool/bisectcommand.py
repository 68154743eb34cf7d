"""Test commits with a command, as `git bisect run` does, in a worktree of the tool's own.

Exit status 0 is good, 125 cannot be tested, 1 to 127 bad. 128 and above, and a signal, say
nothing about the commit. A command that does not end within its time is stopped: that is bad
where the bad revision hangs, too, and says nothing otherwise.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.bisect import Tested
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.git import Git
from memdesc_tool.history import History
from memdesc_tool.posterior import Numbers
from memdesc_tool.scratch import remove_stale_locks
from memdesc_tool.search import Verdict
from memdesc_tool.workspace import Workspace

SKIP = 125
FIRST_ABORT = 128
HANG, STATUS = "hang", "exit status"
"""The kinds of failure."""


@dataclass
class CommandPredicate:
    """Tests commits with a command; see bisect.Predicate.

    argv: the command, run at the top of the worktree; logs: where its output goes; timeout:
    seconds, None for no end; anything: a hang is a failure like any other.
    """

    workspace: Workspace
    argv: tuple[str, ...]
    logs: Path
    progress: Progress
    timeout: float | None = None
    anything: bool = False
    sought: str = ""
    failing: tuple[str, ...] = ()
    _clean: bool = False

    def test(self, commit: str, number: int, label: str, *, end: str = "") -> Tested:
        """Check the commit out and run the command. Raises InfraError, UserError."""
        worktree = self._checkout(commit)
        log = self.evidence(commit, number)
        with self.progress.step(f"{label}: {self.argv[0]}") as tell:
            done = process.run_logged(
                list(self.argv), cwd=worktree, log_file=log, env=_users_environment(),
                timeout=self.timeout, on_tick=lambda: tell(""),
            )  # fmt: skip
        if done.timed_out:
            return self._judge(HANG, f"still running after {self.timeout:.0f} s", end)
        if done.status == SKIP:
            return Tested(Verdict.SKIP, f"exit status {SKIP}")
        if done.status < 0 or done.status >= FIRST_ABORT:
            how = f"signal {-done.status}" if done.status < 0 else f"exit status {done.status}"
            raise InfraError(
                f"{self.argv[0]} ended with {how} at {commit[:12]}, which is no verdict",
                f"its output: {log}",
            )
        if not done.status:
            return Tested(Verdict.PASS)
        if end == "good" and done.status == 126:
            raise UserError(f"{self.argv[0]} cannot be executed", f"its output: {log}")
        return self._judge(STATUS, f"exit status {done.status}", end)

    def _judge(self, kind: str, detail: str, end: str) -> Tested:
        """The first failure of the bad revision says what is looked for."""
        if end == "bad" and not self.sought:
            self.sought = kind
        if self.anything or kind == self.sought:
            return Tested(Verdict.FAIL, detail)
        return Tested(Verdict.SKIP, f"{detail}: not the failure that is looked for")

    def known(self, _commits: Iterable[str]) -> dict[str, list[Tested]]:
        """Nothing is stored: what a command does depends on more than the commit."""
        return {}

    def weights(self, _history: History) -> Numbers | None:
        return None

    def evidence(self, commit: str, number: int) -> Path:
        return self.logs / f"{commit[:12]}-{number}.log"

    def _checkout(self, commit: str) -> Path:
        """The worktree at commit. What the command built stays from one commit to the next."""
        path = self.workspace.root / "bisect"
        git = Git(path, fetches=True)
        scratch = self.workspace.scratch
        if not (path / ".git").exists() or git.attempt("rev-parse", "HEAD")[0]:
            shutil.rmtree(path, ignore_errors=True)
            scratch.run("worktree", "prune", "--expire=now")
            scratch.run("worktree", "add", "--quiet", "--detach", "--no-checkout", str(path),
                        commit)  # fmt: skip
        remove_stale_locks(Path(git.run("rev-parse", "--absolute-git-dir")))
        git.run("checkout", "--quiet", "--force", "--detach", commit)
        if not self._clean:  # a call that was killed may have left half-written objects
            git.run("clean", "-ffdxq")
            self._clean = True
        return path


def _users_environment() -> dict[str, str]:
    """The environment as the user's shell has it: the command is the user's, not a build."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def find_command(argv: tuple[str, ...], git: Git, bad: str, here: Path) -> tuple[str, ...]:
    """The command as it can be run elsewhere: a script of the user's that is in no commit is
    named by its whole path, each word that names such a file too.
    """
    top = Path(git.run("rev-parse", "--show-toplevel")) if _has_worktree(git) else here
    found = []
    for word in argv:
        path = here / word
        if not word.startswith(("/", "-")) and path.is_file():
            try:
                inside = path.resolve().relative_to(top.resolve()).as_posix()
            except ValueError:
                inside = ""
            if not inside or git.blob(bad, inside) is None:
                word = str(path.absolute())
        found.append(word)
    if "/" in found[0] or shutil.which(found[0]):
        return tuple(found)
    raise UserError(f"there is no program {found[0]}", "a script in the tree is ./NAME")


def _has_worktree(git: Git) -> bool:
    return git.attempt("rev-parse", "--is-inside-work-tree")[1].strip() == "true"
