"""The tool without a command, its help, and completion in a real shell."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool.cli import COMMANDS, cli
from tests.conftest import ROOT, GitTree, Tool
from tests.minikernel import make_mini
from tests.reports import break_greeting

PROGRAM = Path(sys.executable).parent / "memdesc-tool"
"""The console script: what completion completes is known by its name."""


def test_outside_of_a_project(tool: Tool, tmp_path: Path) -> None:
    ran = tool()
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("no project here")
    assert "memdesc-tool doctor" in ran.out
    assert not (tmp_path / "cache").exists()  # it writes nothing


def test_in_a_project(tool: Tool, project: Path, tmp_path: Path) -> None:
    ran = tool(cwd=project / "patches")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == f"project: {project}"
    assert lines[1] == "first v1, 2 patches: words instead of figures"
    assert lines[2] == "results: the stack has not been tested here"
    assert lines[lines.index("next:") + 1].startswith("memdesc-tool regress")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("good", [True, False])
def test_what_the_last_regress_said(tool: Tool, tmp_path: Path, good: bool) -> None:
    mini = make_mini(tmp_path)
    if not good:
        break_greeting(mini, hostile=False)
    tree = ("--tree", mini.tree.path)
    told = tool("regress", *tree, "--confirm", "0", cwd=mini.project).out.splitlines()[-1]
    ran = tool(cwd=mini.project)
    assert f"results: {told}\n         said just now\n" in ran.out
    assert told.startswith("GOOD" if good else "BAD")
    first = ran.out.partition("next:\n")[2].splitlines()[0]
    assert first.startswith(f"  memdesc-tool report --tree {mini.tree.path}")
    assert ("memdesc-tool send" in ran.out) is good
    # What is not about the whole stack says nothing of it.
    tool("regress", *tree, "--upto", "1", cwd=mini.project)
    assert told in tool(cwd=mini.project).out

    # Another project in the same cache, though it looks the same, was not tested.
    other = tmp_path / "other"
    shutil.copytree(mini.project, other)
    assert "has not been tested here" in tool(cwd=other).out
    with (mini.project / "patches" / "stack.toml").open("a") as file:
        file.write("# a word\n")
    ran = tool(cwd=mini.project)
    assert "since then patches or suites have changed" in ran.out
    assert "next:\n  memdesc-tool regress" in ran.out


def test_a_tree_that_is_here(tool: Tool, tmp_path: Path) -> None:
    mini = make_mini(tmp_path)
    ran = tool("regress", "--project", mini.project, "--tree", ".", "--upto", "1",
               cwd=mini.tree.path)  # fmt: skip
    assert "base (kernel)" in ran.out, ran.err


def test_mail_needs_a_tree_before_anything_is_obtained(
    tool: Tool, project: Path, tmp_path: Path
) -> None:
    ran = tool("send", "first", cwd=project)
    assert ran.status == 2
    assert ran.err.startswith("memdesc-tool: the release is no tree of yours")
    assert not any((tmp_path / "cache" / "trees").glob("*"))


def test_the_project_may_be_named_by_the_environment(
    tool: Tool, project: Path, tmp_path: Path
) -> None:
    ran = tool(cwd=tmp_path, MEMDESC_TOOL_PROJECT=str(project))
    assert ran.out.startswith(f"project: {project}\n")
    ran = tool(cwd=project, MEMDESC_TOOL_PROJECT=str(tmp_path / "nowhere"))
    assert ran.status == 2 and "which has no patches/stack.toml" in ran.err


def test_in_a_kernel_tree(tool: Tool, minitree: GitTree) -> None:
    for name in ("Kbuild", "Kconfig", "MAINTAINERS", "mm/x"):
        (minitree.path / name).parent.mkdir(exist_ok=True)
        (minitree.path / name).touch()
    (minitree.path / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n")
    ran = tool(cwd=minitree.path / "mm")
    assert ran.out.startswith(f"a kernel tree: {minitree.path}, Linux 7.3.4; no project here")
    assert "memdesc-tool regress --tree . --range" in ran.out


@pytest.mark.parametrize(
    ("text", "says"),
    [("series = [", "stack.toml:1:"), ('series = ["gone"]\n', "there is no directory")],
)
def test_in_a_project_that_cannot_be_read(tool: Tool, project: Path, text: str, says: str) -> None:
    (project / "patches" / "stack.toml").write_text(text)
    ran = tool(cwd=project)
    assert ran.status == 2
    assert says in ran.err


def test_a_store_that_cannot_be_read_is_no_result(
    tool: Tool, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "results.sqlite").write_bytes(b"no database at all" * 100)
    ran = tool(cwd=project)
    assert (ran.status, "has not been tested here" in ran.out) == (0, True)


def test_a_conflict_that_waits_comes_first(tool: Tool, project: Path, tmp_path: Path) -> None:
    state = tmp_path / "cache" / "work" / "tree" / "carry.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    assert "next:\n  memdesc-tool generate --continue" in tool(cwd=project).out


def test_help_starts_fast() -> None:
    """0.3 s is what is wanted of a machine that does nothing else; the time that it computes
    is the same on a busy one. The best of some counts.
    """
    best = min(_seconds("--help") for _ in range(5))
    assert best < 0.5


def _seconds(*args: str) -> float:
    """The processor time of a call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([PROGRAM, *args], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_imports_no_command(tool: Tool) -> None:
    code = (
        "import sys, memdesc_tool.cli as c; c.cli.main(['--help'], standalone_mode=False);"
        "slow = ('memdesc_tool.commands', 'jinja2', 'git');"
        "print([name for name in sys.modules if name.startswith(slow)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    ran = tool("--help")
    for name, lazy in COMMANDS.items():
        assert f"  {name} " in ran.out and lazy.summary in ran.out


def test_every_command_is_there() -> None:
    for name in COMMANDS:
        command = cli.get_command(cli.make_context("x", ["doctor"], resilient_parsing=True), name)
        assert command is not None and (command.callback or hasattr(command, "commands"))


@pytest.mark.parametrize(
    ("words", "found"),
    [(["memdesc-tool", "re"], {"regress", "report"}),
     (["memdesc-tool", "series", "re"], {"reroll"}),
     (["memdesc-tool", "report", "--mark"], {"--markdown"}),
     (["memdesc-tool", "regress", "f"], {"fixes", "frozen-offline"}),
     (["memdesc-tool", "regress", "fixes", "f"], {"frozen-offline"}),
     (["memdesc-tool", "check", "iso"], {"isolation"}),
     (["memdesc-tool", "kselftest", "--suite", "self"], {"selftests"}),
     (["memdesc-tool", "kunit", "--arch", "um"], {"um", "um-smp"})],
)  # fmt: skip
def test_completion_in_bash(tmp_path: Path, words: list[str], found: set[str]) -> None:
    """As the README says, in a bash without anything of the user's."""
    script = (
        'eval "$(_MEMDESC_TOOL_COMPLETE=bash_source memdesc-tool)"\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        '_memdesc_tool_completion memdesc-tool; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        env={**os.environ, "PATH": path, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == found
    assert "bash_source memdesc-tool" in (ROOT / "README.md").read_text()
