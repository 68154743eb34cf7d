"""generate --output: a series on another base, with real conflicts and real spatch."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from memdesc_tool.cache import CARRY_STATE, Cache, open_cache
from memdesc_tool.resolutions import share
from memdesc_tool.scratch import scratch_repository
from memdesc_tool.workspace import workspace_locks
from tests.conftest import GitTree, Ran, Tool, numbers
from tests.minikernel import MiniKernel, make_mini


@pytest.fixture
def other(minitree: GitTree, project: Path) -> str:
    """A branch beside main in whose a.txt line 20 is another, and the first lines are more."""
    assert project.exists()
    minitree.git("checkout", "-q", "-b", "other", "main")
    (minitree.path / "a.txt").write_text("new top\n" + numbers((20, "line 20 of other")))
    commit = minitree.commit("a: other")
    minitree.git("checkout", "-q", "main")
    return commit


def carry(tool: Tool, tree: GitTree, project: Path, out: Path, *more: str, **env: str) -> Ran:
    return tool("generate", "first", "--tree", tree.path, "--rev", "other", "--from", tree.path,
                "--from-rev", "main", "--output", out, "--project", project, *more,
                **env)  # fmt: skip


@pytest.mark.usefixtures("other")
def test_a_conflict_is_solved_once(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    before = minitree.state()
    out = tmp_path / "out"
    ran = carry(tool, minitree, project, out)
    assert ran.status == 1
    assert "patch 2 (0002-a-write-twenty-as-a-word.patch) needs a hand: conflicts in a.txt" in (
        ran.err
    )
    place = next((tmp_path / "cache" / "work").glob("*/carry"))
    assert str(place) in ran.err
    ran = carry(tool, minitree, project, out)
    assert ran.status == 2 and "first waits for a conflict to be solved" in ran.err
    ran = tool("generate", "--continue")
    assert ran.status == 2 and "not solved, or not added: a.txt" in ran.err
    worktree = GitTree(place)
    assert "line 20 of other" in worktree.git("diff")
    text = (place / "a.txt").read_text()
    worktree.git("add", "a.txt")
    ran = tool("generate", "--continue")
    assert ran.status == 2 and "still has conflict markers" in ran.err
    head, _, rest = text.partition("<<<<<<< ")
    (place / "a.txt").write_text(head + "line twenty of other\n" + rest.rpartition(">>>>>>> ")[2]
                                 .partition("\n")[2])  # fmt: skip
    worktree.git("add", "a.txt")
    ran = tool("generate", "--continue")
    assert ran.status == 0, ran.err
    assert "first is carried over" in ran.out
    applied = tool("apply", out / "first", "--tree", minitree.path, "--rev", "other")
    assert applied.status == 0, applied.err
    assert "+line twenty of other" in (out / "first" / "0002-a-write-twenty-as-a-word.patch"
                                       ).read_text()  # fmt: skip
    # The same again, from the start: rerere knows how it was solved.
    shutil.rmtree(out)
    ran = carry(tool, minitree, project, out)
    assert ran.status == 0, ran.err
    assert "solved as before" in ran.err
    assert minitree.state() == before


SECOND = "0002-a-write-twenty-as-a-word.patch"


@pytest.mark.usefixtures("other")
def test_a_patch_that_is_not_applied_is_not_dropped(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert carry(tool, minitree, project, out).status == 1
    worktree = GitTree(next((tmp_path / "cache" / "work").glob("*/carry")))
    worktree.git("checkout", "--ours", "a.txt")
    worktree.git("add", "a.txt")
    ran = tool("generate", "--continue")
    assert ran.status == 2 and "git am --continue: No changes - did you forget" in ran.err
    worktree.git("am", "--abort")
    for _ in range(2):
        ran = tool("generate", "--continue")
        assert ran.status == 2 and f"{SECOND} is not applied in {worktree.path}" in ran.err
        assert "generate --skip" in ran.err and not out.exists()
    assert tool("generate", "--skip", "--abort").status == 2
    ran = tool("generate", "--skip")
    assert ran.status == 0 and f"not needed    {SECOND}" in ran.out
    assert len(list((out / "first").glob("*.patch"))) == 1
    assert tool("generate", "--skip").status == 2


@pytest.mark.usefixtures("other")
def test_markers_and_edits_in_what_was_committed_are_refused(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    assert carry(tool, minitree, project, tmp_path / "out").status == 1
    worktree = GitTree(next((tmp_path / "cache" / "work").glob("*/carry")))
    solved = worktree.path / "a.txt"
    marked = solved.read_text()
    worktree.git("add", "a.txt")
    worktree.git("am", "--continue")
    ran = tool("generate", "--continue")
    assert ran.status == 2 and f"{solved} still has conflict markers" in ran.err
    left = [line for line in marked.splitlines(True) if line[:7] not in ("<" * 7, ">" * 7)]
    solved.write_text("".join(left))
    worktree.git("commit", "-a", "-q", "--amend", "--no-edit")
    assert "still has conflict markers" in tool("generate", "--continue").err
    solved.write_text("".join(left).replace("=======\n", ""))
    ran = tool("generate", "--continue")
    assert ran.status == 2 and "not committed: a.txt" in ran.err
    worktree.git("commit", "-a", "-q", "--amend", "--no-edit")
    ran = tool("generate", "--continue")
    assert ran.status == 0, ran.err
    assert "=======" not in (tmp_path / "out" / "first" / SECOND).read_text()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"done": [], "series": []}', "\xff"])
def test_a_damaged_state_can_be_forgotten(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path, text: str
) -> None:
    minitree.git("branch", "other", "work~1")
    state = tmp_path / "cache" / "work" / "tree-1" / CARRY_STATE
    state.parent.mkdir(parents=True)
    state.write_bytes(text.encode("latin-1"))
    for ran in (tool("generate", "--continue"), carry(tool, minitree, project, tmp_path / "out")):
        assert ran.status == 2 and f"{state} is damaged" in ran.err
        assert "generate --abort" in ran.err
    assert tool("generate", "--abort").status == 0
    assert carry(tool, minitree, project, tmp_path / "out").status == 0


def solve(tool: Tool, tmp_path: Path, line: str) -> None:
    """Solve the conflict in a.txt that waits, with this line, and go on."""
    place = next((tmp_path / "cache" / "work").glob("*/carry"))
    head, _, rest = (place / "a.txt").read_text().partition("<<<<<<< ")
    tail = rest.rpartition(">>>>>>> ")[2].partition("\n")[2]
    (place / "a.txt").write_text(f"{head}{line}\n{tail}")
    GitTree(place).git("add", "a.txt")
    ran = tool("generate", "--continue")
    assert ran.status == 0, ran.err


@pytest.mark.usefixtures("other")
def test_what_was_solved_outlives_workspace_and_clone(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    assert carry(tool, minitree, project, tmp_path / "out").status == 1
    place = next((tmp_path / "cache" / "work").glob("*/carry"))
    (place / "a.txt").write_text("my edits\n")
    for more in ("--all", "--older-than=0"):
        ran = tool("gc", more)
        assert ran.status == 0 and "(kept: a conflict waits; " in ran.out
        assert (place / "a.txt").read_text() == "my edits\n"
    assert tool("generate", "--abort").status == 0
    assert carry(tool, minitree, project, tmp_path / "out").status == 1
    solve(tool, tmp_path, "line twenty of other")
    assert tool("gc", "--all").status == 0 and not place.exists()
    clone = GitTree(tmp_path / "clone")
    shutil.copytree(minitree.path, clone.path)
    ran = carry(tool, clone, project, tmp_path / "out")
    assert ran.status == 0 and f"{SECOND}: solved as before" in ran.err
    # It was wrong, and is asked again.
    ran = carry(tool, clone, project, tmp_path / "out", "--forget", SECOND)
    assert ran.status == 1 and f"{SECOND}) needs a hand: conflicts in a.txt" in ran.err
    solve(tool, tmp_path, "line 20: twenty of other")
    ran = carry(tool, minitree, project, tmp_path / "out")
    assert ran.status == 0 and "solved as before" in ran.err
    assert "+line 20: twenty of other" in (tmp_path / "out" / "first" / SECOND).read_text()
    ran = carry(tool, clone, project, tmp_path / "out", "--forget", "0002")
    assert ran.status == 2 and "first has no patch 0002" in ran.err


def test_a_repository_hands_its_memory_over(cache: Cache, minitree: GitTree) -> None:
    scratch = scratch_repository(cache.work / "a" / "scratch.git", minitree.path / ".git")
    (scratch.path / "rr-cache" / "0123").mkdir(parents=True)
    (scratch.path / "rr-cache" / "0123" / "postimage").write_text("solved\n")
    for _ in range(2):
        share(cache, scratch)
        assert (cache.resolutions / "0123" / "postimage").read_text() == "solved\n"
        assert (scratch.path / "rr-cache").is_symlink()


@pytest.mark.usefixtures("other")
def test_a_conflict_can_be_forgotten(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert carry(tool, minitree, project, out).status == 1
    ran = tool("generate", "--abort")
    assert ran.status == 0 and not out.exists()
    assert tool("generate", "--abort").status == 2
    assert carry(tool, minitree, project, out).status == 1


def test_a_file_that_the_base_has_not_is_said(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    minitree.git("checkout", "-q", "-b", "other", "main")
    minitree.git("rm", "-q", "a.txt")
    minitree.commit("a: gone")
    minitree.git("checkout", "-q", "main")
    ran = carry(tool, minitree, project, tmp_path / "out")
    assert ran.status == 1
    assert "needs a hand: a.txt is changed, and is not in the new base\n" in ran.err


@pytest.mark.parametrize("blobs", ["known", "unknown"])
def test_what_the_base_has_is_left_out(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path, blobs: str
) -> None:
    minitree.git("branch", "other", "work~1")
    if blobs == "unknown":
        first = project / "patches" / "first" / "0001-a-write-three-as-a-word.patch"
        text = first.read_text()
        first.write_text(re.sub(r"(?m)^index \w+\.\.\w+", "index 1111111..2222222", text))
    out = tmp_path / "out"
    ran = carry(tool, minitree, project, out)
    assert ran.status == 0, ran.err
    assert "not needed    0001-a-write-three-as-a-word.patch" in ran.out
    assert [path.name for path in (out / "first").glob("*.patch")] == [
        "0002-a-write-twenty-as-a-word.patch"
    ]


def test_what_is_not_ours_stays(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    minitree.git("branch", "other", "work~1")
    target = tmp_path / "out" / "first"
    target.mkdir(parents=True)
    assert carry(tool, minitree, project, tmp_path / "out").status == 0
    again = {path.name: path.read_bytes() for path in target.iterdir()}
    assert carry(tool, minitree, project, tmp_path / "out").status == 0
    assert {path.name: path.read_bytes() for path in target.iterdir()} == again
    assert [path.name for path in target.parent.iterdir()] == ["first"]
    for name in ("my-notes.patch", "0002-a-write-twenty-as-a-word.patch", "sub"):
        path = target / name
        before = path.read_bytes() if path.exists() else b""
        if name == "sub":
            path.mkdir()
        else:
            path.write_bytes(before + b"precious\n")
        ran = carry(tool, minitree, project, tmp_path / "out")
        assert ran.status == 2 and f"{path} was not written by generate" in ran.err
        if name == "sub":
            path.rmdir()
        else:
            assert path.read_bytes() == before + b"precious\n"
            path.write_bytes(before) if before else path.unlink()
    (target / "0001-gone.patch").symlink_to(tmp_path)
    assert carry(tool, minitree, project, tmp_path / "out").status == 2


def test_a_series_is_not_carried_over_itself(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    minitree.git("branch", "other", "work~1")
    series = project / "patches" / "first"
    before = {path: path.read_bytes() for path in series.iterdir()}
    ran = carry(tool, minitree, project, project / "patches")
    assert ran.status == 2 and "is the series itself" in ran.err
    assert {path: path.read_bytes() for path in series.iterdir()} == before
    copy = tmp_path / "copy"
    shutil.copytree(project / "patches", copy)
    ran = carry(tool, minitree, project, copy)
    assert ran.status == 2 and "was not written by generate" in ran.err


@pytest.mark.usefixtures("other")
def test_what_it_depends_on_is_carried_over_first(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    minitree.git("checkout", "-q", "work")
    for name, depends in (("second", "first"), ("third", "second")):
        (minitree.path / "sub" / "b.txt").write_text(f"one\ntwo\n{name}\n")
        minitree.commit(f"b: the {name}\n\nFor the test.")
        series = project / "patches" / name
        minitree.git("format-patch", "-q", "-o", str(series), "HEAD~1")
        (file,) = series.glob("*.patch")
        (series / "series.toml").write_text(
            f'title = "{name}"\ndepends = ["{depends}"]\n\n[[patch]]\nfile = "{file.name}"\n'
        )
    minitree.git("checkout", "-q", "main")
    (project / "patches" / "stack.toml").write_text('series = ["first", "second", "third"]\n')
    out = tmp_path / "my out"
    args = ("--tree", minitree.path, "--rev", "other", "--from", minitree.path, "--from-rev",
            "main", "--output", out, "--project", project)  # fmt: skip
    ran = tool("generate", "third", *args)
    assert ran.status == 1
    assert f"first has to be carried over before third: its patch {SECOND} does not" in ran.err
    assert shlex.join(["memdesc-tool", "generate", "first", *map(str, args)]) in ran.err
    assert tool("generate", "first", *args).status == 1
    solve(tool, tmp_path, "line twenty of other")
    for name in ("second", "third"):
        ran = tool("generate", name, *args)
        assert ran.status == 0, ran.err


def test_carrying_does_not_wait_for_a_walk(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path
) -> None:
    """Whoever builds on the same tree holds this lock, for hours sometimes."""
    minitree.git("branch", "other", "work~1")
    held, _ = workspace_locks(minitree.path / ".git")
    with open_cache(tmp_path / "cache").lock(held):
        ran = carry(tool, minitree, project, tmp_path / "out")
        assert ran.status == 0 and "waiting" not in ran.err, ran.err
        args = ("generate", "--check", "--tree", minitree.path, "--project", project)
        ran = tool(*args)
        assert ran.status == 0 and "waiting" not in ran.err, ran.err


KILLS = """\
#!/bin/sh
case " $* " in
*" am --3way --keep-cr "*"--patch-format=mbox"*)
	echo >>"$KILLS_LOG"
	if [ "$(wc -l <"$KILLS_LOG")" = 2 ]; then kill -9 $PPID; exit 1; fi
esac
exec {git} "$@"
"""


@pytest.mark.parametrize("how", ["--continue", "the same again"])
def test_a_kill_loses_no_patch(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path, how: str
) -> None:
    minitree.git("checkout", "-q", "-b", "other", "main")
    (minitree.path / "a.txt").write_text("new top\n" + numbers())
    minitree.commit("a: other")
    minitree.git("checkout", "-q", "main")
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text(KILLS.format(git=shutil.which("git")))
    git.chmod(0o755)
    out = tmp_path / "out"
    killed = carry(tool, minitree, project, out, KILLS_LOG=str(tmp_path / "log"),
                   PATH=f"{git.parent}:{os.environ['PATH']}")  # fmt: skip
    assert killed.status == -signal.SIGKILL
    assert carry(tool, minitree, project, tmp_path / "elsewhere").status == 2
    ran = tool("generate", how) if how[0] == "-" else carry(tool, minitree, project, out)
    assert ran.status == 0 and "not needed" not in ran.out, ran.out + ran.err
    assert [path.name[:4] for path in sorted((out / "first").glob("*.patch"))] == ["0001", "0002"]


SCRIPT = "@@ expression E; @@\n- old_call(E)\n+ new_call(E, 0)\n"
MESSAGE = """\
lib: convert to new_call()

old_call() is going away. Converted by:
{{ script }}
In {{ files | length }} file(s).
"""


@pytest.fixture
def converting(tmp_path: Path) -> MiniKernel:
    """A mini kernel with C files, and a series of one semantic patch."""
    mini = make_mini(tmp_path)
    (mini.tree.path / "lib" / "a.c").write_text("int f(int x)\n{\n\treturn old_call(x);\n}\n")
    (mini.tree.path / "lib" / "b.c").write_text("int g(void)\n{\n\treturn 1;\n}\n")
    mini.tree.commit("lib: calls")
    templates = mini.project / "templates"
    templates.mkdir()
    (templates / "new_call.cocci").write_text(SCRIPT)
    (templates / "new_call.msg.j2").write_text(MESSAGE)
    for old in mini.series.glob("*.patch"):
        old.unlink()
    (mini.series / "series.toml").write_text(
        'title = "new_call"\n\n[[patch]]\nfile = "0001-lib-convert-to-new_call.patch"\n'
        'kind = "cocci"\nscript = "new_call.cocci"\npaths = ["lib"]\nmessage = "new_call.msg.j2"\n'
    )
    mini.tree.git("config", "user.name", "M. Tainer")
    return mini


@pytest.mark.skipif(not shutil.which("spatch"), reason="spatch is not installed")
def test_a_semantic_patch_is_made_anew_on_every_base(
    tool: Tool, converting: MiniKernel, tmp_path: Path
) -> None:
    tree = converting.tree
    GitTree(converting.project).git("init", "-q")
    for key, value in (("user.name", "M. Tainer"), ("user.email", "m@example.org")):
        GitTree(converting.project).git("config", key, value)
    args = ("generate", "--tree", tree.path, "--project", converting.project)
    ran = tool(*args, "numbers")
    assert ran.status == 0, ran.err
    made = converting.series / "0001-lib-convert-to-new_call.patch"
    assert "+\treturn new_call(x, 0);" in made.read_text()
    assert "In 1 file(s).\n" in made.read_text()
    assert tool(*args, "numbers", "--check").status == 0
    tree.git("checkout", "-q", "-b", "other")
    (tree.path / "lib" / "b.c").write_text("int g(void)\n{\n\treturn old_call(2);\n}\n")
    tree.commit("lib: more calls")
    assert tool(*args, "numbers", "--check").status == 1
    out = tmp_path / "out"
    ran = tool(*args, "numbers", "--rev", "other", "--from", tree.path, "--from-rev", "main",
               "--output", out)  # fmt: skip
    assert ran.status == 0, ran.err
    text = (out / "numbers" / made.name).read_text()
    assert "new_call(x, 0)" in text and "new_call(2, 0)" in text and "In 2 file(s).\n" in text
    # A reviewer's trailer stays while the change does.
    made.write_text(made.read_text().replace(
        "In 1 file(s).\n", "In 1 file(s).\n\nReviewed-by: Jane <jane@example.org>\n"))  # fmt: skip
    assert tool(*args, "numbers", "--rev", "main", "--check").status == 0
    assert tool(*args, "numbers", "--rev", "other").status == 0
    assert "Reviewed-by" not in made.read_text()


@pytest.mark.skipif(not shutil.which("spatch"), reason="spatch is not installed")
def test_a_conversion_that_the_base_has_is_not_needed(
    tool: Tool, converting: MiniKernel, tmp_path: Path
) -> None:
    tree = converting.tree
    args = ("generate", "numbers", "--tree", tree.path, "--project", converting.project)
    GitTree(converting.project).git("init", "-q")
    for key, value in (("user.name", "M. Tainer"), ("user.email", "m@example.org")):
        GitTree(converting.project).git("config", key, value)
    assert tool(*args).status == 0
    tree.git("checkout", "-q", "-b", "other")
    source = tree.path / "lib" / "a.c"
    source.write_text(source.read_text().replace("old_call(x)", "new_call(x, 0)"))
    tree.commit("lib: convert")
    out = ("--from", tree.path, "--from-rev", "main", "--output", tmp_path / "out")
    ran = tool(*args, "--rev", "other", *out)
    assert ran.status == 0, ran.err
    assert "not needed    0001-lib-convert-to-new_call.patch" in ran.out


BRINGS = """\
title = "a suite"

[[patch]]
file = "0001-tests-add-counting.patch"
kind = "files"
suite = "counting"
message = "suite.msg.j2"
"""


@pytest.fixture
def bringing(tool: Tool, tmp_path: Path) -> MiniKernel:
    """A mini kernel, and a series that brings a suite into it, generated."""
    mini = make_mini(tmp_path)
    templates = mini.project / "templates"
    templates.mkdir()
    (templates / "suite.msg.j2").write_text("tests: add counting\n\nTests are good.\n")
    for old in mini.series.glob("*.patch"):
        old.unlink()
    (mini.series / "series.toml").write_text(BRINGS)
    GitTree(mini.project).git("init", "-q")
    for key, value in (("user.name", "M. Tainer"), ("user.email", "m@example.org")):
        GitTree(mini.project).git("config", key, value)
    ran = tool("generate", "--tree", mini.tree.path, "--project", mini.project)
    assert ran.status == 0, ran.err
    return mini


def carry_suite(tool: Tool, mini: MiniKernel, out: Path) -> Ran:
    return tool("generate", "numbers", "--tree", mini.tree.path, "--rev", "other", "--from",
                mini.tree.path, "--from-rev", "main", "--output", out, "--project",
                mini.project)  # fmt: skip


def test_a_suite_that_the_base_has_is_not_needed(
    tool: Tool, bringing: MiniKernel, tmp_path: Path
) -> None:
    tree = bringing.tree
    tree.git("checkout", "-q", "-b", "other", "main")
    tree.git("am", "-q", str(bringing.series / "0001-tests-add-counting.patch"))
    ran = carry_suite(tool, bringing, tmp_path / "out")
    assert ran.status == 0, ran.err
    assert "not needed    0001-tests-add-counting.patch" in ran.out


def test_a_suite_whose_place_is_gone_is_placed_by_hand(
    tool: Tool, bringing: MiniKernel, tmp_path: Path
) -> None:
    tree = bringing.tree
    tree.git("checkout", "-q", "-b", "other", "main")
    (tree.path / "tests" / "list").write_text("# all tests\n")
    tree.commit("tests: rename")
    out = tmp_path / "out"
    ran = carry_suite(tool, bringing, out)
    assert ran.status == 1
    said = " ".join(ran.err.split())
    assert "no line of tests/list matches '^# suites$'; it is merged as it is" in said
    assert "patch 1 (0001-tests-add-counting.patch) needs a hand: conflicts in tests/list" in (
        ran.err
    )
    place = next((tmp_path / "cache" / "work").glob("*/carry"))
    (place / "tests" / "list").write_text("# all tests\ncounting\n")
    GitTree(place).git("add", "-u")
    ran = tool("generate", "--continue")
    assert ran.status == 0, ran.err
    text = (out / "numbers" / "0001-tests-add-counting.patch").read_text()
    assert " # all tests\n+counting\n" in text and "Subtest: counting" in text
