"""`regress` against what people do without it: git rebase --exec with the tree's kunit.py.

Both sides run the same suites on the same commits, on the base and on every patch, with the
same -j, a build directory that is kept from patch to patch, and a ccache of their own that
is empty at first. Both begin with checking out their source.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.cells import Column, Row
from memdesc_tool.console import Progress
from memdesc_tool.errors import CommandError, InfraError
from memdesc_tool.git import SCRATCH_IDENTITY, Git
from memdesc_tool.overlay import overlay
from memdesc_tool.results import open_store
from memdesc_tool.workspace import Workspace

_DATES = {**SCRATCH_IDENTITY, "GIT_AUTHOR_DATE": SCRATCH_IDENTITY["GIT_COMMITTER_DATE"]}


@dataclass(frozen=True)
class Figures:
    """Seconds of each walk; reworded_runs: how many runs the reworded series led to."""

    peer: float
    cold: float
    unchanged: float
    reworded: float
    reworded_runs: int
    last_patch: float

    def lines(self) -> tuple[str, ...]:
        """What `bench walk` prints."""
        return (
            f"peer: {self.peer:.1f} s",
            f"cold: {self.cold:.1f} s",
            f"cold ratio: {self.cold / self.peer:.2f}",
            f"unchanged: {self.unchanged:.1f} s",
            f"reworded: {self.reworded:.1f} s",
            f"runs after rewording: {self.reworded_runs}",
            f"last patch: {self.last_patch / self.peer:.2f}",
        )


@dataclass(frozen=True)
class WalkBench:
    """The bench. place: an empty directory for all of it; root: the project with the suites;
    jobs: of make, on both sides.
    """

    workspace: Workspace
    rows: Sequence[Row]
    column: Column
    place: Path
    root: Path
    jobs: int
    progress: Progress

    def run(self) -> Figures:
        """Take all figures. Raises InfraError and CommandError where a side cannot run."""
        git = self._clone()
        chain = [row.commit for row in self.rows]
        cold = self._ours("cold", chain)
        unchanged = self._ours("unchanged", chain)
        before = self._runs()
        reworded = self._ours("reworded", _reworded(git, chain))
        runs = self._runs() - before
        last = self._ours("last-patch", [*chain[:-1], _changed(git, chain)])
        peer = self._peer(git)
        return Figures(peer, cold, unchanged, reworded, runs, last)

    def _clone(self) -> Git:
        """A repository with the commits, without a checkout."""
        if self.place.exists() and any(self.place.iterdir()):
            raise InfraError(f"{self.place} is not empty", "give --place another directory")
        self.place.mkdir(parents=True, exist_ok=True)
        tree = self.place / "tree"
        self.workspace.scratch.run("clone", "-q", "--shared", "--no-checkout",
                                   str(self.workspace.scratch.path), str(tree))  # fmt: skip
        return Git(tree)

    # -- ours --------------------------------------------------------------------------

    def _ours(self, name: str, chain: Sequence[str]) -> float:
        """The seconds that `regress` takes for a chain of commits."""
        suite = self.column.suite
        argv = [
            sys.executable, "-m", "memdesc_tool.cli", "--cache", str(self.place / "ours"),
            "regress", "--project", str(self.root), "--tree", str(self.place / "tree"),
            "--range", f"{chain[0]}..{chain[-1]}", "--suite", suite.name,
            "--arch", self.column.arch, "--jobs", str(self.jobs), "--confirm", "0",
        ]  # fmt: skip
        done = self._timed(name, argv, self.place, {"CCACHE_DIR": str(self.place / "ccache-ours")})
        if done.status not in (0, 1):
            raise CommandError(argv, done.status, log=self.place / f"{name}.log")
        return done.seconds

    def _runs(self) -> int:
        """How many runs the store of our side has."""
        with open_store(self.place / "ours" / "results.sqlite") as store:
            found = store.database.execute("SELECT count(*) FROM run").fetchone()
        return int(found[0])

    def _timed(
        self, name: str, argv: list[str], cwd: Path, env: dict[str, str]
    ) -> process.Finished:
        with self.progress.step(f"bench: {name}"):
            return process.run_logged(argv, cwd=cwd, env=env, log_file=self.place / f"{name}.log")

    # -- the peer ----------------------------------------------------------------------

    def _peer(self, git: Git) -> float:
        """The seconds of a checkout, a run on the base, and a rebase with a run a patch."""
        chain = self._overlaid(git)
        git.run("update-ref", "refs/heads/peer", chain[-1])
        kunit = shlex.join(self._kunit())
        script = "\n".join((
            "set -e",
            f"git checkout -q --detach {chain[0]}",
            f"{kunit} || true",
            "git checkout -q peer",
            f"git rebase -q --force-rebase --exec {shlex.quote(f'{kunit} || true')} {chain[0]}",
        ))  # fmt: skip
        env = {"CCACHE_DIR": str(self.place / "ccache-peer"), **_DATES}
        argv = ["sh", "-c", script]
        done = self._timed("peer", argv, git.path, env)
        log = self.place / "peer.log"
        ran = log.read_text(errors="replace").count("Testing complete.")
        if done.status or ran != len(chain):
            raise CommandError(argv, done.status or 1, log=log)
        shutil.rmtree(self.place / "peer-build", ignore_errors=True)
        return done.seconds

    def _overlaid(self, git: Git) -> list[str]:
        """The commits with the suites in them, one on the other."""
        found: list[str] = []
        for row in self.rows:
            laid = overlay(self.workspace, row.commit, [self.column.suite])
            parent = ["-p", found[-1]] if found else []
            tree = f"{laid}^{{tree}}"
            found.append(git.run("commit-tree", tree, *parent, "-m", row.label, env=_DATES))
        return found

    def _kunit(self) -> list[str]:
        suite = self.column.suite
        ccache = "ccache " if shutil.which("ccache") else ""
        return [
            "python3", "tools/testing/kunit/kunit.py", "run",
            "--build_dir", str(self.place / "peer-build"), "--jobs", str(self.jobs),
            *(f"--kunitconfig={path}" for path in suite.configs),
            f"--make_options=CC={ccache}gcc", f"--make_options=HOSTCC={ccache}gcc",
            *(f"--kernel_args={arg}" for arg in suite.kernel_args),
            f"--timeout={suite.timeout}", suite.filter,
        ]  # fmt: skip


def _reworded(git: Git, chain: Sequence[str]) -> list[str]:
    """The chain with another message in the middle."""
    middle = max(1, len(chain) // 2)
    changed = list(chain[:middle])
    for number, commit in enumerate(chain[middle:]):
        message = git.run("log", "-1", "--format=%B", commit)
        message += "\nReworded.\n" if number == 0 else "\n"
        changed.append(
            git.run("commit-tree", f"{commit}^{{tree}}", "-p", changed[-1], "-m", message,
                    env=_DATES)
        )  # fmt: skip
    return changed


def _changed(git: Git, chain: Sequence[str]) -> str:
    """The last commit with a line more in the last C file that the series touches."""
    files = git.run("diff", "--name-only", "--diff-filter=M", chain[0], chain[-1]).split("\n")
    sources = [name for name in files if name.endswith(".c") and not name.startswith("tools/")]
    if not sources:
        raise InfraError("the series changes no source that could be changed once more")
    name = sources[-1]
    content = (git.blob(chain[-1], name) or b"") + b"\n/* changed once more */\n"
    index = {**_DATES, "GIT_INDEX_FILE": str(git.path / ".git" / "bench.index")}
    git.run("read-tree", chain[-1], env=index)
    blob = git.run("hash-object", "-w", "--stdin", stdin=content)
    git.run("update-index", "--cacheinfo", f"100644,{blob},{name}", env=index)
    tree = git.run("write-tree", env=index)
    return git.run("commit-tree", tree, "-p", chain[-2], "-m", "the last one", env=_DATES)
