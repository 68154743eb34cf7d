"""Test commits with a command, as `git bisect run` does, in a worktree of the tool's own.

Exit status 0 is good, 125 cannot be tested, 1 to 127 bad. 128 and above, and a signal, say nothing
about the commit. A script of the tree's that a commit lacks cannot be tested there. A command that
does not end within its time is stopped: that is bad where the bad revision hangs, too, and says
nothing otherwise.
"""

from __future__ import annotations

import hashlib
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
from memdesc_tool.leftovers import sweep
from memdesc_tool.posterior import Numbers
from memdesc_tool.scratch import borrow_refs, remove_stale_locks, scratch_repository
from memdesc_tool.search import Verdict
from memdesc_tool.suites import EXECUTABLE, PLAIN
from memdesc_tool.workspace import Workspace

SKIP = 125
FIRST_ABORT = 128
HANG, STATUS = "hang", "exit status"
"""The kinds of failure."""
NOT_STARTED = (126, 127)
"""What a shell says of a program that it cannot execute, or not find."""
SYMLINK = "120000"
INTERPRETERS = {"sh": "c", "bash": "c", "dash": "c", "python": "cm", "python3": "cm", "perl": "eE"}
"""Programs whose first word that is no option is the program that counts, and the options after
which there is none: the program is in the words themselves.
"""


@dataclass(frozen=True)
class Command:
    """A command as it is run at the top of the worktree.

    inside: where its script is in the tree, empty unless it is one of the tree's; own: the
    user's own script.
    """

    argv: tuple[str, ...]
    inside: str = ""
    own: Path | None = None

    @property
    def digest(self) -> str:
        """Stands for what is in the user's own script; empty where there is none."""
        return hashlib.sha256(self.own.read_bytes()).hexdigest() if self.own else ""

    def lacks(self, worktree: Path) -> str:
        """Why the script of the tree cannot be run as the worktree has it; empty: it can."""
        path = worktree / self.inside
        if not path.is_file():
            return f"{self.inside} is not there"
        is_program = self.argv[0] == f"./{self.inside}"
        return f"{self.inside} is not executable" if is_program and not shutil.which(path) else ""


@dataclass
class CommandPredicate:
    """Tests commits with a command; see bisect.Predicate.

    logs: where its output goes; repository: a git common directory, whose branches and tags
    the command sees; timeout: seconds, None for no end; anything: a hang is a failure like any
    other.
    """

    workspace: Workspace
    command: Command
    logs: Path
    repository: Path
    progress: Progress
    timeout: float | None = None
    anything: bool = False
    sought: str = ""
    failing: tuple[str, ...] = ()
    _clean: bool = False

    def test(self, commit: str, number: int, label: str, *, end: str = "") -> Tested:
        """Check the commit out and run the command. Raises InfraError, UserError."""
        worktree, argv = self._checkout(commit), self.command.argv
        if self.command.inside and (lacks := self.command.lacks(worktree)):
            if end:
                raise UserError(f"{lacks} in the {end} revision {commit[:12]}",
                                "a copy outside of the tree is run at every commit")  # fmt: skip
            return Tested(Verdict.SKIP, lacks)
        log = self.evidence(commit, number)
        with self.progress.step(f"{label}: {argv[0]}") as tell:
            done = process.run_logged(
                list(argv), cwd=worktree, log_file=log, env=_users_environment(),
                timeout=self.timeout, on_tick=lambda: tell(""), own_127=True,
            )  # fmt: skip
        if done.timed_out:
            return self._judge(HANG, f"still running after {self.timeout:.0f} s", end)
        if done.status == SKIP:
            return Tested(Verdict.SKIP, f"exit status {SKIP}")
        if done.status < 0 or done.status >= FIRST_ABORT:
            how = f"signal {-done.status}" if done.status < 0 else f"exit status {done.status}"
            raise InfraError(
                f"{argv[0]} ended with {how} at {commit[:12]}, which is no verdict",
                f"its output: {log}",
            )
        if not done.status:
            return Tested(Verdict.PASS)
        if end == "good" and done.status in NOT_STARTED:
            raise UserError(
                f"{argv[0]} ended with {done.status} at the good revision: what it runs is not"
                " there, or cannot be executed", f"its output: {log}",
            )  # fmt: skip
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
        git = Git(self.workspace.root / "bisect", fetches=True)
        if not self._clean:
            self._prepare(git, commit)
        remove_stale_locks(Path(git.run("rev-parse", "--absolute-git-dir")))
        git.run("checkout", "--quiet", "--force", "--detach", commit)
        if not self._clean:  # a call that was killed may have left half-written objects
            git.run("clean", "-ffdxq")
            self._clean = True
        return git.path

    def _prepare(self, git: Git, commit: str) -> None:
        """Make the worktree if need be, of a repository that has the user's branches and tags."""
        path = self.workspace.root / "bisect.git"
        sweep(path)
        mine = scratch_repository(path, self.workspace.scratch.path)
        if not borrow_refs(mine, Git(self.repository)):
            self.progress.note("the command does not see the branches and tags of the tree")
        common = ("rev-parse", "--path-format=absolute", "--git-common-dir")
        whole = (git.path / ".git").exists() and not git.attempt("rev-parse", "HEAD")[0]
        if not whole or Path(git.run(*common)) != path.resolve():
            shutil.rmtree(git.path, ignore_errors=True)
            mine.run("worktree", "prune", "--expire=now")
            mine.run("worktree", "add", "--quiet", "--detach", "--no-checkout", str(git.path),
                     commit)  # fmt: skip


def _users_environment() -> dict[str, str]:
    """The environment as the user's shell has it: the command is the user's, not a build."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def find_command(words: tuple[str, ...], repository: Path, bad: str, here: Path) -> Command:
    """The command as it is run elsewhere than in the directory here.

    repository: a git common directory; bad: the bad revision. Only the program is looked for, or
    the script that an interpreter is given. Where bad has the file, that of each commit is run;
    else it is the user's own. Raises UserError where it cannot be run.
    """
    at = _program_at(words)
    word = words[at]
    if (at or "/" not in words[0] or Path(word).is_absolute()) and not shutil.which(words[0]):
        raise UserError(f"{words[0]} cannot be run: {_reason(here / words[0])}",
                        "a script in the tree is ./NAME")  # fmt: skip
    if not at and "/" not in word:
        return Command(words)
    path = here / word
    inside = "" if Path(word).is_absolute() else _place_in_tree(path, repository)
    mode = Git(repository).modes(bad, [inside]).get(inside) if inside else None
    if mode in (PLAIN, EXECUTABLE, SYMLINK):
        if mode == PLAIN and not at:
            raise UserError(f"{word} cannot be run: it is not executable at {bad[:12]}")
        return Command((*words[:at], f"./{inside}", *words[at + 1 :]), inside)
    if not at and not shutil.which(path):
        raise UserError(f"{word} cannot be run: {_reason(path)}")
    if not path.is_file():
        return Command(words)
    return Command((*words[:at], str(path.absolute()), *words[at + 1 :]), own=path.absolute())


def _program_at(words: tuple[str, ...]) -> int:
    """Which word is the program: the first, or the script that the interpreter there runs."""
    code = INTERPRETERS.get(words[0].rpartition("/")[2])
    if code is None:
        return 0
    for number, word in enumerate(words[1:], 1):
        if not word.startswith("-"):
            return number
        if not word.startswith("--") and any(letter in word for letter in code):
            return 0
    return 0


def _place_in_tree(path: Path, repository: Path) -> str:
    """Where a path is in the worktree of the repository that it is in; empty where in none."""
    directory = next(parent for parent in path.parents if parent.is_dir())
    status, out, _ = Git(directory).attempt(
        "rev-parse", "--is-inside-work-tree", "--path-format=absolute", "--git-common-dir",
        "--show-prefix",
    )  # fmt: skip
    inside, common, prefix, *_ = (*out.split("\n"), "", "", "")
    if status or inside != "true" or Path(common).resolve() != repository.resolve():
        return ""
    return prefix + path.relative_to(directory).as_posix()


def _reason(path: Path) -> str:
    """Why a file cannot be run."""
    if path.is_dir():
        return "it is a directory"
    return "it is not executable" if path.exists() else "there is no such program"
