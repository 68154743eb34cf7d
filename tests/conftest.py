"""Fixtures shared by the tests: a cache of their own, a miniature git tree, a project."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool.cache import Cache, open_cache
from memdesc_tool.console import Progress
from memdesc_tool.project import Project
from memdesc_tool.tree import Base, resolve

ROOT = Path(__file__).parent.parent

GUEST_CONFIG = ("debug",)
"""What --config says for the kernel of the fixture guest_kernel."""

IDENTITY = {
    "GIT_AUTHOR_NAME": "A. Developer",
    "GIT_AUTHOR_EMAIL": "dev@example.org",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05 +0100",
    "GIT_COMMITTER_NAME": "A. Developer",
    "GIT_COMMITTER_EMAIL": "dev@example.org",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05 +0100",
}


@dataclass(frozen=True)
class GitTree:
    """A git tree for tests, driven with plain git."""

    path: Path

    def git(self, *args: str) -> str:
        """Run git; return its output. A failure fails the test."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        done = subprocess.run(
            ["git", "-C", str(self.path), *args],
            env={**env, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(args)}: {done.stdout}"
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything; return the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> dict[str, str]:
        """All that a tool must not change, by name.

        HEAD, refs, stash and what git says of the index; "git/PATH" and "tree/PATH": content,
        mode and time of every file and directory, objects, packs, reflogs and locks included.
        The times of objects are left out: git sets them anew in a repository that it borrows
        from where it would have written the same object.
        """
        git_dir = self.path / ".git"
        if git_dir.is_file():  # a linked worktree
            git_dir = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        elif not git_dir.exists():
            git_dir = self.path
        state = {f"git/{name}": what for name, what in _files(git_dir)}
        if git_dir != self.path:
            state |= {f"tree/{name}": what for name, what in _files(self.path)}
        stash = git_dir / "logs" / "refs" / "stash"
        state["stash"] = stash.read_text() if stash.exists() else ""
        state["HEAD"] = (git_dir / "HEAD").read_text()
        for name, args in (
            ("refs", ("for-each-ref",)),
            ("config", ("config", "--list", "--local")),
            ("index", ("ls-files", "--stage", "--debug")),
        ):  # fmt: skip
            state[name] = self.git("-c", "core.fsmonitor=false", *args)
        return state


def _files(top: Path) -> Iterator[tuple[str, str]]:
    """Every file and directory below top but .git: its name and all about it."""
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", maxsplit=1)[0] == ".git":
            continue
        status = path.lstat()
        what = f"{status.st_mode:o}"
        if "objects" not in path.parts or path.is_dir():
            what += f" {status.st_mtime_ns}"
        if path.is_symlink():
            what += f" -> {path.readlink()}"
        elif path.is_file():
            what += " " + hashlib.sha256(path.read_bytes()).hexdigest()
        yield name, what


def numbers(*changes: tuple[int, str]) -> str:
    """Thirty lines with a word each, some of them changed: (line, text)."""
    lines = [f"line {n}" for n in range(1, 31)]
    for number, text in changes:
        lines[number - 1] = text
    return "\n".join(lines) + "\n"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path / "cache")


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def minitree(tmp_path: Path) -> GitTree:
    """A tree with one commit on branch main: a.txt, sub/b.txt, Makefile."""
    path = tmp_path / "mini tree"
    path.mkdir()
    tree = GitTree(path)
    tree.git("init", "-q", "-b", "main")
    (path / "sub").mkdir()
    (path / "a.txt").write_text(numbers())
    (path / "sub" / "b.txt").write_text("one\ntwo\n")
    (path / "Makefile").write_text("obj-y += a.o\n")
    tree.commit("start")
    return tree


@dataclass(frozen=True)
class Ran:
    """A finished call of the tool."""

    status: int
    out: str
    err: str


Tool = Callable[..., Ran]


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """Runs the tool as a user does, in a process of its own, with a cache of its own."""

    def run(*args: str | Path, cwd: Path | None = None, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "memdesc_tool.cli", *map(str, args)],
            cwd=cwd or tmp_path,
            env={**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache"), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def run_here(*args: str | Path) -> Ran:
    """Run the tool as a user does in this project, on the usual cache."""
    done = subprocess.run(
        [sys.executable, "-m", "memdesc_tool.cli", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def guest_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel for x86_64 guests: the tip of this project's stack with GUEST_CONFIG.

    It is built once in a session, in the build directory of the usual cache that
    `vm` uses for this configuration, and has booted once. Building it takes minutes: a
    test that asks for it is marked kernel and has a time limit that allows for it.
    """
    image = tmp_path_factory.mktemp("kernel") / "bzImage"
    stack = Project(ROOT).stack()
    series = [arg for one in stack.series for arg in ("--series", one.name)]
    config = [arg for name in GUEST_CONFIG for arg in ("--config", name)]
    ran = run_here("vm", *series, *config, "--save", image, "--", "true")
    assert ran.status == 0, ran.out + ran.err
    return image


def on_demand(variable: str, cost: str, seconds: int) -> list[pytest.MarkDecorator]:
    """Marks of tests that take too long to run unless an environment variable asks for it.

    cost: what takes so long; seconds: the time limit of each.
    """
    return [
        pytest.mark.kernel,
        pytest.mark.timeout(seconds),
        pytest.mark.skipif(os.environ.get(variable) != "1", reason=f"{cost}: set {variable}=1"),
    ]


def install_qemu(directory: Path, monkeypatch: pytest.MonkeyPatch, guest: str) -> Path:
    """A QEMU for x86_64 (fakeqemu.py) in a new directory, first in $PATH, that runs this guest.

    Returns the guest's file, which tests may change.
    """
    directory.mkdir()
    program = directory / "qemu-system-x86_64"
    text = Path(__file__).with_name("fakeqemu.py").read_text()
    program.write_text(text.replace("/usr/bin/env python3", sys.executable, 1))
    program.chmod(0o755)
    path = directory / "guest.py"
    path.write_text(guest)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    return path


def kernel_clone(name: str) -> tuple[GitTree, Base]:
    """A user's own tree of 7.3 with nothing checked out, and the base that it is a clone of.

    It is always at the same place of the usual cache, so that its build directory is found again.
    """
    base = resolve("7.3", open_cache(), Progress())
    tree = GitTree(open_cache().root / "tests" / name)
    shutil.rmtree(tree.path, ignore_errors=True)
    tree.path.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["git", "clone", "-q", "--shared", "--no-checkout", base.repository, tree.path], check=True
    )
    return tree, base


@pytest.fixture
def project(tmp_path: Path, minitree: GitTree) -> Path:
    """A project with a series "first" of two patches for minitree, made by its own git."""
    root = tmp_path / "project"
    series = root / "patches" / "first"
    series.mkdir(parents=True)
    minitree.git("checkout", "-q", "-b", "work")
    (minitree.path / "a.txt").write_text(numbers((3, "line three")))
    minitree.commit("a: write three as a word\n\nBecause words are nicer.")
    (minitree.path / "a.txt").write_text(numbers((3, "line three"), (20, "line twenty")))
    minitree.commit("a: write twenty as a word\n\nFor the same reason.")
    minitree.git("format-patch", "-q", "-o", str(series), "main")
    minitree.git("checkout", "-q", "main")
    (root / "patches" / "stack.toml").write_text('series = ["first"]\n')
    names = sorted(path.name for path in series.glob("*.patch"))
    (series / "series.toml").write_text(
        'title = "words instead of figures"\n\n'
        + "\n".join(f'[[patch]]\nfile = "{name}"\n' for name in names)
    )
    return root
