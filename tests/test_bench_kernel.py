"""bench kernel on a kernel of shell functions, whose makefile compiles one object, and a QEMU
whose guest runs the benchmark's script on it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memdesc_tool.measured import read_figures
from memdesc_tool.results import open_store
from tests.conftest import Ran, Tool, install_qemu
from tests.minikernel import COUNT, MiniKernel, make_mini

MAKEFILE = """
.PHONY: bzImage
bzImage:
	@mkdir -p $(O)/arch/x86/boot $(O)/lib
	@for f in $(CURDIR)/lib/*.sh; do sh -n $$f || \\
		{ echo "$$f:1:1: error: bad shell"; exit 1; }; done
	@gcc -O2 -D$$(. $(CURDIR)/lib/count.sh; greet) -c $(CURDIR)/lib/walk.c -o $(O)/lib/walk.o
	@cat $(CURDIR)/lib/*.sh > $(O)/arch/x86/boot/bzImage; echo kernel >> $(CURDIR)/../../built
"""

WALK = """\
void walk(int *p)
{
#ifdef hello
	__sync_fetch_and_add(p, 1);
#endif
	__sync_fetch_and_add(p + 1, 1);
}
"""

SUITE = """\
[suite]
name = "costs"
kind = "bench"
title = "the cost of counting"

[[file]]
source = "walk.c"
path = "lib/walk.c"
"""

BENCH = """\
[bench]
script = '''
. "$KERNEL"
echo "bench: begin $1"
echo "bench: sample walk 2 $(($(count) * 20))"
echo "bench: sample walk 2 $(($(count) * 20))"
echo "bench: sample walk 1 99999"
echo "bench: sample struct 1 64"
echo "bench: end 4"
'''

[[figure]]
name = "walk"
title = "walk a page"
per = "page"

[[figure]]
name = "struct"
unit = "bytes"

[[atomics]]
name = "walk"
functions = ["lib/walk.o:walk"]
"""

GUEST = """
import os, subprocess
boots = Path(__file__).with_name("boots")
with boots.open("a") as stream:
    stream.write(words + "\\n")
kernel = {"KERNEL": re.search(r"-kernel (\\S+)", words)[1],
          "BOOT": str(len(boots.read_text().splitlines()))}
root = boot()
say("memdesc-vm: start")
done = subprocess.run(["sh", str(root / "memdesc/command")], env={**os.environ, **kernel},
                      stdout=subprocess.PIPE, text=True)
for line in done.stdout.splitlines():
    say(line)
say(f"memdesc-vm: exit {done.returncode}")
"""


def cost(number: int) -> str:
    """lib/count.sh of a kernel in which a walk takes ten times that many instructions."""
    return COUNT.replace("41", str(number))


@pytest.fixture
def mini(tmp_path: Path) -> MiniKernel:
    """The mini kernel with a benchmark; its second patch makes a walk slower."""
    mini = make_mini(tmp_path)
    makefile = mini.tree.path / "Makefile"
    makefile.write_text(makefile.read_text() + MAKEFILE)
    mini.tree.commit("bzImage")
    suite = mini.project / "kernel-test-modules" / "costs"
    suite.mkdir()
    for name, text in (("suite.toml", SUITE), ("bench.toml", BENCH), ("walk.c", WALK)):
        (suite / name).write_text(text)
    mini.make_series(
        ("say how many", cost(41).replace("How many", "How very many")),
        ("walk slower", cost(82)),
        ("say bye", cost(82).replace("echo hello", "echo bye")),
    )
    return mini


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU for x86_64 first in $PATH; returns its guest, which tests may change."""
    return install_qemu(tmp_path / "qemu", monkeypatch, GUEST)


def run(tool: Tool, mini: MiniKernel, *args: str | Path) -> Ran:
    where = ("--project", mini.project, "--tree", mini.tree.path)
    return tool("bench", "kernel", *where, *args)


def boots(machine: Path) -> list[str]:
    """QEMU's command lines so far."""
    path = machine.with_name("boots")
    return path.read_text().splitlines() if path.exists() else []


def change(mini: MiniKernel, old: str, new: str) -> None:
    """Put other words into the benchmark's script."""
    path = mini.project / "kernel-test-modules" / "costs" / "bench.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# -- both ends, every patch --------------------------------------------------------------------


def test_both_ends(tool: Tool, mini: MiniKernel, machine: Path) -> None:
    before = mini.tree.state()
    ran = run(tool, mini)
    assert ran.status == 1, ran.out + ran.err
    table = [line.split() for line in ran.out.splitlines()]
    assert table[1] == ["walk", "a", "page", "insns/page", "410", "820", "+100.0%", "0.00%"]
    assert table[2] == ["struct", "bytes", "64", "64", "0", "0.00%"]
    assert table[3] == ["atomics:", "walk", "2", "1", "-50.0%", "0.00%"]
    assert "SLOWER: walk a page: 410 -> 820 (+100.0%): patches 1 to 3\n" in ran.out
    assert "less: atomics: walk: 2 -> 1 (-50.0%): patches 1 to 3\n" in ran.out
    assert ran.out.splitlines()[-1].startswith("BAD: 2 revisions, 3 boots of each, instructions: "
                                               "1 path slower")  # fmt: skip
    assert max(map(len, ran.out.splitlines()[:-1])) <= 100
    assert len(boots(machine)) == 6
    for words in ("-icount shift=0,align=off,sleep=off", "thread=single", "-seed 1", "clock=vm"):
        assert all(words in line for line in boots(machine))
    assert mini.tree.state() == before


def test_a_patch_is_named_and_what_is_known_is_not_run_again(
    tool: Tool, mini: MiniKernel, machine: Path
) -> None:
    assert run(tool, mini, "--boots", "2").status == 1
    assert len(boots(machine)) == 4
    ran = run(tool, mini, "--boots", "2", "--every")
    assert len(boots(machine)) == 8, "the ends are stored"
    assert "SLOWER: walk a page: 410 -> 820 (+100.0%): 2. lib: walk slower\n" in ran.out
    assert "less: atomics: walk: 2 -> 1 (-50.0%): 3. lib: say bye\n" in ran.out
    assert run(tool, mini, "--boots", "2", "--every").out == ran.out
    assert len(boots(machine)) == 8
    assert run(tool, mini, "--boots", "2", "--upto", "1", "--rerun").status == 0
    assert len(boots(machine)) == 12
    assert run(tool, mini, "--boots", "2", "--threshold", "100").status == 0, "not slow enough"


def test_what_the_report_and_others_get(tool: Tool, mini: MiniKernel, tmp_path: Path) -> None:
    ran = run(tool, mini, "--json", tmp_path / "f.json")
    data = json.loads((tmp_path / "f.json").read_text())
    assert [row["number"] for row in data["rows"]] == [0, 3]
    walk = data["rows"][1]["figures"][0]
    assert (walk["name"], walk["boots"], walk["spread"]) == ("walk", [820.0] * 3, 0.0)
    assert data["counter"] == "instructions"
    assert [one["figure"] for one in data["changes"] if one["slower"]] == ["walk"]
    printed = run(tool, mini, "--json", "-")
    assert (printed.status, json.loads(printed.out)) == (ran.status, data)

    page = tool("report", "--project", mini.project, "--tree", mini.tree.path,
                "--markdown", "-")  # fmt: skip
    assert page.status == 1, "no suite has run"
    assert "`3. lib: say bye` | 820 instructions/page | 820 to 820 | 3 |" in page.out
    with open_store(tmp_path / "cache" / "results.sqlite") as store:
        kind, inputs = store.database.execute(
            "SELECT kind, inputs FROM measured WHERE kind = 'bench'").fetchone()  # fmt: skip
        assert kind == "bench"
        figures = read_figures(store, json.loads(inputs))
    assert figures
    found = [(one.name, one.patch, one.low, one.middle, one.high, one.runs) for one in figures]
    assert found[0] == ("walk a page", found[0][1], 410.0, 410.0, 410.0, 3)
    assert found[3] == ("walk a page", "3. lib: say bye", 820.0, 820.0, 820.0, 3)


# -- what is no figure -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        ("* 20))", "* 20 + BOOT * 9))", 3, "NOISY: walk a page: "),
        ('echo "bench: sample struct 1 64"\n', "", 1, "took 4 samples, 3 have arrived"),
        ('echo "bench: sample struct 1 64"\necho "bench: end 4"', 'echo "bench: end 3"', 1,
         "has no sample of struct"),
        ('echo "bench: end 4"', "", 1, "did not come to its end"),
        ('echo "bench: end 4"', 'echo "bench: failed walk -12"; exit 1', 1,
         "step walk -12; the command failed: exit status 1"),
        ("* 20))", "* 0))", 1, "the benchmark measured 0 for walk"),
        ("sample walk 1 99999", "sample walk 0 1", 1, "measured walk of nothing"),
        ("sample walk 1 99999", "sample walk 1 9[   1.0] x", 1, "is torn"),
        ("sample walk 1 99999", "sample wlak 1 9", 1, "that nobody planned: wlak"),
        ("begin $1", "begin cycles", 1, "the guest has counted cycles"),
        ('echo "bench: begin $1"\n', "", 1, "out of order"),
        ("bench: ", "", 1, "printed nothing"),
        ("lib/walk.o:walk", "lib/walk.o:work", 1, "has no function work"),
        ("lib/walk.o:walk", "lib/work.o:walk", 1, "no work.o to disassemble"),
    ],
)  # fmt: skip
def test_nothing_that_was_not_measured_is_a_figure(
    tool: Tool, mini: MiniKernel, old: str, new: str, status: int, said: str
) -> None:
    change(mini, old, new)
    ran = run(tool, mini)
    assert ran.status == status, ran.out + ran.err
    assert said in ran.out + ran.err
    assert "GOOD" not in ran.out


@pytest.mark.parametrize(
    ("guest", "status", "said"),
    [
        (GUEST.replace("for line", "say('WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2')\nfor line"),
         1, "splats: WARNING"),
        ("import os\nsay('Linux version 7')\nsay('Kernel panic - not syncing: x')\nos._exit(0)",
         1, "the guest's kernel panicked"),
        ("", 3, "no output of a kernel"),
        ("# refuses\nimport os\nprint('qemu: bad'); sys.stdout.flush(); os._exit(1)", 3, "bad"),
    ],
)  # fmt: skip
def test_how_a_boot_ends(
    tool: Tool, mini: MiniKernel, machine: Path, guest: str, status: int, said: str
) -> None:
    machine.write_text(guest)
    ran = run(tool, mini)
    assert ran.status == status, ran.out + ran.err
    assert said in ran.err
    assert ran.out == ""


def test_a_patch_that_cannot_be_measured_is_said_and_the_next_one_is_compared(
    tool: Tool, mini: MiniKernel
) -> None:
    mini.make_series(
        ("open a brace", cost(41) + "unused() {\n"), ("close it", cost(41).replace("How", "So")),
    )  # fmt: skip
    ran = run(tool, mini, "--every")
    assert ran.status == 1
    assert "NOT MEASURED: 1. lib: open a brace: " in ran.out and "bad shell" in ran.out
    assert ran.out.splitlines()[-1].startswith("INCOMPLETE: 2 revisions")
    assert "SLOWER" not in ran.out


def test_cycles_need_a_processor_that_boots_kernels(
    tool: Tool, mini: MiniKernel, machine: Path
) -> None:
    ran = run(tool, mini, "--cycles")  # this QEMU runs no boot sector, wherever the test runs
    assert ran.status == 3, ran.out + ran.err
    assert "cycles are counted under KVM, and KVM boots no kernel here" in ran.err
    assert boots(machine) == []


def test_the_base_alone(tool: Tool, mini: MiniKernel) -> None:
    ran = run(tool, mini, "--upto", "0")
    assert ran.status == 0, ran.out + ran.err
    assert ran.out.splitlines()[1].split()[-4:] == ["410", "-", "-", "0.00%"]
    assert ran.out.splitlines()[-1].startswith("GOOD: 1 revision, ")


def test_a_base_that_does_not_build(tool: Tool, mini: MiniKernel) -> None:
    (mini.tree.path / "lib" / "more.sh").write_text("more() {\n")
    mini.tree.commit("more")
    ran = run(tool, mini)
    assert ran.status == 3
    assert "base (kernel) does not build: " in ran.err


# -- wrong use ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--suite", "counting"), "the suite counting is of the kind kunit"),
        (("--suite", "gone"), "there is no suite gone"),
        (("--boots", "1"), "1 is not in the range"),
        (("--upto", "9"), "there is no patch 9"),
        (("--threshold", "-1"), "-1.0 is not in the range"),
    ],
)
def test_wrong_use(tool: Tool, mini: MiniKernel, args: tuple[str], said: str) -> None:
    ran = run(tool, mini, *args)
    assert ran.status == 2, ran.out + ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('per = "page"', "pre = 1", "figure[1].pre: unknown field"),
        ('name = "struct"', 'name = "walk"', "walk is there twice"),
        ('name = "struct"', 'name = "a b"', "must be one word"),
        ("lib/walk.o:walk", "lib/walk.c", "'lib/walk.c' is not OBJECT.o:FUNCTION"),
        ("lib/walk.o:walk", "../walk.o:walk", "is not OBJECT.o:FUNCTION"),
        ("[bench]", "[bunch]", "bench.toml:1: bunch: unknown field"),
    ],
)
def test_a_plan_that_is_wrong(tool: Tool, mini: MiniKernel, old: str, new: str, said: str) -> None:
    change(mini, old, new)
    ran = run(tool, mini)
    assert ran.status == 2, ran.out + ran.err
    assert said in ran.err


def test_kselftest_names_who_runs_a_benchmark(tool: Tool, mini: MiniKernel) -> None:
    ran = tool("kselftest", "--project", mini.project, "--tree", mini.tree.path,
               "--suite", "costs")  # fmt: skip
    assert ran.status == 2
    assert "memdesc-tool bench kernel --suite costs runs it" in ran.err


def test_a_project_without_a_benchmark(tool: Tool, mini: MiniKernel) -> None:
    (mini.project / "kernel-test-modules" / "costs" / "suite.toml").unlink()
    ran = run(tool, mini)
    assert ran.status == 2
    assert "has no benchmark" in ran.err
