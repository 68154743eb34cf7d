"""Tags: check and generate know the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdesc_tool.message import check_message
from memdesc_tool.patch import parse_patch
from memdesc_tool.tags import is_given, is_known, is_review
from tests.conftest import GitTree, Tool
from tests.test_check import GOOD, patch
from tests.test_scaffold import new_project

JANE = "Jane Reviewer <jane@example.org>"
GIVEN = ("Reviewed-by", "Acked-by", "Tested-by", "Reviewed-and-tested-by", "Reported-by",
         "Reported-and-tested-by", "Suggested-by", "Debugged-by")  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_what_others_give_is_known(name: str) -> None:
    assert is_given(name) and is_known(name)
    assert check_message(patch(*GOOD, f"{name}: {JANE}")) == ()
    (found,) = check_message(patch(*GOOD, f"{name}: Jane"))
    assert "Jane is no name with an address" in found.text


def test_what_an_author_writes_is_not_given_and_not_every_word_is_a_tag() -> None:
    assert not any(map(is_given, ("Signed-off-by", "Co-developed-by", "Assisted-by", "Fixes")))
    assert not any(map(is_known, ("Reviewd-by", "Reviewed-and-loved-by", "Example")))
    assert is_review("Reported-and-tested-by") and not is_review("Reported-by")


def test_what_others_gave_stays_in_a_patch_that_is_made_anew(
    tool: Tool, minitree: GitTree, tmp_path: Path
) -> None:
    (minitree.path / "mm").mkdir()
    (minitree.path / "mm" / "Makefile").write_text("obj-$(CONFIG_X_KUNIT_TEST) += tests/x.o\n")
    (minitree.path / "mm" / "Kconfig").write_text('config X\n\nsource "mm/damon/Kconfig"\n')
    minitree.commit("mm: start")
    project = new_project(tmp_path / "project")
    assert (
        tool("series", "new", "my_pages", "--template", "kunit", "--project", project).status == 0
    )
    args = ("my_pages", "--tree", minitree.path, "--project", project)
    assert tool("generate", *args).status == 0
    (file,) = (project / "patches" / "my_pages").glob("*.patch")
    given = [(name, JANE) for name in (*GIVEN, "Compile-tested-by")]
    text = "".join(f"{name}: {value}\n" for name, value in given)
    head, _, rest = file.read_text().partition("---\n")
    file.write_text(f"{head}{text}---\n{rest}")
    assert tool("generate", *args).status == 0
    assert parse_patch(file, file.read_bytes()).trailers[-len(given) :] == tuple(given)
