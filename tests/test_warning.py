"""Warnings by identity, out of logs as gcc, objtool, modpost, sparse and kernel-doc write them."""

from __future__ import annotations

from pathlib import Path

from memdesc_tool.warning import read_log

SOURCE = """\
extern int used(int *p);

int used(int *p)
{
	int unused;
	return *p;
}

int not_declared;
"""
LOG = """\
make[1]: Entering directory '/build'
  CC      mm/a.o
{source}/mm/a.c: In function 'used':
{source}/mm/a.c:5:13: warning: unused variable 'unused' [-Wunused-variable]
    5 |         int unused;
      |             ^~~~~~
mm/a.o: warning: objtool: used() falls through to next function rest()
mm/a.o: warning: objtool: used+0x5: return with modified stack frame
  CHECK   {source}/mm/a.c
{source}/mm/a.c:9:5: warning: symbol 'not_declared' was not declared. Should it be static?
{source}/mm/a.c:6:16: warning: incorrect type in argument 1 (different address spaces)
{source}/mm/a.c:6:16:    expected int *p
{source}/mm/a.c:6:16:    got int [noderef] __user *p
Warning: {source}/mm/a.c:3 function parameter 'p' not described in 'used'
  CC      mm/b.o
  MODPOST Module.symvers
WARNING: modpost: mm/a: section mismatch in reference: used+0x8 (section: .text) -> data (section: .init.data)
WARNING: modpost: mm/a: section mismatch in reference: used+0x1a (section: .text) -> data (section: .init.data)
WARNING: modpost: mm/a.ko: symbol 'nowhere' undefined!
"""  # fmt: skip  # noqa: E501


def warnings(tmp_path: Path, source: str, log: str) -> dict[str, list[str]]:
    """The names of the warnings by object."""
    (tmp_path / "mm").mkdir(exist_ok=True)
    (tmp_path / "mm/a.c").write_text(source)
    path = tmp_path / "log"
    path.write_text(log.format(source=tmp_path))
    said = read_log(path, tmp_path)
    assert not said.failed
    assert not said.lost
    assert {"mm/b.o", "Module.symvers"} <= said.compiled
    return {name: [one.name for one in every] for name, every in said.warnings.items() if every}


def test_every_tool_s_warnings_have_an_object_and_a_place(tmp_path: Path) -> None:
    found = warnings(tmp_path, SOURCE, LOG)
    assert set(found) == {"mm/a.o", "Module.symvers"}
    assert found["mm/a.o"] == [
        "warning: mm/a.c:used: unused variable 'unused' [-Wunused-variable]",
        "warning: mm/a.o: objtool: used() falls through to next function rest()",
        "warning: mm/a.o: objtool: used+N: return with modified stack frame",
        "warning: mm/a.c:not_declared: symbol 'not_declared' was not declared."
        " Should it be static?",
        "warning: mm/a.c:used: incorrect type in argument 1 (different address spaces)",
        "warning: mm/a.c:used: function parameter 'p' not described in 'used' [kernel-doc]",
    ]
    assert found["Module.symvers"] == [
        "warning: (no file): modpost: mm/a: section mismatch in reference: used+N (section: .text)"
        " -> data (section: .init.data)",
        "warning: (no file): modpost: mm/a.ko: symbol 'nowhere' undefined!",
    ]


def test_a_warning_is_the_same_when_lines_and_offsets_move(tmp_path: Path) -> None:
    moved = LOG
    for old, new in ((":5:13:", ":7:13:"), (":9:5:", ":11:5:"), (":6:16:", ":8:16:"),
                     ("a.c:3 ", "a.c:5 "), ("+0x5:", "+0x15:"), ("+0x8 ", "+0x18 ")):  # fmt: skip
        assert old in moved
        moved = moved.replace(old, new)
    before = warnings(tmp_path, SOURCE, LOG)
    assert warnings(tmp_path, "/*\n */\n" + SOURCE, moved) == before


def test_an_error_of_sparse_in_an_object_that_is_made_is_a_warning(tmp_path: Path) -> None:
    more = "{source}/mm/a.c:6:9: error: return expression in void function\n"
    end = "Warning: {source}/mm/a.c:3 function"
    assert end in LOG
    found = warnings(tmp_path, SOURCE, LOG.replace(end, more + end))
    assert "warning: mm/a.c:used: error: return expression in void function" in found["mm/a.o"]


def test_an_error_of_an_object_that_is_not_made_is_no_warning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("  CC      mm/a.o\nmm/a.c:6:9: error: no such thing\n"
                   "make[3]: *** [scripts/Makefile.build:287: mm/a.o] Error 1\n")  # fmt: skip
    said = read_log(log, tmp_path)
    assert said.failed == {"mm/a.o": "mm/a.c:6: error: no such thing"}
    assert not any(said.warnings.values())


def test_what_make_says_of_an_object(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("make[3]: *** No rule to make target 'mm/a.o', needed by 'mm/built-in.a'.\n"
                   "make[3]: *** No rule to make target 'mm/x.h', needed by 'mm/b.o'.  Stop.\n"
                   "make[3]: *** [scripts/Makefile.build:287: mm/c.o] Segmentation fault\n"
                   "make[2]: *** [scripts/Makefile.build:544: mm] Error 2\n")  # fmt: skip
    assert read_log(log, tmp_path).failed == {
        "mm/a.o": "No rule to make target 'mm/a.o', needed by 'mm/built-in.a'",
        "mm/b.o": "No rule to make target 'mm/x.h', needed by 'mm/b.o'",
        "mm/c.o": "make failed",
    }
