"""memdesc-tool bisect with a command, run as a user runs it, on a miniature git tree."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool.bisect import Bisection, Predicate, Question
from memdesc_tool.bisect import Tested as Said
from memdesc_tool.bisectlog import Consensus, Log, Run, render
from memdesc_tool.commands.bisect import bisect_command
from memdesc_tool.commands.bisectoptions import Options
from memdesc_tool.console import Progress
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.history import GOOD, read_history
from memdesc_tool.search import Verdict
from tests.conftest import GitTree, Ran, Tool

COMMITS = 12


@pytest.fixture
def history(minitree: GitTree) -> GitTree:
    """Twelve commits, the eighth of which breaks; tags c1 to c12; the tree is dirty."""
    for number in range(1, COMMITS + 1):
        (minitree.path / "number").write_text(f"{number}\n")
        (minitree.path / "state").write_text("fine\n" if number < 8 else "broken\n")
        minitree.commit(f"step {number}")
        minitree.git("tag", f"c{number}")
    (minitree.path / "number").write_text("dirty\n")
    return minitree


def script(tree: GitTree, text: str) -> Path:
    """An executable script of the user's, in no commit."""
    path = tree.path.parent / "try it.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def bisect(tool: Tool, tree: GitTree, *args: str | Path, good: str = "c1", bad: str = "c12") -> Ran:
    return tool("bisect", "--repo", tree.path, "--good", good, "--bad", bad, *args)


def last(ran: Ran) -> str:
    return ran.out.splitlines()[-1]


def log_of(ran: Ran) -> Path:
    found = re.search(r"^report: (.*)$", ran.out, re.MULTILINE)
    assert found, ran.out
    return Path(found[1]).with_name("bisect.log")


def replayed(ran: Ran, tree: GitTree) -> str:
    """What git says when it has read the log."""
    said = tree.git("bisect", "replay", str(log_of(ran)))
    tree.git("bisect", "reset")
    return said


def test_finds_the_first_bad_commit_and_touches_nothing(tool: Tool, history: GitTree) -> None:
    before = history.state()
    ran = bisect(tool, history, "--", script(history, "grep -q fine state"))
    culprit = history.git("rev-parse", "c8")
    assert (ran.status, last(ran)) == (0, f"first bad commit: {culprit}"), ran.err
    assert history.state() == before
    report = log_of(ran).with_name("report.txt").read_text()
    assert f'Fixes: {culprit[:12]} ("step 8")' in report
    assert "To: A. Developer <dev@example.org>" in report


def test_git_replays_the_log(tool: Tool, history: GitTree) -> None:
    ran = bisect(tool, history, "--", script(history, "grep -q fine state"))
    history.git("checkout", "-q", "--force", "main")
    assert f"{history.git('rev-parse', 'c8')} is the first bad commit" in replayed(ran, history)


def test_goes_on_from_a_log_of_gits(tool: Tool, history: GitTree, tmp_path: Path) -> None:
    history.git("checkout", "-q", "--force", "main")
    history.git("bisect", "start", "c12", "c1")
    history.git("bisect", "good", "c6")
    log = tmp_path / "git.log"
    log.write_text(history.git("bisect", "log"))
    ran = bisect(tool, history, "--replay", log, "--", script(history, "grep -q fine state"))
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}"
    assert not re.search(r"^pass .*step [2-5]$", ran.err, re.MULTILINE)


@pytest.mark.parametrize("terms", [["--term-old", "fast", "--term-new", "slow"],
                                   ["--term-good=fast", "--term-bad=slow"]])  # fmt: skip
def test_a_log_may_have_words_of_its_own(
    tool: Tool, history: GitTree, tmp_path: Path, terms: list[str]
) -> None:
    history.git("checkout", "-q", "--force", "main")
    history.git("bisect", "start", *terms, "c12", "c1")
    history.git("bisect", "fast", "c6")
    history.git("bisect", "slow", "c9")
    log = tmp_path / "git.log"
    log.write_text(history.git("bisect", "log"))
    ran = bisect(tool, history, "--replay", log, "--", "grep", "-q", "fine", "state")
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}"
    assert not re.search(r"^\w+ .*step ([2-6]|9|10|11)$", ran.err, re.MULTILINE), ran.err


def test_a_log_of_another_history_is_refused(tool: Tool, history: GitTree, tmp_path: Path) -> None:
    log = tmp_path / "git.log"
    log.write_text(f"git bisect start\ngit bisect bad {'1' * 40}\n")
    ran = bisect(tool, history, "--replay", log, "--", "grep", "-q", "fine", "state")
    assert ran.status == 2
    assert "has no verdict on a commit between good and bad" in ran.err


def test_the_subject_of_a_report_is_one_line(tool: Tool, history: GitTree) -> None:
    ran = bisect(tool, history, "--", "sh", "-c", "grep -q \\\n  fine state\n")
    report = log_of(ran).with_name("report.txt").read_text().splitlines()
    assert report[0].endswith('since "step 8"')
    assert report[1].startswith("To: ")


@pytest.mark.parametrize(
    ("args", "seconds"), [([], 7200), (["--timeout", "0"], None), (["--timeout", "2.5"], 2.5)]
)
def test_a_command_has_a_deadline(args: list[str], seconds: float | None) -> None:
    words = ["--repo", ".", "--good", "x", *args, "--", "true"]
    made = bisect_command.make_context("bisect", words)
    assert Options(**made.params).deadline == seconds


def test_finds_a_failure_that_does_not_always_happen(
    tool: Tool, history: GitTree, tmp_path: Path
) -> None:
    """It happens in two of three runs, whichever commit they are of."""
    count = tmp_path / "count"
    predicate = script(
        history,
        f'grep -q fine state && exit 0\necho >>"{count}"; n=$(wc -l <"{count}")\n'
        "test $((n * 7 % 3)) = 0",
    )
    ran = bisect(tool, history, "--", predicate)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}"
    assert "does not always happen" in ran.out


def odd_commit(tree: GitTree, message: bytes, author: bytes) -> None:
    """A commit of all that is there, its message and author byte for byte as they are given."""
    tree.git("add", "-A")
    made = (
        f"tree {tree.git('write-tree')}\nparent {tree.git('rev-parse', 'HEAD')}\nauthor ".encode()
        + author + b" <dev@example.org> 1700000000 +0000\n"
        b"committer A <a@example.org> 1700000000 +0000\n\n" + message
    )  # fmt: skip
    raw = tree.path.parent / "raw commit"
    raw.write_bytes(made)
    tree.git("reset", "-q", "--hard", tree.git("hash-object", "-t", "commit", "-w", str(raw)))


def test_subjects_and_authors_are_bytes(tool: Tool, history: GitTree) -> None:
    """Latin-1, a line end that git knows not of, and what would be an emoji on a terminal."""
    history.git("checkout", "-q", "--force", "main")
    (history.path / "odd").write_text("on\n")
    odd_commit(history, b"mm:lock:bug: caf\xe9\x0c# sought: hang", b"J\xe9r\xf4me")
    (history.path / "number").write_text("14\n")
    history.commit("step 14")
    command = ["--", "sh", "-c", "! test -e odd"]
    ran = bisect(tool, history, *command, bad="main")
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'main~1')}", ran.err
    assert "mm:lock:bug: caf\\udce9\\x0c# sought" in ran.err
    assert "mm:lock:bug: caf\\udce9\\x0c# sought" in ran.out
    assert b"caf\xe9" in log_of(ran).read_bytes()
    report = log_of(ran).with_name("report.txt").read_bytes()
    assert b"To: J\xe9r\xf4me <dev@example.org>" in report
    assert b'("mm:lock:bug: caf\xe9' in report
    again = bisect(tool, history, *command, bad="main")
    assert again.out == ran.out


def test_a_merged_branch_is_looked_into(tool: Tool, minitree: GitTree) -> None:
    minitree.git("checkout", "-q", "-b", "side")
    for number in range(4):
        (minitree.path / "side").write_text(f"{number}\n" + "broken\n" * (number > 1))
        minitree.commit(f"side {number}")
    minitree.git("checkout", "-q", "main")
    for number in range(4):
        (minitree.path / "other").write_text(f"{number}\n")
        minitree.commit(f"other {number}")
    minitree.git("merge", "-q", "--no-ff", "-m", "merge side", "side")
    (minitree.path / "a.txt").write_text("more\n")
    minitree.commit("more")
    predicate = script(minitree, "! grep -q broken side")
    ran = bisect(tool, minitree, "--", predicate, good="main~6", bad="main")
    assert last(ran) == f"first bad commit: {minitree.git('rev-parse', 'side~1')}", ran.err
    assert f"{minitree.git('rev-parse', 'side~1')} is the first bad" in replayed(ran, minitree)
    ran = bisect(tool, minitree, "--first-parent", "--", predicate, good="main~6", bad="main")
    assert last(ran) == f"first bad commit: {minitree.git('rev-parse', 'main~1')}"
    assert f"{minitree.git('rev-parse', 'main~1')} is the first bad" in replayed(ran, minitree)
    ran = bisect(tool, minitree, "--", predicate, good="main~2", bad="side")
    assert last(ran) == f"first bad commit: {minitree.git('rev-parse', 'side~1')}"


def test_a_culprit_whose_parent_fails_too_is_none(tool: Tool, minitree: GitTree) -> None:
    """The good revision is the fix of something older, which a merge has lost again."""
    (minitree.path / "state").write_text("broken\n")
    older = minitree.commit("break it")
    (minitree.path / "state").write_text("fine\n")
    fix = minitree.commit("fix it")
    minitree.git("checkout", "-q", "-b", "side", older)
    (minitree.path / "other").write_text("1\n")
    minitree.commit("harmless")
    minitree.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merge the fix, and lose it", fix)
    ran = bisect(tool, minitree, "--", script(minitree, "grep -q fine state"), good=fix, bad="side")
    assert ran.status == 2
    assert f"{older[:12]}, which a good revision contains, fails too: 4 of 4 runs" in ran.err


def test_a_culprits_parent_is_run_where_it_is_no_candidate(tool: Tool, minitree: GitTree) -> None:
    (minitree.path / "state").write_text("fine\n")
    older = minitree.commit("older")
    (minitree.path / "other").write_text("1\n")
    good = minitree.commit("good")
    minitree.git("checkout", "-q", "-b", "side", older)
    (minitree.path / "state").write_text("broken\n")
    culprit = minitree.commit("break it")
    minitree.git("merge", "-q", "--no-ff", "-m", "merge", good)
    ran = bisect(
        tool, minitree, "--", script(minitree, "grep -q fine state"), good=good, bad="side"
    )
    assert last(ran) == f"first bad commit: {culprit}", ran.err
    assert f"{older[:12]} 1 passed" in ran.out


def test_what_cannot_be_tested_is_answered_by_a_set(tool: Tool, history: GitTree) -> None:
    predicate = script(history, "case $(cat number) in 7|8) exit 125;; esac; grep -q fine state")
    ran = bisect(tool, history, "--", predicate)
    lines = ran.out.splitlines()
    assert ran.status == 0
    assert lines[-4] == "first bad commit is one of:"
    assert lines[-3:] == [history.git("rev-parse", f"c{n}") for n in (7, 8, 9)]


def test_a_commit_that_can_be_run_once_only_is_not_run_for_ever(
    tool: Tool, history: GitTree
) -> None:
    """What the first run left in the worktree is in the way of the second."""
    predicate = script(history, "mkdir b-$(cat number) || exit 125\ngrep -q fine state")
    ran = bisect(tool, history, "--max-runs", "40", "--", predicate)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err


def test_the_culprits_revert_passes(tool: Tool, history: GitTree) -> None:
    history.git("checkout", "-q", "--force", "main")
    (history.path / "flag").write_text("on\n")
    history.commit("turn it on")
    (history.path / "number").write_text("14\n")
    history.commit("step 14")
    predicate = script(history, "! test -e flag")
    ran = bisect(tool, history, "--revert-check", "--", predicate, bad="main")
    assert "bad with it reverted passes" in ran.out, ran.err
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'main~1')}"


def test_127_is_bad_as_for_git(tool: Tool, history: GitTree) -> None:
    ran = bisect(tool, history, "--", "sh", "-c", "grep -q fine state || no-such-program")
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err


def test_what_cannot_be_started_is_no_verdict(tool: Tool, history: GitTree) -> None:
    predicate = script(history, "true")
    predicate.write_text("#!/no/such/interpreter\n")
    ran = bisect(tool, history, "--", predicate)
    assert ran.status == 3
    assert "could not be started" in ran.err


def test_the_command_sees_branches_and_tags(tool: Tool, history: GitTree) -> None:
    """As for a fix that has to be on top of each commit; a branch that is gone is gone there."""
    history.git("checkout", "-q", "--force", "-b", "fix", "c2")
    (history.path / "fixed").write_text("yes\n")
    history.commit("a fix")
    history.git("checkout", "-q", "main")
    text = "git describe --tags --exact-match && git cherry-pick -n fix && test -e fixed || exit 9"
    command = ["--", "sh", "-c", f"{text}; git reset -q --hard; grep -q fine state"]
    before = history.state()
    ran = bisect(tool, history, *command)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err
    assert history.state() == before
    history.git("branch", "-D", "fix")
    history.git("branch", "fix/more", "c2")
    command[-1] = (
        "! git rev-parse -q --verify refs/heads/fix && git rev-parse refs/heads/fix/more"
        " && grep -q fine state"
    )
    ran = bisect(tool, history, *command)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err


def test_a_long_word_is_no_file(tool: Tool, history: GitTree) -> None:
    ran = bisect(tool, history, "--", "sh", "-c", f"grep -q fine state # {'x' * 300}")
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err


@pytest.mark.parametrize("words", [["./check.sh"], ["sh", "-e", "check.sh"]])
def test_only_the_script_is_the_users_own(tool: Tool, history: GitTree, words: list[str]) -> None:
    """Untracked files in the checkout: the script is taken from there, its argument is not."""
    check = history.path / "check.sh"
    check.write_text('#!/bin/sh\ncp state built; grep -q fine "$1"\n')
    check.chmod(0o755)
    (history.path / "built").write_text("broken\n")
    before = history.state()
    ran = tool("bisect", "--repo", ".", "--good", "c1", "--bad", "c12", "--", *words, "built",
               cwd=history.path)  # fmt: skip
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}", ran.err
    assert f"a script of yours, the same at each commit: {check}" in ran.err
    assert history.state() == before


def test_a_script_of_the_tree_is_run_as_each_commit_has_it(tool: Tool, history: GitTree) -> None:
    """The one that is named from where the user stands; the checkout's copy is not asked."""
    history.git("checkout", "-q", "--force", "main")
    for name, text in (("check.sh", "exit 0"), ("sub/check.sh", "test $(cat number) -lt 16")):
        (history.path / name).write_text(f"#!/bin/sh\n{text}\n")
        (history.path / name).chmod(0o755)
    for number in range(13, 20):
        (history.path / "number").write_text(f"{number}\n")
        if number == 14:
            (history.path / "sub" / "check.sh").unlink()
        elif number == 15:
            history.git("checkout", "HEAD~1", "--", "sub/check.sh")
        history.commit(f"step {number}")
    (history.path / "sub" / "check.sh").write_text("exit 0\n")
    for words in (["./check.sh"], ["sh", "check.sh"]):
        ran = tool("bisect", "--repo", "..", "--good", "main~6", "--", *words,
                   cwd=history.path / "sub")  # fmt: skip
        assert last(ran) == f"first bad commit: {history.git('rev-parse', 'main~3')}", ran.err
    ran = tool("bisect", "--repo", "..", "--good", "c1", "--", *words, cwd=history.path / "sub")
    assert ran.status == 2
    assert "sub/check.sh is not there in the good revision" in ran.err


@pytest.fixture
def flagged(history: GitTree) -> GitTree:
    """Ten more commits, of which main~2 adds the file flag and can be reverted."""
    history.git("checkout", "-q", "--force", "main")
    for number in range(13, 17):
        (history.path / f"file {number}").write_text(f"{number}\n")
        if number == 14:
            (history.path / "flag").write_text("on\n")
        history.commit(f"step {number}")
    return history


REVERTED = 'test -e "file 16" && ! test -e flag && '


@pytest.mark.parametrize(
    ("predicate", "says", "status"),
    [
        (REVERTED + "exit 1; ! test -e flag", "bad with it reverted fails, too (exit status 1)", 1),
        (REVERTED + "exit 125; ! test -e flag",
         "the revert was not checked: bad with it reverted cannot be tested: exit status 125", 0),
        (REVERTED + "exit 128; ! test -e flag", "the revert was not checked: sh ended with exit"
         " status 128", 0),
        ('test -e "file 13" && ! test -e "file 15" && exit 125; ! test -e flag',
         "the revert was not checked: there are several culprits", 0),
        ("grep -q fine state", "the revert was not checked: it does not revert on top", 0),
    ],
)  # fmt: skip
def test_the_answer_is_there_whatever_its_revert_comes_to(
    tool: Tool, flagged: GitTree, predicate: str, says: str, status: int
) -> None:
    ran = bisect(tool, flagged, "--revert-check", "--", "sh", "-c", predicate, bad="main")
    assert ran.status == status, ran.err
    assert re.search(r"^first bad commit", ran.out, re.MULTILINE)
    assert says in ran.out
    assert says in log_of(ran).with_name("report.txt").read_text()


def test_a_culprit_without_a_parent_is_found(tool: Tool, flagged: GitTree) -> None:
    flagged.git("checkout", "-q", "--orphan", "other")
    flagged.git("rm", "-rqf", ".")
    (flagged.path / "bug").write_text("bug\n")
    root = flagged.commit("another root")
    flagged.git("checkout", "-q", "main")
    flagged.git("merge", "-q", "--allow-unrelated-histories", "-m", "merge other", "other")
    ran = bisect(tool, flagged, "--revert-check", "--", "sh", "-c", "! test -e bug", bad="main")
    assert last(ran) == f"first bad commit: {root}", ran.err
    assert "the revert was not checked: the culprit has no parent" in ran.out


def test_the_answer_outlives_a_killed_revert_check(
    tool: Tool, flagged: GitTree, tmp_path: Path
) -> None:
    """It is in the report before its revert is run, and what has run of that is not run again."""
    reverts, first = tmp_path / "reverts", tmp_path / "first"
    os.mkfifo(first)
    predicate = script(
        flagged,
        f'if test -e "file 16" && ! test -e flag; then echo >>"{reverts}"\n'
        f'test "$(wc -l <"{reverts}")" = 1 && {{ echo >"{first}"; exec sleep 600; }}\nfi\n'
        "! test -e flag",
    )
    command = ["bisect", "--repo", str(flagged.path), "--good", "c12", "--bad", "main",
               "--revert-check", "--", str(predicate)]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "memdesc_tool.cli", *command],
        env={**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache")},
        stderr=subprocess.DEVNULL,
    )
    first.read_text()  # opened for reading, it waits for the first run of the revert
    process.send_signal(signal.SIGKILL)
    process.wait()
    culprit = flagged.git("rev-parse", "main~2")
    report = next((tmp_path / "cache" / "logs").glob("bisect-*/report.txt"))
    assert f"first bad commit: {culprit}" in report.read_text()
    for _ in range(2):
        ran = tool(*command)
        assert last(ran) == f"first bad commit: {culprit}", ran.err
        assert "bad with it reverted passes (once)" in ran.out
        assert len(reverts.read_text().splitlines()) == 2


@pytest.mark.parametrize("end", ["exit 128", "kill -SEGV $$"])
def test_an_abort_or_a_signal_is_no_verdict(tool: Tool, history: GitTree, end: str) -> None:
    """Between the ends, wherever it looks first: that depends on how long the runs took."""
    predicate = script(
        history, f"case $(cat number) in 1|12) ;; *) {end};; esac\ngrep -q fine state"
    )
    ran = bisect(tool, history, "--", predicate)
    assert ran.status == 3
    assert "which is no verdict" in ran.err.splitlines()[-2]


def test_a_hang_is_stopped_and_is_not_the_failure(tool: Tool, history: GitTree) -> None:
    predicate = script(history, "grep -q 7 number && exec sleep 600\ngrep -q fine state")
    ran = bisect(tool, history, "--timeout", "3", "--", predicate)
    assert ran.out.splitlines()[-3] == "first bad commit is one of:"


def test_a_hang_is_the_failure_where_the_bad_end_hangs(tool: Tool, history: GitTree) -> None:
    predicate = script(history, "grep -q fine state || exec sleep 600")
    ran = bisect(tool, history, "--timeout", "2", "--", predicate)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}"


def test_another_script_is_another_question(tool: Tool, history: GitTree) -> None:
    """What is in the user's own script is what is run."""
    predicate = script(history, "test $(cat number) -lt 8")
    assert last(bisect(tool, history, "--", predicate)).endswith(history.git("rev-parse", "c8"))
    script(history, "test $(cat number) -lt 5")
    assert last(bisect(tool, history, "--", predicate)).endswith(history.git("rev-parse", "c5"))


def test_a_killed_call_is_gone_on_with(tool: Tool, history: GitTree, tmp_path: Path) -> None:
    """kill -9 in the fourth run: the same command does not run the first three again."""
    ran_file, fourth = tmp_path / "ran", tmp_path / "fourth"
    os.mkfifo(fourth)
    predicate = script(
        history,
        f'cat number >>"{ran_file}"\n'
        f'test "$(wc -l <"{ran_file}")" = 4 && {{ echo >"{fourth}"; exec sleep 600; }}\n'
        "grep -q fine state",
    )
    env = {**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache")}
    command = ["bisect", "--repo", str(history.path), "--good", "c1", "--bad", "c12", "--",
               str(predicate)]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "memdesc_tool.cli", *command], env=env, stderr=subprocess.DEVNULL
    )
    fourth.read_text()  # opened for reading, it waits for the fourth run
    process.send_signal(signal.SIGKILL)
    process.wait()
    ran = tool(*command)
    assert last(ran) == f"first bad commit: {history.git('rev-parse', 'c8')}"
    assert "3 runs are known already" in ran.err
    numbers = ran_file.read_text().split()
    assert numbers[:3] == ["12", "12", "1"]
    assert "12" not in numbers[4:]
    again = tool(*command)
    assert last(again) == last(ran)
    assert ran_file.read_text().split() == numbers, "a whole log is only shown again"


@dataclass
class Untested(Predicate):
    """Nothing that is ever run."""

    sought: str = ""
    failing: tuple[str, ...] = ()


def test_what_runs_cost_is_known_after_an_interruption(history: GitTree, tmp_path: Path) -> None:
    """But a stored result has built nothing, and took no time."""
    git = Git(history.path)
    good, other, bad = (git.commit(tag) for tag in ("c1", "c6", "c12"))
    question = Question(git, read_history(git, bad, [good], first_parent=False), (good,))
    runs = (
        Run(bad, Verdict.FAIL, 300.0), Run(bad, Verdict.FAIL, 2.0), Run(good, Verdict.PASS, 60.0),
        Run(other, Verdict.PASS, 0.1, "(stored)"),
    )  # fmt: skip
    log = tmp_path / "bisect.log"
    log.write_text(render(Log(runs, "exit status"), Consensus((), (), {})))
    bisection = Bisection(question, Untested(), log, Progress())
    bisection.replay(log)
    assert len(bisection.runs) == 4
    assert bisection.costs.here == GOOD
    assert bisection.costs.repeats == [2.0]
    assert bisection.costs.changes == [(11, 60.0)]


class Passing(Untested):
    """Passes, in no time."""

    def test(self, *_: object, **__: object) -> Said:
        return Said(Verdict.PASS)


@pytest.mark.parametrize(
    ("again", "end_runs", "passes"),
    [
        (70.0, None, 11),
        (200.0, None, 11),
        (1.0, None, 60),
        (70.0, 14, 14),
    ],
)
def test_a_bad_end_that_passes_is_given_up_in_time(
    history: GitTree, tmp_path: Path, again: float, end_runs: int | None, passes: int
) -> None:
    """After ten minutes of running it again, the first run with its build left out; or where
    --end-runs says so.
    """
    git = Git(history.path)
    good, bad = (git.commit(tag) for tag in ("c1", "c12"))
    question = Question(
        git, read_history(git, bad, [good], first_parent=False), (good,), end_runs=end_runs
    )
    log = tmp_path / "bisect.log"
    runs = (Run(bad, Verdict.PASS, 3000.0), *[Run(bad, Verdict.PASS, again)] * 10)
    log.write_text(render(Log(runs[: 4 if again > 100 else 11]), Consensus((), (), {})))
    bisection = Bisection(question, Passing(), log, Progress())
    bisection.replay(log)
    with pytest.raises(UserError, match=f"does not fail: it passed {passes} times"):
        bisection.run()
    assert len(bisection.runs) == passes


def test_it_is_said_that_a_bad_end_passed(tool: Tool, history: GitTree) -> None:
    ran = bisect(tool, history, "--end-runs", "3", "--", "true")
    assert ran.status == 2
    said = [line for line in ran.err.splitlines() if "it is run again until it fails" in line]
    assert len(said) == 1
    assert "2 times at most (--end-runs" in said[0]


def test_the_log_names_no_culprit_before_one_is_found(
    tool: Tool, history: GitTree, tmp_path: Path
) -> None:
    predicate = script(history, "grep -q fine state")
    ran = bisect(tool, history, "--max-runs", "4", "--", predicate)
    assert ran.status == 1
    assert "not found within 4 runs" in ran.out
    log = next((tmp_path / "cache" / "logs").glob("bisect-*/bisect.log"))
    assert "# run: " in log.read_text()
    assert "first bad commit" not in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_checkout_ends_with_the_call(
    history: GitTree, tmp_path: Path, number: signal.Signals
) -> None:
    """The signal goes to the tool alone: git would write on, and keep the next call waiting."""
    started = tmp_path / "started"
    os.mkfifo(started)
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(
        '#!/bin/sh\ncase " $* " in\n'
        f'*" checkout "*) sleep 1; echo $$ >"{started}"; exec sleep 600;;\nesac\n'
        f'exec "{shutil.which("git")}" "$@"\n'
    )
    slow.chmod(0o755)
    process = subprocess.Popen(
        # Whoever runs the tests in the background may ignore SIGINT, and that is inherited.
        ["env", "--default-signal=INT", sys.executable, "-m", "memdesc_tool.cli", "bisect",
         "--repo", str(history.path), "--good", "c1", "--bad", "c12", "--", "true"],
        env={**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache"),
             "PATH": f"{slow.parent}:{os.environ['PATH']}"},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkout = int(started.read_text())
    process.send_signal(number)
    assert process.wait(30) == 130
    assert not Path(f"/proc/{checkout}").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--good", "c1"), "give either a command"),
        (("--", "true"), "--good is missing"),
        (("--good", "c12", "--bad", "c1", "--", "true"), "has no commit that"),
        (("--good", "nowhere", "--", "true"), "has no commit nowhere"),
        (("--good", "c1", "--", "./not there"), "there is no such program"),
        (("--good", "c1", "--", "no-such-program"), "there is no such program"),
        (("--good", "c1", "--", "./sub"), "./sub cannot be run: it is a directory"),
        (("--good", "c1", "--", "./number"), "it is not executable at"),
        (("--good", "c1", "--", "./.git/HEAD"), "it is not executable"),
        (("--good", "c1", "--", "sh", "-c", "no-such-program"), "ended with 127 at the good"),
        (("--good", "c1", "--confidence", "nan", "--", "true"), "nan is no number"),
        (("--good", "c1", "--timeout", "nan", "--", "true"), "nan is no number"),
        (("--good", "c1", "--timeout", "inf", "--", "true"), "inf is no number"),
        (("--good", "c1", "--suite", "kselftest:x"), "only kunit:NAME"),
        (("--good", "c1", "--case", "x", "--", "true"), "go with --suite"),
        (("--good", "c1", "--end-runs", "2", "--", "true"), "does not fail: it passed 2 times"),
        (("--good", "c1", "--", "false"), "fails too"),
        (("--good", "c1", "--end-runs", "3", "--", "false"), "fails too: 3 of 3 runs"),
        (("--good", "c1", "--replay", "number", "--", "true"), "is no log of a bisection"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    tool: Tool, history: GitTree, args: tuple[str, ...], says: str
) -> None:
    ran = tool("bisect", "--repo", history.path, *args, cwd=history.path)
    assert ran.status == 2
    assert any(says in one for one in ran.err.splitlines()), ran.err
