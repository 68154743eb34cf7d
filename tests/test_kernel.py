"""The main job on the real kernel: the series of this project, and one that is not ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdesc_tool.apply import apply_stack
from memdesc_tool.cache import open_cache
from memdesc_tool.console import Progress
from memdesc_tool.overlay import overlaid_files
from memdesc_tool.readsuite import find_suite
from memdesc_tool.series import read_stack
from memdesc_tool.tree import Base, resolve
from memdesc_tool.workspace import open_workspace
from tests.conftest import ROOT, kernel_clone
from tests.conftest import run_here as run

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(2400)]

BALLOON_COUNTER = {"movable_ops_balloon.nr_balloon_pages_enoent"}
UNMOVABLE = {
    "movable_ops_contig.contig_frozen_offline_page",
    "movable_ops_unmovable.unmovable_frozen_offline_cma",
    "movable_ops_unmovable.unmovable_frozen_offline_contig",
    "movable_ops_unmovable.unmovable_slab_cma",
    "movable_ops_unmovable.unmovable_slab_contig",
    "movable_ops_unmovable.unmovable_slab_offlining",
}
ISOLATION = {"movable_ops_contig.contig_isolated_pageblock"}
FIXED = BALLOON_COUNTER | UNMOVABLE | ISOLATION


@pytest.fixture(scope="session")
def base() -> Base:
    """7.3, in the cache that `make regress` uses: obtaining it takes a minute."""
    return resolve("7.3", open_cache(), Progress())


def cases(text: str, word: str) -> set[str]:
    """The cases that a report marks with word, on um."""
    return set(re.findall(rf"^  {word} +\S+/um: (\S+)", text, re.MULTILINE))


def test_the_fixes_turn_the_base_green(base: Base) -> None:
    """The suite is red on the base for what the series fixes, for nothing else, and green
    at the end; it really runs, whatever is stored."""
    ran = run("regress", "fixes", "--tree", base.name, "--ends", "--arch", "um", "--rerun")
    assert ran.status == 0, ran.out + ran.err
    assert cases(ran.out, "fails") == FIXED
    assert cases(ran.out, "fixed") == FIXED
    assert "0 regressed, 0 failing at the end" in ran.out
    passed = [int(n) for n in re.findall(r"(\d+) passed", ran.out)]
    assert passed[1] >= 60
    assert passed[1] == passed[0] + len(FIXED)


def test_the_stack_is_green_at_its_end(base: Base) -> None:
    """All series, and the cases that they bring themselves; `make regress` does each patch."""
    ran = run("regress", "--tree", base.name, "--ends", "--arch", "um-smp", "--rerun")
    assert ran.status == 0, ran.out + ran.err
    patches = sum(int(n) for n in re.findall(r"(\d+) patches", run("series", "list").out))
    assert f"GOOD: {patches} patches" in ran.out
    assert "0 regressed, 0 failing at the end" in ran.out
    passed = [int(n) for n in re.findall(r"(\d+) passed", ran.out)]
    assert passed[1] > passed[0] + len(FIXED)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("mm/balloon: update NR_BALLOON_PAGES", BALLOON_COUNTER),
        ("mm/page_isolation: treat frozen slab", UNMOVABLE),
        ("mm/page_alloc: do not undo the isolation", ISOLATION),
    ],
)
def test_without_a_fix_exactly_its_cases_turn_red(
    base: Base, subject: str, expected: set[str]
) -> None:
    shown = run("series", "show", "fixes").out
    number = next(line.split(".")[0].strip() for line in shown.splitlines() if subject in line)
    ran = run("regress", "fixes", "--tree", base.name, "--arch", "um", "--without", number)
    assert ran.status == 1, ran.out + ran.err
    assert cases(ran.out, "regressed") == expected
    assert re.search(rf"without {number}\. {subject}.*: {len(expected)} cases? turns? red", ran.out)


def test_um_counts_what_the_suite_runs_of_the_series(base: Base) -> None:
    """Without what coverage.py does about um's linker script, um writes no counts."""
    ran = run("regress", "--tree", base.name, "--arch", "um", "--coverage")
    assert ran.status == 0, ran.out + ran.err
    every = re.search(r"^all +(\d+) of \d+ \(\d+%\) +(\d+) of \d+ ", ran.out, re.MULTILINE)
    assert every, ran.out
    assert int(every[1]) > 400, "lines"
    assert int(every[2]) > 200, "branches"


def test_the_series_is_what_its_sources_give(base: Base) -> None:
    ran = run("generate", "--tree", base.name, "--check")
    assert ran.status == 0, ran.out + ran.err
    assert "unchanged" in ran.out


def test_the_patches_say_what_they_change(base: Base) -> None:
    """Each applies where it says, to the blobs that it names: mail of them gives them again."""

    def places(diff: str) -> list[str]:
        return re.findall(r"^(?:index [0-9a-f]{40}\.\.[0-9a-f]{40}|@@ [-+,0-9 ]+ @@)", diff, re.M)

    progress = Progress()
    patches = read_stack(ROOT / "patches").patches
    with open_workspace(open_cache(), base, progress) as workspace:
        applied = apply_stack(workspace, base.commit, patches, progress)
        assert len(applied) == len(patches)
        for patch, commit in zip(patches, [one.commit for one in applied], strict=True):
            diff = workspace.scratch.run("diff-tree", "-p", "--full-index", commit)
            assert places(diff)
            assert places(patch.patch.path.read_text()) == places(diff), patch.patch.subject


def test_the_suites_are_in_the_stack_once(base: Base) -> None:
    """Laying over the stack what its patches bring changes nothing: one suite's lines do not
    tear those of another apart, which would then come in twice, and run twice."""
    progress = Progress()
    stack = read_stack(ROOT / "patches")
    with open_workspace(open_cache(), base, progress) as workspace:
        applied = apply_stack(workspace, base.commit, stack.patches, progress)
        for name in stack.suites:
            suite = find_suite(ROOT, name)
            assert overlaid_files(workspace.scratch, applied[-1].commit, suite) == {}, name


def test_a_series_that_is_not_ours(tmp_path: Path) -> None:
    """A user's own tree and own series: three commits on lib/math, one of which breaks it."""
    tree, base = kernel_clone("their linux")
    tree.git("sparse-checkout", "set", "--no-cone", "/lib/math/gcd.c")
    tree.git("checkout", "-q", "-b", "theirs", base.commit)
    source = tree.path / "lib" / "math" / "gcd.c"
    good = source.read_text()
    source.write_text(good + "\n/* Greatest means largest. */\n")
    tree.commit("lib/math: say what greatest means\n\nIt was not said.")
    at = "unsigned long gcd(unsigned long a, unsigned long b)\n{\n"
    assert at in good
    bad = source.read_text().replace(at, at + "\tif (a == 48 || b == 48)\n\t\treturn 7;\n\n")
    source.write_text(bad)
    tree.commit("lib/math: take a short cut for 48\n\nIt is faster.")
    source.write_text(good + "\n/* Greatest means largest. */\n")
    tree.commit("lib/math: no short cut for 48\n\nIt was wrong.")

    project = tmp_path / "project"
    (project / "patches").mkdir(parents=True)
    (project / "patches" / "stack.toml").write_text("series = []\n")
    common = ("--project", project, "--tree", tree.path)
    ran = run("series", "export", "gcd", f"{base.commit}..theirs", *common)
    assert ran.status == 0, ran.err
    before = tree.state()

    ran = run("apply", "gcd", *common, "--rev", base.commit)
    assert ran.status == 0, ran.err
    assert "3 patches apply" in ran.out

    config = project / "gcd.config"
    config.write_text("CONFIG_KUNIT=y\nCONFIG_GCD_KUNIT_TEST=y\n")
    kunit = ("--kunitconfig", config, "--filter", "math-gcd")
    ran = run("regress", "gcd", *common, "--rev", base.commit, *kunit, "--rerun")
    assert ran.status == 1, ran.out + ran.err
    second, _, third = ran.out.partition("3. lib/math: no short cut for 48:")
    assert re.search(r"2\. lib/math: take a short cut for 48:\n +regressed", second)
    assert re.search(r"fixed +\S+: math-gcd", third)
    assert "regressed, 0 failing at the end" in ran.out

    ran = run("kunit", *common, "--rev", "theirs~1", *kunit)
    assert ran.status == 1, ran.out + ran.err
    ran = run("kunit", *common, "--rev", "theirs", *kunit)
    assert ran.status == 0, ran.out + ran.err
    assert tree.state() == before
