"""Suites: reading them, and laying them over a revision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.suites import Edit, Suite, apply_edit, read_suite

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


TOML = """\
[suite]
name = "words"
title = "x"
filter = "words"

[[file]]
source = "words.c"
path = "tests/words.c"

[[edit]]
path = "Makefile"
lines = ["x"]
after = "a"
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"words.c"\npath', '"gone.c"\npath', r"suite.toml:7: file\[1\].source: there is no file"),
        ('"words.c"\npath', '"../words.c"\npath', r"file\[1\].source: \.\./words.c leads out"),
        ('"tests/words.c"', '"../x"', r"suite.toml:8: file\[1\].path: \.\./x is no path below"),
        ('"tests/words.c"', '"/etc/passwd"', r"file\[1\].path"),
        ('"tests/words.c"', '".git/config"', r"file\[1\].path"),
        ('after = "a"', 'after = "("', r"suite.toml:13: edit\[1\].after: not a regular expr"),
        ('after = "a"', "", r"edit\[1\].before: give either before or after"),
        ('lines = ["x"]', "", r"edit\[1\].lines: give either lines or source"),
        ('filter = "words"', "", r"suite.filter: missing"),
        ('title = "x"', 'title = "x"\ntimeout = 0', r"suite.timeout: must be an integer of at"),
        ('title = "x"', 'title = "x"\nkind = "magic"', r"suite.kind: only kunit is known"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path: Path, old: str, new: str, problem: str) -> None:
    (tmp_path / "words.c").write_text("int words;\n")
    (tmp_path / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    path = tmp_path / "suite.toml"
    path.write_text(TOML)
    assert read_suite(tmp_path).files == (("tests/words.c", b"int words;\n"),)
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
