"""Suspected regressions run again, machines that fail are told apart, commands as suites."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml

from memdesc_tool.baseline import Change, compare
from memdesc_tool.cache import Cache
from memdesc_tool.cells import Column, Row
from memdesc_tool.commandrun import CommandRunner
from memdesc_tool.console import Progress
from memdesc_tool.flakiness import Rate, repeats, worse
from memdesc_tool.reading import Touched, cannot_differ, files_read
from memdesc_tool.regress import walk
from memdesc_tool.results import Attempt, Outcome, Result, Verdict, key_of, open_store
from memdesc_tool.suites import Kind, Suite
from memdesc_tool.tree import resolve
from memdesc_tool.workspace import open_workspace
from tests.conftest import GitTree, Ran, Tool
from tests.minikernel import STEPS, MiniKernel, make_mini

P, F = Verdict.PASSED, Verdict.FAILED


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    return make_mini(tmp_path)


def regress(tool: Tool, mini: MiniKernel, *args: str | Path, **env: str) -> Ran:
    return tool("regress", "--project", mini.project, "--tree", mini.tree.path, *args, **env)


def hook(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return str(path)


def runs(path: Path) -> dict[int, int]:
    """How many runs each row has."""
    cells = json.loads(path.read_text())["cells"]
    return {cell["row"]: len(cell["outcomes"]) for cell in cells}


def test_a_regression_is_confirmed_on_patch_and_parent(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    mini.make_series(*STEPS[:2], ("be short", STEPS[2][1].replace("echo hello", "echo bye")))
    ran = regress(tool, mini, "--json", tmp_path / "json")
    assert ran.status == 1
    assert re.search(r"regressed +counting/um: counting.greets", ran.out)
    assert runs(tmp_path / "json") == {0: 1, 1: 1, 2: 3, 3: 3}
    built = mini.builds(tmp_path / "cache")
    again = regress(tool, mini)
    assert again.out == ran.out
    assert mini.builds(tmp_path / "cache") == built


def test_what_fails_once_is_measured(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    flaky = STEPS[2][1].replace("echo hello", 'test -e "$MINI_ONCE" && echo hello')
    mini.make_series(*STEPS[:2], ("flake", flaky))
    once = tmp_path / "once"
    program = hook(tmp_path / "hook", f'test "$1" != configure || {{ test ! -e {once}.1 ||'
                   f' touch {once}; touch {once}.1; }}\n')  # fmt: skip
    ran = regress(tool, mini, "--confirm", "3", "--json", tmp_path / "json", "--upto", "2")
    assert ran.status == 0
    ran = regress(tool, mini, "--confirm", "3", "--json", tmp_path / "json",
                  MINI_HOOK=program, MINI_ONCE=str(once))  # fmt: skip
    text = re.sub(" +", " ", ran.out)
    assert "unsure counting/um: counting.greets" in text
    assert "counting.greets (fails 1 of 3: 38%, 95 % interval 6% to 79%)" in text
    assert "0 regressed" in text
    assert runs(tmp_path / "json")[3] == 3


def make_skipping(mini: MiniKernel, greet: str) -> None:
    """Let the suite skip where the last patch has nobody to greet."""
    suite = mini.project / "kernel-test-modules" / "counting" / "counting.sh"
    old = 'test "$(greet)" = hello && echo "    ok 2 greets" || echo "    not ok 2 greets"\n'
    assert old in suite.read_text()
    suite.write_text(
        suite.read_text()
        .replace(
            old,
            """case "$(greet)" in
hello) echo "    ok 2 greets" ;;
nobody) echo "    ok 2 greets # SKIP nobody is here" ;;
esac
""",
        )
        .replace(' && test "$(greet)" = hello\nthen', "\nthen")
    )
    mini.make_series(*STEPS[:2], ("greet", STEPS[2][1].replace("echo hello", greet)))


def test_what_is_skipped_by_luck_is_run_again(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    make_skipping(mini, 'test -e "$MINI_ONCE" && echo hello || { : >"$MINI_ONCE"; echo nobody; }')
    once = tmp_path / "once"
    once.touch()
    assert regress(tool, mini, "--upto", "2", MINI_ONCE=str(once)).status == 0
    once.unlink()
    ran = regress(tool, mini, "--json", tmp_path / "json", MINI_ONCE=str(once))
    assert ran.status == 0, ran.out
    assert runs(tmp_path / "json") == {0: 1, 1: 1, 2: 1, 3: 2}
    assert "flaky" not in ran.out


def test_what_is_not_reported_by_luck_is_run_again(
    tool: Tool, minitree: GitTree, tmp_path: Path
) -> None:
    judge = minitree.path / "judge"
    judge.write_text("printf 'TAP version 13\\nok 1 own\\nok 2 other\\n'\n")
    minitree.commit("judge")
    # The first run after the patch does not come to the second case.
    said = tmp_path / "said"
    judge.write_text(f"echo 'TAP version 13'; echo 'ok 1 own'; [ -e {said} ] && echo 'ok 2 other'\n"
                     f"touch {said}\n")  # fmt: skip
    minitree.commit("worse")
    ran = tool("regress", "--tree", minitree.path, "--range", "main~1..main",
               "--command", ". ./judge", "--json", tmp_path / "json")  # fmt: skip
    assert runs(tmp_path / "json") == {0: 8, 1: 8}
    assert "unsure command/host: other" in re.sub(" +", " ", ran.out)
    assert "0 regressed" in ran.out


def test_what_is_always_skipped_regressed_and_says_why(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    make_skipping(mini, "echo nobody")
    ran = regress(tool, mini, "--json", tmp_path / "json", "--junit", tmp_path / "xml")
    assert ran.status == 1
    text = re.sub(" +", " ", ran.out)
    assert "regressed counting/um: counting.greets (skipped: nobody is here)" in text
    assert runs(tmp_path / "json") == {0: 1, 1: 1, 2: 1, 3: 3}  # passing once would do
    failures = [case for suite in JUnitXml.fromfile(str(tmp_path / "xml")) for case in suite
                if any(isinstance(one, Failure) for one in case.result)]  # fmt: skip
    assert [case.name for case in failures] == ["counting.greets"]


def test_the_log_is_that_of_the_run_that_failed(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    flaky = 'test -e "$MINI_ONCE" && echo hello || : >"$MINI_ONCE"'
    mini.make_series(*STEPS[:2], ("flake", STEPS[2][1].replace("echo hello", flaky)))
    once = tmp_path / "once"
    once.touch()
    assert regress(tool, mini, "--upto", "2", MINI_ONCE=str(once)).status == 0
    once.unlink()
    regress(tool, mini, "--confirm", "3", "--json", tmp_path / "json", MINI_ONCE=str(once))
    assert runs(tmp_path / "json")[3] == 3
    done = tool("report", "--project", mini.project, "--tree", mini.tree.path,
                "--markdown", "-", "-o", tmp_path / "r.html")  # fmt: skip
    assert "failed: counting.greets" in (tmp_path / "r.html").read_text(), done.err


def test_a_machine_that_fails_is_tried_again(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    program = hook(
        tmp_path / "hook",
        f'test "$1" != compile || test -e {tmp_path}/full || '
        f"{{ touch {tmp_path}/full; echo 'cc1: error: No space left on device'; exit 1; }}\n",
    )
    ran = regress(tool, mini, "--backoff", "0", MINI_HOOK=program)
    assert ran.status == 0, ran.err
    assert "the disk is full" in ran.err
    assert "again in 0 s" in ran.err


def test_a_machine_that_goes_on_failing_is_no_regression(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    assert regress(tool, mini, "--upto", "2").status == 0
    program = hook(
        tmp_path / "hook",
        "test \"$1\" != compile || { echo 'cc1: error: No space left on device'; exit 1; }\n",
    )
    ran = regress(tool, mini, "--backoff", "0", "--retries", "1", MINI_HOOK=program)
    assert ran.status == 3
    assert ran.err.count("again in") == 1
    assert "memdesc-tool: the disk is full" in ran.err
    assert "regressed here" not in ran.out
    assert regress(tool, mini).status == 0


def test_a_command_judges(tool: Tool, mini: MiniKernel) -> None:
    judge = "grep -q 42 $SOURCE/lib/count.sh"
    ran = regress(tool, mini, "--command", judge)
    text = re.sub(" +", " ", ran.out)
    assert ran.status == 0, ran.err
    assert "fixed command/host: command" in text.partition("2. lib: count right:")[2]
    ran = regress(tool, mini, "--command", "exit 125")
    assert "1 skipped" in ran.out
    ran = regress(tool, mini, "--command", "printf 'KTAP version 1\\n1..1\\nok 1 own\\n'")
    assert "1 passed" in ran.out
    ran = regress(tool, mini, "--command", "no-such-program-anywhere", "--retries", "0")
    assert ran.status == 3
    assert "could not be started" in ran.err


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("kill -9 $$", 1, "regressed command/host: (run) (killed by signal 9)"),
        ("exit 1", 1, "regressed command/host: (run) (exit status 1, though no result failed)"),
        ("exit 125", 0, "0 regressed"),
    ],
)
def test_a_command_that_ends_badly_after_good_results(
    tool: Tool, minitree: GitTree, script: str, status: int, said: str
) -> None:
    judge = minitree.path / "judge"
    judge.write_text("printf 'KTAP version 1\\n1..1\\nok 1 own\\n'\n")
    minitree.commit("judge")
    judge.write_text(f"{judge.read_text()}{script}\n")
    minitree.commit("worse")
    ran = tool("regress", "--tree", minitree.path, "--range", "main~1..main",
               "--command", ". ./judge", "--confirm", "0")  # fmt: skip
    assert ran.status == status, ran.out
    assert said in re.sub(" +", " ", ran.out)
    assert "1 passed" in ran.out


def test_a_splat_does_not_stand_for_the_exit_status(tool: Tool, minitree: GitTree) -> None:
    judge = minitree.path / "judge"
    judge.write_text("echo 'BUG: kernel NULL pointer dereference, address: 0'\n")
    minitree.commit("judge")
    judge.write_text(f"{judge.read_text()}exit 1\n")
    minitree.commit("worse")
    ran = tool("regress", "--tree", minitree.path, "--range", "main~1..main",
               "--command", ". ./judge", "--confirm", "0")  # fmt: skip
    assert "regressed command/host: command (exit status 1)" in re.sub(" +", " ", ran.out)


def test_a_command_can_be_a_suite(tool: Tool, mini: MiniKernel) -> None:
    suite = mini.project / "kernel-test-modules" / "judge"
    suite.mkdir()
    (suite / "suite.toml").write_text(
        '[suite]\nname = "judge"\nkind = "command"\ntitle = "by a command"\n'
        'command = ["grep", "-q", "42", "lib/count.sh"]\n'
    )
    ran = regress(tool, mini, "--suite", "judge")
    assert ran.status == 0, ran.err
    assert "1 fixed, 0 regressed" in ran.out


# --- the arithmetic -------------------------------------------------------------------------


def test_rates() -> None:
    assert Rate(0, 0).interval == (0, 1)
    assert str(Rate(3, 7)) == "fails 3 of 7: 44%, 95 % interval 16% to 75%"
    assert Rate(1, 2) + Rate(2, 3) == Rate(3, 5)
    assert [repeats(one) for one in (0.0, 0.001, 0.1, 0.125, 0.5, 0.9, 1.0)] == [
        2,
        2,
        2,
        3,
        7,
        8,
        8,
    ]


def test_fisher() -> None:
    assert worse(Rate(0, 8), Rate(8, 8)) == pytest.approx(1 / 12870)
    assert worse(Rate(0, 3), Rate(1, 3)) == pytest.approx(0.5)
    assert worse(Rate(4, 8), Rate(4, 8)) > 0.5
    assert worse(Rate(0, 0), Rate(1, 1)) == 1


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ((P,), (F,), Change.REGRESSED),
        ((P,), (F, P), Change.REGRESSED),  # suspected until it is measured
        ((P,) * 8, (F, *(P,) * 7), Change.FLAKY),
        ((P,) * 8, (P, *(F,) * 7), Change.REGRESSED),
        ((F, *(P,) * 7), (F,) * 8, Change.REGRESSED),
        ((F, *(P,) * 7), (F, F, *(P,) * 6), None),
    ],
)
def test_attempts_that_disagree(
    before: tuple[Verdict, ...], after: tuple[Verdict, ...], change: Change | None
) -> None:
    assert compare({"x": before}, {"x": after}).get("x") is change


# --- what a build has read ------------------------------------------------------------------


def test_files_read(tmp_path: Path) -> None:
    build, source = tmp_path / "o", tmp_path / "src"
    (build / "mm").mkdir(parents=True)
    assert files_read(build, source) is None
    (build / "mm" / ".a.o.cmd").write_text(
        f"savedcmd_mm/a.o := gcc -I{source}/not/this -c -o mm/a.o {source}/mm/a.c\n\n"
        f"source_mm/a.o := {source}/mm/a.c\n\ndeps_mm/a.o := \\\n"
        f"    $(wildcard include/config/SMP) \\\n  {source}/include/linux/mm.h \\\n"
        f"  {source}/mm/../lib/b.h \\\n  include/generated/x.h \\\n"
    )
    (build / "include" / "config").mkdir(parents=True)
    (build / "include/config/auto.conf.cmd").write_text("deps_config := \\\n\tmm/Kconfig \\\n")
    read = files_read(build, source)
    assert read is not None
    assert {"mm/a.c", "include/linux/mm.h", "lib/b.h", "mm/Kconfig"} <= read
    assert not any("not/this" in name for name in read)


@pytest.mark.parametrize(
    ("path", "added", "same"),
    [
        ("mm/a.c", False, False), ("mm/other.c", False, True), ("mm/new.c", True, True),
        ("include/linux/mm.h", False, False), ("include/linux/far.h", False, True),
        ("mm/linux/mm.h", True, False), ("mm/linux/far.h", True, True),
        ("mm/Kconfig", False, False), ("net/Kconfig", False, True),
        ("mm/Makefile", False, False), ("arch/arm/Makefile", False, True),
        ("arch/x86/Makefile", False, False), ("scripts/x.sh", False, False),
        ("Documentation/x.rst", False, True), ("MAINTAINERS", False, True),
        ("tools/testing/selftests/mm/x.c", False, True), ("tools/objtool/x.mk", False, False),
        ("tools/objtool/check.c", False, False), ("tools/perf/builtin.c", False, True),
        ("tools/lib/subcmd/exec-cmd.c", False, False), ("tools/mm/slabinfo.c", False, True),
    ],
)  # fmt: skip
def test_what_cannot_matter(path: str, added: bool, same: bool) -> None:
    read = frozenset(
        ["mm/a.c", "include/linux/mm.h", "mm/Kconfig", "arch/x86/x.h", "arch/arm/Kconfig"]
    )
    assert cannot_differ([Touched(path, added)], read) is same
    assert cannot_differ([Touched(path, added)], None) is False


def test_inherited_results_are_marked_until_they_are_run(tmp_path: Path) -> None:
    attempt = Attempt(Outcome.RAN, (Result("a", P),), 1.0, 2.0, "log")
    old, new = {"tree": "1"}, {"tree": "2"}
    with open_store(tmp_path / "s.sqlite") as store:
        store.add(old, attempt)
        store.keep_reading(key_of(old), ["mm/a.c", "mm/b.c"])
        store.inherit(new, key_of(old))
        assert store.attempts(key_of(new)) == (attempt,)
        assert store.reading(key_of(new)) == {"mm/a.c", "mm/b.c"}
        assert (store.is_inherited(key_of(new)), store.is_inherited(key_of(old))) == (True, False)
        store.add(new, attempt, replace=True)
        assert not store.is_inherited(key_of(new))


def test_what_is_stored_is_read_as_often_however_many_patches_there_are(
    cache: Cache, progress: Progress, minitree: GitTree
) -> None:
    for number in range(12):
        (minitree.path / "a.txt").write_text(f"{number}\n")
        minitree.commit(f"a: {number}")
    commits = minitree.git("rev-list", "--reverse", "HEAD").split()
    rows = [Row(number, str(number), commit) for number, commit in enumerate(commits)]
    suite = Suite("judge", minitree.path, "", "", (), arches=("host",), kind=Kind.COMMAND,
                  command=("true",), timeout=60)  # fmt: skip
    base = resolve(str(minitree.path), cache, progress)
    with (
        open_workspace(cache, base, progress) as workspace,
        open_store(cache.results) as store,
    ):
        runner, columns = CommandRunner(workspace, progress), [Column(suite, "host")]
        first = walk(workspace, store, runner, rows, columns)
        said: list[str] = []
        store.database.set_trace_callback(said.append)
        assert walk(workspace, store, runner, rows, columns) == first
    assert sum("FROM result" in one for one in said) <= 3 * len(rows)
