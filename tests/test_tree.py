"""Bases: trees of the user's in every state, and releases in the cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool import distribution, tree
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import UserError
from memdesc_tool.process import capture

from .conftest import GitTree, Tool


def resolve(spec: str | Path, cache: Cache, revision: str | None = None) -> tree.Base:
    return tree.resolve(str(spec), cache, Progress(), revision=revision)


# -- trees of the user's ---------------------------------------------------------------


def test_a_clean_tree_is_its_head(minitree: GitTree, cache: Cache) -> None:
    before = minitree.state()
    base = resolve(minitree.path, cache)
    assert base.users
    assert base.commit == minitree.git("rev-parse", "HEAD")
    assert base.repository == minitree.path / ".git"
    assert "not included" not in base.origin
    assert minitree.state() == before


def test_a_dirty_tree_is_its_head_and_says_so(minitree: GitTree, cache: Cache) -> None:
    (minitree.path / "Makefile").write_text("changed\n")
    (minitree.path / "new").write_text("not committed\n")
    minitree.git("add", "new")
    before = minitree.state()
    index = (minitree.path / ".git" / "index").read_bytes()
    base = resolve(minitree.path, cache)
    assert base.commit == minitree.git("rev-parse", "HEAD")
    assert "uncommitted changes are not included" in base.origin
    assert (minitree.path / ".git" / "index").read_bytes() == index
    assert minitree.state() == before


def test_an_index_that_is_out_of_date_is_not_refreshed(minitree: GitTree, cache: Cache) -> None:
    os.utime(minitree.path / "Makefile", (1, 1))
    index = (minitree.path / ".git" / "index").read_bytes()
    assert "not included" not in resolve(minitree.path, cache).origin
    assert (minitree.path / ".git" / "index").read_bytes() == index


def test_a_subdirectory_and_a_linked_worktree_are_the_same_repository(
    minitree: GitTree, cache: Cache, tmp_path: Path
) -> None:
    minitree.git("commit", "-q", "--allow-empty", "-m", "second")
    linked = tmp_path / "linked"
    minitree.git("worktree", "add", "-q", "--detach", str(linked), "HEAD~1")
    whole = resolve(minitree.path, cache)
    below = resolve(minitree.path / "sub", cache)
    beside = resolve(linked, cache)
    assert below.commit == whole.commit
    assert beside.commit == minitree.git("rev-parse", "HEAD~1"), "the HEAD of that worktree"
    assert whole.key() == below.key() == beside.key()


def test_a_bare_repository(minitree: GitTree, cache: Cache, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    minitree.git("clone", "-q", "--bare", str(minitree.path), str(bare))
    base = resolve(bare, cache)
    assert (base.commit, base.repository) == (minitree.git("rev-parse", "HEAD"), bare)
    assert base.key() != resolve(minitree.path, cache).key()


def test_a_shallow_clone_says_so(minitree: GitTree, cache: Cache, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    minitree.git("clone", "-q", "--depth=1", f"file://{minitree.path}", str(shallow))
    base = resolve(shallow, cache)
    assert base.commit == minitree.git("rev-parse", "HEAD")
    assert "shallow" in base.origin


def test_a_branch_without_a_commit_is_the_users_error(minitree: GitTree, cache: Cache) -> None:
    minitree.git("checkout", "-q", "--orphan", "unborn")
    with pytest.raises(UserError, match="no commit yet"):
        resolve(minitree.path, cache)
    assert resolve(minitree.path, cache, "main").commit == minitree.git("rev-parse", "main")


def test_a_revision_is_found_or_the_users_error(minitree: GitTree, cache: Cache) -> None:
    minitree.git("commit", "-q", "--allow-empty", "-m", "second")
    assert resolve(minitree.path, cache, "main~1").commit == minitree.git("rev-parse", "main~1")
    with pytest.raises(UserError, match="nonsense"):
        resolve(minitree.path, cache, "nonsense")


@pytest.mark.parametrize("spec", ["nowhere", "linux", "7.x", "6", "7.3-rc1", "7.3/x", ""])
def test_what_is_neither_release_nor_tree_is_the_users_error(
    cache: Cache, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        resolve(spec, cache)


def test_a_directory_and_a_file_that_are_no_tree(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for name in ("file", "directory"):
        with pytest.raises(UserError):
            resolve(tmp_path / name, cache)


def test_git_variables_of_the_caller_do_not_lead_elsewhere(
    minitree: GitTree, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a git hook, or under `git bisect run`."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=true'")
    assert resolve(minitree.path, cache).commit == minitree.git("rev-parse", "HEAD")


# -- releases in the cache -------------------------------------------------------------


def put(cache: Cache, name: str, minitree: GitTree) -> tree.Obtained:
    """A release in the cache, made from minitree's files."""
    tar = minitree.path.parent / "mini.tar"
    minitree.git("archive", "--prefix=linux/", "-o", str(tar), "HEAD")
    archive = tree._Archive(
        tree.Source.KERNEL_ORG, name, f"Linux {name}, a test", "a test\n", "0" * 64, 1,
        lambda: tar.open("rb"),
    )  # fmt: skip
    return tree._import(name, cache, archive, Progress())


def test_a_cached_release_is_found_without_apt_or_network(
    minitree: GitTree, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "7.3", minitree)
    monkeypatch.setenv("PATH", str(Path(capture(["which", "git"], cwd=Path("/")).output).parent))
    monkeypatch.setenv("MEMDESC_TOOL_KERNEL_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(distribution, "this_distribution", lambda: pytest.fail("apt was asked"))
    base = resolve("7.3", cache)
    assert (base.name, base.users, base.origin) == ("7.3", False, "Linux 7.3, a test")
    assert resolve("v7.3", cache) == base


def test_a_release_has_no_other_revision(minitree: GitTree, cache: Cache) -> None:
    put(cache, "7.3", minitree)
    with pytest.raises(UserError, match="one commit only"):
        resolve("7.3", cache, "HEAD")


def test_a_release_from_elsewhere_is_not_passed_off(minitree: GitTree, cache: Cache) -> None:
    put(cache, "7.3", minitree)
    with pytest.raises(UserError, match=r"already, from kernel\.org"):
        tree.resolve("7.3", cache, Progress(), sourcing=tree.Sourcing(tree.Source.APT))


@pytest.mark.parametrize(
    "damage", ["json", "truncated json", "no json", "pack", "no pack", "no index", "name"]
)
def test_a_damaged_release_is_not_there(minitree: GitTree, cache: Cache, damage: str) -> None:
    put(cache, "7.3", minitree)
    place = cache.trees / "7.3"
    description = place / "tree.json"
    pack = next((place / "objects" / "pack").glob("*.pack"))
    pack.chmod(0o644)
    match damage:
        case "json":
            description.write_text("[]")
        case "truncated json":
            description.write_text(description.read_text()[:-20])
        case "no json":
            description.unlink()
        case "pack":
            pack.write_bytes(pack.read_bytes()[:-1])
        case "no pack":
            pack.unlink()
        case "no index":
            pack.with_suffix(".idx").unlink()
        case "name":
            place.rename(cache.trees / "7.4")
    assert tree.find("7.3", cache) is None
    assert tree.find("7.4", cache) is None
    assert put(cache, "7.3", minitree) == tree.find("7.3", cache)


def test_releases_are_listed_and_removed(
    minitree: GitTree, cache: Cache, tool: Tool, tmp_path: Path
) -> None:
    assert cache.root == tmp_path / "cache"
    assert "no releases" in tool("tree", "list").out
    found = put(cache, "7.3", minitree)
    put(cache, "6.12", minitree)
    lines = tool("tree", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["6.12", "7.3"]
    assert found.commit[:12] in lines[1]
    assert lines[1].endswith("Linux 7.3, a test")
    assert found.obtained[:10] in lines[1]
    bad = tool("tree", "remove", "7.3", "9.9")
    assert bad.status == 2
    assert "9.9" in bad.err
    assert tree.find("7.3", cache), "nothing is removed where a name is wrong"
    assert tool("tree", "remove", "../logs").status == 2
    assert tool("tree", "remove", "7.3").status == 0
    assert [one.name for one in tree.releases(cache)] == ["6.12"]


def test_tree_get_says_what_a_tree_is(minitree: GitTree, tool: Tool) -> None:
    got = tool("tree", "get", minitree.path)
    assert got.status == 0
    assert minitree.git("rev-parse", "HEAD") in got.out


@pytest.mark.kernel
@pytest.mark.skipif(
    distribution.this_distribution() is None, reason="no apt of a known distribution"
)
def test_a_real_release_through_apt_survives_a_kill(cache: Cache, tmp_path: Path) -> None:
    """7.3 from this machine's mirror; killed within the import, the next call goes on."""
    argv = [sys.executable, "-m", "memdesc_tool.cli", "tree", "get", "7.3", "--from", "apt"]
    env = {**os.environ, "MEMDESC_TOOL_CACHE": str(cache.root)}
    running = subprocess.Popen(argv, env=env, cwd=tmp_path, start_new_session=True)
    half = cache.trees / ".7.3.new"
    while not list(half.glob("objects/pack/tmp_pack_*")):
        assert running.poll() is None, "it has to get as far as the import"
    downloaded = (cache.apt / "download.log").stat().st_mtime_ns
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert tree.find("7.3", cache) is None

    base = tree.resolve("7.3", cache, Progress(), sourcing=tree.Sourcing(tree.Source.APT))
    assert "linux-source-7.3" in base.origin
    again = (cache.apt / "download.log").stat().st_mtime_ns
    assert again == downloaded, "the finished download is used"
    assert not half.exists()
    assert not (cache.downloads / "7.3").exists()

    def git(*args: str) -> str:
        return capture(["git", *args], cwd=base.repository).output

    makefile = git("cat-file", "blob", f"{base.commit}:Makefile")
    assert "VERSION = 7\nPATCHLEVEL = 3\n" in makefile
    assert "not v7.3" in git("log", "-1", "--format=%b", base.commit)
    names = git("ls-tree", "-r", "--name-only", base.commit).splitlines()
    assert len(names) > 90_000
    assert {".gitignore", "mm/migrate.c", "tools/testing/kunit/kunit.py"} <= set(names)
    version = json.loads((base.repository / "tree.json").read_text())["version"]
    assert version.startswith("7.3")
