"""Git, driven through GitPython, with nothing of the user's configuration in the way.

A repository of the user's is only ever read; what the tool writes goes into a scratch
repository (scratch.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# GitPython looks for git when it is imported, also where GIT_PYTHON_GIT_EXECUTABLE says; a
# git that is missing is an error when it is called, below.
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import git as gitpython

from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.process import inherited_locks, writing

_OID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TREES: dict[tuple[str, str], str] = {}
"""The tree of a commit in a repository, both by object id."""
_ARGUMENTS = 500
"""Paths or open files that a git command is given at once."""

# The configuration of a run of git that must give the same result for everybody.
PINNED = {
    "am.keepcr": "false",
    "am.messageId": "false",
    "am.threeWay": "false",
    "apply.ignoreWhitespace": "no",
    "apply.whitespace": "nowarn",
    "commit.gpgSign": "false",
    "commit.encoding": "UTF-8",
    "core.abbrev": "40",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "true",
    "core.sharedRepository": "false",
    "diff.algorithm": "myers",
    "diff.external": "",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.renames": "true",
    "diff.suppressBlankEmpty": "false",
    "format.signature": "",
    "gc.auto": "0",
    "i18n.commitEncoding": "UTF-8",
    "i18n.logOutputEncoding": "UTF-8",
    "init.templateDir": "",
    "log.showSignature": "false",
    "mailinfo.quotedCr": "nowarn",
    "mailinfo.scissors": "false",
    "maintenance.auto": "false",
    "merge.renames": "true",
    "rerere.enabled": "false",
    "safe.directory": "*",
    "submodule.recurse": "false",
}

# Identity of commits that exist only to be tested. Fixed, so that the same series on the
# same base has the same commit ids everywhere and at any time.
SCRATCH_IDENTITY = {
    "GIT_AUTHOR_NAME": "memdesc-tool",
    "GIT_AUTHOR_EMAIL": "memdesc-tool@localhost",
    "GIT_COMMITTER_NAME": "memdesc-tool",
    "GIT_COMMITTER_EMAIL": "memdesc-tool@localhost",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


class GitError(InfraError):
    """A git command failed. command: its arguments; status; output: what it printed."""

    def __init__(self, command: list[str], status: int, output: str) -> None:
        lines = [line for line in output.strip().splitlines() if line.strip()]
        super().__init__(f"git {command[0]} failed: {lines[-1] if lines else f'status {status}'}")
        self.command = command
        self.status = status
        self.output = output


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every git command: pinned configuration, no prompts, no pager."""
    env = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": str(len(PINNED)),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "GIT_ATTR_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
        "TZ": "UTC",
    }
    for number, (key, value) in enumerate(PINNED.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    env.update(extra or {})
    return env


# GIT_NO_LAZY_FETCH is git 2.45's; an older git finds no protocol that it may use.
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}


@dataclass(frozen=True)
class Git:
    """Git commands in one directory (a repository, bare or not, or a worktree).

    fetches: whether objects that a partial clone lacks may be fetched, which writes them into
    the repository. Only for repositories of the tool's own.
    """

    path: Path
    fetches: bool = False

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        strip: bool = True,
    ) -> str:
        """Run a git command; return its standard output. Raises GitError when it fails."""
        status, out, err = self.attempt(*args, stdin=stdin, env=env)
        if status:
            raise GitError(list(args), status, err or out)
        return out.strip("\n") if strip else out

    def attempt(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run a git command; return its exit status, standard output and standard error."""
        status, out, err = self.attempt_bytes(*args, stdin=stdin, env=env)
        return status, out.decode(errors="surrogateescape"), err

    def attempt_bytes(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """Like attempt, the standard output as bytes. What interrupts it ends the command."""
        env = {**({} if self.fetches else _NO_FETCH), **(env or {})}
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory")
        with tempfile.TemporaryFile() as source:
            if stdin is not None:
                source.write(stdin)
                source.seek(0)
            try:
                # The directory is given to git: GitPython would expand $ in it, and take the
                # working directory where it cannot enter it.
                process = gitpython.Git("/").execute(
                    [*_without_git_variables(env), "git", "-C", str(self.path.absolute()), *args],
                    istream=source if stdin is not None else subprocess.DEVNULL,
                    env=environment(env),
                    as_process=True,
                    pass_fds=inherited_locks(),
                )
            except gitpython.exc.GitCommandNotFound:
                raise InfraError("git is not installed", "apt install git") from None
            return _finish(process)

    @contextmanager
    def feed(self, *args: str) -> Iterator[IO[bytes]]:
        """Run a git command and write its standard input as a stream.

        GitPython would need the whole input at once. Raises CommandError when it fails; a
        body that raises ends the command.
        """
        with writing(["git", *args], cwd=self.path, env=environment()) as stream:
            yield stream

    # -- questions ---------------------------------------------------------------------

    def commit(self, revision: str) -> str:
        """The full object id of the commit that revision names. Raises UserError."""
        status, out, _ = self.attempt(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        if status:
            raise UserError(f"{self.path} has no commit {revision}")
        return out.strip()

    def tree(self, revision: str) -> str:
        """The object id of the tree of revision."""
        asked = str(self.path), revision
        if asked in _TREES:
            return _TREES[asked]
        tree = self.run("rev-parse", "--verify", f"{revision}^{{tree}}")
        if _OID.fullmatch(revision):
            _TREES[asked] = tree
        return tree

    def whole_commit(self, name: str) -> str | None:
        """The object id of the commit that name has; None where it or its tree is not there."""
        status, out, _ = self.attempt("rev-parse", "--quiet", name, f"{name}^{{tree}}")
        if status:
            return None
        oid, tree = out.split()
        _TREES[str(self.path), oid] = tree
        return oid

    def has(self, oid: str) -> bool:
        """Whether the object and, for a commit, its tree are there."""
        return self.attempt("cat-file", "-e", f"{oid}^{{tree}}")[0] == 0

    def blob(self, revision: str, path: str) -> bytes | None:
        """The content of path in revision; None where there is no such file."""
        status, out, _ = self.attempt_bytes("cat-file", "blob", f"{revision}:{path}")
        return None if status else out

    def blobs(self, revision: str, paths: Iterable[str]) -> dict[str, bytes]:
        """The contents of those of the paths that are files in revision, asked for at once."""
        wanted = list(dict.fromkeys(paths))
        names = "".join(f"{revision}:{path}\n" for path in wanted)
        status, out, err = self.attempt_bytes("cat-file", "--batch", stdin=names.encode())
        if status:
            raise GitError(["cat-file"], status, err)
        found, at = {}, 0
        for path in wanted:
            head, _, _ = out[at:].partition(b"\n")
            at += len(head) + 1
            if head.endswith(b" missing"):
                continue
            kind, size = head.rsplit(b" ", 2)[1:]
            if kind == b"blob":
                found[path] = out[at : at + int(size)]
            at += int(size) + 1
        return found

    def write_blobs(self, contents: Iterable[bytes]) -> list[str]:
        """Put contents into the repository, byte for byte; their object ids."""
        every, oids = list(contents), []
        for start in range(0, len(every), _ARGUMENTS):
            with ExitStack() as stack:
                names = []
                for content in every[start : start + _ARGUMENTS]:
                    # hash-object reads files: these have no name that a killed call could leave.
                    file = stack.enter_context(os.fdopen(os.memfd_create("blob"), "wb", 0))
                    file.write(content)
                    names.append(f"/proc/{os.getpid()}/fd/{file.fileno()}\n")
                oids += self.run("hash-object", "-w", "--no-filters", "--stdin-paths",
                                 stdin="".join(names).encode()).split()  # fmt: skip
        return oids

    def modes(self, revision: str, paths: Sequence[str]) -> dict[str, str]:
        """The modes of those paths that revision has, directories' too.

        Given a directory and a path below it, ls-tree lists all that is in the directory.
        """
        found = {}
        for start in range(0, len(paths), _ARGUMENTS):
            out = self.run("ls-tree", "-z", "--full-tree", revision, "--",
                           *paths[start : start + _ARGUMENTS],
                           env={"GIT_LITERAL_PATHSPECS": "1"})  # fmt: skip
            for record in filter(None, out.split("\0")):
                head, _, path = record.partition("\t")
                found[path] = head.split()[0]
        return {path: found[path] for path in paths if path in found}

    def commits(self, base: str, tip: str) -> list[str]:
        """The commits after base up to tip, oldest first."""
        out = self.run("rev-list", "--reverse", "--topo-order", f"{base}..{tip}")
        return out.split()

    def first_parents(self, base: str, tip: str) -> list[str]:
        """The same without what a merge brings in: each is the first parent of the next."""
        out = self.run("rev-list", "--reverse", "--first-parent", f"{base}..{tip}")
        return out.split()

    def subject(self, revision: str) -> str:
        """The subject line of a commit."""
        return self.run("log", "-1", "--format=%s", revision)


def _finish(running: gitpython.Git.AutoInterrupt) -> tuple[int, bytes, str]:
    """Wait for a git command: its exit status, standard output and standard error.

    On ^C it is ended, too (SIGTERM, at which git removes its lock files): it would go on
    writing into a worktree, and keep the locks that it has inherited.
    """
    process = running.proc
    assert process, "it has just been started"
    try:
        out, err = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return process.returncode, out, err.decode(errors="replace").removesuffix("\n")


def _without_git_variables(env: Mapping[str, str] | None) -> list[str]:
    """The env(1) command that drops the user's GIT_DIR, GIT_INDEX_FILE and their kin.

    GitPython adds to the environment but cannot take from it; a tool that is started by a
    git hook, alias or `git bisect run` must not work on that repository.
    """
    ours = environment(env)
    left = [name for name in os.environ if name.startswith("GIT_") and name not in ours]
    return ["env", *(f"--unset={name}" for name in sorted(left))] if left else []


def find_repository(path: Path) -> Path:
    """The git common directory of the repository that path is in.

    Raises UserError where there is none or it has no commit.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist", "--tree takes a git tree or a release (7.3)")
    if not path.is_dir():
        raise UserError(f"{path} is not a directory", "--tree takes the top of a git tree")
    status, out, err = Git(path).attempt("rev-parse", "--path-format=absolute", "--git-common-dir")
    if status and "not a git repository (or any" not in err:
        reason = " ".join(err.partition("fatal: ")[2].split())
        raise UserError(f"{path}: git cannot use this repository: {reason}")
    if status:
        raise UserError(f"{path} is not in a git repository", "git clone or git init it first")
    return Path(out.removesuffix("\n"))


def is_partial(repository: Path) -> bool:
    """Whether the repository (a git common directory) may lack objects by intent."""
    return any(repository.glob("objects/pack/*.promisor"))


def identity(git: Git) -> tuple[str, str]:
    """user.name and user.email as the user's git has them here. Raises UserError."""
    home = Path.home()
    xdg = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"
    config = next((p for p in (home / ".gitconfig", xdg) if p.exists()), Path(os.devnull))
    env = {"GIT_CONFIG_NOSYSTEM": "0", "GIT_CONFIG_GLOBAL": str(config)}
    values = []
    for field in ("user.name", "user.email"):
        status, out, _ = git.attempt("config", "--get", field, env=env)
        if status or not out.strip():
            raise UserError(f"git has no {field} in {git.path}", f"git config --global {field} ...")
        values.append(out.strip())
    return values[0], values[1]
