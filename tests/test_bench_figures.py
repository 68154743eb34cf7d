"""What bench kernel makes of disassemblies, samples and intervals."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from memdesc_tool import benchoutput, disassembly
from memdesc_tool.benchplan import AtomicsPath, Functions, Plan, PlannedFigure
from memdesc_tool.benchtable import notes, table
from memdesc_tool.benchverdict import ATOMICS, Direction, RowFigures, Taken, compare, differ
from memdesc_tool.cells import Row
from memdesc_tool.errors import FailedError

# -- disassembly -------------------------------------------------------------------------------

LISTING = """
balloon.o:     file format elf64-x86-64


Disassembly of section .text:

0000000000000000 <take>:
   0:	endbr64
   4:	lock incl 0x34(%rdi)
   8:	lock cmpxchg %edx,(%rdi)
   c:	xchg   %rax,(%rdi)
  10:	xchg   %ax,%ax
  12:	xchg   %rax,%rbx
  14:	cmpxchg %edx,%gs:0x10(%rip)        # 20 <take+0x20>
  1a:	call   30 <unlock_it>
  20:	xchg   %rax,%gs:0x0(%rip)        # 28 <take+0x28>
  28:	mov    $0x1,%eax        # lock (not one)

0000000000000030 <unlock_it>:
  30:	movb   $0x0,(%rdi)
  33:	jmp    3 <lock>

Disassembly of section .text.unlikely:

0000000000000000 <take.cold>:
   0:	lock decl 0x34(%rdi)

0000000000000010 <take.isra.0>:
  10:	lock decl 0x34(%rdi)
"""

SOURCE = """\
extern int other(void);
int seen(int *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
int added(int *p) { return __sync_fetch_and_add(p, 1); }
int swapped(int *p, int v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
int both(int *p, int v) { return __sync_val_compare_and_swap(p, v, 1) + added(p + 1); }
int calls(int *p) { return other() + *p; }
"""


def test_atomics_of_a_listing() -> None:
    assert disassembly.count(LISTING.splitlines()) == {"take": 6, "unlock_it": 0}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the compiler is not one for x86")
def test_atomics_of_what_the_compiler_makes(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O2", "-fno-inline", "-c", "a.c"], cwd=tmp_path, check=True)
    assert disassembly.disassemble(tmp_path / "a.o") == {
        "seen": 0, "added": 1, "swapped": 1, "both": 1, "calls": 0,
    }  # fmt: skip


def test_no_object_and_no_function_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"left no a\.o"):
        disassembly.disassemble(tmp_path / "a.o")
    (tmp_path / "a.c").write_text("int data = 1;\n")
    subprocess.run(["gcc", "-c", "a.c"], cwd=tmp_path, check=True)
    with pytest.raises(FailedError, match=r"no function in a\.o"):
        disassembly.disassemble(tmp_path / "a.o")


def path(pattern: str, needed: str = "", barred: str = "") -> AtomicsPath:
    conditions = [Functions("a.o", one) if one else None for one in (needed, barred)]
    return AtomicsPath("take", (Functions("a.o", pattern),), *conditions)


def test_paths_by_what_a_revision_has() -> None:
    objects = {"a.o": {"take_list": 3, "take_batch": 1, "give": 5}}
    old, new = path("take_list", barred="take_batch"), path("take_batch", needed="take_batch")
    assert disassembly.of_path([old, new], objects) == {"take": 1}
    assert disassembly.of_path([old, new], {"a.o": {"take_list": 3}}) == {"take": 3}
    assert disassembly.of_path([path("take_*")], objects) == {"take": 4}
    with pytest.raises(FailedError, match="no function take_all"):
        disassembly.of_path([path("take_all")], objects)
    with pytest.raises(FailedError, match="no table of atomics called 'take' fits"):
        disassembly.of_path([path("give", needed="gone")], objects)
    with pytest.raises(FailedError, match="two tables of atomics called 'take' fit"):
        disassembly.of_path([path("give"), path("take_list")], objects)


# -- samples -----------------------------------------------------------------------------------

PLAN = Plan("", (PlannedFigure("walk", "walk"), PlannedFigure("store", "store", "bytes")), ())
SAID = """\
[    1.000000] bench: nothing of ours
bench: begin instructions\r
[    2.000000] <3>bench: sample walk 10 1000
bench: sample walk 10 1001
a line of somebody else
bench: sample walk 10 9000
bench: sample store 4 0
bench: end 4
"""


def test_samples_of_a_console() -> None:
    samples = benchoutput.parse(SAID.splitlines(), PLAN)
    assert samples.counter == "instructions"
    assert samples.values == {"walk": (100.0, 100.1, 900.0), "store": (0.0,)}
    assert samples.middle("walk") == 100.1, "an interrupt in one of them is not in the median"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bench: end 4", "bench: end 5", "took 5 samples, 4 have arrived"),
        ("bench: end 4", "bench: end 4\nbench: sample walk 1 1", "out of order"),
        ("bench: end 4", "bench: begin instructions", "out of order"),
        ("walk 10 9000", "walk 10 -3", "measured -0.3 for walk"),
        ("store 4 0", "store 4 -8", "measured -2 for store"),
        ("bench: end 4", "bench: failed walk -12", "failed in the guest: walk -12"),
        ("bench: end 4", "", "did not come to its end"),
    ],
)
def test_samples_that_are_none(old: str, new: str, said: str) -> None:
    with pytest.raises(FailedError, match=said):
        benchoutput.parse(SAID.replace(old, new).splitlines(), PLAN)


# -- intervals and patches ---------------------------------------------------------------------

ROWS = [Row(number, f"{number}. patch", f"{number:040x}") for number in range(5)]


def taken(*boots: float, slower: bool = True, unit: str = "instructions") -> Taken:
    return Taken("walk", "walk", unit, boots, slower)


def walk(*middles: float, every: list[Row] | None = None) -> list[RowFigures]:
    rows = every or ROWS
    return [RowFigures(row, (taken(m, m, m),)) for row, m in zip(rows, middles, strict=False)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((100, 100, 100), (103, 103, 103), True),
        ((100, 100, 100), (101, 101, 101), False),
        ((100, 100, 100), (90, 90, 90), True),
        ((100, 100, 104), (103, 103, 103), False),
        ((100, 100, 102), (103, 104, 110), True),
        ((0, 0), (1, 1), True),
        ((0, 0), (0, 0), False),
    ],
)
def test_what_differs(before: tuple[float, ...], after: tuple[float, ...], expected: bool) -> None:
    assert differ(taken(*before), taken(*after), 0.02) is expected


def test_a_change_is_put_down_to_its_patch() -> None:
    found = compare(walk(100, 100, 130, 130, 120), ROWS, 0.02, 0.01)
    assert [(one.first.number, one.last.number, one.slower) for one in found.changes] == [
        (2, 2, True), (4, 4, False),
    ]  # fmt: skip
    assert [one.patches for one in found.slower] == ["2. patch"]
    assert found.word == "BAD"


def test_small_steps_are_put_down_to_all() -> None:
    found = compare(walk(100, 101.5, 103, 104, 105), ROWS, 0.02, 0.01)
    assert [(one.patches, one.slower) for one in found.changes] == [("patches 1 to 4", True)]


def test_both_ends_only() -> None:
    found = compare(walk(100, 80, every=[ROWS[0], ROWS[4]]), ROWS, 0.02, 0.01)
    assert [one.patches for one in found.changes] == ["patches 1 to 4"]
    assert found.changes[0].direction is Direction.LESS
    assert found.word == "GOOD"
    one = compare(walk(100, 120), ROWS[:2], 0.02, 0.01)
    assert [change.patches for change in one.changes] == ["1. patch"]


def test_a_row_that_is_missing_widens_the_blame() -> None:
    rows = [ROWS[0], ROWS[1], ROWS[3], ROWS[4]]
    skipped = [(ROWS[2], "does not build")]
    good = compare(walk(100, 100, 100, 100, every=rows), ROWS, 0.02, 0.01, skipped)
    assert (good.word, good.changes) == ("INCOMPLETE", ())
    bad = compare(walk(100, 100, 130, 130, every=rows), ROWS, 0.02, 0.01, skipped)
    assert (bad.word, bad.changes[0].patches) == ("BAD", "patches 2 to 3")


def test_noise_is_no_verdict() -> None:
    rows = [RowFigures(ROWS[0], (taken(100, 100, 103),)), RowFigures(ROWS[1], (taken(90, 90),))]
    found = compare(rows, ROWS[:2], 0.02, 0.01)
    assert found.word == "INCOMPLETE"
    assert [(row.number, one.spread) for row, one in found.noisy] == [(0, 0.03)]
    assert compare(rows, ROWS[:2], 0.02, 0.05).word == "GOOD"
    assert taken(0, 0).spread == 0 and taken(0, 0, 4).spread == 1


def test_what_is_exact_has_no_threshold_and_is_no_failure() -> None:
    rows = [RowFigures(row, (taken(number, slower=False, unit=ATOMICS),))
            for row, number in zip(ROWS, (1000, 1001), strict=False)]  # fmt: skip
    found = compare(rows, ROWS[:2], 0.02, 0.01)
    assert [(one.direction, one.slower) for one in found.changes] == [(Direction.MORE, False)]
    assert found.word == "GOOD"
    assert list(notes(found)) == ["more: walk: 1000 -> 1001 (+0.1%): 1. patch"]


def test_the_table_is_a_hundred_columns_wide() -> None:
    long = Taken("w", "w" * 80, "instructions/migrated page", (123456789.5, 987654321.5), True)
    rows = [RowFigures(row, (long,)) for row in ROWS[:2]]
    label = Row(1, "1. " + "x" * 200, "")
    lines = list(table(compare(rows, ROWS[:2], 0.02, 9.0)))
    assert len(lines) == 2 and max(map(len, lines)) <= 100
    other = [RowFigures(ROWS[0], (taken(1, 1),)), RowFigures(label, (taken(2, 2),))]
    said = list(notes(compare(other, [ROWS[0], label], 0.02, 0.01)))
    assert len(said) == 1 and len(said[0]) == 100
