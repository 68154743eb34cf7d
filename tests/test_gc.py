"""Giving space back: leftovers and old things go, what is in use and the results stay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from memdesc_tool import reclaim
from memdesc_tool.cache import CARRY_STATE, Cache
from memdesc_tool.workspace import workspace_key

from .conftest import GitTree, Tool
from .test_tree import put

OLD = time.time() - 30 * reclaim.DAY


def fill(path: Path, used: float | None = None) -> Path:
    """A directory with a file in it, last used at used (seconds since the epoch)."""
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file").write_bytes(b"x" * 10_000)
    if used:
        os.utime(path, (used, used))
    return path


def collect(cache: Cache, days: float = 14, everything: bool = False) -> dict[str, bool]:
    """Run gc; what it chose (path below the cache) and whether it was removed."""
    found = reclaim.chosen(reclaim.items(cache), cache, older_than=days, everything=everything)
    done = reclaim.reclaim(found, cache, lambda _text: None)
    return {str(one.item.path.relative_to(cache.root)): one.removed for one in done}


def test_only_what_is_old_is_removed(cache: Cache) -> None:
    old = [fill(parent / "old", OLD) for parent in (cache.work, cache.build, cache.logs,
                                                    cache.downloads)]  # fmt: skip
    new = [fill(path.with_name("new")) for path in old]
    assert set(collect(cache)) == {str(path.relative_to(cache.root)) for path in old}
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)


def test_use_is_what_took_the_lock_last(cache: Cache) -> None:
    """The directory's own time says little: a build changes files deep below."""
    kept = fill(cache.build / "tree-1", OLD)
    with cache.lock("work-tree-1"):
        pass
    assert collect(cache) == {}
    assert kept.exists()
    os.utime(cache.locks / "work-tree-1.lock", (OLD, OLD))
    assert collect(cache) == {"build/tree-1": True}


def test_days_count(cache: Cache) -> None:
    fill(cache.work / "tree-1", OLD)
    assert collect(cache, days=31) == {}
    assert collect(cache, days=29) == {"work/tree-1": True}


@pytest.mark.parametrize("everything", [False, True])
def test_a_conflict_that_waits_stays(cache: Cache, minitree: GitTree, everything: bool) -> None:
    """And so does the tree whose objects its workspace borrows."""
    put(cache, "7.3", minitree)
    work = fill(cache.work / f"{workspace_key(cache.trees / '7.3')}-reading")
    (work / CARRY_STATE).write_text("{}")
    os.utime(work, (OLD, OLD))
    assert not any(collect(cache, everything=everything).values())
    assert (work / "deep" / "file").exists()
    assert (cache.trees / "7.3").exists()
    (work / CARRY_STATE).unlink()
    os.utime(work, (OLD, OLD))
    assert collect(cache)[f"work/{work.name}"]


@pytest.mark.parametrize("everything", [False, True])
def test_what_is_locked_stays(cache: Cache, everything: bool) -> None:
    used = [fill(parent / "tree-1", OLD) for parent in (cache.work, cache.build)]
    download = fill(cache.downloads / "7.3", OLD)
    half = fill(cache.trees / ".7.3.new", OLD)
    with cache.lock("work-tree-1"), cache.lock("tree-7.3"):
        for name in ("work-tree-1", "tree-7.3"):
            os.utime(cache.locks / f"{name}.lock", (OLD, OLD))
        assert not any(collect(cache, everything=everything).values())
    assert all(path.exists() for path in (*used, download, half))
    assert all(collect(cache, everything=everything).values())
    assert not any(path.exists() for path in (*used, download, half))


def test_logs_stay_while_anything_runs(cache: Cache) -> None:
    log = fill(cache.logs / "run", OLD)
    with cache.lock("build-abc"):
        assert collect(cache) == {"logs/run": False}
    assert log.exists()
    assert collect(cache) == {"logs/run": True}


def test_leftovers_go_whatever_their_age(cache: Cache, minitree: GitTree) -> None:
    put(cache, "7.3", minitree)
    damaged = fill(cache.trees / "7.4")
    half = fill(cache.trees / ".7.5.new")
    finished = fill(cache.downloads / "7.3")
    needed = fill(cache.downloads / "7.5")
    assert set(collect(cache)) == {"trees/7.4", "trees/.7.5.new", "downloads/7.3"}
    assert not any(path.exists() for path in (damaged, half, finished))
    assert needed.exists()
    assert (cache.trees / "7.3").exists()


def test_trees_stay_unless_all(cache: Cache, minitree: GitTree) -> None:
    put(cache, "7.3", minitree)
    place = cache.trees / "7.3"
    os.utime(place, (OLD, OLD))
    assert collect(cache) == {}
    with cache.lock(f"work-{workspace_key(place)}"):
        assert collect(cache, everything=True) == {"trees/7.3": False}
    assert place.exists()
    assert collect(cache, everything=True) == {"trees/7.3": True}
    assert not place.exists()


def test_results_stay_always(cache: Cache) -> None:
    for name in ("results.sqlite", "results.sqlite-wal", "other"):
        (cache.root / name).write_bytes(b"x")
    fill(cache.resolutions, OLD)
    with cache.lock("some"):
        pass
    assert collect(cache, everything=True) == {"other": True}
    assert {path.name for path in cache.root.iterdir()} == {
        "results.sqlite", "results.sqlite-wal", "locks", "rr-cache",
    }  # fmt: skip


def test_links_out_of_the_cache_are_not_followed(cache: Cache, tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside")
    inside = fill(cache.work / "tree-1", None)
    (inside / "link").symlink_to(outside)
    (cache.build).mkdir()
    (cache.build / "tree-1").symlink_to(outside)
    assert all(collect(cache, everything=True).values())
    assert (outside / "deep" / "file").exists()
    assert not inside.exists()


def test_the_command_says_what_and_how_much(cache: Cache, tool: Tool) -> None:
    path = fill(cache.work / "tree-1", OLD)
    planned = tool("gc", "--dry-run")
    assert planned.status == 0
    assert "source worktree of tree-1" in planned.out
    assert "would be given back" in planned.out
    assert path.exists()
    with cache.lock("work-tree-1"):
        os.utime(cache.locks / "work-tree-1.lock", (OLD, OLD))
        assert "a running command uses it" in tool("gc").out
    done = tool("gc")
    assert "kB  was given back" in done.out
    assert not path.exists()
    assert tool("gc").out.split() == ["0", "bytes", "was", "given", "back"]
    assert tool("gc", "--older-than", "-1").status == 2
