"""Reading patches, series and stacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdesc_tool.errors import UserError
from memdesc_tool.patch import file_name, parse_patch
from memdesc_tool.series import read_series, read_stack
from memdesc_tool.template import render
from tests.conftest import ROOT


def test_a_series_is_read(project: Path) -> None:
    series = read_series(project / "patches" / "first")
    assert series.title == "words instead of figures"
    assert [patch.subject for patch in series.patches] == [
        "a: write three as a word",
        "a: write twenty as a word",
    ]
    assert series.patches[0].body == "Because words are nicer."
    assert series.patches[0].files == ("a.txt",)


def test_a_directory_of_patches_is_a_series(project: Path) -> None:
    directory = project / "patches" / "first"
    (directory / "series.toml").unlink()
    assert [p.path.name[:4] for p in read_series(directory).patches] == ["0001", "0002"]


def broken(project: Path, old: str, new: str) -> str:
    path = project / "patches" / "first" / "series.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_series(path.parent)
    return caught.value.message


def test_errors_name_file_line_and_field(project: Path) -> None:
    message = broken(project, 'file = "0002', 'file = "9999')
    assert re.search(r"series\.toml:7: patch\[2\]\.file: there is no file .*9999", message)


def test_an_unknown_field_is_refused(project: Path) -> None:
    assert "series.toml:1: titel: unknown field" in broken(project, "title", "titel")


def test_an_unlisted_patch_is_refused(project: Path) -> None:
    (project / "patches" / "first" / "0003-x.patch").write_text("x")
    assert "0003-x.patch is there but not listed" in broken(project, "title", "title")


def test_a_patch_listed_twice_is_refused(project: Path) -> None:
    path = project / "patches" / "first" / "series.toml"
    line = next(line for line in path.read_text().splitlines() if "0001" in line)
    assert "listed twice" in broken(project, "[[patch]]", f"[[patch]]\n{line}\n\n[[patch]]")


def test_an_unknown_kind_is_refused(project: Path) -> None:
    assert "patch[1].kind: no such kind: magic" in broken(
        project, "[[patch]]", '[[patch]]\nkind = "magic"'
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"Subject: x\n\nno diff here\n", "no diff"),
        (b"diff --git a/a b/a\n", "no Subject"),
        (b"\xff\xfe\x00", "not a patch"),
    ],
)
def test_what_is_no_patch_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_patch(Path("x.patch"), data)


def test_two_patches_in_one_file_are_refused(project: Path) -> None:
    one, two = sorted((project / "patches" / "first").glob("*.patch"))
    with pytest.raises(UserError, match="holds 2 patches"):
        parse_patch(one, one.read_bytes() + two.read_bytes())


def test_trailers_and_folded_encoded_subjects() -> None:
    data = (
        b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n"
        b"From: A <a@b>\nSubject: [RFC PATCH 1/2] mm/x:\n =?utf-8?q?caf=C3=A9?=\n\n"
        b"Why.\n\nFixes: 000000000000 (\"mm: y\")\nCc: stable@vger.kernel.org\n---\n"
        b" x | 1 +\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    )  # fmt: skip
    patch = parse_patch(Path("x.patch"), data)
    assert patch.subject == "mm/x: café"
    assert patch.trailers == (
        ("Fixes", '000000000000 ("mm: y")'),
        ("Cc", "stable@vger.kernel.org"),
    )
    assert patch.diff.startswith(b"diff --git a/x b/x")


def test_stack_order_and_dependencies(project: Path) -> None:
    second = project / "patches" / "second"
    second.mkdir()
    (second / "0001-z.patch").write_bytes(
        b"From: A <a@b>\nSubject: z\n\nx\n---\ndiff --git a/z b/z\n"
    )
    (second / "series.toml").write_text(
        'title = "second"\ndepends = ["first"]\n[[patch]]\nfile = "0001-z.patch"\n'
    )
    (project / "patches" / "stack.toml").write_text('series = ["first", "second"]\n')
    stack = read_stack(project / "patches", ("second",))
    assert [(p.number, p.series) for p in stack.patches] == [
        (1, "first"), (2, "first"), (3, "second"),
    ]  # fmt: skip
    assert len(stack.up_to(2)) == 2
    with pytest.raises(UserError, match="there is no patch 4"):
        stack.up_to(4)
    (project / "patches" / "first" / "series.toml").write_text(
        (project / "patches" / "first" / "series.toml")
        .read_text()
        .replace("\n\n", '\ndepends = ["second"]\n\n', 1)
    )
    with pytest.raises(UserError, match="depend on each other: second -> first -> second"):
        read_stack(project / "patches", ("second",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('series = ["first", "gone"]', r"stack.toml:1: series: there is no directory .*gone"),
        ('series = ["../first"]', "is no series name"),
        ("series = 3", "must be a list of strings"),
        ("serie = []", "stack.toml:1: serie: unknown field"),
    ],
)
def test_a_bad_stack_is_refused(project: Path, text: str, problem: str) -> None:
    (project / "patches" / "stack.toml").write_text(text + "\n")
    with pytest.raises(UserError, match=problem):
        read_stack(project / "patches")


def test_file_names_are_those_of_format_patch() -> None:
    assert file_name(3, "mm/x: do it (again), please") == "0003-mm-x-do-it-again-please.patch"


def test_names_that_no_file_can_have_are_refused(project: Path) -> None:
    """Found by `make fuzz`: the name of a series that is too long for a file name."""
    stack = project / "patches" / "stack.toml"
    stack.write_text(f'series = ["{"first" * 100}"]\n')
    with pytest.raises(UserError, match="is no series name"):
        read_stack(project / "patches")
    assert "File name too long" in broken(project, 'file = "0001', f'file = "{"x" * 300}')


def test_the_cover_letters_of_this_project_can_be_rendered() -> None:
    """They ask for nothing but the series, its base and what was tested; lines fit a mail."""
    covers = sorted((ROOT / "patches").glob("*/cover.md.j2"))
    assert covers
    for path in covers:
        series = read_series(path.parent)
        text = render(path.parent, path.name, series=series, base="7.3", tested="Tested.")
        assert text.startswith(f"{series.title}\n\n")
        assert max(len(line) for line in text.splitlines()[1:]) <= 75
