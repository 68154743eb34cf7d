"""kselftest and the kselftest columns of regress: on a kernel of shell functions whose own
makefile installs the tests, and a QEMU whose guest unpacks the initramfs and runs them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from memdesc_tool import arch, kselftest
from memdesc_tool.errors import InfraError, UserError
from tests.conftest import ROOT, Ran, Tool, install_qemu, run_here
from tests.minikernel import FIXED, STEPS, MiniKernel, make_mini

MAKEFILE = """
.PHONY: bzImage headers
bzImage:
	@mkdir -p $(O)/arch/x86/boot
	@for f in $(CURDIR)/lib/*.sh; do sh -n $$f || \\
		{ echo "$$f:1:1: error: bad shell"; exit 1; }; done
	@cat $(CURDIR)/lib/*.sh > $(O)/arch/x86/boot/bzImage; echo kernel >> $(CURDIR)/../../built
headers:
	@mkdir -p $(O)/usr/include
"""

SELFTESTS = """\
TOP = $(KSFT_INSTALL_PATH)
OUTPUT = nowhere
install:
	@echo tests >> $(CURDIR)/../../../../../built
	@mkdir -p $(TOP)/$(TARGETS) && cp run_kselftest.sh $(TOP)
	@cp $(wildcard $(TARGETS)/*.sh) $(TOP)/$(TARGETS)
	@for p in $(notdir $(TEST_GEN_FILES)); do \\
		sh -n $(TARGETS)/$$p.in || { echo "$(TARGETS)/$$p.in:1:1: error: bad test"; exit 1; }; \\
		install -m 755 $(TARGETS)/$$p.in $(TOP)/$(TARGETS)/$$p; done
	@cd $(TOP) && ls -d $(TARGETS)/*.sh | tr / : > kselftest-list.txt
"""

RUNNER = """\
#!/bin/sh
[ "$1" = --test ] || exit 2
dir=${2%:*} test=${2#*:}
printf 'TAP version 13\\n1..1\\n# selftests: %s: %s\\n' $dir $test
cd $dir && ./$test > ../output; status=$?
sed -e 's/^/# /' ../output
[ $status = 0 ] && ok=ok || ok="not ok"
echo "$ok 1 selftests: $dir: $test"
exit $status
"""

WRAPPER = """\
#!/bin/sh
echo "TAP version 13"
./counts; status=$?
[ $status = 0 ] && echo "ok 1 counts" || echo "not ok 1 counts"
echo 1..1
exit $status
"""

COUNTS = """\
#!/bin/sh
. "$KERNEL"
bad=0
say() {
	echo "# $2"
}
echo "# TAP version 13"
echo "# 1..2"
if [ "$(count)" = "${ANSWER:-42}" ]; then echo "# ok 1 count.right"; else
	echo "# not ok 1 count.right"; bad=1; fi
if [ "$(greet)" = hello ]; then echo "# ok 2 count.greets"; else
	echo "# not ok 2 count.greets"; bad=1; fi
exit $bad
"""

SUITE = """\
[suite]
name = "guests"
kind = "kselftest"
title = "counting in a guest"
filter = "mini:ksft_count.sh"
programs = ["counts"]
config = "config"

[[file]]
source = "ksft_count.sh"
path = "tools/testing/selftests/mini/ksft_count.sh"
mode = "0755"

[[file]]
source = "counts.in"
path = "tools/testing/selftests/mini/counts.in"
"""

GUEST = """
import os, shlex, subprocess
root = boot()
say("memdesc-vm: start")
run, test, *environment = shlex.split((root / "memdesc/command").read_text())[1:]
assert run == "/kselftest/run" and os.access(root / run[1:], os.X_OK)
assert (root / "bin/bash").is_file() and (root / "usr/local/bin/sed").is_file()
kernel = "KERNEL=" + re.search(r"-kernel (\\S+)", words)[1]
done = subprocess.run(
    ["env", kernel, *environment, "bash", "./run_kselftest.sh", "--test", test],
    cwd=root / "kselftest", stdout=subprocess.PIPE, text=True)
for line in done.stdout.splitlines():
    say(line)
if done.returncode and "# talkative" in Path(__file__).read_text():
    say("WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2")
say(f"memdesc-vm: exit {done.returncode}")
"""


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    """The mini kernel with kselftests, and its suite "guests" in the project."""
    mini = make_mini(tmp_path)
    top = mini.tree.path
    mini.tree.git("checkout", "-q", "main")
    (top / "Makefile").write_text((top / "Makefile").read_text() + MAKEFILE)
    selftests = top / "tools" / "testing" / "selftests"
    (selftests / "mini").mkdir(parents=True)
    (selftests / "Makefile").write_text(SELFTESTS)
    (selftests / "run_kselftest.sh").write_text(RUNNER)
    (selftests / "run_kselftest.sh").chmod(0o755)
    (selftests / "mini" / "Makefile").write_text("")
    mini.tree.commit("selftests")
    suite = mini.project / "kernel-test-modules" / "guests"
    suite.mkdir()
    for name, text in (
        ("suite.toml", SUITE), ("ksft_count.sh", WRAPPER), ("counts.in", COUNTS),
        ("config", "CONFIG_MINI=m\n"),
    ):  # fmt: skip
        (suite / name).write_text(text)
    mini.make_series(*STEPS)
    series = mini.series / "series.toml"
    series.write_text(series.read_text().replace('["counting"]', '["counting", "guests"]'))
    return mini


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU for x86_64 first in $PATH; returns its guest, which tests may change."""
    return install_qemu(tmp_path / "qemu", monkeypatch, GUEST)


def run(tool: Tool, mini: MiniKernel, *args: str | Path) -> Ran:
    return tool("kselftest", "--project", mini.project, "--tree", mini.tree.path, *args)


def built(tmp_path: Path) -> list[str]:
    """What was built so far, in order."""
    log = tmp_path / "cache" / "work" / "built"
    return log.read_text().split() if log.exists() else []


# -- the command -----------------------------------------------------------------------------


def test_the_stack_passes_and_the_base_is_red(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    before = mini.tree.state()
    ran = run(tool, mini)
    assert ran.status == 0, ran.out + ran.err
    assert re.search(r"^guests: PASSED \(2 passed, ", ran.out, re.MULTILINE)
    assert built(tmp_path) == ["kernel", "tests"]

    base = run(tool, mini, "--bare")
    assert base.status == 1, base.out + base.err
    assert "failed: selftests: mini: ksft_count.sh.counts.count.right" in base.out
    assert "1 passed, 1 failed" in base.out
    assert run(tool, mini, "--upto", "0").out == base.out, "the same: stored"
    assert run(tool, mini, "--upto", "2").status == 0
    assert mini.tree.state() == before


def test_what_is_stored_does_not_run_again(
    tool: Tool, mini: MiniKernel, machine: Path, tmp_path: Path
) -> None:
    first = run(tool, mini)
    machine.write_text("os._exit(7)\n")
    again = run(tool, mini)
    assert (again.status, again.out) == (0, first.out)
    assert built(tmp_path) == ["kernel", "tests"]
    machine.write_text(GUEST)
    assert run(tool, mini, "--rerun").status == 0
    assert built(tmp_path) == ["kernel", "tests"] * 2
    assert run(tool, mini, "--env", "ANSWER=41").status == 1, "another environment, another run"
    assert built(tmp_path) == ["kernel", "tests"] * 3


def test_a_given_kernel_is_not_built(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_text(FIXED.replace("hello", "bye"))
    ran = run(tool, mini, "--kernel", image)
    assert ran.status == 1
    assert "counts.count.greets" in ran.out
    assert built(tmp_path) == ["tests"]
    image.write_text(FIXED)
    assert run(tool, mini, "--kernel", image).status == 0, "another image, another run"


def test_results_for_others(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    run(tool, mini, "--bare", "--junit", tmp_path / "j.xml", "--json", tmp_path / "j.json")
    found = json.loads((tmp_path / "j.json").read_text())
    assert [case["status"] for case in found["cases"]] == ["failed", "passed"]
    assert 'failures="1"' in (tmp_path / "j.xml").read_text()


@pytest.mark.parametrize(
    ("guest", "status", "said"),
    [
        (GUEST + "# talkative", 0, "PASSED"),
        (GUEST.replace("for line", "done.stdout = ''\nfor line"), 1, "RAN NO TEST"),
        (GUEST.replace('say("memdesc-vm: start")', "say('Kernel panic - not syncing: x')\n"
                       "os._exit(0)"), 1, "DIED: the guest's kernel panicked"),
        ("say('Linux version 7')\nsay('memdesc-vm: start')", 1, "DIED: the guest ended before"),
        ("import time\nsay('Linux version 7')\nsay('memdesc-vm: start')\ntime.sleep(1000)", 1,
         "TIMED OUT: the command was still running"),
        ("", 3, "no output of a kernel"),
        ("# refuses\nprint('qemu: bad'); sys.stdout.flush(); os._exit(1)", 3, "bad"),
    ],
)  # fmt: skip
def test_how_a_run_ends(
    tool: Tool, mini: MiniKernel, machine: Path, guest: str, status: int, said: str
) -> None:
    machine.write_text(f"import os, sys\n{guest}")
    ran = run(tool, mini, "--timeout", "4" if "sleep" in guest else "60")
    assert ran.status == status, ran.out + ran.err
    assert said in ran.out + ran.err


def test_a_splat_fails_a_run_whose_cases_pass(tool: Tool, mini: MiniKernel, machine: Path) -> None:
    machine.write_text(GUEST.replace(
        "for line", "say('WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2')\nfor line"))  # fmt: skip
    ran = run(tool, mini)
    assert ran.status == 1
    assert "splat: WARNING" in ran.out
    assert "FAILED: splats: " in ran.out


def test_tests_that_do_not_build(tool: Tool, mini: MiniKernel) -> None:
    suite = mini.project / "kernel-test-modules" / "guests"
    (suite / "counts.in").write_text("if\n")
    ran = run(tool, mini)
    assert ran.status == 1
    assert "mini/counts.in:1: error: bad test" in ran.out
    assert run(tool, mini, "--bisect").status == 125


def test_an_install_that_lacks_a_program(tool: Tool, mini: MiniKernel) -> None:
    makefile = mini.tree.path / "tools" / "testing" / "selftests" / "Makefile"
    makefile.write_text(makefile.read_text().replace("install -m 755", ": "))
    mini.tree.commit("forget the program")
    ran = run(tool, mini)
    assert ran.status == 1
    assert "tools/testing/selftests/mini: error: installs no counts" in ran.out


def test_a_kernel_that_does_not_build(tool: Tool, mini: MiniKernel) -> None:
    mini.make_series(("open a brace", FIXED + "unused() {\n"))
    ran = run(tool, mini, "--suite", "guests")
    assert ran.status == 1
    assert "BUILD FAILED" in ran.out and "bad shell" in ran.out
    assert run(tool, mini, "--suite", "guests", "--bisect").status == 125


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--suite", "counting"), "the suite counting is of the kind kunit"),
        (("--suite", "gone"), "there is no suite gone"),
        (("--bare", "--upto", "1"), "--bare applies nothing"),
        (("--modules", "."), "--modules goes with --kernel"),
        (("--arch", "um"), "um does not run in QEMU"),
        (("--arch", "vax"), "there is no architecture vax"),
        (("--config", "turbo"), "there is no fragment turbo"),
        (("--spec", "huge"), "there is no machine huge"),
        (("--env", "MINI"), "--env MINI is not NAME=VALUE"),
        (("--upto", "9"), "there is no patch 9"),
        (("--bash", "/dev/null"), "is not an ELF program"),
    ],
)
def test_wrong_use(tool: Tool, mini: MiniKernel, args: tuple[str], said: str) -> None:
    ran = run(tool, mini, *args)
    assert ran.status == 2, ran.out + ran.err
    assert said in ran.err
    assert run(tool, mini, *args, "--bisect").status == 128


def test_kunit_names_who_runs_a_kselftest(tool: Tool, mini: MiniKernel) -> None:
    common = ("--project", mini.project, "--tree", mini.tree.path)
    ran = tool("kunit", *common, "--suite", "guests")
    assert ran.status == 2
    assert "memdesc-tool kselftest --suite guests runs it" in ran.err
    assert tool("kunit", *common, "--upto", "3").status == 0, "the series' other suite is run"


# -- regress ---------------------------------------------------------------------------------


def regress(tool: Tool, mini: MiniKernel, *args: str | Path) -> Ran:
    return tool("regress", "--project", mini.project, "--tree", mini.tree.path, *args)


def test_regress_tests_both_ends_where_it_is_asked_to(
    tool: Tool, mini: MiniKernel, tmp_path: Path
) -> None:
    assert regress(tool, mini).status == 0
    assert "tests" not in built(tmp_path), "not unless asked for"
    ran = regress(tool, mini, "--vm")
    assert ran.status == 0, ran.out + ran.err
    lines = [re.sub(r" +", " ", line).strip() for line in ran.out.splitlines()]
    assert lines[0] == "patch counting/um guests/x86_64"
    assert lines[1].endswith("2 passed, 1 failed 1 passed, 1 failed")
    assert lines[2] == "1. lib: say how many of what 2 passed, 1 failed"
    assert lines[4] == "3. lib: say hello to whom 3 passed 2 passed, 1 fixed in 1..3"
    assert "fixed guests/x86_64: counts.count.right (by one of 1..3)" in lines
    assert built(tmp_path).count("tests") == 2
    assert run(tool, mini).status == 0
    assert built(tmp_path).count("tests") == 2, "what regress stored is the command's, too"


def test_regress_says_that_no_kselftest_runs_there(tool: Tool, mini: MiniKernel) -> None:
    ran = regress(tool, mini, "--vm", "--arch", "um")
    assert ran.status == 2
    assert ran.err.startswith("memdesc-tool: --vm: the series has no kselftest suite that runs")


def test_regress_on_every_patch(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    bad = STEPS[2][1].replace("echo hello", "echo bye")
    mini.make_series(*STEPS[:2], ("be short", bad))
    ran = regress(tool, mini, "--suite", "guests", "--every", "--confirm", "0")
    assert ran.status == 1
    assert built(tmp_path).count("tests") == 4
    text = re.sub(" +", " ", ran.out)
    assert "fixed guests/x86_64: counts.count.right" in text.partition("2. lib: count right:")[2]
    section = text.partition("3. lib: be short:")[2]
    assert "regressed guests/x86_64: counts.count.greets" in section
    ran = regress(tool, mini, "--suite", "guests", "--without", "2")
    assert "1 case turns red" in ran.out


def test_racy_suites_have_attempts(
    tool: Tool, mini: MiniKernel, machine: Path, tmp_path: Path
) -> None:
    suite = mini.project / "kernel-test-modules" / "guests" / "suite.toml"
    suite.write_text(suite.read_text().replace('"guests"\n', '"guests"\nattempts = 2\n', 1))
    flag = tmp_path / "flag"
    machine.write_text(GUEST + f"Path({str(flag)!r}).touch()\n")
    machine.write_text(machine.read_text().replace(
        'test, *env', 'test, *_env').replace("*environment", f'*(["ANSWER=41"] if '
        f"Path({str(flag)!r}).exists() else [])"))  # fmt: skip
    ran = regress(tool, mini, "--suite", "guests", "--ends")
    assert ran.status == 1, ran.out + ran.err
    assert "flaky guests/x86_64: counts.count.right" in re.sub(" +", " ", ran.out)


# -- parts -----------------------------------------------------------------------------------


def test_sed_of_guests_lets_every_line_through_at_once() -> None:
    """What it was given is out before there is more; the rest is busybox's."""
    program = kselftest.PROGRAMS / "sed"
    with subprocess.Popen(
        ["sh", program, "-e", "s/^/# /"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as sed:
        assert sed.stdin and sed.stdout
        sed.stdin.write(b" a\\n -n\n")
        sed.stdin.flush()
        assert sed.stdout.readline() == b"#  a\\n -n\n"
        sed.stdin.write(b"end")
        sed.stdin.close()
        assert sed.stdout.read() == b"# end\n"
    done = subprocess.run(
        ["sh", program, "-e", "s/a/b/"], input=b"a\n", stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"b\n"


def test_bash_with_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied to another root, this machine's bash runs by its own loader there."""
    native = arch.load("x86_64")
    bash = shutil.which("bash")
    assert bash
    (tmp_path / "bin").mkdir()
    for name in ("bash", "ldd"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    files = {file.path: file.source for file in kselftest.find_bash(native)}
    assert files["/bin/bash"] == Path(bash).resolve()
    assert any(re.search(r"/libc\.so", path) for path in files)
    assert any("ld-linux" in path for path in files)
    assert all(source and source.is_file() for source in files.values())


def test_bash_of_another_architecture_is_named_or_missing() -> None:
    foreign = arch.load("s390" if arch.load("x86_64").is_native else "x86_64")
    with pytest.raises(InfraError, match="no static bash for"):
        kselftest.find_bash(foreign)
    with pytest.raises(UserError, match="is not a program of"):
        kselftest.find_bash(foreign, Path(str(shutil.which("bash"))))


# -- the real kernel -------------------------------------------------------------------------


def one_program(path: Path, program: str) -> Path:
    """This project's suite with a wrapper that runs only one of its programs."""
    shutil.copytree(ROOT / "kernel-test-modules" / "selftests", path)
    (wrapper,) = path.glob("ksft_*.sh")
    wrapper.write_text(
        f"#!/bin/sh\necho TAP version 13\n./{program} | sed -e 's/^/# /'\n"
        f"echo 'ok 1 {program}'\necho 1..1\n"
    )
    return path


@pytest.mark.kernel
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("guest_kernel")
def test_a_fix_taken_out_turns_a_selftest_red(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real guest: all passes at the tip, and without the first fix, of a counter, the
    case that looks at that counter fails, and no other.
    """
    rest = [d for d in os.environ["PATH"].split(":") if d != str(machine.parent)]
    monkeypatch.setenv("PATH", ":".join(rest))
    suite = one_program(tmp_path / "suite", "mo_offline")
    ran = run_here("regress", "fixes", "--suite", suite, "--without", "1", "--rerun")
    assert ran.status == 1, ran.out + ran.err
    assert re.findall(r"^  regressed +\S+: (\S+)", ran.out, re.MULTILINE) == [
        "mo_offline.offline.counters_of_nodes"
    ]
    tip, without = re.findall(r"(\d+) passed", ran.out)
    assert (int(tip), int(without)) == (4, 3)
    assert "without 1. mm/balloon" in ran.out and "1 case turns red" in ran.out
