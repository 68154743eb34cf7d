"""regress --coverage in guests: a "kernel" that is a C program with counters, run by the guest of
a QEMU for tests, whose debugfs is where that program writes its counts.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from memdesc_tool import vmconsole, vmcounts
from memdesc_tool.coverage import FileCoverage, merge
from memdesc_tool.errors import InfraError
from memdesc_tool.results import open_store
from tests.conftest import Ran, Tool, install_qemu
from tests.fakekbuild import FILES, make_kbuild, make_range, write
from tests.test_kselftest import RUNNER, SELFTESTS
from tests.test_strength import HEADER, SUITE, SUITE_TOML, TAKE, Strong, report

MAKEFILE = """
.PHONY: bzImage headers
bzImage:
	@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile.build SRC=$(CURDIR) \\
		DIR="mm/ guest/" bzImage
headers:
	@mkdir -p $(O)/usr/include
"""
BUILD = """
bzImage: $(OBJECTS)
	@mkdir -p arch/x86/boot
	@$(CC) $(FLAGS) $(GCOV) -o arch/x86/boot/$@ $(OBJECTS)
GCOV = $(if $(shell grep CONFIG_GCOV_KERNEL=y .config),--coverage)
"""
MAIN = """\
#include <linux/pages.h>
int main(void)
{
	return take_pages(1) || never_called() != 1;
}
"""
PROGRAM = """\
#!/bin/sh
echo TAP version 13
echo 1..1
if "$KERNEL"; then echo "ok 1 takes"; else echo "not ok 1 takes"; fi
"""
GUESTS_TOML = """\
[suite]
name = "guests"
kind = "kselftest"
title = "taking pages in a guest"
filter = "mini:ksft_take.sh"

[[file]]
source = "ksft_take.sh"
path = "tools/testing/selftests/mini/ksft_take.sh"
mode = "0755"
"""
GUEST = """
import os, shlex, subprocess
root = boot()
say("memdesc-vm: start")
counted, serial, run, test, *environment = shlex.split((root / "memdesc/command").read_text())[1:]
assert run == "/kselftest/run"
disk, device = re.findall(r"-(?:drive|device) (\\S+)", words)[-2:]
assert device == f"virtio-blk-pci,drive=counts,serial={serial}", device
disk = re.search(r"file=(\\S+)", disk)[1].replace(",,", ",")
size = os.path.getsize(disk)
assert size < 100 << 20

# The guest's own files instead of this machine's.
for path in ("dev", "tmp", "sys/block/vda", "sys/block/vdb", "sys/kernel/debug/gcov"):
    (root / path).mkdir(parents=True)
(root / "sys/block/vdb/serial").write_text(serial)
(root / "dev/vdb").symlink_to(disk)
program = root / counted[1:]
program.write_text(re.sub(r"/sys/kernel|/sys/block|/tmp/|/dev/(?=\\$)",
                          lambda found: f"{root}{found[0]}", program.read_text()))
kernel = re.search(r"-kernel (\\S+)", words)[1]
os.chmod(kernel, 0o755)
done = subprocess.run(
    [root / "bin/busybox", "sh", program, serial, "bash", "./run_kselftest.sh", "--test", test],
    env={**os.environ, "KERNEL": kernel,
         "GCOV_PREFIX": str(root / "sys/kernel/debug/gcov")},
    cwd=root / "kselftest", stdout=subprocess.PIPE, text=True)
for line in done.stdout.splitlines():
    say(line)
# before the end
assert os.path.getsize(disk) == size
say(f"memdesc-vm: exit {done.returncode}")
"""

UNCOUNTED = """
import os, shlex, subprocess
root = boot()
say("memdesc-vm: start")
run, *test = shlex.split((root / "memdesc/command").read_text())[1:]
kernel = re.search(r"-kernel (\\S+)", words)[1]
os.chmod(kernel, 0o755)
done = subprocess.run(["bash", "./run_kselftest.sh", "--test", test[0]], cwd=root / "kselftest",
                      env={**os.environ, "KERNEL": kernel}, stdout=subprocess.PIPE, text=True)
for line in done.stdout.splitlines():
    say(line)
say(f"memdesc-vm: exit {done.returncode}")
"""


@pytest.fixture
def counting(tmp_path: Path) -> Strong:
    """The kernel of test_strength.py, with a guest's main() and a kselftest suite for it."""
    tree = make_kbuild(tmp_path / "kernel")
    selftests = "tools/testing/selftests"
    compile_ = "-MMD -MF"
    write(tree, {
        "Makefile": FILES["Makefile"] + MAKEFILE,
        "Makefile.build": FILES["Makefile.build"].replace(
            compile_, f"$(if $(GCOV_PROFILE),$(GCOV)) {compile_}") + BUILD,
        "guest/main.c": MAIN,
        f"{selftests}/Makefile": SELFTESTS,
        f"{selftests}/run_kselftest.sh": RUNNER,
        f"{selftests}/mini/Makefile": "",
    })  # fmt: skip
    (tree.path / selftests / "run_kselftest.sh").chmod(0o755)
    tree.commit("selftests")
    project = tmp_path / "project"
    suites = {
        "pages": {"suite.toml": SUITE_TOML, "suite.c": SUITE, ".kunitconfig": "CONFIG_KUNIT=y\n"},
        "guests": {"suite.toml": GUESTS_TOML, "ksft_take.sh": PROGRAM},
    }
    for name, files in suites.items():
        directory = project / "kernel-test-modules" / name
        directory.mkdir(parents=True)
        for file, text in files.items():
            (directory / file).write_text(text)
    (project / "patches").mkdir()
    (project / "patches" / "stack.toml").write_text("series = []\n")
    make_range(
        tree,
        ("declare", {"include/linux/pages.h": HEADER}),
        ("take pages", {"mm/take.c": TAKE}),
    )
    return Strong(tree, project)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU for x86_64 first in $PATH; returns its guest, which tests may change."""
    return install_qemu(tmp_path / "qemu", monkeypatch, GUEST)


def measure(
    option: str, tool: Tool, counting: Strong, *suites: str, options: Sequence[str] = ()
) -> Ran:
    """regress with --coverage or --mutate on these suites."""
    chosen = [word for name in suites for word in ("--suite", name)]
    return tool("regress", "--project", counting.project, "--tree", counting.tree.path,
                "--range", "main..work", option, *options, *chosen)  # fmt: skip


cover = partial(measure, "--coverage")
mutate = partial(measure, "--mutate")


def lines_of(ran: Ran) -> list[str]:
    return [" ".join(line.split()) for line in ran.out.splitlines()]


def test_what_only_a_guest_runs_is_added(tool: Tool, counting: Strong) -> None:
    ran = cover(tool, counting, "pages", "guests")
    assert ran.status == 0, ran.out + ran.err
    lines = lines_of(ran)
    assert lines[1] == "2. take pages 13 of 13 (100%) 4 of 4 (100%)"
    assert lines[-1] == (
        "covered: 13 of 13 (100%) of the lines with code, by pages/um+gcov, guests/x86_64+gcov"
    )
    assert "- `2. take pages`: 13 of 13 (100%) of the added lines run\n" in report(tool, counting)


def test_a_guest_alone(tool: Tool, counting: Strong, tmp_path: Path) -> None:
    ran = cover(tool, counting, "guests")
    assert ran.status == 0, ran.out + ran.err
    lines = lines_of(ran)
    assert lines[1] == "2. take pages 11 of 13 (85%) 2 of 4 (50%)"
    assert [line for line in lines if line.startswith("not run: ")] == [
        "not run: mm/take.c:14: return -EINVAL;",
        "not run: mm/take.c:16: return -EBUSY;",
    ]
    (build,) = (tmp_path / "cache" / "build").glob("*/*/mm")
    assert [path.name for path in build.rglob("*.gcno")] == ["take.gcno"], "nothing else counts"
    assert not [*build.rglob("*.gcda")]


def test_without_a_kselftest_suite_there_is_no_guest(
    tool: Tool, counting: Strong, machine: Path
) -> None:
    machine.write_text("# refuses")
    ran = cover(tool, counting, "pages")
    assert ran.status == 0, ran.out + ran.err
    assert lines_of(ran)[1] == "2. take pages 11 of 13 (85%) 4 of 4 (100%)"


def test_mutants_that_only_a_guest_notices(
    tool: Tool, counting: Strong, machine: Path, tmp_path: Path
) -> None:
    booted = tmp_path / "booted"
    machine.write_text(f"open({str(booted)!r}, 'a').write('x')\n{UNCOUNTED}")
    ran = mutate(tool, counting, "pages", "guests")
    assert ran.status == 0, ran.out + ran.err
    lines = lines_of(ran)
    assert "no call 1 1 1" in lines
    assert [line for line in lines if line.startswith("no suite notices: ")] == [
        "no suite notices: mm/take.c:13: bound: if (wanted < 0)"
    ]
    assert lines[-1] == "noticed: 6 of 7 mutants that compile, 86%"
    assert booted.read_text() == "xxxx", "the series, and two mutants, one of them twice"


def test_mutants_in_guests_alone(tool: Tool, counting: Strong, machine: Path) -> None:
    machine.write_text(UNCOUNTED)
    ran = mutate(tool, counting, "guests")
    assert ran.status == 0, ran.out + ran.err
    lines = lines_of(ran)
    assert lines[0].startswith("7 of 7 mutants of")
    assert lines[-1] == "noticed: 3 of 7 mutants that compile, 43%"


HARMED = "'not ok' in done.stdout"
"""In UNCOUNTED: whether a case has failed."""


def test_a_guest_that_has_noticed_a_mutant_is_ended(
    tool: Tool, counting: Strong, machine: Path, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    said = "for line in done.stdout.splitlines():\n"
    splat = f"if {HARMED}:\n    say('WARNING: CPU: 0 PID: 1 at mm/x.c:3 f+0x1/0x2')\n"
    splat += f"    time.sleep(1000)\nopen({str(ended)!r}, 'a').write('x')\n"
    assert said in UNCOUNTED
    machine.write_text(f"import time\n{UNCOUNTED.replace(said, splat + said)}")
    ran = mutate(tool, counting, "guests")
    assert ran.status == 0, ran.out + ran.err
    assert lines_of(ran)[-1] == "noticed: 3 of 7 mutants that compile, 43%"
    assert ended.read_text() == "x" * 5, "the series itself, and what is not noticed"
    with open_store(tmp_path / "cache" / "results.sqlite") as store:
        (kept,) = store.database.execute("SELECT data FROM measured WHERE kind = 'fates'")
        outcomes = {*store.database.execute("SELECT outcome FROM run")}
    assert outcomes == {("ran",)}, "it was not waited for until the time was over"
    by = {trial[2] for one in json.loads(kept[0])["mutants"] for trial in one["trials"]}
    assert len(by - {""}) == 1 and (by - {""}).pop().startswith("splat: ")


def test_a_guest_is_not_ended_by_what_fails_anyway(
    tool: Tool, counting: Strong, machine: Path, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    program = counting.project / "kernel-test-modules" / "guests" / "ksft_take.sh"
    program.write_text(f"{PROGRAM}echo 'not ok 2 never'\n".replace("1..1", "1..2"))
    exit_ = 'say(f"memdesc-vm: exit'
    later = f"import time\ntime.sleep({3 * vmconsole.LOOK_SECONDS})\n"
    later += f"open({str(ended)!r}, 'a').write('x')\n"
    machine.write_text(UNCOUNTED.replace(exit_, later + exit_))
    ran = mutate(tool, counting, "guests", options=["--sample", "1"])
    assert ran.status == 0, ran.out + ran.err
    assert ended.read_text() == "xxx", "the series itself, and a mutant that is noticed twice"


def test_a_guest_is_shown_what_has_survived_elsewhere(
    tool: Tool, counting: Strong, machine: Path, tmp_path: Path
) -> None:
    booted = tmp_path / "booted"
    machine.write_text(f"open({str(booted)!r}, 'a').write('x')\n{UNCOUNTED}")
    assert mutate(tool, counting, "pages").status == 0
    assert not booted.exists()
    ran = measure("--mutate", tool, counting, "guests", options=["--survivors"])
    assert ran.status == 0, ran.out + ran.err
    lines = lines_of(ran)
    assert lines[0].startswith("2 of 7 mutants that have survived of")
    assert booted.read_text() == "xxxx", "the series, and the two, one of them twice"
    assert "pages/um 7 5 0" in lines and "guests/x86_64 2 1 0" in lines
    assert lines[-1] == "noticed: 6 of 7 mutants that compile, 86%"
    at = lines.index("no suite notices: mm/take.c:13: bound: if (wanted < 0)")
    assert lines[at + 3] == "ran on pages/um, guests/x86_64"
    assert "- mutants: 6 of 7 that compile are noticed\n" in report(tool, counting)


def test_lines_that_a_guest_does_not_run(tool: Tool, counting: Strong, machine: Path) -> None:
    assert cover(tool, counting, "guests").status == 0
    machine.write_text(UNCOUNTED)
    lines = lines_of(mutate(tool, counting, "guests"))
    assert lines[1] == "not built: 2, in lines that --coverage has seen no case run"
    assert "guests/x86_64 5 3 2" in lines
    # KUnit's coverage is not known: all of them are built for it.
    lines = lines_of(mutate(tool, counting, "pages"))
    assert "pages/um 7 5 0" in lines
    assert not [line for line in lines if line.startswith("not built: ")]
    assert lines[-1] == "noticed: 6 of 7 mutants that compile, 86%"


RUBBISH = "# before the end\nopen(disk, 'r+b').write({!r})"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("say('Kernel panic - not syncing: x')\nos._exit(0)",
         "died: the guest's kernel panicked"),
        ("open(disk, 'r+b').write(bytes(size))", "the guest has written no counts"),
        ("open(disk, 'r+b').write(b'end 0\\n')",
         "the guest's kernel counts in no object that the series touches"),
        ("open(disk, 'r+b').write(b'gcda 999999999 /x/mm/take.gcda\\nadcg')",
         "the guest's counts end in the middle (whole: 0 objects)"),
        ("open(disk, 'r+b').write(os.urandom(100000))", "the guest's counts end in the middle"),
        ("open(disk, 'r+b').write(b'gcda 4 /x/mm/take.gcda\\nadcgend 1\\n')",
         "what the guest has written as mm/take.gcda are no counts of its kernel"),
    ],
)  # fmt: skip
def test_a_guest_that_counts_nothing(
    tool: Tool, counting: Strong, machine: Path, end: str, said: str
) -> None:
    machine.write_text(GUEST.replace("# before the end", end))
    ran = cover(tool, counting, "guests")
    assert ran.status == 3, ran.out + ran.err
    first, *_ = ran.err.splitlines()
    assert first.startswith(f"memdesc-tool: guests/x86_64: {said}")
    assert not ran.out


# -- parts -----------------------------------------------------------------------------------


def test_only_the_objects_that_are_named_count(tmp_path: Path) -> None:
    """As the kernel's makefiles do: make that calls make, which says "n" for the directory."""
    (tmp_path / "Makefile").write_text("all:\n\t@$(MAKE) -s -f Makefile.build\n")
    (tmp_path / "Makefile.build").write_text(
        "all: mm/take.o mm/take2.o fs/take.o\n\t@:\n"
        "GCOV_PROFILE := n\n"
        "flags = $(if $(patsubst n%,, $(GCOV_PROFILE_x.o)$(GCOV_PROFILE)$(CONFIG)),--coverage)\n"
        "%.o:\n\t@echo $@ $(flags)\n"
    )
    option = vmcounts.make_option(["mm/take.c", "$(shell touch hit).c", "mm/%.c", "gone.c"])
    ran = subprocess.run(
        ["make", "--no-print-directory", option], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["mm/take.o --coverage", "mm/take2.o", "fs/take.o"]
    assert not (tmp_path / "hit").exists()


NOTES, COUNTS = b"oncg*22BSTMPnotes", b"adcg*22BSTMPcounts"


def disk_of(path: Path, *objects: tuple[str, bytes], end: int | None = None) -> Path:
    """A disk as `counted` writes it; end: the number at its end, if it is a wrong one."""
    disk = path / "disk"
    vmcounts.make_disk(disk)
    with disk.open("r+b") as stream:
        for name, counts in objects:
            stream.write(b"gcda %d %s\n" % (len(counts), name.encode()) + counts)
        stream.write(b"end %d\n" % (len(objects) if end is None else end))
    return disk


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Notes of mm/take.o and arch/mm/take.o, kept."""
    sources = ("mm/take.c", "arch/mm/take.c", "mm/not_built.c")
    for source in sources[:2]:
        path = tmp_path / "build" / Path(source).with_suffix(".gcno")
        path.parent.mkdir(parents=True)
        path.write_bytes(NOTES + source.encode())
    vmcounts.keep_notes(sources, tmp_path / "build", tmp_path / "counts")
    return tmp_path / "counts"


def test_counts_come_beside_their_notes(tmp_path: Path, notes: Path) -> None:
    disk = disk_of(
        tmp_path,
        ("/cache/build/mm/take.gcda", COUNTS),
        ("/cache/build/arch/mm/take.gcda", COUNTS + b" of arch"),
        ("/cache/build/mm/other.gcda", b"nobody asked"),
        ("/../../../../outside.gcda", COUNTS),
    )
    vmcounts.take(disk, notes)
    found = {str(path.relative_to(notes)): path.read_bytes() for path in notes.rglob("*.gcda")}
    assert found == {"mm/take.gcda": COUNTS, "arch/mm/take.gcda": COUNTS + b" of arch"}
    assert disk.stat().st_size == vmcounts.DISK_BYTES
    vmcounts.keep_notes(("mm/take.c",), tmp_path / "build", notes)
    assert [path.name for path in notes.rglob("*.gc*")] == ["take.gcno"], "no counts of before"


@pytest.mark.parametrize(
    ("counts", "end", "said"),
    [
        (COUNTS, 2, r"end in the middle \(whole: 1 objects\)"),
        (COUNTS.replace(b"STMP", b"stmp"), 1, "/mm/take.gcda are no counts of its kernel"),
        (NOTES, 1, "/mm/take.gcda are no counts of its kernel"),
        (b"", 1, "/mm/take.gcda are no counts of its kernel"),
    ],
)
def test_counts_that_are_none(
    tmp_path: Path, notes: Path, counts: bytes, end: int, said: str
) -> None:
    disk = disk_of(tmp_path, ("/b/arch/mm/take.gcda", counts), end=end)
    with pytest.raises(InfraError, match=said):
        vmcounts.take(disk, notes)


@pytest.mark.parametrize(
    ("on_um", "in_guest", "both"),
    [
        ([True, False], [False, True], [True, True]),
        ([False, False], [True, True, False, False], [True, True, False, False]),
        ([True, False], [True, False, False, False], [True, False]),
        ([True, False], [], [True, False]),
        ([], [False, False], [False, False]),
    ],
)
def test_branches_of_two_kernels(on_um: list[bool], in_guest: list[bool], both: list[bool]) -> None:
    counts, other = {"a.c": FileCoverage()}, {"a.c": FileCoverage(), "b.c": FileCoverage()}
    counts["a.c"].add(3, 1, on_um)
    for one in other.values():
        one.add(3, 2, in_guest)
    merge(other, counts)
    assert counts["a.c"] == FileCoverage({3: 3}, {3: both})
    assert counts["b.c"] == FileCoverage({3: 2}, {3: in_guest})


def test_a_comma_in_the_name_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    assert f"file={tmp_path}/a,,b/disk" in vmcounts.make_disk(tmp_path / "a,b" / "disk")[1]
