"""Errors in TOML files name file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool.errors import UserError
from memdesc_tool.tomlfile import read_toml

TEXT = """\
# a comment
title = "x"
count = -1

[[patch]]
file = "one"

[[patch]]
fil = "two"
flag = "yes"
"""


def test_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(TEXT)
    top = read_toml(path, "a test")
    assert top.string("title") == "x"
    assert top.strings("nothing") == ()
    assert next(table.values for table in top.tables("patch")) == {"file": "one"}


def test_each_error_names_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(TEXT)
    top = read_toml(path, "a test")
    second = list(top.tables("patch"))[1]
    for call, expected in (
        (lambda: top.integer("count"), f"{path}:3: count: must be an integer"),
        (lambda: top.string("absent"), f"{path}:1: absent: missing"),
        (lambda: second.only(["file"]), f"{path}:9: patch[2].fil: unknown field"),
        (lambda: second.string("file"), f"{path}:8: patch[2].file: missing"),
        (lambda: second.boolean("flag", False), f"{path}:10: patch[2].flag: must be true"),
        (lambda: top.tables("title").__next__(), f"{path}:2: title: must be tables"),
        (lambda: top.table("title"), f"{path}:2: title: must be a table"),
        (lambda: top.table("absent"), f"{path}:1: absent: must be a table"),
        (lambda: top.string("count"), f"{path}:3: count: must be a string, is a number"),
        (lambda: second.integer("flag"), f"{path}:10: patch[2].flag: must be an integer"),
        (lambda: top.strings("title"), f"{path}:2: title: must be a list of strings"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.message.startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = 1\nb = = 2\n", ":2: "),
        (b"a = 'x\n", ":1: "),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[a\n", ":1: "),
    ],
)
def test_bad_syntax_names_the_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_toml(path, "a test")
    assert str(path) in caught.value.message
    assert expected in caught.value.message


def test_a_path_may_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.toml").write_text('file = "../secret"\n')
    top = read_toml(inner / "a.toml", "a test")
    with pytest.raises(UserError, match="leads out of"):
        top.file("file", inner)


def test_a_table_knows_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('title = "x"\n\n[suite]\nname = "s"\ntitle = 3\n')
    suite = read_toml(path, "a test").table("suite")
    assert suite.string("name") == "s"
    with pytest.raises(UserError, match=r"a.toml:5: suite.title: must be a string"):
        suite.string("title")
    with pytest.raises(UserError, match=r"a.toml:3: suite.filter: missing"):
        suite.string("filter")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_toml(tmp_path / "gone.toml", "a test")
