"""The tool without a command, its help, and completion in a real shell."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool.cli import COMMANDS, cli
from memdesc_tool.results import Attempt, Outcome, open_store
from tests.conftest import ROOT, Tool

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
    assert lines[2] == "results: none yet"
    assert lines[lines.index("next:") + 1].startswith("memdesc-tool regress")

    with open_store(tmp_path / "cache" / "results.sqlite") as store:
        store.add({"tree": "x"}, Attempt(Outcome.RAN, (), 4e9, 1.0, ""))
    ran = tool(cwd=project)
    assert "results: 1 run stored, the last one just now\n" in ran.out
    assert "next:\n  memdesc-tool report" in ran.out

    os.utime(project / "patches" / "stack.toml", (5e9, 5e9))
    ran = tool(cwd=project)
    assert "since then patches or suites have changed" in ran.out
    assert "next:\n  memdesc-tool regress" in ran.out


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
    assert (ran.status, "results: none yet" in ran.out) == (0, True)


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
     (["memdesc-tool", "report", "--mark"], {"--markdown"})],
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
