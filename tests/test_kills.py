"""regress is killed at any moment and goes on: nothing lost, nothing doubled, nothing left.

MEMDESC_KILLS=N makes N random kills (default 50; about 2 a second), MEMDESC_SEED repeats them.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.killdriver import PHASES
from tests.minikernel import MiniKernel, make_mini

ROOT = Path(__file__).parent.parent
KILLS = int(os.environ.get("MEMDESC_KILLS", "50"))
LONG = 600 + 60 * KILLS
"""Seconds: what the kills are given, however slow the machine."""

HOOK = """\
#!/bin/sh
# Called by the mini kernel as it is configured, compiled and run: $1 says which, $2 is a directory.
if [ "$1" = "$KILL_IN" ]
then
	echo half > "$2/half.o"
	setsid sleep 1000 &
	kill -s KILL -- "$KILL_TARGET"
	sleep 1000
fi
exec sleep 0.04
"""


@dataclass
class Lab:
    """A mini kernel, its project, and caches in which regress is killed."""

    mini: MiniKernel
    root: Path
    phases: Counter[str] = field(default_factory=Counter)
    caches: int = 0

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def new_cache(self) -> Path:
        self.caches += 1
        return self.root / f"cache-{self.caches}"

    def start(
        self, cache: Path, *args: str, tree: Path | None = None, **env: str
    ) -> subprocess.Popen[bytes]:
        with (self.root / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.killdriver", "regress", "--project",
                 str(self.mini.project), "--tree", str(tree or self.mini.tree.path),
                 "--upto", "2", *args],
                cwd=ROOT,
                env={**os.environ, "MEMDESC_TOOL_CACHE": str(cache), "TMPDIR": str(self.temporary),
                     "PHASE_FILE": str(self.root / "phase"), "MINI_HOOK": str(self.root / "hook"),
                     **env},
                start_new_session=True,
                stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def output(self) -> str:
        """What the last call printed, without what differs from cache to cache."""
        text = (self.root / "output").read_text()
        return re.sub(r"log: .*|cache-\d+", "", text)

    def phase(self) -> str:
        return (self.root / "phase").read_text().strip()

    def killed(self) -> None:
        self.phases[self.phase()] += 1

    def finish(self, cache: Path) -> str:
        """Let it go to its end; what it printed."""
        process = self.start(cache)
        assert process.wait(60) == 0, self.output()
        return self.output()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(make_mini(tmp_path), tmp_path)
    lab.temporary.mkdir()
    hook = tmp_path / "hook"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    (tmp_path / "phase").write_text("start")
    return lab


# --- what must be the same in the end -----------------------------------------------------------


@dataclass(frozen=True)
class State:
    """All that a cache holds in the end: runs and results, files but for objects, logs."""

    runs: list[tuple[object, ...]]
    files: frozenset[str]
    logs: dict[str, str]


# Objects that nothing refers to any more, and what stands for the path of the cache.
_VARIES = re.compile(r"/objects/[0-9a-f]{2}(/[0-9a-f]+)?$|(?<=^locks/build-)[0-9a-f]+")


def state(cache: Path) -> State:
    with closing(sqlite3.connect(f"file:{cache}/results.sqlite?mode=ro", uri=True)) as database:
        runs = database.execute(
            "SELECT run.id, key, inputs, outcome, run.detail, position, name, status,"
            " result.detail FROM run LEFT JOIN result ON run.id = result.run"
            " ORDER BY key, run.id, position"
        ).fetchall()
        logs = database.execute("SELECT key, log FROM run ORDER BY key, id").fetchall()
    order = {run: n for n, run in enumerate(dict.fromkeys(row[0] for row in runs))}
    files = {str(path.relative_to(cache)) for path in cache.rglob("*")}
    return State(
        [(order[row[0]], *row[1:]) for row in runs],
        frozenset(_VARIES.sub("", file) for file in files),
        {f"{key} {n}": Path(log).read_text().replace(str(cache), "CACHE")
         for n, (key, log) in enumerate(logs)},
    )  # fmt: skip


def processes(cache: Path) -> list[str]:
    """The processes that have to do with a cache, by command line, directory or environment."""
    found = []
    wanted = os.fsencode(cache)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            where = os.fsencode((entry / "cwd").readlink())
            if any(wanted in text for text in (command, where, (entry / "environ").read_bytes())):
                found.append(f"{entry.name}: {command!r}")
    return found


def check_nothing_left(lab: Lab, cache: Path) -> None:
    """No process, lock, worktree registration, temporary file; the repository is whole."""
    assert processes(cache) == []
    for lock in (cache / "locks").iterdir():
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert sorted(path.name for path in lab.temporary.iterdir()) == []
    (scratch,) = cache.glob("work/*/scratch.git")
    assert [path.name for path in (scratch / "worktrees").iterdir()] == ["am"]
    done = subprocess.run(
        ["git", "-C", scratch, "fsck", "--no-dangling", "--full"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def check(lab: Lab, cache: Path, quiet: State, printed: str, expected: str) -> None:
    """That cache is what an undisturbed run has left, and printed what that printed."""
    check_nothing_left(lab, cache)
    now = state(cache)
    assert now.runs == quiet.runs
    assert now.files ^ quiet.files == set()
    assert now.logs == quiet.logs
    assert printed == expected


# --- kills ------------------------------------------------------------------------------------


@pytest.mark.timeout(LONG)
def test_killed_at_random_moments_it_goes_on(lab: Lab) -> None:
    seed = int(os.environ.get("MEMDESC_SEED", random.randrange(1 << 32)))
    print(f"MEMDESC_SEED={seed}")
    chance = random.Random(seed)
    before = lab.mini.tree.state()
    first = lab.new_cache()
    began = time.monotonic()
    expected = lab.finish(first)
    duration = time.monotonic() - began
    quiet = state(first)
    moments = [duration * (n + chance.random()) / KILLS for n in range(KILLS)]
    chance.shuffle(moments)
    cache, fresh = lab.new_cache(), True
    kills = 0
    while kills < KILLS:
        whom = ("alone", "group")[kills % 2]
        began = time.monotonic()
        process = lab.start(cache)
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0, moments[kills] - (time.monotonic() - began)))
        if process.poll() is None:
            lab.killed()
            (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGKILL)
            kills += 1
        if process.wait() == 0:  # it came to its end before; the next kills are in a new cache
            check(lab, cache, quiet, lab.output(), expected)
            if fresh and kills < KILLS:
                # The first run was slow by chance: none would ever reach this moment.
                moments[kills] *= 0.8
            cache, fresh = lab.new_cache(), True
        else:
            assert process.returncode == -signal.SIGKILL, lab.output()
            fresh = False
    check(lab, cache, quiet, lab.finish(cache), expected)
    assert lab.mini.tree.state() == before
    print(f"{kills} kills over {duration:.1f} s in {lab.caches - 1} caches: {dict(lab.phases)}")


POINTS = (
    "start:1", "start:3", "start:8", "apply:1", "apply:2", "apply:6", "apply:9", "overlay:1",
    "overlay:4", "overlay:8", "checkout:1", "checkout:2", "configure:1", "configure:3",
    "configure:in", "configure:4", "compile:1", "compile:in", "compile:2", "boot:1", "boot:in",
    "store:1", "store:2", "store:3", "store:4", "store:5", "checkout:1", "compile:in",
)  # fmt: skip


@pytest.mark.parametrize("turn", range(2 if KILLS > 50 else 1))
def test_killed_at_every_phase_it_goes_on(lab: Lab, turn: int) -> None:
    """The points are in the order in which a run comes to them, so each run reaches the next."""
    first, cache = lab.new_cache(), lab.new_cache()
    expected = lab.finish(first)
    for number, point in enumerate(POINTS):
        phase, _, place = point.partition(":")
        how = {"KILL_IN": phase} if place == "in" else {"KILL_AT": point}
        process = lab.start(cache, KILL_WHOM=("alone", "group")[(number + turn) % 2], **how)
        assert process.wait(60) == -signal.SIGKILL, f"{point} was not reached: {lab.output()}"
        assert lab.phase() == phase
        lab.killed()
    check(lab, cache, state(first), lab.finish(cache), expected)
    assert set(lab.phases) == set(PHASES)


# --- two at a time ----------------------------------------------------------------------------

STALLING_GIT = """\
#!/bin/sh
# git; the first read-tree into the source worktree kills the tool and waits to be told to go on.
case "$*" in *--git-dir=*read-tree*)
	if mkdir "$STALLED" 2>/dev/null
	then
		kill -s KILL -- "$KILL_TARGET"
		read -r word < "$GO_ON"
	fi;;
esac
exec "$REAL_GIT" "$@"
"""


def test_a_git_that_outlives_the_tool_keeps_the_next_call_waiting(lab: Lab) -> None:
    """The tool is killed alone: what its git still writes must not meet the next call's git."""
    first, cache = lab.new_cache(), lab.new_cache()
    expected = lab.finish(first)
    (lab.root / "bin").mkdir()
    git = lab.root / "bin" / "git"
    git.write_text(STALLING_GIT)
    git.chmod(0o755)
    go_on = lab.root / "go-on"
    os.mkfifo(go_on)
    env = {"PATH": f"{git.parent}:{os.environ['PATH']}", "REAL_GIT": shutil.which("git") or "",
           "STALLED": str(lab.root / "stalled"), "GO_ON": str(go_on)}  # fmt: skip
    assert lab.start(cache, KILL_WHOM="alone", **env).wait(60) == -signal.SIGKILL
    assert processes(cache), "git should still be there"
    second = lab.start(cache, **env)
    with suppress(subprocess.TimeoutExpired):  # it must not get to its end before git does
        second.wait(2)
    assert second.poll() is None, lab.output()
    go_on.write_text("go\n")
    assert second.wait(60) == 0, lab.output()
    printed = lab.output()
    assert printed.splitlines()[0].startswith("  waiting for another memdesc-tool that uses work-")
    check(lab, cache, state(first), printed.partition("\n")[2], expected)


def test_two_clones_at_once_run_each_job_once(lab: Lab) -> None:
    """Two trees with the same content have worktrees of their own, but the same results."""
    clone = lab.root / "clone" / "kernel"
    clone.parent.mkdir()
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", lab.mini.tree.path, clone], check=True)
    cache = lab.new_cache()
    both = [lab.start(cache), lab.start(cache, tree=clone)]
    assert [process.wait(120) for process in both] == [0, 0]
    with closing(sqlite3.connect(cache / "results.sqlite")) as database:
        runs = database.execute("SELECT key, count(*) FROM run GROUP BY key").fetchall()
    assert [count for _, count in runs] == [1] * 3
    built = [len(file.read_text().splitlines()) for file in cache.glob("work/built")]
    assert built == [3]


def test_what_is_run_again_stays_stored_until_it_has_run(lab: Lab) -> None:
    cache = lab.new_cache()
    lab.finish(cache)
    before = state(cache)
    process = lab.start(cache, "--rerun", KILL_WHOM="group", KILL_IN="boot")
    assert process.wait(60) == -signal.SIGKILL
    assert state(cache).runs == before.runs
    assert state(cache).logs == before.logs
    assert lab.start(cache, "--rerun").wait(60) == 0
    after = state(cache)
    assert [row[1:] for row in after.runs] == [row[1:] for row in before.runs]
    assert sorted(after.logs.values()) == sorted(before.logs.values())
    logs = [path for path in cache.glob("logs/*/*") if path.is_dir()]
    assert len(logs) == 3


def test_what_a_killed_git_leaves_is_removed(lab: Lab) -> None:
    """Locks, half an object, a worktree whose making was killed (git keeps it locked)."""
    cache = lab.new_cache()
    expected = lab.finish(cache)
    (scratch,) = cache.glob("work/*/scratch.git")
    for name in ("results.sqlite", "work/built"):
        (cache / name).unlink()
    shutil.rmtree(scratch / "refs" / "memdesc")
    (scratch / "worktrees" / "am" / "locked").write_text("initializing")
    shutil.rmtree(scratch.parent / "am")
    left = [scratch / name for name in ("config.lock", "packed-refs.lock", "refs/memdesc/x/y.lock",
            "objects/aa/tmp_obj_x", "objects/pack/tmp_pack_x")]  # fmt: skip
    left += [scratch.parent / "write.1.index.lock", scratch.parent / "src.index.lock"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert lab.finish(cache) == expected
    check_nothing_left(lab, cache)
    assert [path for path in left if path.exists()] == []
