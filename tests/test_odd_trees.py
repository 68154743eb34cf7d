"""Trees in every state that a maintainer's tree can be in: each works or is refused clearly."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memdesc_tool.apply import apply_stack
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import UserError
from memdesc_tool.series import read_stack
from memdesc_tool.tree import resolve
from memdesc_tool.workspace import open_workspace
from tests.conftest import GitTree, Tool, numbers
from tests.minikernel import make_mini

ROOT = os.geteuid() == 0
WANTED = numbers((3, "line three"), (20, "line twenty")).encode()


def can_mount() -> bool:
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return done.returncode == 0


needs_mount = pytest.mark.skipif(
    not shutil.which("unshare") or not can_mount(), reason="needs a mount namespace (root)"
)


def applied(path: Path, project: Path, cache: Cache) -> bytes | None:
    """Apply the project's stack to the tree and check it out; a.txt there."""
    progress = Progress()
    base = resolve(str(path), cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        patches = read_stack(project / "patches").patches
        tip = apply_stack(workspace, base.commit, patches, progress)[-1].commit
        return (workspace.checkout(tip) / "a.txt").read_bytes()


def works(path: Path, project: Path, cache: Cache) -> None:
    tree = GitTree(path)
    before = tree.state()
    assert applied(path, project, cache) == WANTED
    assert tree.state() == before


@pytest.mark.parametrize(
    "name",
    ["with space", "\u00fcml\u00e4ut", "new\nline", "new\n", 'quo"te', '"quoted"', "back\\slash",
     "-dash", "#hash", "$HOME", "a:b", "*", "\udcff"],
)  # fmt: skip
def test_a_path_of_any_kind(
    minitree: GitTree, project: Path, cache: Cache, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "odd" / name
    path.parent.mkdir()
    minitree.path.rename(path)
    works(path, project, cache)


def test_a_cache_at_an_odd_path(minitree: GitTree, project: Path, tmp_path: Path) -> None:
    for name in ("with space", "\u00fcml\u00e4ut", "quo'te\"", "$x"):
        works(minitree.path, project, Cache(tmp_path / "caches" / name))


def test_a_linked_worktree(minitree: GitTree, project: Path, cache: Cache, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    minitree.git("worktree", "add", "-q", str(linked), "-b", "side", "main")
    (linked / "a.txt").write_text("dirty\n")
    before = minitree.state()
    works(linked, project, cache)
    assert minitree.state() == before


def test_a_bare_repository(minitree: GitTree, project: Path, cache: Cache, tmp_path: Path) -> None:
    for name in ("bare.git", "bare\n"):
        minitree.git("clone", "-q", "--bare", str(minitree.path), str(tmp_path / name))
        works(tmp_path / name, project, cache)


def test_a_clone_that_borrows_itself(
    minitree: GitTree, project: Path, cache: Cache, tmp_path: Path
) -> None:
    minitree.git("clone", "-q", "--shared", str(minitree.path), str(tmp_path / "shared"))
    works(tmp_path / "shared", project, cache)


def test_a_shallow_clone_with_a_branch(
    minitree: GitTree, project: Path, cache: Cache, tmp_path: Path
) -> None:
    minitree.git("commit", "-q", "--allow-empty", "-m", "second")
    shallow = tmp_path / "shallow"
    minitree.git("clone", "-q", "--depth=1", f"file://{minitree.path}", str(shallow))
    works(shallow, project, cache)
    assert "shallow" in resolve(str(shallow), cache, Progress()).origin


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone(
    minitree: GitTree, project: Path, cache: Cache, tmp_path: Path, kind: str
) -> None:
    """What it lacks is fetched into the cache, not into the clone."""
    minitree.git("config", "uploadpack.allowFilter", "true")
    minitree.git("config", "uploadpack.allowAnySHA1InWant", "true")
    partial = tmp_path / "partial"
    minitree.git("clone", "-q", f"--filter={kind}", "--no-checkout", f"file://{minitree.path}",
                 str(partial))  # fmt: skip
    if kind == "blob:none":
        GitTree(partial).git("read-tree", "HEAD")
    else:
        # Without an index everything is deleted; git has to be kept from fetching to see that.
        (partial / ".git" / "index").unlink(missing_ok=True)
    before = GitTree(partial).state()
    assert applied(partial, project, cache) == WANTED
    assert GitTree(partial).state() == before
    # Once there, always there.
    minitree.path.rename(tmp_path / "gone")
    assert applied(partial, project, cache) == WANTED


def test_a_partial_clone_whose_server_is_gone(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    minitree.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    minitree.git("clone", "-q", "--filter=blob:none", "--no-checkout",
                 f"file://{minitree.path}", str(partial))  # fmt: skip
    minitree.path.rename(tmp_path / "gone")
    ran = tool("apply", "--project", project, "--tree", partial)
    assert ran.status == 3, ran
    assert "promisor remote" in ran.err or "could not fetch" in ran.err
    assert len(ran.err.strip().splitlines()) <= 2


def test_no_commit_is_refused(tool: Tool, minitree: GitTree, project: Path) -> None:
    minitree.git("checkout", "-q", "--orphan", "unborn")
    before = minitree.state()
    ran = tool("apply", "--project", project, "--tree", minitree.path)
    assert (ran.status, "has no commit yet" in ran.err) == (2, True)
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--rev", "main")
    assert ran.status == 0, ran.err
    assert minitree.state() == before


def test_a_locked_index_is_no_matter(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    """Not even for --branch: the index is not touched."""
    (minitree.path / ".git" / "index.lock").write_text("")
    before = minitree.state()
    home = home_of(tmp_path)
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "b",
               HOME=str(home))  # fmt: skip
    assert ran.status == 0, ran.err
    after = minitree.state()
    assert {k: v for k, v in after.items() if "index" in k} == {
        k: v for k, v in before.items() if "index" in k
    }


def test_a_locked_branch_is_refused(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    (minitree.path / ".git" / "refs" / "heads" / "b.lock").write_text("")
    home = home_of(tmp_path)
    for name, problem in (("b", "File exists"), ("main/b", "refs/heads/main")):
        ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", name,
                   HOME=str(home))  # fmt: skip
        assert (ran.status, problem in ran.err) == (2, True), ran.err
        assert f"cannot make refs/heads/{name}" in ran.err


def test_settings_of_the_tree_do_not_lead_the_branch_elsewhere(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.git"
    minitree.git("clone", "-q", "--bare", str(minitree.path), str(elsewhere))
    gpg = tmp_path / "gpg"
    gpg.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    gpg.chmod(0o755)
    head, _, message = minitree.git("cat-file", "commit", "HEAD").partition("\n\n")
    signature = "-----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    (tmp_path / "signed").write_text(f"{head}\ngpgsig {signature}\n\n{message}\n")
    signed = minitree.git("hash-object", "-t", "commit", "-w", str(tmp_path / "signed"))
    minitree.git("update-ref", "refs/heads/main", signed)
    for key, value in (
        (f"url.{elsewhere}.insteadOf", "/"), (f"url.{elsewhere}.pushInsteadOf", "/"),
        ("fetch.prune", "true"), ("fetch.writeCommitGraph", "true"), ("log.showSignature", "true"),
        ("transfer.fsckObjects", "true"), ("core.fsmonitor", f"touch {tmp_path}/ran"),
        ("gpg.program", str(gpg)), ("commit.gpgSign", "true"),
        ("core.alternateRefsCommand", f"touch {tmp_path}/ran"), ("include.path", "nowhere"),
        ("user.name", "M. Tainer"), ("user.email", "m@example.org"), ("core.quotePath", "false"),
        ("color.ui", "always"), ("core.pager", f"touch {tmp_path}/ran"),
    ):  # fmt: skip
        minitree.git("config", key, value)
    before = minitree.state()
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "b")
    assert ran.status == 0, ran.err
    after = minitree.state()
    changed = {name for name in after | before if after.get(name) != before.get(name)}
    assert {name for name in changed if not name.startswith("git/objects")} == {
        "refs", "git/refs/heads", "git/refs/heads/b", "git/logs/refs/heads",
        "git/logs/refs/heads/b",
    }  # fmt: skip
    assert minitree.git("show", "b:a.txt").encode() + b"\n" == WANTED
    assert not (tmp_path / "ran").exists()


def test_variables_of_git_change_nothing(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    plain = tool("apply", "--project", project, "--tree", minitree.path)
    ran = tool(
        "apply", "--project", project, "--tree", minitree.path,
        MEMDESC_TOOL_CACHE=str(tmp_path / "second"), GIT_DIR=str(other), GIT_WORK_TREE=str(other),
        GIT_INDEX_FILE=str(other / "index"), GIT_OBJECT_DIRECTORY=str(other), GIT_TRACE="1",
        GIT_TEMPLATE_DIR=str(other), GIT_CONFIG_PARAMETERS="'am.keepcr=true'",
        GIT_AUTHOR_DATE="1 +0000", GIT_COMMITTER_DATE="1 +0000", GIT_DEFAULT_HASH="sha256",
        GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="core.autocrlf", GIT_CONFIG_VALUE_0="true",
        GIT_EXTERNAL_DIFF="false", GIT_NAMESPACE="x", GIT_REPLACE_REF_BASE="refs/x/",
        GIT_PYTHON_GIT_EXECUTABLE="/nowhere/git", GIT_CEILING_DIRECTORIES="/",
    )  # fmt: skip
    assert (ran.status, ran.out) == (0, plain.out), ran.err
    assert list(other.iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="chown needs root")
def test_a_tree_of_somebody_else(minitree: GitTree, project: Path, cache: Cache) -> None:
    for path in (minitree.path, *minitree.path.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    assert applied(minitree.path, project, cache) == WANTED


def test_replace_refs_and_grafts_do_not_count(
    minitree: GitTree, project: Path, cache: Cache
) -> None:
    """The commit that is named is the one that is tested."""
    blob = minitree.git("rev-parse", "main:a.txt")
    (minitree.path / "other").write_text("replaced\n")
    minitree.git("replace", blob, minitree.git("hash-object", "-w", "other"))
    assert applied(minitree.path, project, cache) == WANTED


def test_a_sha256_repository(tool: Tool, tmp_path: Path) -> None:
    tree = GitTree(tmp_path / "sha256")
    tree.path.mkdir()
    tree.git("init", "-q", "-b", "main", "--object-format=sha256")
    (tree.path / "a.txt").write_text(numbers())
    tree.commit("start")
    tree.git("checkout", "-q", "-b", "work")
    (tree.path / "a.txt").write_text(numbers((3, "line three")))
    tree.commit("a: three")
    tree.git("checkout", "-q", "main")
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "stack.toml").write_text('series = ["s"]\n')
    (tmp_path / "patches" / "s").mkdir()
    (tmp_path / "patches" / "s" / "series.toml").write_text('title = "s"\n')
    for expected in ("1 patches written", "nothing changed"):
        ran = tool("series", "export", "s", "main..work", "--tree", tree.path, cwd=tmp_path)
        assert expected in ran.out, ran.err
    before = tree.state()
    ran = tool("apply", "--tree", tree.path, cwd=tmp_path)
    assert (ran.status, "1 patches apply" in ran.out) == (0, True), ran.err
    assert tree.state() == before


def test_a_repository_that_this_git_does_not_know(
    tool: Tool, minitree: GitTree, project: Path
) -> None:
    """As an older git sees a repository with reftable."""
    config = minitree.path / ".git" / "config"
    config.write_text("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tnovelty = true\n")
    ran = tool("apply", "--project", project, "--tree", minitree.path)
    assert ran.status == 2
    assert "git cannot use this repository" in ran.err
    assert "novelty" in ran.err


def test_a_reftable_repository(project: Path, cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "reftable"
    made = subprocess.run(
        ["git", "init", "-q", "--ref-format=reftable", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this git has no reftable")
    tree = GitTree(path)
    (path / "a.txt").write_text(numbers())
    tree.commit("start")
    works(path, project, cache)


# -- mounts ----------------------------------------------------------------------------


def in_namespace(script: str, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace of its own; $tool is the tool."""
    tool = shlex.join([sys.executable, "-m", "memdesc_tool.cli"])
    return subprocess.run(
        ["unshare", "-m", "sh", "-euc", f'tool="{tool}"\n{script}', "sh", *map(str, args)],
        env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@needs_mount
def test_a_read_only_mount(minitree: GitTree, project: Path, tmp_path: Path) -> None:
    (minitree.path / "a.txt").write_text("dirty\n")
    before = minitree.state()
    done = in_namespace(
        'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; ! touch "$1/x" 2>/dev/null\n'
        '$tool apply --project "$2" --tree "$1"; status=0\n'
        '$tool apply --project "$2" --tree "$1" --branch b || status=$?; exit $status',
        minitree.path, project, MEMDESC_TOOL_CACHE=str(tmp_path / "cache"),
        HOME=str(home_of(tmp_path)),
    )  # fmt: skip
    assert "2 patches apply" in done.stdout, done.stderr
    assert done.returncode == 2
    assert "cannot make refs/heads/b" in done.stderr
    assert "Traceback" not in done.stderr
    assert minitree.state() == before


def home_of(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = M\n\temail = m@example.org\n")
    return home


@needs_mount
def test_no_space_left(minitree: GitTree, project: Path, tmp_path: Path) -> None:
    """Full at any size: one line and status 3; the next call, with space, works."""
    words = random.Random(1).randbytes(150_000).hex()
    lines = [words[n : n + 60] for n in range(0, len(words), 60)]
    (minitree.path / "big.txt").write_text("\n".join(lines) + "\n")
    minitree.commit("big: noise")
    (minitree.path / "big.txt").write_text("\n".join(["first", *lines]) + "\n")
    minitree.commit("big: more")
    series = tmp_path / "big"
    minitree.git("format-patch", "-q", "-o", str(series), "HEAD~1")
    minitree.git("reset", "-q", "--hard", "HEAD~1")
    before = minitree.state()
    mount = tmp_path / "small"
    mount.mkdir()
    done = in_namespace(
        'mount -t tmpfs -o size=2m none "$3"\n'
        "for free in 0 16 96 300 420 460 500 540 700; do\n"
        '  rm -rf "$3/cache"; dd if=/dev/zero of="$3/ballast" bs=4k 2>/dev/null || :\n'
        '  truncate -s -${free}k "$3/ballast"\n'
        '  status=0; $tool --cache "$3/cache" apply --project "$2" --tree "$1" "$4" || status=$?\n'
        '  echo "free $free status $status"; echo "-- $status" >&2\n'
        "done\n"
        'rm "$3/ballast"; $tool --cache "$3/cache" apply --project "$2" --tree "$1" "$4"',
        minitree.path, project, mount, series,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 patches apply" in done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    *calls, _ = done.stderr.split("-- ")
    statuses = [line.split()[-1] for line in done.stdout.splitlines() if "status" in line]
    assert len(statuses) == 9
    assert statuses[0] != "0"
    assert set(statuses) <= {"0", "2", "3"}, done.stdout + done.stderr
    assert "3" in statuses, done.stderr
    assert all(len(call.splitlines()) <= 4 for call in calls), done.stderr
    assert minitree.state() == before


@needs_mount
def test_no_space_for_a_source_worktree(tmp_path: Path) -> None:
    mini = make_mini(tmp_path)
    mount = tmp_path / "small"
    mount.mkdir()
    done = in_namespace(
        'mount -t tmpfs -o size=20m none "$3"\n'
        '$tool --cache "$3" regress --project "$2" --tree "$1"',
        mini.tree.path, mini.project, mount,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "needs 2.2 GB" in done.stderr
    assert "memdesc-tool gc gives space back" in done.stderr


# -- two at once -----------------------------------------------------------------------


def together(count: int, *args: str | Path, cache: Path) -> Iterator[tuple[int, str, str]]:
    """Start the tool count times at once; (status, out, err) of each."""
    argv = [sys.executable, "-m", "memdesc_tool.cli", *map(str, args)]
    env = {**os.environ, "MEMDESC_TOOL_CACHE": str(cache)}
    started = [
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in started:
        out, err = process.communicate(timeout=300)
        yield process.returncode, out, err


def test_applies_at_the_same_time(minitree: GitTree, project: Path, tmp_path: Path) -> None:
    before = minitree.state()
    args = ("apply", "--project", project, "--tree", minitree.path)
    ran = list(together(3, *args, cache=tmp_path / "cache"))
    assert [status for status, _, _ in ran] == [0, 0, 0], ran
    assert len({out for _, out, _ in ran}) == 1
    assert minitree.state() == before


def test_regressions_at_the_same_time(tmp_path: Path) -> None:
    """Both are right, and nothing is built twice."""
    mini = make_mini(tmp_path)
    before = mini.tree.state()
    args = ("regress", "--project", mini.project, "--tree", mini.tree.path)
    ran = list(together(2, *args, cache=tmp_path / "cache"))
    assert [status for status, _, _ in ran] == [0, 0], ran
    assert len({out for _, out, _ in ran}) == 1
    assert ran[0][1].splitlines()[-1].startswith("GOOD: 3 patches on ")
    assert mini.builds(tmp_path / "cache") == 4
    assert mini.tree.state() == before


def test_an_error_about_an_odd_path_is_one_line(tool: Tool, tmp_path: Path) -> None:
    ran = tool("tree", "get", tmp_path / "new\nline \udcff")
    assert ran.status == 2
    assert r"new\nline \udcff does not exist" in ran.err


def test_what_is_no_directory_is_refused(cache: Cache, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "loop", "nowhere"):
        with pytest.raises(UserError):
            resolve(str(tmp_path / name), cache, Progress())
