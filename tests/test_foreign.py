"""A series from elsewhere, on a tree with KUnit suites of its own: regress, check, cover."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool.cache import open_cache
from memdesc_tool.workspace import workspace_locks
from tests.conftest import GitTree, Ran, Tool
from tests.mailbox import COVER, give_identity
from tests.minikernel import make_foreign


@dataclass(frozen=True)
class Foreign:
    """A directory of patches, the tree that they are for, and a fragment for its suites."""

    series: Path
    tree: GitTree
    config: Path


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    mini = make_foreign(tmp_path)
    series = tmp_path / "theirs"
    series.mkdir()
    for patch in mini.series.glob("*.patch"):
        shutil.copy(patch, series)
    config = tmp_path / "counting.config"
    config.write_text("CONFIG_KUNIT=y\n")
    return Foreign(series, mini.tree, config)


def call(tool: Tool, foreign: Foreign, command: str, *args: str | Path) -> Ran:
    return tool(command, foreign.series, "--tree", foreign.tree.path, *args)


def test_what_regress_has_run_is_known_to_check(
    tool: Tool, foreign: Foreign, tmp_path: Path
) -> None:
    config = ("--kunitconfig", foreign.config)
    ran = call(tool, foreign, "regress", "--arch", "um-smp", *config)
    assert ran.status == 0, ran.err
    ran = call(tool, foreign, "check", "--no-compile", *config)
    assert "3 patches on " in ran.out and "results:" not in ran.out, ran.err
    other = tmp_path / "other.config"
    other.write_text("CONFIG_KUNIT=y\nCONFIG_OTHER=y\n")
    for unknown in (("--kunitconfig", other), (*config, "--filter", "greeting")):
        ran = call(tool, foreign, "check", "--no-compile", *unknown)
        assert "has not run on it" in ran.out
    ran = call(tool, foreign, "check", "--filter", "counting")
    assert ran.status == 2 and "--filter needs --kunitconfig" in ran.err


def test_what_regress_has_run_is_in_the_cover_letter(tool: Tool, foreign: Foreign) -> None:
    (foreign.series / "cover.md.j2").write_text(COVER)
    config = ("--kunitconfig", foreign.config, "--filter", "counting")
    ran = call(tool, foreign, "cover", *config)
    assert "Not tested on the state after the last patch:\n- counting/um" in ran.out, ran.err
    assert call(tool, foreign, "regress", *config).status == 0
    ran = call(tool, foreign, "cover", *config)
    assert "- counting on um, on the base and every patch: 3 cases pass at the end" in ran.out


def test_what_builds_nothing_does_not_wait_for_a_walk(
    tool: Tool, foreign: Foreign, tmp_path: Path
) -> None:
    """Whoever builds on the same tree holds this lock, for hours sometimes."""
    (foreign.series / "cover.md.j2").write_text(COVER)
    give_identity(foreign.tree)
    held, _ = workspace_locks(foreign.tree.path / ".git")
    with open_cache(tmp_path / "cache").lock(held):
        for command, *args in (("apply",), ("check", "--no-compile"), ("cover",),
                               ("send", "-o", tmp_path / "out")):  # fmt: skip
            ran = call(tool, foreign, str(command), *args)
            assert "patches" in ran.out and "waiting" not in ran.err, ran.err
    assert call(tool, foreign, "apply").status == 0
