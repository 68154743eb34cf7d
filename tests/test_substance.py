"""When two versions of a patch do the same: git's own diffs of files before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool.git import Git
from memdesc_tool.patch import Patch, format_patch, parse_patch
from memdesc_tool.substance import material
from tests.conftest import GitTree

CODE = """\
/*
 * Counts.
 */
int count(int *n)
{
	int one = 1;

	lock();
	*n = one;
	work(n);
	more(n);
	work(n);
	*n += one;
	unlock();
	return 0;
}

int other(int *n)
{
	work(n);
	return *n;
}
"""


def patch_of(tree: GitTree, before: dict[str, str], after: dict[str, str]) -> Patch:
    """The patch between two states of the tree; a file without text is none."""
    tree.git("checkout", "-q", "--orphan", "state")
    for state in (before, after):
        tree.git("rm", "-rqf", "--ignore-unmatch", ".")
        for name, text in state.items():
            (tree.path / name).parent.mkdir(exist_ok=True)
            (tree.path / name).write_text(text)
        tree.commit("a: change\n\nText.")
    data = format_patch(Git(tree.path), "HEAD")
    tree.git("checkout", "-q", "main")
    tree.git("branch", "-q", "-D", "state")
    return parse_patch(Path("0001-a.patch"), data)


def changed(*pairs: tuple[str, str], code: str = CODE) -> str:
    """The code with words replaced, each where it stands first."""
    for old, new in pairs:
        assert old in code
        code = code.replace(old, new, 1)
    return code


def differ(tree: GitTree, one: str, other: str, *, base: str = "", name: str = "a.c") -> bool:
    """Whether changing CODE to one is another patch than changing it (or base) to other."""
    return material(
        patch_of(tree, {name: CODE}, {name: one}),
        patch_of(tree, {name: base or CODE}, {name: other}),
    )


RETURN = ("return 0", "return 1")


@pytest.mark.parametrize(
    "more",
    [
        [("lock();\n", "/* Held by us. */\n\tlock();\n")],
        [("lock();\n", "lock(); // held\n")],
        [("lock();\n", "lock( );\n\n")],
        [("\tlock();\n", "\t/*\n\t * Held\n\t * by us.\n\t */\n\tlock();\n")],
        [(" * Counts.", " * Counts; *n = 0;")],
        [("return 1;", "return  1; /* more than before */")],
    ],
)
def test_comments_and_white_space(minitree: GitTree, more: list[tuple[str, str]]) -> None:
    assert not differ(minitree, changed(RETURN), changed(RETURN, *more))


@pytest.mark.parametrize(
    "more",
    [
        [("*n = one;", "*n = 1000000; *other = NULL;")],
        [("*n += one;", "*n -= one;")],
        [("lock();", "/* lock(); */")],
        [("\tlock();\n", "/*\n\tlock();\n*/\n")],
        [("/*\n * Counts.", "// SPDX-License-Identifier: MIT\n/*\n * Counts.")],
        [("int one", "intone")],
        [("one = 1", 'one = "a b"[0]')],
    ],
)
def test_code(minitree: GitTree, more: list[tuple[str, str]]) -> None:
    assert differ(minitree, changed(RETURN), changed(RETURN, *more))


def test_white_space_in_a_string(minitree: GitTree) -> None:
    one, other = (changed(("work(n)", f'print("{text}")')) for text in ("a b", "a  b"))
    assert differ(minitree, one, other)


def test_code_put_in_a_comment_by_lines_far_apart(minitree: GitTree) -> None:
    """No line of code changes: a comment begins above them and ends far below."""
    hidden = changed(
        RETURN, ("\tint one", "\t/*\n\tint one"), ("\treturn *n;", "\t*/\n\treturn *n;")
    )
    assert differ(minitree, changed(RETURN), hidden)


def test_the_same_line_in_another_place(minitree: GitTree) -> None:
    first = changed(("\twork(n);\n\tmore", "\tcheck(n);\n\twork(n);\n\tmore"))
    second = changed(("more(n);\n\twork(n);\n", "more(n);\n\tcheck(n);\n\twork(n);\n"))
    assert differ(minitree, first, second)
    grown = changed(("int one", "int two;\n\tint one"))
    moved = changed(("int one", "int two;\n\tint one"), code=second)
    assert differ(minitree, first, moved, base=grown)


def test_the_same_change_of_a_file_that_has_grown(minitree: GitTree) -> None:
    grown = "int before;\n" * 40 + CODE
    assert not differ(minitree, changed(RETURN), changed(RETURN, code=grown), base=grown)


def test_names_and_modes(minitree: GitTree) -> None:
    before = {"sub/b.c": CODE}
    renamed = patch_of(minitree, before, {"sub/c.c": CODE})
    assert not material(renamed, patch_of(minitree, before, {"sub/c.c": CODE}))
    assert material(renamed, patch_of(minitree, before, {"sub/d.c": CODE}))
    one = patch_of(minitree, {"a.c": CODE, "b.c": CODE}, {"a.c": changed(RETURN), "b.c": CODE})
    other = patch_of(minitree, {"a.c": CODE, "b.c": CODE}, {"a.c": CODE, "b.c": changed(RETURN)})
    assert material(one, other)
    data = one.data.replace(b"\nindex ", b"\nold mode 100644\nnew mode 100755\nindex ")
    assert material(one, parse_patch(one.path, data.replace(b" 100644\n---", b"\n---")))


def test_text_that_is_not_c(minitree: GitTree) -> None:
    """Comments look like this in C alone, and white space counts in a Makefile."""
    star = changed(RETURN, ("\tlock();\n", "\tlock();\n * a point\n"))
    assert differ(minitree, changed(RETURN), star, name="a.rst")
    wide = changed(RETURN, ("lock();", " lock();"))
    assert differ(minitree, changed(RETURN), wide, name="Makefile")


def test_a_patch_that_is_about_a_comment(minitree: GitTree) -> None:
    one, other = changed(("Counts", "Sums up")), changed(("Counts", "Adds"))
    assert differ(minitree, one, other)
    assert not differ(minitree, one, one)


def test_what_a_mail_has_below_the_diff(minitree: GitTree) -> None:
    patch = patch_of(minitree, {"a.c": CODE}, {"a.c": changed(RETURN)})
    footer = b"\n---\nbase-commit: 0123456789012345678901234567890123456789\n\n--  \nAnna\n"
    assert not material(patch, parse_patch(patch.path, patch.data + footer))
