"""Suites: reading them, and laying them over a revision."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from memdesc_tool.cache import open_cache
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.git import Git
from memdesc_tool.overlay import apply_edit, overlaid_files, overlay
from memdesc_tool.readsuite import find_suites, read_suite, suites_of
from memdesc_tool.suites import EXECUTABLE, PLAIN, Condition, Edit, Kind, Suite, SuiteFile
from memdesc_tool.tree import Base
from memdesc_tool.workspace import open_workspace
from tests.conftest import GitTree

KCONFIG = """\
menu "things"

config A
	bool "a"

source "mm/damon/Kconfig"

endmenu
"""

CODE = """\
#include <linux/mm.h>

bool first(void)
{
	return true;
}

bool second(void)
{
	return false;
}
"""


def suite(edit: Edit) -> Suite:
    return Suite("s", Path("s"), "t", "f", (), edits=(edit,))


def edited(text: str, edit: Edit) -> str:
    return apply_edit(suite(edit), edit, text.encode()).decode()


def test_lines_go_before_and_after_their_place() -> None:
    after = Edit("Makefile", ("b",), after="^a$")
    assert edited("x\na\ny\n", after) == "x\na\nb\ny\n"
    before = Edit("Makefile", ("b", "c"), before="^a$")
    assert edited("x\na\ny\n", before) == "x\nb\nc\na\ny\n"


def test_an_edit_that_is_in_already_changes_nothing() -> None:
    edit = Edit("Makefile", ("b",), after="^a$")
    once = edited("a\n", edit)
    assert edited(once, edit) == once
    gone = Edit("Makefile", ("b",), after="^not there$")
    assert edited("a\nb\n", gone) == "a\nb\n"


def test_kconfig_entries_are_set_apart() -> None:
    edit = Edit("mm/Kconfig", ("config B", '\tbool "b"'), before='^source "mm/damon')
    assert 'config B\n\tbool "b"\n\nsource "mm/damon/Kconfig"\n' in edited(KCONFIG, edit)


def test_a_place_is_searched_from_its_start() -> None:
    edit = Edit("a.c", ("EXPORT_SYMBOL_IF_KUNIT(second);",), after="^}", start="^bool second")
    assert edited(CODE, edit).endswith("\treturn false;\n}\nEXPORT_SYMBOL_IF_KUNIT(second);\n")


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(FailedError, match=r"no line of a.c matches '\^bool third'"):
        edited(CODE, Edit("a.c", ("x",), after="^}", start="^bool third"))
    optional = Edit("a.c", ("x",), after="^}", start="^bool third", optional=True)
    assert edited(CODE, optional) == CODE


def test_lines_are_removed_wherever_they_are() -> None:
    gone = Edit("a.c", ("b", "c"), remove=True)
    assert edited("a\nb\nc\nd\n", gone) == "a\nd\n"
    assert edited("a\nb\nd\n", gone) == "a\nb\nd\n"


def test_what_depends_on_the_revision(minitree: GitTree) -> None:
    """A file in two variants, a line for either, and a line that must go with the first."""
    text = (minitree.path / "a.txt").read_bytes()
    first, rest = text.split(b"\n", 1)
    place = f"^{first.decode()}$"
    has = Condition("api.h", r"^struct batch \{")
    lacks = has._replace(wanted=False)
    both = Suite(
        "s", Path("s"), "t", "f", (),
        files=(SuiteFile("how.h", b"list", PLAIN, (lacks,)),
               SuiteFile("how.h", b"batch", PLAIN, (has,))),
        edits=(Edit("a.txt", ("old",), after=place, conditions=(lacks,)),
               Edit("a.txt", ("new",), after=place, conditions=(has,)),
               Edit("a.txt", ("old",), remove=True, conditions=(has,)),
               Edit("gone.txt", ("old",), remove=True)),
    )  # fmt: skip
    git = Git(minitree.path)
    assert overlaid_files(git, "HEAD", both) == {
        "how.h": b"list", "a.txt": first + b"\nold\n" + rest,
    }  # fmt: skip
    (minitree.path / "a.txt").write_bytes(first + b"\nold\n" + rest)
    (minitree.path / "how.h").write_text("list")
    (minitree.path / "api.h").write_text("/* struct batch */\nstruct batch {\n")
    minitree.commit("another interface")
    assert overlaid_files(git, "HEAD", both) == {
        "how.h": b"batch", "a.txt": first + b"\nnew\n" + rest,
    }  # fmt: skip


TOML = """\
[suite]
name = "words"
title = "x"
filter = "words"

[conditions]
batch = { path = "a.h", has = "^batch" }

[[file]]
source = "words.c"
path = "tests/words.c"

[[edit]]
path = "Makefile"
lines = ["x"]
after = "a"
when = "batch"
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"words.c"\npath', '"gone.c"\npath', r"suite.toml:10: file\[1\].source: there is no file"),
        ('"words.c"\npath', '"../words.c"\npath', r"file\[1\].source: \.\./words.c leads out"),
        ('"tests/words.c"', '"../x"', r"suite.toml:11: file\[1\].path: \.\./x is no path below"),
        ('"tests/words.c"', '"/etc/passwd"', r"file\[1\].path"),
        ('"tests/words.c"', '".git/config"', r"file\[1\].path"),
        ('after = "a"', 'after = "("', r"suite.toml:16: edit\[1\].after: not a regular expr"),
        ('after = "a"', "", r"edit\[1\].before: give either before or after"),
        ('lines = ["x"]', "", r"edit\[1\].lines: give either lines or source"),
        ('filter = "words"', "", r"suite.filter: missing"),
        ('title = "x"', 'title = "x"\ntimeout = 0', r"suite.timeout: must be an integer of at"),
        ('title = "x"', 'title = "x"\nkind = "magic"', r"suite.kind: no such kind: magic"),
        ('title = "x"', 'title = "x"\nvm = "vm.toml"', r"suite.vm: unknown field"),
        (
            'after = "a"',
            'after = "a"\nremove = true',
            r"edit\[1\].remove: lines are removed wherever they are",
        ),
        ('has = "^batch"', 'has = "("', r"suite.toml:7: conditions.batch.has: not a regular expr"),
        ('path = "a.h"', 'path = "../a.h"', r"conditions.batch.path: \.\./a.h is no path below"),
        (', has = "^batch"', "", r"conditions.batch.has: missing"),
        ('= { path = "a.h", has = "^batch" }', '= "a.h"', r"conditions.batch: must be a table"),
        (
            'when = "batch"',
            'unless = "batches"',
            r"suite.toml:17: edit\[1\].unless: no condition is called batches",
        ),
        (
            'when = "batch"',
            'when = { path = "a.h", has = "x" }',
            r"edit\[1\].when: must be a string, is a table",
        ),
        (
            'path = "tests/words.c"',
            'path = "tests/words.c"\nmode = "4755"',
            r'file\[1\].mode: must be "0644" or "0755"',
        ),
    ],
)
def test_errors_name_file_line_and_field(tmp_path: Path, old: str, new: str, problem: str) -> None:
    (tmp_path / "words.c").write_text("int words;\n")
    (tmp_path / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    path = tmp_path / "suite.toml"
    path.write_text(TOML)
    good = read_suite(tmp_path)
    assert good.files == (SuiteFile("tests/words.c", b"int words;\n"),)
    assert good.edits[0].conditions == (Condition("a.h", "^batch"),)
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_suite(tmp_path)
    assert re.search(problem, caught.value.message), caught.value.message


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "words.c").write_text("int words;\n")
    (tmp_path / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    (tmp_path / "suite.toml").write_text(TOML)
    first = read_suite(tmp_path).digest
    assert read_suite(tmp_path).digest == first
    (tmp_path / "words.c").write_text("int words = 1;\n")
    assert read_suite(tmp_path).digest != first


GUEST = """\
[suite]
name = "guest"
kind = "kselftest"
title = "x"
filter = "mm:ksft_x.sh"
vm = "vm.toml"
config = "config"
programs = ["one", "two"]
modules = ["extra"]
environment = ["SECONDS=60", "EMPTY="]

[[file]]
source = "ksft_x.sh"
path = "tests/ksft_x.sh"
mode = "0755"
"""


def guest_suite(path: Path, text: str = GUEST) -> Path:
    path.mkdir(exist_ok=True)
    for name in ("vm.toml", "config", "ksft_x.sh"):
        (path / name).write_text("")
    (path / "suite.toml").write_text(text)
    return path


def test_a_kselftest_suite(tmp_path: Path) -> None:
    suite = read_suite(guest_suite(tmp_path))
    assert suite.kind is Kind.KSELFTEST
    assert (suite.collection, suite.arches, suite.timeout) == ("mm", ("x86_64",), 900)
    assert (suite.machine, suite.configs) == (tmp_path / "vm.toml", (tmp_path / "config",))
    assert (suite.programs, suite.modules) == (("one", "two"), ("extra",))
    assert suite.environment == ("SECONDS=60", "EMPTY=")
    assert suite.files == (SuiteFile("tests/ksft_x.sh", b"", EXECUTABLE),)
    few = [line for line in GUEST.splitlines() if not re.match("vm|config|prog|modul|env", line)]
    suite = read_suite(guest_suite(tmp_path, "\n".join(few)))
    assert (suite.machine, suite.configs, suite.programs) == (None, (), ())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"mm:ksft_x.sh"', '"ksft_x.sh"', "suite.filter: must be COLLECTION:TEST"),
        ('"mm:ksft_x.sh"', '"../mm:ksft_x.sh"', "suite.filter: must be COLLECTION:TEST"),
        ('"two"', '"$(shell id)"', "suite.programs: .* is no name of a program"),
        ('"EMPTY="', '"EMPTY"', "suite.environment: 'EMPTY' is not NAME=VALUE"),
        ('"vm.toml"', '"gone.toml"', "suite.vm: there is no file"),
        ('"config"', '"../config"', "suite.config: ../config leads out"),
        ("modules", 'kunitconfig = "config"\nmodules', "suite.kunitconfig: unknown field"),
        ("modules", "attempts = 0\nmodules", "suite.attempts: must be an integer of at"),
    ],
)
def test_errors_of_a_kselftest_suite(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GUEST
    with pytest.raises(UserError, match=rf"suite\.toml:\d+: {problem}"):
        read_suite(guest_suite(tmp_path, GUEST.replace(old, new, 1)))


ABOVE = """\
[suite]
name = "above"
kind = "kselftest"
on = "guest"
title = "x"
filter = "mm:ksft_y.sh"

[[file]]
source = "ksft_x.sh"
path = "tests/ksft_y.sh"
"""


def test_a_suite_on_another(tmp_path: Path) -> None:
    """Its kernel and its revision have what the other brings; the machine is its own."""
    below = guest_suite(tmp_path / "guest")
    suite = read_suite(guest_suite(tmp_path / "above", ABOVE))
    assert [file.path for file in suite.files] == ["tests/ksft_x.sh", "tests/ksft_y.sh"]
    assert (suite.configs, suite.machine, suite.programs) == ((below / "config",), None, ())
    before = suite.digest
    (below / "ksft_x.sh").write_text("true\n")
    assert read_suite(tmp_path / "above").digest != before


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("gone", GUEST, "there is no suite gone beside above"),
        ("../guest", GUEST, "there is no suite ../guest beside above"),
        ("above", GUEST, "above stands on another suite itself"),
        ("guest", ABOVE, "guest stands on another suite itself"),
        ("guest", '[suite]\nname = "g"\nkind = "command"\ntitle = "x"\ncommand = ["a"]\n',
         "guest is of the kind command, not kselftest"),
    ],
)  # fmt: skip
def test_a_suite_on_what_it_cannot_stand_on(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    guest_suite(tmp_path / "guest", text)
    above = guest_suite(tmp_path / "above", ABOVE.replace('on = "guest"', f'on = "{name}"'))
    with pytest.raises(UserError, match=rf"above/suite\.toml:4: suite.on: {problem}"):
        read_suite(above)


def test_suites_are_found_by_kind(tmp_path: Path) -> None:
    top = tmp_path / "kernel-test-modules"
    top.mkdir()
    guest_suite(top / "guest")
    (top / "words").mkdir()
    (top / "words" / ".kunitconfig").write_text("")
    (top / "words" / "words.c").write_text("")
    (top / "words" / "suite.toml").write_text(TOML)
    both = ("words", "guest")
    assert [s.name for s in suites_of(tmp_path, both, Kind.KUNIT)] == ["words"]
    assert [s.name for s in suites_of(tmp_path, both, *Kind)] == ["words", "guest"]
    with pytest.raises(UserError, match="the suite guest is of the kind kselftest"):
        find_suites(tmp_path, both, Kind.KUNIT)
    with pytest.raises(UserError, match="there is no suite gone"):
        find_suites(tmp_path, ["gone"], Kind.KSELFTEST)


def test_a_large_suite_takes_few_git_commands(
    minitree: GitTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them reads or writes the index of a tree of 90,000 files."""
    (minitree.path / "tests").mkdir()
    (minitree.path / "tests" / "old.sh").write_text("old\n")
    (minitree.path / "tests" / "old.sh").chmod(0o755)
    minitree.commit("tests: begin")
    has = (Condition("a.txt", "1"),)
    files = [SuiteFile(f"tests/{n}", b"%d\r\n" % n, conditions=has) for n in range(50)]
    files.append(SuiteFile("tests/old.sh", b"new\n", EXECUTABLE))
    edit = Edit("tests/1", ("more",), after="^1")
    large = Suite("s", tmp_path, "t", "f", (), files=tuple(files), edits=(edit,))
    commands = []
    attempt = Git.attempt_bytes

    def counted(git: Git, *args: str, **options: Any) -> tuple[int, bytes, str]:
        commands.append(args)
        return attempt(git, *args, **options)

    base = Base("x", "x", minitree.path / ".git", minitree.git("rev-parse", "HEAD"), users=True)
    with open_workspace(open_cache(tmp_path / "cache"), base, Progress()) as workspace:
        monkeypatch.setattr(Git, "attempt_bytes", counted)
        commit = overlay(workspace, base.commit, [large])
        assert len(commands) < 20, commands
        listed = workspace.scratch.run("ls-tree", "-r", commit, "--", "tests/")
        assert workspace.scratch.blob(commit, "tests/49") == b"49\r\n"
        assert workspace.scratch.blob(commit, "tests/1") == b"1\r\nmore\n"
    assert len(listed.splitlines()) == 51
    assert "100755 blob 3e757656cf36eca53338e520d134963a44f793f8\ttests/old.sh" in listed


def test_a_mode_is_part_of_what_a_suite_brings(tmp_path: Path, minitree: GitTree) -> None:
    (tmp_path / "suite").mkdir()
    suite = read_suite(guest_suite(tmp_path / "suite"))
    plain = read_suite(guest_suite(tmp_path / "suite", GUEST.replace('mode = "0755"', "")))
    assert suite.digest != plain.digest
    script = minitree.path / "tests" / "ksft_x.sh"
    script.parent.mkdir()
    script.write_text("")
    minitree.commit("a script that nobody can run")
    git = Git(minitree.path)
    assert overlaid_files(git, "HEAD", plain) == {}
    assert overlaid_files(git, "HEAD", suite) == {"tests/ksft_x.sh": b""}
    script.chmod(0o755)
    minitree.commit("run it")
    assert overlaid_files(git, "HEAD", suite) == {}
