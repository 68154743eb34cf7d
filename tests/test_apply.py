"""Applying a stack: what goes in, what is recognised, what is refused, what stays untouched."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from memdesc_tool.apply import ConflictError, How, apply_stack
from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.series import read_stack
from memdesc_tool.tree import resolve
from memdesc_tool.workspace import open_workspace
from tests.conftest import GitTree, Tool, numbers


def apply_all(
    cache: Cache, progress: Progress, tree: GitTree, project: Path
) -> tuple[list[tuple[str, How]], str]:
    """(subject, how) of each patch, and a.txt after the last one."""
    base = resolve(str(tree.path), cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        patches = read_stack(project / "patches").patches
        applied = apply_stack(workspace, base.commit, patches, progress)
        text = workspace.scratch.blob(applied[-1].commit, "a.txt") or b""
        return [(one.numbered.patch.subject, one.how) for one in applied], text.decode()


def test_a_stack_applies_and_the_tree_stays(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path
) -> None:
    (minitree.path / "a.txt").write_text("dirty")
    (minitree.path / "new").write_text("untracked")
    before = minitree.state()
    hows, text = apply_all(cache, progress, minitree, project)
    assert [how for _, how in hows] == [How.APPLIED, How.APPLIED]
    assert text == numbers((3, "line three"), (20, "line twenty"))
    assert minitree.state() == before


def test_the_same_input_gives_the_same_commits(
    tmp_path: Path, progress: Progress, minitree: GitTree, project: Path
) -> None:
    tips = set()
    for name in ("one", "two"):
        cache = Cache(tmp_path / name)
        base = resolve(str(minitree.path), cache, progress)
        with open_workspace(cache, base, progress) as workspace:
            patches = read_stack(project / "patches").patches
            tips.add(apply_stack(workspace, base.commit, patches, progress)[-1].commit)
    assert len(tips) == 1


def test_a_moved_context_is_merged(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path
) -> None:
    text = (minitree.path / "a.txt").read_text()
    (minitree.path / "a.txt").write_text(text.replace("line 5\n", "line five\n"))
    minitree.commit("a: five")
    hows, _ = apply_all(cache, progress, minitree, project)
    assert [how for _, how in hows] == [How.THREE_WAY, How.APPLIED]


def test_a_patch_already_there_is_recognised(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path
) -> None:
    (minitree.path / "a.txt").write_text(numbers((3, "line three")))
    minitree.commit("a: somebody else was first")
    hows, text = apply_all(cache, progress, minitree, project)
    assert [how for _, how in hows] == [How.ALREADY, How.APPLIED]
    assert text == numbers((3, "line three"), (20, "line twenty"))


def test_a_conflict_names_patch_file_and_place(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path
) -> None:
    (minitree.path / "a.txt").write_text(numbers((20, "line XX")))
    minitree.commit("a: in the way")
    before = minitree.state()
    with pytest.raises(ConflictError) as caught:
        apply_all(cache, progress, minitree, project)
    assert caught.value.numbered.number == 2
    ((name, problem),) = caught.value.files
    assert name == "a.txt"
    assert "line" in problem
    assert "first/0002-" in caught.value.message
    left = caught.value.worktree
    assert "<<<<<<<" in (left / "a.txt").read_text()
    assert minitree.state() == before
    # The next call starts over by itself.
    minitree.git("reset", "-q", "--hard", "HEAD~1")
    hows, _ = apply_all(cache, progress, minitree, project)
    assert len(hows) == 2


def test_conflict_on_the_command_line(tool: Tool, minitree: GitTree, project: Path) -> None:
    (minitree.path / "a.txt").write_text(numbers((3, "no")))
    minitree.commit("a: in the way")
    ran = tool("apply", "--project", project, "--tree", minitree.path)
    assert ran.status == 1
    assert "patch 1 (first/0001-" in ran.err
    assert "a.txt" in ran.err
    assert "git am --show-current-patch" in ran.err


@pytest.mark.parametrize("name", ["../escape", "sub/../../x", ".git/hooks/post-checkout", "/etc/x"])
def test_paths_out_of_the_tree_are_refused(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path, name: str
) -> None:
    first = min((project / "patches" / "first").glob("*.patch"))
    first.write_text(
        "From: A <a@b>\nDate: Fri, 2 Jan 2026 03:04:05 +0100\nSubject: [PATCH] evil\n\nx\n---\n\n"
        f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n"
        "@@ -0,0 +1 @@\n+x\n"
    )
    with pytest.raises(UserError, match="outside of the tree"):
        apply_all(cache, progress, minitree, project)


def test_settings_of_the_user_change_nothing(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    plain = tool("apply", "--project", project, "--tree", minitree.path)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("applypatch-msg", "pre-applypatch", "post-checkout", "post-index-change"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch '{tmp_path}/hook-ran'\nexit 1\n")
        (hooks / hook).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = "{hooks}"\n\tautocrlf = true\n\tabbrev = 5\n'
        "[commit]\n\tgpgSign = true\n[am]\n\tkeepcr = true\n\tthreeWay = false\n"
        "[diff]\n\tnoprefix = true\n\tmnemonicPrefix = true\n[apply]\n\twhitespace = error\n"
        "[user]\n\tuseConfigOnly = true\n"
    )
    odd = tool("apply", "--project", project, "--tree", minitree.path,
               HOME=str(home), MEMDESC_TOOL_CACHE=str(tmp_path / "other"))  # fmt: skip
    assert (odd.status, odd.out) == (0, plain.out)
    assert not (tmp_path / "hook-ran").exists()


def test_branch_is_all_that_is_left(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = M. Tainer\n\temail = m@example.org\n")
    before = minitree.state()
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "topic/words",
               "--signoff", HOME=str(home))  # fmt: skip
    assert ran.status == 0, ran.err
    log = minitree.git("log", "--format=%an|%cn|%s|%(trailers:key=Signed-off-by,separator=%x2C)",
                       "main..topic/words").splitlines()  # fmt: skip
    sign = "Signed-off-by: M. Tainer <m@example.org>"
    assert log == [
        f"A. Developer|M. Tainer|a: write twenty as a word|{sign}",
        f"A. Developer|M. Tainer|a: write three as a word|{sign}",
    ]
    minitree.git("fsck", "--full")
    after = minitree.state()
    changed = {name for name in after | before if after.get(name) != before.get(name)}
    assert {name for name in changed if not name.startswith("git/objects")} == {
        "refs", "git/refs/heads", "git/refs/heads/topic", "git/refs/heads/topic/words",
        "git/logs/refs/heads", "git/logs/refs/heads/topic", "git/logs/refs/heads/topic/words",
    }  # fmt: skip
    again = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "main")
    assert again.status == 2
    assert "branch main exists already" in again.err


def test_zero_hashes_of_fixes_are_filled_in(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    culprit = minitree.git("rev-parse", "main")
    for path in (project / "patches" / "first").glob("*.patch"):
        subject = "start" if "three" in path.name else "nobody did this"
        text = path.read_text().replace("\n---\n", f'\nFixes: {"0" * 12} ("{subject}")\n---\n', 1)
        path.write_text(text)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = M\n\temail = m@example.org\n")
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--branch", "b",
               HOME=str(home))  # fmt: skip
    assert ran.status == 0, ran.err
    assert 'has no single commit "nobody did this": its Fixes: hash stays zero' in ran.err
    log = minitree.git("log", "--format=%B", "main..b")
    assert f'Fixes: {culprit[:12]} ("start")' in log
    assert f'Fixes: {"0" * 12} ("nobody did this")' in log


@pytest.mark.parametrize("name", ["-x", "a..b", "with space", "x.lock"])
def test_bad_branch_names_are_refused(
    tool: Tool, minitree: GitTree, project: Path, name: str
) -> None:
    ran = tool("apply", "--project", project, "--tree", minitree.path, f"--branch={name}")
    assert ran.status == 2
    assert "no valid branch name" in ran.err


def test_a_read_only_shallow_clone_works(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "shallow"
    minitree.git("clone", "-q", "--depth", "1", f"file://{minitree.path}", str(clone))
    for path in (clone, *clone.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    ran = tool("apply", "--project", project, "--tree", clone)
    assert ran.status == 0, ran.err
    assert "2 patches apply" in ran.out


def test_killed_at_any_moment_the_next_call_works(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    before = minitree.state()
    for milliseconds in (150, 250, 300, 350, 400, 450, 500, 600):
        cache = tmp_path / f"cache-{milliseconds}"
        env = {**os.environ, "MEMDESC_TOOL_CACHE": str(cache)}
        argv = [sys.executable, "-m", "memdesc_tool.cli", "apply", "--project", str(project),
                "--tree", str(minitree.path)]  # fmt: skip
        process = subprocess.Popen(
            argv,
            env=env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + milliseconds / 1000
        while time.monotonic() < deadline and process.poll() is None:
            pass
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        ran = tool(*argv[3:], MEMDESC_TOOL_CACHE=str(cache))
        assert ran.status == 0, (milliseconds, ran.err)
        assert "2 patches apply" in ran.out
    assert minitree.state() == before


def test_upto_and_numbers(tool: Tool, minitree: GitTree, project: Path) -> None:
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--upto", "1")
    assert re.search(r"^[0-9a-f]{12}  1\. a: write three as a word$", ran.out, re.MULTILINE)
    assert "2. " not in ran.out
    ran = tool("apply", "--project", project, "--tree", minitree.path, "--upto", "3")
    assert ran.status == 2
    assert "there is no patch 3: the stack has 2" in ran.err


def test_unsafe_modes_are_refused(tool: Tool, minitree: GitTree, tmp_path: Path) -> None:
    (minitree.path / "link").symlink_to("/etc/passwd")
    minitree.git("add", "-A")
    minitree.git("commit", "-q", "-m", "a symbolic link")
    series = tmp_path / "evil"
    minitree.git("format-patch", "-q", "-o", str(series), "HEAD~1")
    minitree.git("reset", "-q", "--hard", "HEAD~1")
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "stack.toml").write_text("series = []\n")
    ran = tool("apply", series, "--tree", minitree.path)
    assert ran.status == 2
    assert "adds a symbolic link, link; refused" in ran.err


def test_the_scratch_repository_borrows(
    cache: Cache, progress: Progress, minitree: GitTree
) -> None:
    base = resolve(str(minitree.path), cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        assert workspace.scratch.has(base.commit)
        objects = workspace.scratch.path / "objects"
        own = [p for p in objects.rglob("*") if p.is_file() and p.parent.name != "info"]
        assert own == []
        assert Git(workspace.checkout(base.commit)).path.joinpath("a.txt").exists()


def test_worktrees_need_no_change_of_the_scratch_configuration(
    cache: Cache, progress: Progress, minitree: GitTree, project: Path
) -> None:
    """What git would change there in several steps is set up before the first worktree.

    A kill between those steps left worktrees that git refused as bare.
    """
    base = resolve(str(minitree.path), cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        config = workspace.scratch.path / "config"
        before = config.read_text()
        assert "bare" not in before
        apply_stack(workspace, base.commit, read_stack(project / "patches").patches, progress)
        assert config.read_text() == before
        assert workspace.scratch.run("rev-parse", "--is-bare-repository") == "true"


def test_an_argument_that_no_file_can_have(tool: Tool, project: Path) -> None:
    ran = tool("apply", "x" * 300, "--project", project)
    assert ran.status == 2
    assert "File name too long" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_working_directory_that_was_removed(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    tool = shlex.join([sys.executable, "-m", "memdesc_tool.cli", "apply"])
    run = f"rmdir {shlex.quote(str(here))} && exec {tool}"
    ran = subprocess.run(["sh", "-c", run], cwd=here, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == "memdesc-tool: the working directory: No such file or directory\n"
