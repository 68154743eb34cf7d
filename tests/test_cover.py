"""The cover letter: what was tested, what was not, what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memdesc_tool import cover, evidence
from memdesc_tool.figuretable import figures_text
from memdesc_tool.measured import Figure
from memdesc_tool.results import key_of, open_store
from tests.conftest import GitTree, Tool
from tests.mailbox import begin_prep, describe, give_identity, home
from tests.minikernel import FIXED, STEPS, SUITE, MiniKernel, make_mini
from tests.reports import Reported

COVER = "{{ series.title }}\n\nNumbers are right.\n\n{{ tested }}\n\n{{ figures }}\n"


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    made = make_mini(tmp_path)
    (made.series / "cover.md.j2").write_text(COVER)
    return made


def test_what_ran_what_was_skipped_and_what_it_costs(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    suite = mini.project / "kernel-test-modules" / "counting"
    text = SUITE.replace("ok 3 counts", "ok 3 counts # SKIP no counter here")
    (suite / "counting.sh").write_text(text)
    toml = (suite / "suite.toml").read_text()
    (suite / "suite.toml").write_text(toml.replace("[[file]]", "attempts = 2\n\n[[file]]", 1))
    reported = Reported(mini, tool, tmp_path / "cache")
    assert reported.run("regress", "numbers").status == 0
    ran = reported.run("cover", "numbers")
    assert ran.status == 0, ran.err
    with open_store(tmp_path / "cache" / "results.sqlite") as store:
        runs = {attempt for inputs in store.inputs("kunit")
                for attempt in store.attempts(key_of(inputs))}  # fmt: skip
    seconds = sum(attempt.seconds for attempt in runs)
    assert f"""
Tested:
- counting on um, on the base and every patch: 2 cases pass at the end,
  1 is skipped; {len(runs)} runs, {seconds:.0f} seconds with builds

Not tested on the state after the last patch:
- counting/um, skipped: counting.counts

---
""" in ran.out  # fmt: skip
    reported.measure()
    assert """
  instructions                                base       end
  count one page                                41      37.2      -9%
""" in reported.run("cover", "numbers").out  # fmt: skip


def test_a_last_patch_that_does_not_build(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    mini.make_series(*STEPS[:2], ("break it", FIXED + "if\n"))
    reported = Reported(mini, tool, tmp_path / "cache")
    assert reported.run("regress", "numbers").status == 1
    ran = reported.run("cover", "numbers")
    assert "Nothing of it was tested." in ran.out
    assert re.search(r"after the last patch:\n- counting/um: does not build: ", ran.out)
    assert "cases pass" not in ran.out and str(tmp_path) not in ran.out
    assert "counting/um does not build" in ran.err


def test_hours_and_what_went_wrong_are_said_in_words() -> None:
    skipped = tuple(f"mo_race.case_{number}" for number in range(8))
    broken = ("1 run: timed out", "splat: BUG in f")
    race = evidence.Tested("races", "x86_64", 2, 1, 1, skipped, broken, 12, 12_240.0)
    text = cover.tested_text(
        [race], [evidence.Untested("races/arm64"), evidence.Untested("kunit/um", "x" * 90)], 4
    )
    assert (
        text
        == f"""\
Tested:
- races on x86_64, on 2 of 4 revisions: 1 case passes at the end, 1
  fails, 8 are skipped; 1 run: timed out; splat: BUG in f; 12 runs, 3.4
  hours

Not tested on the state after the last patch:
- races/arm64
- kunit/um:
  {"x" * 90}
- races/x86_64, skipped: mo_race.case_0, mo_race.case_1, mo_race.case_2,
  mo_race.case_3, mo_race.case_4 and 3 more"""
    )


def test_figures_that_have_changed_are_a_table() -> None:
    def figure(name: str, patch: str, middle: float, unit: str = "instructions") -> Figure:
        return Figure(name, unit, patch, middle - 1, middle, middle + 1, 5)

    figures = [
        figure("inflate", "base (linux)", 1067), figure("migrate", "base (linux)", 700),
        figure("locks", "base (linux)", 0, "atomics"),
        figure("inflate", "1. mm: a", 900),
        figure("inflate", "3. mm: c", 684), figure("migrate", "3. mm: c", 705),
        figure("locks", "3. mm: c", 7, "atomics"), figure("new", "3. mm: c", 7),
    ]  # fmt: skip
    assert (
        figures_text(figures, "mm: c")
        == """\
Measured on the base and at the end, medians of 5 boots:

  instructions                                base       end
  inflate                                     1067       684     -36%

  atomics                                     base       end
  locks                                          0         7      new

1 figure has changed by no more than 2%, or than boots differ."""
    )
    assert figures_text(figures, "mm: d") == figures_text((), "mm: c") == ""


@pytest.mark.parametrize("where", ["cover", "title", "message", "subject"])
def test_what_is_still_to_be_written_is_found_and_not_sent(
    tool: Tool, minitree: GitTree, project: Path, tmp_path: Path, where: str
) -> None:
    series = describe(project)
    name = {"cover": "cover.md.j2", "title": "series.toml"}.get(
        where, "0001-a-write-three-as.patch"
    )
    file = next(series.glob(f"{name.removesuffix('.patch')}*"))
    old, new = {"cover": ("Figures are", "EDITME: why"), "title": ("figures", "figures EDITME"),
                "message": ("Because", "EDITME: because"),
                "subject": ("as a word", "as a word EDITME")}[where]  # fmt: skip
    file.write_text(file.read_text().replace(old, new, 1))
    give_identity(minitree)
    args = ("first", "--tree", minitree.path, "--project", project)
    ran = tool("check", *args, "--no-compile")
    assert re.search(r"note .*EDITME" if where in ("cover", "title") else "error .*EDITME", ran.out)
    ran = tool("send", *args, "-o", tmp_path / "out", **home(tmp_path / "home"))
    assert ran.status == 2 and "is to be written: " in ran.err
    assert not (tmp_path / "out").exists() and "b4/first" not in minitree.git("branch")


@pytest.mark.usefixtures("project")
def test_a_branch_with_the_cover_letter_that_b4_begins_with_is_not_sent(
    tool: Tool, minitree: GitTree, tmp_path: Path
) -> None:
    variables = home(tmp_path / "home")
    give_identity(minitree)
    begin_prep(minitree, variables)
    ran = tool("send", "--branch", "b4/mine", "--tree", minitree.path, "-o", tmp_path / "out",
               **variables)  # fmt: skip
    assert ran.status == 2 and "the cover letter of b4/mine has an EDITME" in ran.err
    assert not (tmp_path / "out").exists()


OWN = """\
words instead of figures

Figures are short, words are clear: {{ they }} mean more.

>## Why

# This is for nobody.

To: linux-mm@example.org
Signed-off-by: Anna <anna@example.org>

---
Changes in v2:
- Clearer.
"""


@pytest.mark.usefixtures("project")
def test_a_prep_branch_has_the_cover_letter_that_b4_keeps(
    tool: Tool, minitree: GitTree, tmp_path: Path
) -> None:
    """It is no template; comments and recipients are not of the mail's text."""
    variables = home(tmp_path / "home")
    give_identity(minitree)
    begin_prep(minitree, variables, OWN)
    (tmp_path / "cover.md.j2").write_text("A template\n\nof somebody else's.\n")
    before = minitree.state()
    ran = tool("cover", "--branch", "b4/mine", "--tree", minitree.path, **variables)
    assert ran.status == 0, ran.err
    above, _, below = ran.out.partition("\n---\n")
    assert (
        above
        == """\
words instead of figures

Figures are short, words are clear: {{ they }} mean more.

## Why

Signed-off-by: Anna <anna@example.org>
"""
    )
    assert below.startswith("\nChanges in v2:\n- Clearer.\n\n a.txt | 4 ++--\n")
    assert f"base-commit: {minitree.git('rev-parse', 'main')}" in below
    assert minitree.state() == before
    ran = tool("check", "--branch", "b4/mine", "--tree", minitree.path, "--no-compile", **variables)
    assert "EDITME" not in ran.out


def test_a_branch_has_its_description_as_cover_letter_with_what_was_tested(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    described = tmp_path / "mine.toml"
    described.write_text('title = "mine"\nsuites = ["counting"]\n')
    args = ("cover", "--tree", mini.tree.path, "--project", mini.project, "--describe", described)
    ran = tool(*args, "--branch", "main..work")
    assert ran.status == 2 and "has no cover.md.j2" in ran.err
    mini.tree.git("config", "branch.work.description", "count\nright\n\nNumbers are right.\n")
    ran = tool(*args, "--branch", "main..work")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("count right\n\nNumbers are right.\n\nNothing of it was tested.\n")
    assert "\n- counting/um\n" in ran.out
    mini.tree.git("checkout", "-q", "work")
    assert tool(*args, "--branch", "main..").out == ran.out
    mini.tree.git("config", "branch.work.description", "Numbers are right. " * 9)
    assert tool(*args, "--branch", "main..work").out.startswith("work\n\nNumbers are right. ")
