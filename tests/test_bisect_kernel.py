"""memdesc-tool bisect with a KUnit suite, on a miniature kernel that builds in no time."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memdesc_tool.bisectkernel import Wanted, failures, judge
from memdesc_tool.cache import Cache
from memdesc_tool.git import Git
from memdesc_tool.reading import touching
from memdesc_tool.results import Attempt, Outcome, Result, key_of, open_store
from memdesc_tool.results import Verdict as CaseVerdict
from memdesc_tool.search import Verdict
from tests.conftest import Ran, Tool
from tests.minikernel import FIXED, SUITE, MiniKernel, make_mini


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    return make_mini(tmp_path)


def commits(mini: MiniKernel, *texts: str) -> list[str]:
    """Commits on branch topic, each with another lib/count.sh; their object ids."""
    tree = mini.tree
    tree.git("checkout", "-q", "-B", "topic", "main")
    found = []
    for number, text in enumerate(texts):
        (tree.path / "lib" / "count.sh").write_text(f"# Version {number}.\n{text}")
        found.append(tree.commit(f"lib: version {number}"))
    return found


def bisect(tool: Tool, mini: MiniKernel, good: str, *args: str | Path, **env: str) -> Ran:
    return tool(
        "bisect", "--project", mini.project, "--tree", mini.tree.path, "--good", good,
        "--bad", "topic", "--suite", "kunit:counting", *args, **env,
    )  # fmt: skip


def culprit(ran: Ran) -> str:
    assert ran.status == 0, ran.err
    return ran.out.splitlines()[-1].removeprefix("first bad commit: ")


def report_of(ran: Ran) -> str:
    return Path(ran.out.partition("report: ")[2].splitlines()[0]).read_text()


RUDE = FIXED.replace("echo hello", "echo bye")
BOTH = RUDE.replace("42", "7")
BROKEN = FIXED + "if then\n"


def test_finds_the_commit_and_says_all_about_it(tool: Tool, mini: MiniKernel) -> None:
    every = commits(mini, *[FIXED] * 5, *[RUDE] * 4)
    before = mini.tree.state()
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[5]
    assert "looking for: counting.greets" in ran.err
    assert mini.tree.state() == before
    report = report_of(ran)
    assert report.startswith('Subject: [REGRESSION] counting.greets since "lib: version 5"')
    assert f"--rev {every[5][:12]} --suite counting counting.greets" in report
    assert "not ok counting.greets" in report


def test_each_failure_has_its_own_culprit(tool: Tool, mini: MiniKernel) -> None:
    every = commits(mini, FIXED, FIXED, RUDE, RUDE, RUDE, BOTH, BOTH)
    assert culprit(bisect(tool, mini, every[0], "--case", "counting.greets")) == every[2]
    assert culprit(bisect(tool, mini, every[0], "--case", "*.right_number")) == every[5]
    assert culprit(bisect(tool, mini, every[0], "--any-failure")) == every[2]


def test_the_failure_that_is_looked_for_outlives_an_interruption(
    tool: Tool, mini: MiniKernel
) -> None:
    """Stopped when only the bad end has run: what failed there is not forgotten."""
    number = FIXED.replace("42", "7")
    every = commits(mini, FIXED, FIXED, number, number, number, number, RUDE, RUDE)
    stopped = bisect(tool, mini, every[0], "--max-runs", "2")
    assert stopped.status == 1
    ran = bisect(tool, mini, every[0])
    assert "2 runs are known already" in ran.err
    assert "failure looked for: counting.greets" in ran.out
    assert culprit(ran) == every[6]


def test_a_log_of_gits_does_not_say_which_failure_is_looked_for(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    number = FIXED.replace("42", "7")
    every = commits(mini, FIXED, FIXED, number, number, number, number, RUDE, RUDE)
    log = tmp_path / "git.log"
    log.write_text(f"git bisect start {every[7]} {every[0]}\ngit bisect bad {every[7]}\n"
                   f"git bisect good {every[0]}\ngit bisect good {every[4]}\n")  # fmt: skip
    ran = bisect(tool, mini, every[0], "--replay", log)
    assert "failure looked for: counting.greets" in ran.out
    assert culprit(ran) == every[6]


def test_a_case_that_is_not_reported_is_refused_at_once(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    every = commits(mini, FIXED, RUDE)
    ran = bisect(tool, mini, every[0], "--case", "count.*")
    assert ran.status == 2
    assert "--case count.*: the bad revision reports no such case" in ran.err
    assert "counting.greets" in ran.err
    assert mini.builds(tmp_path / "cache") == 1


def test_what_does_not_build_is_skipped(tool: Tool, mini: MiniKernel) -> None:
    every = commits(mini, FIXED, FIXED, BROKEN, BROKEN, RUDE, RUDE)
    ran = bisect(tool, mini, every[0])
    assert ran.out.splitlines()[-4:] == ["first bad commit is one of:", *every[2:5]]


def options_history(
    mini: MiniKernel, drop: str, defined: Callable[[int], str], length: int
) -> list[str]:
    """As commits() makes it, the third one bad, each with a Kconfig of its own.

    drop: what olddefconfig does to options; defined: the Kconfig of a commit, by its number.
    """
    tree = mini.tree
    makefile, kconfig = tree.path / "Makefile", tree.path / "Kconfig"
    makefile.write_text(makefile.read_text().replace("linux:\n", f"\t@{drop}\nlinux:\n", 1))
    kconfig.write_text(defined(0))
    tree.commit("olddefconfig drops options")
    every = []
    tree.git("checkout", "-q", "-B", "topic", "main")
    for number in range(length):
        kconfig.write_text(defined(number))
        text = FIXED if number < 2 else RUDE
        (tree.path / "lib" / "count.sh").write_text(f"# Version {number}.\n{text}")
        every.append(tree.commit(f"lib: version {number}"))
    return every


KUNIT = 'config KUNIT\n\tbool "KUnit"\n\n'
COUNT = 'config COUNT\n\tbool "count"\n\n'


@pytest.mark.parametrize("where", ["come", "go"])
def test_an_option_that_comes_or_goes_is_left_out_there(
    tool: Tool, mini: MiniKernel, tmp_path: Path, where: str
) -> None:
    suite = mini.project / "kernel-test-modules" / "counting" / ".kunitconfig"
    suite.write_text("CONFIG_KUNIT=y\nCONFIG_COUNT=y\n")
    every = options_history(
        mini,
        "grep -q 'config COUNT' Kconfig || sed -i /CONFIG_COUNT=/d $(O)/$(KCONFIG_CONFIG)",
        lambda number: KUNIT + COUNT * ((number >= 4) == (where == "come")),
        7,
    )
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[2], ran.out
    lacking = every[0] if where == "come" else every[6]
    assert f"{lacking[:12]} does not define COUNT: built without" in ran.err
    builds = mini.builds(tmp_path / "cache")
    assert culprit(bisect(tool, mini, every[0])) == every[2]
    assert mini.builds(tmp_path / "cache") == builds


def test_an_option_that_is_defined_and_cannot_be_had_is_not_left_out(
    tool: Tool, mini: MiniKernel
) -> None:
    every = options_history(
        mini,
        "grep -q 'depends on' Kconfig && sed -i /CONFIG_KUNIT=/d $(O)/$(KCONFIG_CONFIG) || true",
        lambda number: KUNIT.rstrip() + "\n\tdepends on NET\n" * (number == 2),
        5,
    )
    ran = bisect(tool, mini, every[0])
    assert ran.out.splitlines()[-3:] == ["first bad commit is one of:", *every[2:4]]
    assert "built without" not in ran.err


def test_a_kernel_that_never_says_a_word_can_be_passed_over(tool: Tool, mini: MiniKernel) -> None:
    every = commits(mini, FIXED, FIXED, "exit 1\n" + FIXED, RUDE, RUDE)
    ran = bisect(tool, mini, every[0])
    assert ran.status == 3
    assert f"--skip {every[2][:12]} passes over this commit" in ran.err.splitlines()[-1]
    ran = bisect(tool, mini, every[0], "--skip", every[2][:12])
    assert ran.out.splitlines()[-3:] == ["first bad commit is one of:", *every[2:4]], ran.err
    ran = bisect(tool, mini, every[0], "--skip", "main")
    assert ran.status == 2
    assert "is not between good and bad" in ran.err


def test_stored_results_are_taken_before_anything_is_built(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    every = commits(mini, *[FIXED] * 4, *[RUDE] * 4)
    regressed = tool(
        "regress", "--project", mini.project, "--tree", mini.tree.path, "--suite", "counting",
        "--range", f"{every[0]}..topic",
    )  # fmt: skip
    assert regressed.status == 1, regressed.err
    built = mini.builds(tmp_path / "cache")
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[4]
    assert "(stored)" in ran.err
    runs = re.search(r"after (\d+) runs", ran.out)
    assert runs
    assert mini.builds(tmp_path / "cache") - built <= 3 < int(runs[1])


def test_a_commit_that_gives_the_same_kernel_is_not_run(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    tree = mini.tree
    every = commits(mini, FIXED, RUDE)
    for number in range(6):
        (tree.path / "README").write_text(f"{number}\n")
        every.append(tree.commit(f"doc: {number}"))
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[1]
    copied = ran.err.count("gives the same kernel as")
    assert copied
    with open_store(Cache(tmp_path / "cache").results) as store:
        keys = {key_of(inputs) for inputs in store.inputs("kunit")}
        assert sum(store.is_inherited(key) for key in keys) == copied, "its result is another's"


def test_the_first_bad_patch_of_a_series(tool: Tool, mini: MiniKernel) -> None:
    mini.make_series(("count right", FIXED), ("be rude", RUDE), ("say more", RUDE + "# More.\n"))
    ran = tool(
        "bisect", "--project", mini.project, "--tree", mini.tree.path, "--series", "numbers",
        "--suite", "kunit:counting", "--case", "counting.greets",
    )  # fmt: skip
    assert culprit(ran)
    assert 'since "lib: be rude"' in report_of(ran)
    shown = reproduced(tool, ran)
    assert shown.status == 1, shown.err
    assert "counting.greets" in shown.out


def test_the_revert_of_a_culprit_is_run(tool: Tool, mini: MiniKernel) -> None:
    every = commits(mini, FIXED, FIXED, RUDE)
    (mini.tree.path / "README").write_text("read\n")
    mini.tree.commit("doc: read")
    ran = bisect(tool, mini, every[0], "--revert-check")
    assert culprit(ran) == every[2]
    assert "bad with it reverted passes (once)" in ran.out


@pytest.mark.parametrize("what", ["suite", "fragment"])
def test_another_suite_is_another_question(tool: Tool, mini: MiniKernel, what: str) -> None:
    every = commits(mini, FIXED, FIXED, RUDE, FIXED.replace("hello", "hi"))
    assert culprit(bisect(tool, mini, every[0])) == every[2]
    suite = mini.project / "kernel-test-modules" / "counting"
    if what == "suite":
        (suite / "counting.sh").write_text(SUITE.replace("= hello", "!= hi"))
        assert culprit(bisect(tool, mini, every[0])) == every[3]
    else:
        (suite / ".kunitconfig").write_text("CONFIG_KUNIT=y\nCONFIG_MORE=y\n")
        assert "known already" not in bisect(tool, mini, every[0]).err


def reproduced(tool: Tool, ran: Ran) -> Ran:
    """What the report's command to reproduce the failure comes to."""
    command = report_of(ran).partition("To reproduce:\n\n  ")[2].splitlines()[0]
    assert command.startswith("memdesc-tool kunit "), command
    return tool(*shlex.split(command)[1:])


@pytest.mark.parametrize("more", [[], ["--any-failure"]], ids=str)
def test_the_report_says_how_to_reproduce(tool: Tool, mini: MiniKernel, more: list[str]) -> None:
    every = commits(mini, FIXED, FIXED, RUDE, RUDE)
    ran = bisect(tool, mini, every[0], *more)
    assert culprit(ran) == every[2]
    shown = reproduced(tool, ran)
    assert shown.status == 1, shown.err
    assert "counting.greets" in shown.out


def warning(function: str) -> str:
    lines = (f"WARNING: CPU: 0 PID: 1 at mm/x.c:1 {function}+0x1/0x2", "Call Trace:",
             f" {function}+0x1/0x2", "---[ end trace 0000000000000000 ]---")  # fmt: skip
    return "".join(f'echo "[    1.0] {line}"\n' for line in lines)


MAINTAINERS = r"""
open(my $patch, "<", $ARGV[-1]) or die;
my @lines = <$patch>;
print "Memory Maintainer <mm\@example.org>\n" if grep m{^\+\+\+ b/lib/count}, @lines;
print "linux-mm\@example.org\n";
"""


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
def test_the_report_is_addressed_to_whom_the_tree_names(tool: Tool, mini: MiniKernel) -> None:
    script = mini.tree.path / "scripts" / "get_maintainer.pl"
    script.parent.mkdir()
    script.write_text(MAINTAINERS)
    mini.tree.commit("scripts: who looks after what")
    every = commits(mini, FIXED, RUDE)
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[1]
    head = report_of(ran).partition("\n\n")[0].splitlines()
    author = mini.tree.git("log", "-1", "--format=%an <%ae>", every[1])
    assert [line.removeprefix("To: ") for line in head[1:]] == [
        author, "Memory Maintainer <mm@example.org>", "linux-mm@example.org",
    ]  # fmt: skip


def test_the_report_shows_the_failure_that_was_looked_for(tool: Tool, mini: MiniKernel) -> None:
    """Not the splat before it, which every commit has."""
    old = FIXED + 'echo "Linux version 7.3.0 (mini)"\n' + warning("ancient")
    new = old + warning("recent")
    every = commits(mini, old, old, new, new)
    ran = bisect(tool, mini, every[0])
    assert culprit(ran) == every[2]
    shown = report_of(ran).partition("It looks like this:")[2].partition("Every commit")[0]
    assert "recent" in shown
    assert "ancient" not in shown


def test_with_rerun_the_report_shows_a_run_of_this_call(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    every = commits(mini, FIXED, RUDE)
    assert culprit(bisect(tool, mini, every[0])) == every[1]
    for log in (tmp_path / "cache" / "logs").glob("*/bisect-*/console.log"):
        log.unlink()
    ran = bisect(tool, mini, every[0], "--rerun", "--restart")
    assert "not ok counting.greets" in report_of(ran)


def attempt(outcome: Outcome = Outcome.RAN, **cases: CaseVerdict) -> Attempt:
    results = tuple(Result(name.replace("__", "."), verdict) for name, verdict in cases.items())
    return Attempt(outcome, results, 0, 0, "")


OK, NOT = CaseVerdict.PASSED, CaseVerdict.FAILED


@pytest.mark.parametrize(
    ("sought", "what", "wanted"),
    [
        ("s.a", attempt(s__a=NOT), Verdict.FAIL),
        ("s.a", attempt(s__a=OK, s__b=NOT), Verdict.PASS),
        ("s.a", attempt(s__a=CaseVerdict.SKIPPED), Verdict.SKIP),
        ("s.a", attempt(Outcome.DIED, s__b=OK), Verdict.SKIP),
        ("s.a", attempt(Outcome.DIED, s__a=OK), Verdict.PASS),
        ("(run): died", attempt(Outcome.DIED), Verdict.FAIL),
        ("(run): died", attempt(Outcome.TIMEOUT), Verdict.SKIP),
        ("(run): died", attempt(s__a=NOT), Verdict.PASS),
        ("splat: oops:f", attempt(s__a=OK), Verdict.PASS),
        ("splat: oops:f", attempt(Outcome.DIED), Verdict.SKIP),
        ("splat: oops:f", attempt(**{"splat: oops:g": NOT}), Verdict.PASS),
        ("splat: oops:f", attempt(**{"splat: oops:f": NOT}), Verdict.FAIL),
    ],
)
def test_kinds_of_failure_are_kept_apart(sought: str, what: Attempt, wanted: Verdict) -> None:
    assert judge(what, sought).verdict is wanted


def test_cases_come_before_splats_and_the_end_of_the_run() -> None:
    what = attempt(Outcome.DIED, **{"splat: oops:f": NOT, "s__a": NOT})
    assert failures(what, Wanted()) == ("s.a", "splat: oops:f", "(run): died")
    assert failures(what, Wanted(case="splat: *")) == ("splat: oops:f",)


def test_commits_that_touch_what_was_read(mini: MiniKernel) -> None:
    source = mini.tree.path
    code = commits(mini, FIXED)[0]
    (source / "README").write_text("read\n")
    text = mini.tree.commit("doc: read")
    (source / "lib" / "Kconfig.debug").write_text("config X\n")
    config = mini.tree.commit("lib: X")
    read = {"lib/count.sh", "include/linux/mm.h"}
    assert touching(Git(source), [code, text, config], read) == {code, config}


def test_what_a_kernel_was_made_of_is_stored(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    """What regress asks for, where it takes the results of a bisection."""
    makefile = mini.tree.path / "Makefile"
    makefile.write_text(
        makefile.read_text() + "linux: record\nrecord:\n"
        "\t@mkdir -p $(O)/lib; printf 'x\\nsource_lib/count.o := %s\\n' $(CURDIR)/lib/count.sh"
        " >$(O)/lib/.count.o.cmd\n"
    )
    mini.tree.commit("Makefile: say what is read")
    every = commits(mini, FIXED, FIXED, RUDE)
    assert culprit(bisect(tool, mini, every[0])) == every[2]
    with open_store(Cache(tmp_path / "cache").results) as store:
        rows = store.database.execute("SELECT key FROM reading").fetchall()
        assert len(rows) == 3
        assert all("lib/count.sh" in (store.reading(key) or ()) for (key,) in rows)
