"""No command changes the user's tree: HEAD, refs, index, stash, config, files, nothing.

On a tree in the middle of work: staged, unstaged and untracked changes, a stash, a linked
worktree, an index that is out of date.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from memdesc_tool.cli import COMMANDS
from tests.conftest import Tool
from tests.minikernel import MiniKernel, make_mini

TREE, PROJECT, LOG, GUESTS = "{tree}", "{project}", "{log}", "{guests}"
ON_TREE = ("--tree", TREE)
BOTH = ("--project", PROJECT, *ON_TREE)
NUMBERS = ("numbers", *BOTH)
RANGE = ("--branch", "main..work", *ON_TREE)
MAIL, THREAD = "{mail}", "{thread}"

CALLS: dict[str, tuple[tuple[tuple[str, ...], int | None], ...]] = {
    "apply": (
        (BOTH, 0),
        ((*BOTH, "--upto", "1", "--rev", "main"), 0),
        ((*BOTH, "--branch", "main"), 2),
        ((*BOTH, "--branch", "made", "--signoff"), 0),
    ),
    "bench bisect": (
        (("--commits", "30", "--bad-rate", "1", "--good-rate", "0", "--trials", "2"), 0),
    ),
    # The mini kernel has no kunit.py; it is applied and built all the same.
    "bench kernel": ((BOTH, 2),),
    "bench walk": (((*BOTH, "--place", MAIL), None),),
    # What is good there was bad before, which is found out by building and running both.
    "bisect": (((*BOTH, "--good", "main", "--bad", "work", "--suite", "kunit:counting"), None),),
    "check": (((*NUMBERS, "--no-compile"), None), (RANGE, None)),
    "cover": ((NUMBERS, 0), ((*RANGE, "--range-diff"), 2)),
    "doctor": (((), None),),
    "gc": ((("--all", "--dry-run"), 0), (("--all",), 0)),
    "generate": (
        ((*BOTH, "--check"), 0),
        (BOTH, 0),
        ((*NUMBERS, "--rev", "main", "--from", TREE, "--output", MAIL), 0),
    ),
    # No QEMU boots it, but it is applied, overlaid, checked out and built.
    "kselftest": (((*BOTH, "--suite", "counting"), 2), ((*BOTH, "--suite", GUESTS), None)),
    "kunit": (((*BOTH, "--suite", "counting", "--upto", "3"), 0),),
    # The mini kernel has no modules; it is applied, checked out and configured all the same.
    "modules build": (((*BOTH, "--series", "numbers", "--arch", "um"), None),),
    "modules bundle": ((("x.tar.gz", *BOTH, "--arch", "um"), None),),
    "modules ingest": (((LOG, "--name", "board"), 0), ((), 0)),
    "modules run": (((LOG, "nowhere.invalid"), 2),),
    "parse": (((LOG,), 0),),
    "regress": (
        (BOTH, 0),
        ((*BOTH, "--without", "2"), 1),
        ((*BOTH, "--range", "main..work", "--suite", "counting"), 0),
    ),
    "report": (((*BOTH, "--output", "{mail}.html"), 1), ((*BOTH, "--markdown", "-"), 1)),
    "send": (((*NUMBERS, "--name", "made", "--output-dir", MAIL), 0),),
    "series diff": ((NUMBERS, 2), (RANGE, 2), ((*RANGE, "--mbox", THREAD), 0)),
    "series export": ((("numbers", "main..work", *BOTH), 0),),
    "series new": (((("more", "--template", "kunit", "--project", PROJECT)), 0),),
    "series reroll": (
        ((*NUMBERS, "--dry-run"), 0),
        ((*RANGE, "--mbox", THREAD, "--dry-run"), 0),
        ((*RANGE, "--mbox", THREAD, "--new-branch", "made"), 0),
    ),
    "series list": ((("--project", PROJECT), 0),),
    "series show": ((("--project", PROJECT), 0),),
    "tree get": (((TREE,), 0),),
    "tree list": (((), 0),),
    "tree remove": ((("7.3",), 2),),
    # The mini kernel has no image for QEMU; it is applied, checked out and built all the same.
    "vm": (((*BOTH, "--series", "numbers", "--timeout", "5", "--", "true"), None),),
}
"""Calls of every command, and the exit status of each; None where the machine decides."""

BRANCH = {
    "refs", "git/refs/heads", "git/refs/heads/made", "git/logs/refs/heads",
    "git/logs/refs/heads/made",
}  # fmt: skip
ALLOWED = {
    "apply": BRANCH,
    "series reroll": BRANCH,
    "send": {
        "refs", "git/refs/heads", "git/refs/heads/b4", "git/refs/heads/b4/made",
        "git/logs/refs/heads", "git/logs/refs/heads/b4", "git/logs/refs/heads/b4/made",
        "git/refs", "git/refs/memdesc", "git/refs/memdesc/b4", "git/refs/memdesc/b4/made",
        "git/refs/memdesc/b4/made/v1",
    },
}  # fmt: skip
"""What the call of a command that asks for a branch may add, objects apart."""


def leaves() -> Iterator[str]:
    """The names of all commands, of those in groups too."""
    for name, lazy in COMMANDS.items():
        module = importlib.import_module(f"memdesc_tool.commands.{lazy.module}")
        command = getattr(module, lazy.attribute)
        if isinstance(command, click.Group):
            yield from (f"{name} {sub}" for sub in command.commands)
        else:
            yield name


def test_every_command_is_here() -> None:
    assert set(CALLS) == set(leaves())


@pytest.fixture
def busy(tmp_path: Path) -> MiniKernel:
    """A mini kernel whose tree somebody works in."""
    mini = make_mini(tmp_path)
    (mini.series / "cover.md.j2").write_text("{{ series.title }}\n\n{{ tested }}\n")
    tree = mini.tree
    tree.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side", "main")
    extra = mini.project / "kernel-test-modules" / "extra"
    extra.mkdir()
    (extra / "Kbuild").write_text("obj-m += extra.o\n")
    (tree.path / "Kconfig").write_text("# put aside\n")
    tree.git("stash", "-q")
    tree.git("tag", "v1", "main")
    (tree.path / "lib" / "count.sh").write_text("count() {\n\techo 7\n}\n")
    (tree.path / "Kbuild").write_text("# staged\n")
    tree.git("add", "Kbuild")
    (tree.path / "untracked").write_text("mine\n")
    (tree.path / ".gitignore").write_text("*.o\n")
    (tree.path / "x.o").write_text("ignored\n")
    # What git would take for changed until the index is refreshed, which only its owner may do.
    os.utime(tree.path / "Makefile", (1, 1))
    tree.git("config", "user.name", "M. Tainer")
    tree.git("config", "user.email", "m@example.org")
    return mini


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_command_leaves_the_tree_alone(
    tool: Tool, busy: MiniKernel, tmp_path: Path, name: str
) -> None:
    (tmp_path / "log").write_text("KTAP version 1\n1..1\nok 1 x\n")
    (tmp_path / "guests").mkdir()
    (tmp_path / "guests" / "suite.toml").write_text(
        '[suite]\nname = "g"\nkind = "kselftest"\ntitle = "x"\nfilter = "mini:x.sh"\n'
        '[[edit]]\npath = "lib/count.sh"\nlines = ["# guests"]\nbefore = "."\n'
    )
    places = {
        "tree": busy.tree.path, "project": busy.project, "log": tmp_path / "log",
        "guests": tmp_path / "guests", "mail": tmp_path / "mail", "thread": tmp_path / "thread",
    }  # fmt: skip
    mails = busy.tree.git("format-patch", "--stdout", "--thread=shallow", "main..work")
    (tmp_path / "thread").write_text(f"{mails}\n")
    before = busy.tree.state()
    assert before["stash"]
    for args, status in CALLS[name]:
        ran = tool(*name.split(), *(arg.format(**places) for arg in args), cwd=busy.tree.path)
        assert status in (None, ran.status), (args, ran.out, ran.err)
        after = busy.tree.state()
        changed = {key for key in after | before if after.get(key) != before.get(key)}
        if "made" in args:
            assert changed - ALLOWED[name] == {
                key for key in changed if key.startswith("git/objects")
            }
            assert all(key in after for key in changed), "objects are only added"
            assert changed >= ALLOWED[name]
            before = after
        else:
            assert not changed, args
