"""apply, kunit and regress on a kernel and a series that are not the tool's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import GitTree, Ran, Tool
from tests.minikernel import COUNT, FIXED, STEPS, MiniKernel, make_mini


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    return make_mini(tmp_path)


def regress(tool: Tool, mini: MiniKernel, *args: str | Path, **env: str) -> Ran:
    return tool("regress", "--project", mini.project, "--tree", mini.tree.path, *args, **env)


def test_the_main_job(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    before = mini.tree.state()
    ran = regress(tool, mini)
    assert ran.status == 0, ran.err
    lines = [re.sub(r" +", " ", line).strip() for line in ran.out.splitlines()]
    assert lines[0] == "patch counting/um"
    assert lines[1].endswith("2 passed, 1 failed")
    assert lines[2] == "1. lib: say how many of what 2 passed, 1 failed"
    assert lines[3] == "2. lib: count right 3 passed, 1 fixed here"
    assert lines[4] == "3. lib: say hello to whom 3 passed"
    assert "fails counting/um: counting.right_number (failed)" in lines
    assert "fixed counting/um: counting.right_number" in lines
    assert lines[-1].startswith("GOOD: 3 patches on ")
    assert lines[-1].endswith("1 fixed, 0 regressed, 0 failing at the end")
    assert mini.builds(tmp_path / "cache") == 4
    assert mini.tree.state() == before

    again = regress(tool, mini)
    assert (again.status, again.out) == (0, ran.out)
    assert mini.builds(tmp_path / "cache") == 4


def test_a_regression_is_tied_to_its_patch(tool: Tool, mini: MiniKernel) -> None:
    bad = STEPS[2][1].replace("echo hello", "echo bye")
    mini.make_series(*STEPS[:2], ("be short", bad))
    ran = regress(tool, mini)
    assert ran.status == 1
    section = ran.out.partition("3. lib: be short:")[2]
    assert "regressed counting/um: counting.greets" in re.sub(" +", " ", section)
    assert "1 fixed, 1 regressed, 1 failing at the end" in ran.out
    assert ran.out.splitlines()[-1].startswith("BAD: ")


def test_a_change_to_a_patch_reruns_from_there_on(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    regress(tool, mini)
    second = ("count right", STEPS[1][1] + "\n# a comment more\n")
    third = ("say hello to whom", STEPS[2][1] + "\n# a comment more\n")
    mini.make_series(STEPS[0], second, third)
    assert regress(tool, mini).status == 0
    assert mini.builds(tmp_path / "cache") == 6


def test_a_reworded_message_reruns_nothing(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    regress(tool, mini)
    mini.make_series(("say it better", STEPS[0][1]), *STEPS[1:])
    ran = regress(tool, mini)
    assert ran.status == 0
    assert "1. lib: say it better" in ran.out
    assert mini.builds(tmp_path / "cache") == 4


def test_without_names_the_cases_that_turn_red(tool: Tool, mini: MiniKernel) -> None:
    ran = regress(tool, mini, "--without", "2")
    assert ran.status == 1
    assert "regressed counting/um: counting.right_number" in re.sub(" +", " ", ran.out)
    assert ran.out.splitlines()[-1] == "without 2. lib: count right: 1 case turns red"


def test_without_a_patch_that_nothing_guards(tool: Tool, mini: MiniKernel) -> None:
    ran = regress(tool, mini, "--without", "3")
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == (
        "without 3. lib: say hello to whom: no case turns red: nothing guards it"
    )


def test_without_a_conflict_is_not_red(tool: Tool, mini: MiniKernel) -> None:
    mini.make_series(*STEPS[:2], ("count the right pages", FIXED.replace("echo 42", "echo 42 # !")))
    ran = regress(tool, mini, "--without", "2")
    assert ran.status == 1
    assert "nothing can be said: without patch 2, patch 3" in ran.err
    assert "turn" not in ran.out


def test_without_a_build_failure_is_not_red(tool: Tool, mini: MiniKernel) -> None:
    mini.make_series(
        ("break nothing yet", COUNT + "\n# the end\n"),
        ("open a brace", COUNT + "\n# the end\nunused() {\n\techo\n"),
        ("close the brace", COUNT + "\n# the end\nunused() {\n\techo\n}\n"),
    )
    ran = regress(tool, mini, "--without", "3")
    assert ran.status == 1
    assert "does not build" in ran.err
    assert "turn" not in ran.out


def test_a_patch_that_does_not_build(tool: Tool, mini: MiniKernel) -> None:
    broken = STEPS[0][1] + "unused() {\n"
    mini.make_series(
        ("open a brace", broken), ("close the brace", FIXED), ("say bye", FIXED + "\n# bye\n")
    )
    ran = regress(tool, mini)
    assert ran.status == 1
    text = re.sub(" +", " ", ran.out)
    assert "1. lib: open a brace BUILD FAILED, 1 regressed here" in text
    assert "regressed counting/um: (run)" in text
    assert "error: bad shell" in text
    # Compared with the last revision that was built: one of the two fixes the case;
    # the build is the second one's.
    assert "2. lib: close the brace 3 passed, 1 fixed here, 1 fixed" in text
    assert "fixed counting/um: counting.right_number (by one of 1..2)" in text
    assert "2 fixed, 1 regressed, 0 failing at the end" in text


def test_a_base_that_does_not_build_is_infrastructure(tool: Tool, mini: MiniKernel) -> None:
    (mini.tree.path / "lib" / "other.sh").write_text("if\n")
    mini.tree.commit("broken")
    ran = regress(tool, mini)
    assert ran.status == 3
    assert "build failed" in ran.err


def test_a_base_that_the_machine_could_not_build_is_built_again(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    """A compiler that was missing, say: what is stored of that must not stand."""
    makefile = mini.tree.path / "Makefile"
    makefile.write_text(
        makefile.read_text().replace("linux:\n", "linux:\n\t@test ! -e $(CURDIR)/../../broken\n", 1)
    )
    mini.tree.commit("needs a whole machine")
    broken = tmp_path / "cache" / "work" / "broken"
    broken.parent.mkdir(parents=True)
    broken.touch()
    assert regress(tool, mini).status == 3
    broken.unlink()
    ran = regress(tool, mini)
    assert ran.status == 0, ran.err


def test_a_vanished_case_is_a_regression(tool: Tool, mini: MiniKernel) -> None:
    """A kernel that dies before it reports a case."""
    dying = STEPS[2][1].replace("echo hello", "echo hello; kill -ABRT $$")
    mini.make_series(*STEPS[:2], ("die", dying))
    ran = regress(tool, mini)
    assert ran.status == 1
    assert re.search(r"regressed +counting/um: \(run\)", ran.out)
    assert re.search(r"(vanished|regressed) +counting/um: counting\.counts", ran.out)


def test_a_splat_is_a_regression(tool: Tool, mini: MiniKernel) -> None:
    splat = (
        "\n{ echo '------------[ cut here ]------------';"
        " echo 'WARNING: CPU: 0 PID: 1 at lib/count.c:7 count_pages+0x10/0x20';"
        " echo '---[ end trace 0000000000000000 ]---'; }\n"
    )
    mini.make_series(*STEPS[:2], ("warn", STEPS[2][1] + splat))
    ran = regress(tool, mini)
    assert ran.status == 1
    assert re.search(r"regressed +counting/um: splat: .*count_pages", ran.out)


def test_known_failures_are_known(tool: Tool, mini: MiniKernel) -> None:
    bad = STEPS[2][1].replace("echo hello", "echo bye")
    mini.make_series(*STEPS[:2], ("be short", bad))
    known = mini.project / "patches" / "known-failures.toml"
    known.write_text(
        '[[failure]]\ncase = "counting.greets"\nreason = "not polite yet"\n'
        'remove_when = "it is"\n\n'
        '[[failure]]\ncase = "nothing.*"\nreason = "x"\nremove_when = "the moon is full"\n\n'
        '[[failure]]\ncase = "counting.*"\nwhere = "counting/um-smp"\n'
        'reason = "x"\nremove_when = "there is one CPU"\n\n'
        '[[failure]]\ncase = "splat: *"\nreason = "x"\nremove_when = "it is quiet"\n'
    )
    ran = regress(tool, mini)
    assert ran.status == 0
    assert "known to fail counting/um: counting.greets" in re.sub(" +", " ", ran.out)
    assert "known failure nothing.* on *: no such case in this run" in ran.err
    assert "splat: * on * fails nowhere any more; its entry can go (it is quiet)" in ran.err
    assert "um-smp" not in ran.err
    known.write_text('[[failure]]\ncase = "x"\nremove_when = "y"\n')
    ran = regress(tool, mini)
    assert ran.status == 2
    assert "known-failures.toml:1: failure[1].reason: missing" in ran.err


def test_a_range_of_commits_needs_no_series(tool: Tool, mini: MiniKernel) -> None:
    ran = tool("regress", "--tree", mini.tree.path, "--range", "main..work",
               "--suite", mini.project / "kernel-test-modules" / "counting",
               "--project", mini.project)  # fmt: skip
    assert ran.status == 0, ran.err
    assert "2. lib: count right" in ran.out
    assert "1 fixed, 0 regressed" in ran.out


def changes(out: str) -> list[str]:
    """The lines of the details that name a change, below the revisions that they are of."""
    lines = [re.sub(" +", " ", line.strip()) for line in out.partition("\nbase (")[2].splitlines()]
    return [one for one in lines if re.match(r"\d+\. .*:$|(fixed|regressed) ", one)]


def test_what_a_merge_brings_in_is_the_merge_s(tool: Tool, minitree: GitTree) -> None:
    git, a = minitree.git, minitree.path / "a.txt"
    git("checkout", "-q", "-b", "side")
    for name in ("one", "two"):
        (minitree.path / name).touch()
        minitree.commit(f"side {name}")
    git("checkout", "-q", "-b", "work", "main")
    a.write_text("broken\n")
    minitree.commit("break it")
    git("merge", "-q", "side", "-m", "merge side")
    (minitree.path / "three").touch()
    minitree.commit("go on")
    ran = tool("regress", "--tree", minitree.path, "--range", "main..work",
               "--command", "! grep -q broken a.txt", "--confirm", "0")  # fmt: skip
    assert ran.status == 1, ran.err
    assert changes(ran.out) == ["1. break it:", "regressed command/host: command (exit status 1)"]
    assert "3 patches on" in ran.out
    assert "side one" not in ran.out
    assert "2. merge side" in ran.out


def test_a_range_stands_on_the_commit_below_it(tool: Tool, minitree: GitTree) -> None:
    git = minitree.git
    fork = git("rev-parse", "main")
    git("checkout", "-q", "-b", "work")
    (minitree.path / "one").touch()
    minitree.commit("one")
    git("checkout", "-q", "main")
    (minitree.path / "a.txt").write_text("broken\n")
    minitree.commit("main breaks it later")
    args = ("--tree", minitree.path, "--range", "main..work",
            "--command", "! grep -q broken a.txt")  # fmt: skip
    ran = tool("regress", *args)
    assert ran.status == 0, ran.err
    assert "0 fixed, 0 regressed" in ran.out
    assert f"its base is {fork[:12]}" in ran.err
    ran = tool("report", *args, "--markdown", "-")
    assert ran.status == 0, ran.err
    assert "GOOD" in ran.out


def test_a_range_without_a_commit_below_it(tool: Tool, minitree: GitTree) -> None:
    git = minitree.git
    git("checkout", "-q", "--orphan", "work")
    minitree.commit("from nothing")
    ran = tool("regress", "--tree", minitree.path, "--range", "main..work", "--command", "true")
    assert ran.status == 2
    assert "main and work have no commit in common" in ran.err
    ran = tool("regress", "--tree", minitree.path, "--range", "work..work", "--command", "true")
    assert ran.status == 2
    assert "there is no commit in work..work" in ran.err


def test_kunit_on_a_patch(tool: Tool, mini: MiniKernel) -> None:
    common = ("kunit", "--project", mini.project, "--tree", mini.tree.path, "--suite", "counting")
    ran = tool(*common, "--upto", "1")
    assert ran.status == 1, ran.err
    assert "counting.right_number" in ran.out
    ran = tool(*common, "--upto", "2")
    assert ran.status == 0, ran.out + ran.err


def test_ends_runs_base_and_tip_only(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    ran = regress(tool, mini, "--ends")
    assert ran.status == 0
    assert "1 fixed, 0 regressed" in ran.out
    assert "2. lib: count right" not in ran.out
    assert "1 fixed in 1..3" in ran.out, "which of them did is not known"
    assert mini.builds(tmp_path / "cache") == 2


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--without", "9"), "there is no patch 9"),
        (("--suite", "none"), "there is no suite none"),
        (("--arch", "vax"), "there is no architecture vax"),
        (("--filter", "x"), "--filter needs --kunitconfig"),
        (("--range", "main", "--upto", "1"), "--range takes"),
        (("--tree", "/nowhere"), "/nowhere"),
        (("nothing",), "there is no series"),
        (("--sample", "3"), "--sample takes a part of the mutants"),
        (("--workers", "2", "--scheduler", "tcp://x"), "either --scheduler or --workers"),
        (("--matrix", "default", "--vm"), "--matrix says what runs"),
        (("--mutate", "--without", "1"), "the whole stack"),
        (("--matrix", "nowhere.toml"), "nowhere.toml does not exist"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    tool: Tool, mini: MiniKernel, args: tuple[str, ...], problem: str
) -> None:
    ran = regress(tool, mini, *args)
    assert ran.status == 2
    assert problem in ran.err
    assert len(ran.err.strip().splitlines()) <= 2


def test_a_project_that_goes_away(tool: Tool, mini: MiniKernel) -> None:
    mini.make_series((STEPS[0][0], f"rm -rf '{mini.project}'\n{STEPS[0][1]}"), *STEPS[1:])
    ran = regress(tool, mini)
    assert ran.status == 2
    assert ran.err.startswith(f"memdesc-tool: cannot read {mini.project}/kernel-test-modules/")
    assert ran.err.endswith(": No such file or directory\n")
    assert len(ran.err.splitlines()) == 1


def test_what_fails_at_the_end_is_annotated(tool: Tool, mini: MiniKernel) -> None:
    """A failure that is there on the base, and one in a case that a patch adds."""
    suite = mini.project / "kernel-test-modules" / "counting" / "counting.sh"
    added = 'echo "    # more"\ntest "$(count)" = 42 && echo "    not ok 4 added"\n'
    at = suite.read_text().index('if test "$(count)" = 42 &&')
    suite.write_text(suite.read_text()[:at] + added + suite.read_text()[at:])
    bye = [(subject, text.replace("echo hello", "echo bye")) for subject, text in STEPS]
    (mini.tree.path / "lib" / "count.sh").write_text(COUNT.replace("echo hello", "echo bye"))
    mini.tree.commit("lib: be rude")
    mini.make_series(*bye)
    ran = regress(tool, mini, "--annotations", "github")
    assert ran.status == 1
    assert ran.out.splitlines()[:2] == [
        "::error title=fails at the end::counting/um: counting.greets failed",
        "::error title=fails at the end::counting/um: counting.added failed",
    ]
    ran = regress(tool, mini, "--annotations", "gitlab")
    assert ran.out.count('"description": "fails at the end: counting.') == 2


def test_a_file_that_cannot_be_written_takes_nothing_with_it(tool: Tool, mini: MiniKernel) -> None:
    ran = regress(tool, mini, "--upto", "1", "--junit", "/proc/nowhere/x.xml")
    assert ran.status == 2
    assert ran.err.splitlines() == [
        "memdesc-tool: cannot write /proc/nowhere/x.xml: No such file or directory"
    ]
    assert ran.out.splitlines()[-1].startswith("BAD: 1 patch on ")
