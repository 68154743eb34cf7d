"""regress --mutate and --coverage on a "kernel" that is a C program with a suite in it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool import mutate
from memdesc_tool.addedlines import AddedLine
from memdesc_tool.cells import Row
from memdesc_tool.coverage import writing
from memdesc_tool.mutate import Mutant, mistakes, sample
from memdesc_tool.overlay import apply_edit
from memdesc_tool.suites import Suite
from tests.conftest import GitTree, Ran, Tool
from tests.fakekbuild import make_kbuild, make_range

TAKE = """\
#include <linux/pages.h>

static int taken;
static int noted;

static void note(int wanted)
{
	noted = wanted;
}

int take_pages(int wanted)
{
	if (wanted < 0)
		return -EINVAL;
	if (taken + wanted > LIMIT)
		return -EBUSY;
	note(wanted);
	taken += wanted;
	return 0;
}

int never_called(void)
{
	return noted;
}
"""
HEADER = """\
#define PAGE_BITS 12
#define LIMIT 4
#define EBUSY 16
#define EAGAIN 11
#define EINVAL 22
#define ENOENT 2
int count_pages(int wanted);
int take_pages(int wanted);
int never_called(void);
"""
SUITE = """\
#include <stdio.h>
#include <linux/pages.h>

static void check(int number, const char *name, int good)
{
	printf("    %s %d %s\\n", good ? "ok" : "not ok", number, name);
}

int main(void)
{
	printf("Linux version 7.3.0 (fake)\\nKTAP version 1\\n1..1\\n");
	printf("    KTAP version 1\\n    # Subtest: pages\\n    1..3\\n");
	check(1, "negative", take_pages(-1) == -EINVAL);
	check(2, "some", take_pages(4) == 0);
	check(3, "too_many", take_pages(1) == -EBUSY);
	printf("ok 1 pages\\n");
	return 0;
}
"""
SUITE_TOML = """\
[suite]
name = "pages"
title = "taking pages"
filter = "pages"

[[file]]
source = "suite.c"
path = "tests/suite.c"
"""


@dataclass(frozen=True)
class Strong:
    tree: GitTree
    project: Path


@pytest.fixture
def strong(tmp_path: Path) -> Strong:
    tree = make_kbuild(tmp_path / "kernel")
    project = tmp_path / "project"
    suite = project / "kernel-test-modules" / "pages"
    suite.mkdir(parents=True)
    (project / "patches").mkdir()
    (project / "patches" / "stack.toml").write_text("series = []\n")
    (suite / "suite.toml").write_text(SUITE_TOML)
    (suite / "suite.c").write_text(SUITE)
    (suite / ".kunitconfig").write_text("CONFIG_KUNIT=y\n")
    make_range(
        tree,
        ("declare", {"include/linux/pages.h": HEADER}),
        ("take pages", {"mm/take.c": TAKE}),
    )
    return Strong(tree, project)


def regress(tool: Tool, strong: Strong, *args: str | Path) -> Ran:
    return tool("regress", "--project", strong.project, "--tree", strong.tree.path,
                "--range", "main..work", "--suite", "pages", *args)  # fmt: skip


def report(tool: Tool, strong: Strong) -> str:
    """What is kept of it: the Markdown of a report."""
    return tool("report", "--project", strong.project, "--tree", strong.tree.path,
                "--range", "main..work", "--suite", "pages", "--markdown", "-").out  # fmt: skip


def test_mutants_that_no_suite_notices(tool: Tool, strong: Strong) -> None:
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == "7 of 7 mutants of 32 added lines (seed 0)"
    assert "error code 2 2 2" in lines
    assert "negated 2 2 2" in lines
    assert "bound 2 2 1" in lines
    assert "no call 1 1 0" in lines
    silent = [line for line in lines if line.startswith("no suite notices: ")]
    assert silent == [
        "no suite notices: mm/take.c:13: bound: if (wanted < 0)",
        "no suite notices: mm/take.c:17: no call: note(wanted);",
    ]
    assert "2. take pages" in lines
    assert "became: if (wanted <= 0)" in lines
    assert lines[-1] == "noticed: 5 of 7 mutants that compile, 71%"
    told = report(tool, strong)
    assert "- mutants: 5 of 7 that compile are noticed\n" in told
    assert "- `mm/take.c:17: no call: note(wanted);`: ran on pages/um\n" in told
    assert "  -\tnote(wanted);\n  +\t;\n" in told.replace("    ", "\t")


EQUIVALENT = """\
[[equivalent]]
file = "mm/take.c"
line = "if (wanted < 0)"
became = "if (wanted <= 0)"
after = "{"
reason = "nobody takes no pages"

[[equivalent]]
file = "mm/take.c"
line = "if (wanted < 0)"
became = "if (!(wanted < 0))"
reason = "wrong"

[[equivalent]]
file = "mm/take.c"
line = "note(wanted);"
became = ";"
after = "return 0;"
reason = "not there"
"""


def test_mutants_that_change_nothing(tool: Tool, strong: Strong) -> None:
    (strong.project / "patches" / "mutants.toml").write_text(EQUIVALENT)
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "changes nothing: mm/take.c:13: bound: if (wanted < 0)" in lines
    assert "nobody takes no pages" in lines
    assert "is noticed, its reason can go: mm/take.c:13: negated: if (wanted < 0)" in lines
    assert "mutants.toml: no mutant is mm/take.c: note(wanted); -> ;" in lines
    assert "no suite notices: mm/take.c:17: no call: note(wanted);" in lines
    assert lines[-1] == "noticed: 5 of 6 mutants that compile and change something (1 do not), 83%"
    assert "- mutants: 5 of 6 that compile and change something (1 do not) are noticed\n" in report(
        tool, strong
    )


def test_an_argument_counts_at_once(tool: Tool, strong: Strong) -> None:
    assert regress(tool, strong, "--mutate").status == 0
    (strong.project / "patches" / "mutants.toml").write_text(EQUIVALENT)
    told = report(tool, strong)
    assert "- mutants: 5 of 6 that compile and change something (1 do not) are noticed\n" in told
    assert "nobody takes no pages" in told.partition("argued to change nothing")[2]


def test_a_suite_that_has_changed_is_not_counted(tool: Tool, strong: Strong) -> None:
    assert regress(tool, strong, "--mutate").status == 0
    suite = strong.project / "kernel-test-modules" / "pages" / "suite.c"
    suite.write_text(SUITE + "/* better */\n")
    told = report(tool, strong)
    assert "not counted, since the suite has changed after it ran on them: `pages/um`" in told
    assert "- mutants: 0 of 0 that compile are noticed\n" in told


def test_survivors_go_to_the_next_machine_only_when_asked(
    tool: Tool, strong: Strong, tmp_path: Path
) -> None:
    ran = regress(tool, strong, "--mutate", "--survivors", "--arch", "um")
    assert (ran.status, ran.err.splitlines()[0]) == (
        2, "memdesc-tool: no mutant of this state of the series has run yet"
    )  # fmt: skip
    assert regress(tool, strong, "--mutate", "--arch", "um").status == 0
    results = tmp_path / "cache" / "work" / "compiled"
    before = results.read_text().count("mm/take.o")
    ran = regress(tool, strong, "--mutate", "--survivors", "--arch", "um-smp")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == "2 of 7 mutants that have survived of 32 added lines (seed 0)"
    assert results.read_text().count("mm/take.o") == before + 1 + 2, "unharmed and two mutants"
    assert "pages/um 7 5 0" in lines and "pages/um-smp 2 0 0" in lines
    assert lines.count("ran on pages/um, pages/um-smp") == 2
    assert lines[-1] == "noticed: 5 of 7 mutants that compile, 71%", "all, not the two"
    assert "- `pages/um-smp`: 0 of 2 mutants noticed\n" in report(tool, strong)
    # A call that does not ask for survivors has all of them.
    ran = regress(tool, strong, "--mutate", "--arch", "um-smp")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == "7 of 7 mutants of 32 added lines (seed 0)"
    assert "pages/um 7 5 0" in lines and "pages/um-smp 7 5 0" in lines
    assert lines[-1] == "noticed: 5 of 7 mutants that compile, 71%"


def test_survivors_of_nothing_are_refused(tool: Tool, strong: Strong) -> None:
    ran = regress(tool, strong, "--survivors")
    assert (ran.status, len(ran.err.splitlines())) == (2, 2)
    assert "--survivors takes those of the mutants of --mutate" in ran.err


def test_lines_that_no_case_runs_need_no_build(tool: Tool, strong: Strong, tmp_path: Path) -> None:
    """The call in a function that nobody calls is planted, and built only without coverage."""
    make_range(
        strong.tree,
        ("declare", {"include/linux/pages.h": HEADER}),
        (
            "take pages",
            {"mm/take.c": TAKE.replace("\treturn noted;", "\tnote(3);\n\treturn noted;")},
        ),
    )
    assert regress(tool, strong, "--coverage").status == 0
    results = tmp_path / "cache" / "work" / "compiled"
    before = results.read_text().count("mm/take.o")
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[:2] == [
        "8 of 8 mutants of 33 added lines (seed 0)",
        "not built: 1, in lines that --coverage has seen no case run",
    ]
    assert results.read_text().count("mm/take.o") == before + 1 + 7
    at = lines.index("no suite notices: mm/take.c:24: no call: note(3);")
    assert lines[at + 2] == "its line is not run on pages/um"
    assert "pages/um 7 5 1" in lines
    assert lines[-1] == (
        "noticed: 5 of 8 mutants that compile (1 not built: no case runs their lines), 62%"
    )
    assert "of the survivors 1 were not built" in report(tool, strong)


def test_coverage_of_another_suite_says_nothing(tool: Tool, strong: Strong) -> None:
    assert regress(tool, strong, "--coverage").status == 0
    suite = strong.project / "kernel-test-modules" / "pages" / "suite.c"
    suite.write_text(SUITE + "/* better */\n")
    assert "not built:" not in regress(tool, strong, "--mutate", "--sample", "1").out


def test_what_has_ended_is_kept_when_it_is_interrupted(
    tool: Tool, strong: Strong, tmp_path: Path
) -> None:
    """^C while the third mutant of five is built."""
    # Whoever runs the tests in the background may ignore SIGINT, and that is inherited.
    argv = ["env", "--default-signal=INT", sys.executable, "-m", "memdesc_tool.cli", "regress",
            "--project", str(strong.project), "--tree", str(strong.tree.path),
            "--range", "main..work", "--suite", "pages",
            "--mutate", "--sample", "5"]  # fmt: skip
    env = {**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache")}
    results = tmp_path / "cache" / "work" / "compiled"
    with subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        while not results.exists() or results.read_text().count("mm/take.o") < 4:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    told = report(tool, strong)
    found = re.search(r"- not finished: (\d) of the 5 mutants that were asked for have run\n", told)
    assert found, told
    assert 2 <= int(found[1]) < 5
    assert f"- of 7 mutants {found[1]} were planted\n" in told
    ran = regress(tool, strong, "--mutate", "--sample", "5")
    assert ran.out.startswith("5 of 7 mutants")
    assert "not finished" not in report(tool, strong)


def test_a_failure_that_is_known_notices_nothing(tool: Tool, strong: Strong) -> None:
    (strong.project / "patches" / "known-failures.toml").write_text(
        '[[failure]]\ncase = "pages.too_many"\nreason = "odd"\nremove_when = "it is mended"\n'
    )
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "no suite notices: mm/take.c:16: error code: return -EBUSY;" in lines
    assert "no suite notices: mm/take.c:14: error code: return -EINVAL;" not in lines


def test_a_case_that_fails_now_and_then_notices_nothing(
    tool: Tool, strong: Strong, tmp_path: Path
) -> None:
    """It fails in every other run, and so in the first one of each mutant."""
    flag = f'"{tmp_path}/flag"'
    flips = f'remove({flag}) ? !!fopen({flag}, "w") : 0'
    suite = strong.project / "kernel-test-modules" / "pages" / "suite.c"
    suite.write_text(SUITE.replace("1..3", "1..4").replace(
        'printf("ok 1', f'check(4, "flips", {flips});\n\tprintf("ok 1'))  # fmt: skip
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "pages/um 7 5 0" in lines
    assert lines[-1] == "noticed: 5 of 7 mutants that compile, 71%"


def test_a_list_of_mutants_with_a_mistake(tool: Tool, strong: Strong) -> None:
    (strong.project / "patches" / "mutants.toml").write_text('[[equivalent]]\nfile = "a.c"\n')
    ran = regress(tool, strong, "--mutate")
    assert ran.status == 2
    assert "mutants.toml:1: equivalent[1].line: " in ran.err


def test_a_sample_is_stored_and_the_same_for_a_seed(
    tool: Tool, strong: Strong, tmp_path: Path
) -> None:
    ran = regress(tool, strong, "--mutate", "--sample", "2", "--seed", "7")
    assert ran.out.startswith("2 of 7 mutants")
    results = tmp_path / "cache" / "work" / "compiled"
    before = results.read_text()
    again = regress(tool, strong, "--mutate", "--sample", "2", "--seed", "7")
    assert again.out == ran.out
    assert results.read_text() == before


def test_coverage_by_patch(tool: Tool, strong: Strong) -> None:
    ran = regress(tool, strong, "--coverage")
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[1] == "2. take pages 11 of 13 (85%) 4 of 4 (100%)"
    assert [line for line in lines if line.startswith("not run: ")] == [
        "not run: mm/take.c:22: int never_called(void)",
        "not run: mm/take.c:24: return noted;",
    ]
    assert lines[-1] == "covered: 11 of 13 (85%) of the lines with code, by pages/um+gcov"
    assert "- `2. take pages`: 11 of 13 (85%) of the added lines run\n" in report(tool, strong)


def test_a_source_that_another_one_includes_is_covered(tool: Tool, strong: Strong) -> None:
    """As kernel/sched/build_policy.c includes rt.c, and KUnit tests what they test."""
    all_of_it = {"tests/all.c": '#include "../mm/take_off.c"\n'}
    make_range(
        strong.tree,
        ("declare", {"include/linux/pages.h": HEADER, "mm/take_off.c": "", **all_of_it}),
        ("take pages", {"mm/take_off.c": TAKE}),
    )
    # The header would have every object looked at.
    ran = tool("regress", "--project", strong.project, "--tree", strong.tree.path,
               "--range", "work~1..work", "--suite", "pages", "--coverage")  # fmt: skip
    assert ran.status == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "1. take pages 11 of 13 (85%) 4 of 4 (100%)" in lines, ran.out


LINKED = """\
  .fini_array : {
	__fini_array_start = .;
	*(.fini_array)
	__fini_array_end = .;
  }
"""


def test_um_calls_what_writes_the_counts() -> None:
    suite = writing(Suite("pages", Path(), "", "", ()))
    (edit,) = suite.edits
    once = apply_edit(suite, edit, LINKED.encode())
    assert once.decode() == LINKED.replace("\t*(.fini", "\t*(.fini_array.*)\n\t*(.fini")
    assert apply_edit(suite, edit, once) == once
    assert apply_edit(suite, edit, b"/* of another um */\n") == b"/* of another um */\n"


def test_what_is_a_comment_and_nothing_else() -> None:
    text = ["/* Takes", " * a page,", " */", "*last = -EBUSY;", "int *p;", "#if X", "// b"]
    assert mutate._comments(text) == {1, 2, 3, 6, 7}


@pytest.mark.parametrize(
    ("text", "before", "mutants"),
    [
        ("\tspin_unlock(&x->lock);", "{", [("no lock", "\t;")]),
        ("\tset_pageblock_skip(page);", "{", [("no flag", "\t;")]),
        ("\tSetPageBusy(page);", ";", [("no flag", "\t;")]),
        ("\tput_page(page);", ";", [("no call", "\t;")]),
        ("\tput_page(page);", "x = y +", []),
        ("\tVM_WARN_ON_ONCE(x);", ";", []),
        ("\tif (a && b)", ";", [("negated", "\tif (!(a && b))")]),
        ("\t} else if (a) {", ";", [("negated", "\t} else if (!(a)) {")]),
        ("\tx->done = true;", ";", [("flag", "\tx->done = false;")]),
        ("\tx->bits |= BUSY;", ";", [("flag", "\tx->bits &= ~ BUSY;")]),
        ("\treturn -EBUSY;", ")", [("error code", "\treturn -EAGAIN;")]),
        ("\tfor (i = 0; i < n; i++)", ";", [("bound", "\tfor (i = 0; i <= n; i++)")]),
        ("#include <linux/mm.h>", "", []),
        ("\tBUILD_BUG_ON(BITS < PAGES);", ";", []),
        (
            "\tif (WARN_ON_ONCE(order > MAX))",
            ";",
            [
                ("negated", "\tif (!(WARN_ON_ONCE(order > MAX)))"),
                ("bound", "\tif (WARN_ON_ONCE(order >= MAX))"),
            ],
        ),
        ("\tstruct a *b = c->d;", ";", []),
        ("\treturn -EIO;", ")", [("error code", "\treturn -EINVAL;")]),
        ("\treturn 0; /* not -EBUSY, a < b */", ";", []),
        ("\treturn 0; /* not -EBUSY for", ";", []),
        ("\treturn a < b; // or -EBUSY", ";", [("bound", "\treturn a <= b; // or -EBUSY")]),
        ('\tx = f("a < \\"b", a < b);', ";", [("bound", '\tx = f("a < \\"b", a <= b);')]),
        ("\tx = y == '\"' && a < b;", ";", [("bound", "\tx = y == '\"' && a <= b;")]),
    ],
)
def test_mistakes(text: str, before: str, mutants: list[tuple[str, str]]) -> None:
    assert list(mistakes(text, before)) == mutants


def test_samples() -> None:
    row = Row(1, "1. x", "0" * 40)
    lines = [AddedLine("a.c", number, "x", row) for number in range(100)]
    every = tuple(Mutant(line, "x", "") for line in lines)
    assert sample(every, None, 1) == every
    assert sample(every, 10, 1) == sample(every, 10, 1) != sample(every, 10, 2)
    assert len(set(sample(every, 10, 1))) == 10
