"""regress --matrix: configs and architectures that are only compiled, with a real compiler."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from memdesc_tool import arch as architectures
from memdesc_tool.arch import Toolchain
from memdesc_tool.cells import Column
from memdesc_tool.compilerun import compile_suite
from memdesc_tool.errors import UserError
from memdesc_tool.matrix import DEFAULT, read_matrix, told_apart
from memdesc_tool.suites import tree_suite
from memdesc_tool.toolage import too_old
from tests.conftest import GitTree, Ran, Tool
from tests.fakekbuild import FILES, compiled, make_kbuild, make_range, write

MATRIX = """\
[[compile]]
arches = ["x86_64", "i386"]
configs = ["defconfig"]
"""
COUNT = FILES["mm/count.c"]


@pytest.fixture
def tree(tmp_path: Path) -> GitTree:
    return make_kbuild(tmp_path / "kernel")


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "my matrix.toml"
    path.write_text(MATRIX)
    return path


def regress(tool: Tool, tree: GitTree, matrix: Path, *args: str | Path) -> Ran:
    return tool("regress", "--tree", tree.path, "--range", "main..work", "--matrix", matrix, *args)


def squeezed(ran: Ran) -> str:
    return re.sub(" +", " ", ran.out)


UNUSED = COUNT.replace("\treturn", "\tint unused;\n\n\treturn")
WIDE = COUNT.replace("<< PAGE_BITS", "+ (int)(1UL << 40)")


def test_a_warning_is_tied_to_patch_hunk_and_architectures(
    tool: Tool, tree: GitTree, matrix: Path
) -> None:
    make_range(
        tree,
        ("say nothing", {"Documentation/pages.rst": "Pages!\n"}),
        ("warn on 32 bits", {"mm/count.c": WIDE}),
        ("warn everywhere", {"mm/count.c": WIDE.replace("\treturn", "\tint unused;\n\n\treturn")}),
    )
    ran = regress(tool, tree, matrix)
    assert ran.status == 1, ran.err
    text = squeezed(ran)
    second = text.partition("2. warn on 32 bits:")[2].partition("3. warn everywhere:\n")
    assert "compile/i386: warning: mm/count.c:count_pages: left shift count" in second[0]
    assert "x86_64" not in second[0].partition("log:")[0]
    assert "mm/count.c:5: @@ -2,5 +2,5 @@" in second[0]
    assert (
        "regressed compile/x86_64, compile/i386: warning: mm/count.c:count_pages: unused variable"
        in second[2]
    )
    assert "shift" not in second[2]  # the old one is not new because its line has changed
    assert "left_over" not in text  # what the base had is nobody's
    assert "3 regressed" in ran.out


def test_what_a_patch_cannot_change_is_not_compiled_again(
    tool: Tool, tree: GitTree, matrix: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    make_range(
        tree,
        ("document", {"Documentation/pages.rst": "Pages!\n"}),
        ("another architecture", {"arch/arm/pages.c": "not C either\n"}),
        ("a header of one object", {"include/linux/other.h": "#define OTHER 2\n"}),
        ("an object", {"mm/count.c": COUNT + "\n/* the end */\n"}),
    )
    one = ("--arch", "x86_64")
    ran = regress(tool, tree, matrix, *one, "--json", tmp_path / "all.json")
    assert ran.status == 0, ran.out + ran.err
    first = ["mm/count.o", "mm/old.o", "mm/other.o"]
    made = compiled(cache)
    assert sorted(made[:3]) == first
    assert made[3:5] == ["mm/other.o", "mm/count.o"]
    assert len(made) == 5
    cells = json.loads((tmp_path / "all.json").read_text())["cells"]
    inherited = {(cell["row"], cell["inherited"]) for cell in cells}
    assert inherited == {(0, False), (1, True), (2, True), (3, False), (4, False)}
    assert regress(tool, tree, matrix, *one).status == 0
    assert len(compiled(cache)) == 5

    # Nor what is above a patch that has changed in what nobody reads.
    make_range(
        tree,
        ("document", {"Documentation/pages.rst": "More pages!\n"}),
        ("another architecture", {"arch/arm/pages.c": "not C either\n"}),
        ("a header of one object", {"include/linux/other.h": "#define OTHER 2\n"}),
        ("an object", {"mm/count.c": COUNT + "\n/* the end */\n"}),
    )
    ran = regress(tool, tree, matrix, *one, "--json", tmp_path / "all.json")
    assert ran.status == 0, ran.out + ran.err
    assert len(compiled(cache)) == 5
    cells = json.loads((tmp_path / "all.json").read_text())["cells"]
    assert [cell["inherited"] for cell in cells] == [False, True, True, True, True]

    make_range(
        tree,
        ("document more", {"Documentation/pages.rst": "Pages!\n"}),
        ("another architecture", {"arch/arm/pages.c": "not C either\n"}),
        ("a header of one object", {"include/linux/other.h": "#define OTHER 2\n"}),
        ("an object", {"mm/count.c": COUNT + "\n/* the very end */\n"}),
    )
    assert regress(tool, tree, matrix, *one).status == 0
    assert compiled(cache)[5:] == ["mm/count.o"]


def test_a_new_header_that_hides_another_is_no_bystander(
    tool: Tool, tree: GitTree, matrix: Path
) -> None:
    other = {"mm/other.c": FILES["mm/other.c"] + "/* more */\n"}
    make_range(tree, ("touch", other), ("hide", {"mm/linux/pages.h": "int hidden;\n"}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert "= " not in ran.out
    assert ran.status == 0, ran.out


LUCK = """\
	@if grep -q LUCK $< && [ ! -e lucky ]; then \\
		touch lucky; echo '$<:5:1: warning: by luck [-Wluck]'; fi
"""


def test_a_new_warning_is_seen_twice(tool: Tool, tree: GitTree, matrix: Path) -> None:
    build = FILES["Makefile.build"].replace("-include", f"{LUCK}-include")
    write(tree, {"Makefile.build": build})
    tree.commit("a compiler that warns once")
    make_range(
        tree,
        ("luck", {"mm/count.c": COUNT + "/* LUCK */\n"}),
        ("and a warning", {"mm/count.c": UNUSED + "/* LUCK */\n"}),
    )
    text = squeezed(regress(tool, tree, matrix, "--arch", "x86_64"))
    assert "by luck" not in text
    assert re.search("regressed .*count_pages: unused variable", text)
    assert "1 regressed, 1 failing at the end" in text


def test_a_warning_that_belongs_to_no_object(tool: Tool, tree: GitTree, matrix: Path) -> None:
    build = "all: # first\n" + FILES["Makefile.build"]
    make_range(
        tree,
        *(
            (word, {"Makefile.build": f"$(info Makefile:1: warning: {word})\n{build}",
                    "mm/count.c": f"{COUNT}/* {word} */\n"})
            for word in ("one", "two")
        ),
        ("none", {"Makefile.build": build}),
    )  # fmt: skip
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1, ran.err
    text = squeezed(ran)
    assert re.search("regressed .* warning: Makefile.*: one", text.partition("2. two:\n")[0])
    assert re.search("regressed .* warning: Makefile.*: two", text.partition("2. two:\n")[2])
    assert "2 fixed, 2 regressed, 0 failing at the end" in text


def test_a_header_that_nothing_compiled_reads(tool: Tool, tree: GitTree, matrix: Path) -> None:
    header = {"include/linux/pages.h": "#error never\n"}
    make_range(tree, ("break a header", header))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1, ran.out
    assert "compiled in no column: include/linux/pages.h" in ran.err
    assert "NO FILE OF THE SERIES COMPILED" in ran.out
    make_range(tree, ("break a header", header), ("and a file", {"mm/other.c": "int more;\n"}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1, ran.out
    assert "include/linux/pages.h" not in ran.err
    assert "regressed compile/x86_64: object: mm/count.o" in squeezed(ran)


def test_what_make_cannot_make_is_not_good(tool: Tool, tree: GitTree, matrix: Path) -> None:
    build = FILES["Makefile.build"].replace("all: $(OBJECTS)", "all: $(OBJECTS) mm/missing.o")
    make_range(
        tree,
        ("forget a file", {"Makefile.build": build, "mm/count.c": COUNT + "/* more */\n"}),
        ("remember it", {"mm/missing.c": "int missing;\n"}),
    )
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1, ran.out
    text = squeezed(ran)
    assert "regressed compile/x86_64: object: mm/missing.o (No rule to make target" in text
    assert "1 fixed, 1 regressed, 0 failing at the end" in text


def test_a_make_that_fails_for_no_object(tool: Tool, tree: GitTree, matrix: Path) -> None:
    build = f"{FILES['Makefile.build']}all: odd\nodd:\n\t@false\n"
    touched = {"mm/count.c": COUNT + "/* more */\n"}
    make_range(tree, ("fail", {"Makefile.build": build, **touched}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1, ran.out
    assert re.search(r"regressed compile/x86_64: object: \(make\) \(.*odd. Error 1", squeezed(ran))


def test_moved_and_fixed_warnings(tool: Tool, tree: GitTree, matrix: Path) -> None:
    old = FILES["mm/old.c"]
    moved = COUNT.replace("\treturn", "\tint left_over;\n\n\treturn")
    make_range(
        tree,
        ("lines move", {"mm/old.c": "\n\n" + old}),
        ("move", {"mm/old.c": old.replace("\tint left_over;\n\n", ""), "mm/count.c": moved}),
        ("fix", {"mm/count.c": COUNT}),
    )
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 0, ran.out
    text = squeezed(ran)
    assert "1. lines move:\n" not in text
    after = text.partition("2. move:\n")[2].partition("3. fix:\n")
    assert "moved compile/x86_64: warning: mm/count.c:count_pages: unused" in after[0]
    assert "fixed compile/x86_64: warning: mm/count.c:count_pages: unused" in after[2]


def test_an_object_that_does_not_compile(tool: Tool, tree: GitTree, matrix: Path) -> None:
    make_range(
        tree,
        ("break", {"mm/count.c": COUNT.replace("wanted <<", "wnated <<")}),
        ("mend", {"mm/count.c": COUNT}),
    )
    ran = regress(tool, tree, matrix)
    assert ran.status == 1
    text = squeezed(ran)
    assert "regressed compile/x86_64, compile/i386: object: mm/count.o" in text
    assert "wnated" in text
    assert "fixed compile/x86_64, compile/i386: object: mm/count.o" in text
    assert "0 failing at the end" in text


def test_warnings_of_an_object_that_does_not_compile_are_unknown(
    tool: Tool, tree: GitTree, matrix: Path
) -> None:
    old, other = FILES["mm/old.c"], FILES["mm/other.c"]
    make_range(
        tree,
        ("break", {"mm/old.c": old.replace("return 1", "return on")}),
        ("touch another", {"mm/other.c": other + "\n"}),
        ("mend and warn", {"mm/old.c": old.replace("\treturn 1", "\tint more;\n\n\treturn 1")}),
    )
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    text = squeezed(ran)
    assert "fixed compile/x86_64: warning" not in text
    first = text.partition("\n3. mend and warn:\n")[0]
    assert "regressed compile/x86_64: object: mm/old.o" in first
    (said,) = re.findall("regressed .*: warning: .*", text)
    assert re.search(r"mm/old.c:old_one: unused variable .more.", said)
    assert "1 failing at the end" in text  # "more", and not "left_over", which the base had


def test_what_a_broken_base_would_have_warned_of_is_nobodys(
    tool: Tool, tree: GitTree, matrix: Path
) -> None:
    tree.git("checkout", "-q", "main")
    write(tree, {"mm/old.c": FILES["mm/old.c"].replace("return 1", "return on")})
    tree.commit("broken")
    make_range(tree, ("mend", {"mm/old.c": FILES["mm/old.c"]}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 0, ran.out
    text = squeezed(ran)
    assert "fixed compile/x86_64: object: mm/old.o" in text
    assert "new compile/x86_64: warning: mm/old.c:old_one: unused variable" in text
    assert "GOOD: 1 patch" in text and "0 regressed, 0 failing at the end" in text


def test_files_that_no_configuration_compiles(tool: Tool, tree: GitTree, matrix: Path) -> None:
    rubbish = "this is no C\n"
    makefile = "obj-$(CONFIG_NEW) += new.o\nnew-y := new_off.o\n"
    make_range(tree, ("add", {"mm/new_off.c": rubbish, "arch/arm/pages.c": rubbish,
                              "mm/Makefile": makefile}))  # fmt: skip
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 1
    assert "compiled in no column: mm/new_off.c; a .config fragment in" in ran.err
    assert "can ask for NEW\n" in ran.err
    assert "1 warning, 1 file left" in squeezed(ran)
    assert "BAD: 1 patch" in ran.out and "NO FILE OF THE SERIES COMPILED" in ran.out

    make_range(tree, ("add", {"mm/new_off.c": rubbish, "mm/count.c": COUNT + "\n"}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 0, ran.out
    assert "compiled in no column: mm/new_off.c;" in ran.err
    assert "GOOD: 1 patch" in ran.out

    make_range(tree, ("describe", {"Documentation/pages.rst": "Pages!\n"}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 0, ran.out + ran.err
    assert "compiled in no column" not in ran.err


def test_a_config_that_cannot_be_had_is_not_good(tool: Tool, tree: GitTree, matrix: Path) -> None:
    make_range(tree, ("step", {"mm/count.c": COUNT + "\n"}))
    matrix.with_name("odd.config").write_text("CONFIG_NEVER=y\n")
    matrix.write_text(MATRIX.replace('"defconfig"', '"defconfig+odd.config"'))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 3, ran.err
    assert "CONFIG_NEVER" in ran.err and "this kernel has no option NEVER" in ran.err
    assert "INCOMPLETE: 1 patch" in ran.out and "GOOD" not in ran.out


@pytest.mark.parametrize(("strategy", "rows"), [("ends", {0, 5}), ("bisect", {0, 2, 3, 4, 5})])
def test_strategies(
    tool: Tool, tree: GitTree, matrix: Path, tmp_path: Path, strategy: str, rows: set[int]
) -> None:
    steps = [(f"step {n}", {"mm/count.c": COUNT + f"/* {n} */\n"}) for n in range(1, 6)]
    steps[2] = ("unused", {"mm/count.c": UNUSED})
    steps[3:] = [(f"step {n}", {"mm/count.c": UNUSED + f"/* {n} */\n"}) for n in (4, 5)]
    make_range(tree, *steps)
    ran = regress(
        tool, tree, matrix, "--arch", "x86_64", "--strategy", strategy, "--json", tmp_path / "j"
    )
    assert ran.status == 1
    found = json.loads((tmp_path / "j").read_text())
    assert {cell["row"] for cell in found["cells"]} <= rows
    (finding,) = found["findings"]
    assert (finding["row"], finding["among"]) == ((3, "") if strategy == "bisect" else (5, "1..5"))
    assert ("(by one of 1..5; " in ran.out) == (strategy == "ends")


def test_the_other_formats(tool: Tool, tree: GitTree, matrix: Path, tmp_path: Path) -> None:
    make_range(tree, ("warn, 100%: everywhere", {"mm/count.c": UNUSED}))
    files = ("--junit", tmp_path / "j.xml", "--json", tmp_path / "j.json")
    ran = regress(tool, tree, matrix, *files, "--annotations", "github")
    assert ran.status == 1
    assert (
        "::warning file=mm/count.c,line=5,title=regressed by 1. warn%2C 100%25%3A everywhere::"
        "compile/x86_64, compile/i386: warning: mm/count.c:count_pages: unused variable" in ran.out
    )
    xml = (tmp_path / "j.xml").read_text()
    assert 'name="1. warn, 100%: everywhere: compile/i386"' in xml
    assert xml.count("<failure") == 2  # the base's own is skipped
    assert xml.count("not by this patch") == 4
    found = json.loads((tmp_path / "j.json").read_text())
    (finding,) = found["findings"]
    assert finding["columns"] == ["compile/x86_64", "compile/i386"]
    assert finding["hunk"].startswith("@@ -2,5 +2,7 @@")
    ran = regress(tool, tree, matrix, "--annotations", "gitlab")
    report = json.loads(ran.out)
    assert ran.err.splitlines()[-1].startswith("BAD: ")
    assert report[0]["location"] == {"path": "mm/count.c", "lines": {"begin": 5}}


def test_many_columns_fit_a_hundred_characters(tool: Tool, tree: GitTree, matrix: Path) -> None:
    matrix.write_text(MATRIX + '\n[[compile]]\narches = ["x86_64"]\nconfigs = ["allnoconfig"]\n')
    make_range(tree, *((f"step {n}", {"mm/count.c": COUNT + "\n" * n}) for n in range(1, 13)))
    ran = regress(tool, tree, matrix)
    assert ran.status == 0, ran.out + ran.err
    lines = ran.out.splitlines()
    assert max(map(len, lines[:5])) <= 100
    assert any(line.startswith("compile/x86_64+allnoconfig") for line in lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "nothing is left to test"),
        ('[[compile]]\nconfigs = ["defconfig"]\n', "compile[1].arches: missing"),
        ('[[compile]]\narches = ["vax"]\n', "there is no architecture vax"),
        ('[[compile]]\narches = ["i386"]\nconfigs = ["nice"]\n', "there is no config nice"),
        ('[[compile]]\narches = ["i386"]\nconfigs = ["my.config"]\n', "there is no file"),
        ('[[compile]]\narches = ["i386"]\ncompilers = ["icc"]\n', "no such compiler: icc"),
        ('[[compile]]\narches = ["i386"]\ndepth = "deep"\n', "no such depth: deep"),
        ('[[compile]]\narches = ["i386"]\nstrategy = "x"\n', "no such strategy: x"),
        ('[[test]]\nsuites = ["nothing"]\n', "no suite matches nothing"),
        ('[[test]]\nkinds = ["odd"]\n', "no such kind: odd"),
        ("[[tset]]\n", "tset: unknown field"),
        ("[[compile]\n", "must be TOML"),
    ],
)
def test_a_matrix_file_that_is_wrong(matrix: Path, text: str, problem: str) -> None:
    matrix.write_text(text)
    with pytest.raises(UserError) as caught:
        read_matrix(matrix, [])
    assert problem in f"{caught.value.message} {caught.value.hint}"


def test_a_matrix_file_that_is_wrong_is_told_in_a_line(
    tool: Tool, tree: GitTree, matrix: Path
) -> None:
    make_range(tree, ("step", {"mm/count.c": UNUSED}))
    matrix.write_text("[[compile]]\narchs = []\n")
    ran = regress(tool, tree, matrix)
    assert ran.status == 2
    assert ran.err.startswith(f"memdesc-tool: {matrix}:2: compile[1].archs: unknown field")
    assert len(ran.err.strip().splitlines()) <= 2


ALIKE = """\
[[compile]]
arches = ["x86_64"]
configs = ["defconfig"]
[[compile]]
arches = ["x86_64"]
configs = ["defconfig"]
checks = []
"""


def test_columns_that_would_be_called_the_same(tool: Tool, tree: GitTree, matrix: Path) -> None:
    matrix.write_text(ALIKE)
    names = [column.name for column in read_matrix(matrix, []).columns]
    assert names == ["compile/x86_64+W=1", "compile/x86_64"]
    # -Wextra is W=1 in this tree: the column that is walked last shows nothing.
    signs = "\treturn wanted < sizeof(int) ? 0 : wanted << PAGE_BITS;"
    make_range(tree, ("compare", {"mm/count.c": COUNT.replace("\treturn wanted << PAGE_BITS;",
                                                              signs)}))  # fmt: skip
    ran = regress(tool, tree, matrix)
    assert ran.status == 1, ran.out
    assert "regressed compile/x86_64+W=1: warning" in squeezed(ran)
    assert "1 regressed, 1 failing at the end" in ran.out


def test_names_of_columns_that_differ_in_nothing_that_has_a_word(tmp_path: Path) -> None:
    one, other = tree_suite([tmp_path / "a"]), tree_suite([tmp_path / "b"])
    columns = [Column(suite, "um") for suite in (one, other, one)]
    assert [column.name for column in told_apart(columns)] == ["kunit/um", "kunit/um+#2"]


def test_the_matrix_of_the_tool_can_be_read() -> None:
    matrix = read_matrix(DEFAULT, [compile_suite("objects")])
    names = {column.name for column in matrix.columns}
    names |= {skipped.column.name for skipped in matrix.skipped}
    assert {"compile/x86_64+allmodconfig", "compile/arm64+64k", "compile/powerpc-be"} <= names


def test_a_version_of_clang(matrix: Path) -> None:
    """Each column is known by its compiler, which make is told as kbuild wants it."""
    compilers = 'compilers = ["gcc", "clang", "clang-19"]\noptional = true\n'
    matrix.write_text(f'[[compile]]\narches = ["x86_64"]\n{compilers}')
    read = read_matrix(matrix, [])
    every = (*read.columns, *(skipped.column for skipped in read.skipped))
    assert {column.name: column.variant.make_options for column in every} == {
        "compile/x86_64": ("W=1",),
        "compile/x86_64+clang": ("LLVM=1", "W=1"),
        "compile/x86_64+clang-19": ("LLVM=-19", "W=1"),
    }


def test_a_toolchain_that_is_missing(tool: Tool, tree: GitTree, matrix: Path) -> None:
    make_range(tree, ("step", {"mm/count.c": COUNT + "\n"}))
    missing = '\n[[compile]]\narches = ["x86_64"]\ncompilers = ["clang"]\n'
    empty = matrix.parent / "bin"
    empty.mkdir()
    for program in Path("/usr/bin").iterdir():
        if "clang" not in program.name:
            (empty / program.name).symlink_to(program)
    matrix.write_text(MATRIX + missing)
    ran = tool("regress", "--tree", tree.path, "--range", "main..work", "--matrix", matrix,
               PATH=str(empty))  # fmt: skip
    assert ran.status == 3
    assert "compile/x86_64+clang: clang is not installed" in ran.err
    matrix.write_text(MATRIX + missing + "optional = true\n")
    ran = tool("regress", "--tree", tree.path, "--range", "main..work", "--matrix", matrix,
               PATH=str(empty))  # fmt: skip
    assert ran.status == 0, ran.err
    assert "not run: compile/x86_64+clang: clang is not installed" in ran.err


def test_a_toolchain_that_is_too_old(
    tool: Tool, tree: GitTree, matrix: Path, tmp_path: Path
) -> None:
    """As the tree's own script says, with what make would tell it of the architecture."""
    least = "case $1 in llvm) echo 17.0.1;; gcc) [ $SRCARCH = x86 ] && echo 4.9.0;; esac\n"
    write(tree, {"scripts/min-tool-version.sh": f"#!/bin/sh\n{least}"})
    tree.commit("what it takes")
    make_range(tree, ("step", {"mm/count.c": COUNT + "\n"}))
    bin_ = tmp_path / "old"
    bin_.mkdir()
    for name, version in (("clang", "Debian clang version 14.0.6"), ("ld.lld", "LLD 14.0.6")):
        (bin_ / name).write_text(f"#!/bin/sh\necho {version}\n")
        (bin_ / name).chmod(0o755)
    path = f"{bin_}:{os.environ['PATH']}"
    clang = '\n[[compile]]\narches = ["x86_64"]\ncompilers = ["clang"]\n'
    matrix.write_text(MATRIX + clang)
    argv = ("regress", "--tree", tree.path, "--range", "main..work", "--matrix", matrix)
    ran = tool(*argv, PATH=path)
    assert ran.status == 3
    said = "compile/x86_64+clang: clang is 14.0.6, the tree wants 17.0.1"
    assert f"{said}\n  name a version" in ran.err
    matrix.write_text(f"{MATRIX}{clang}optional = true\n")
    ran = tool(*argv, PATH=path)
    assert ran.status == 0, ran.err
    assert f"not run: {said}" in ran.err


@pytest.mark.parametrize(
    ("compiler", "version", "script", "why"),
    [
        ("gcc", "gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "echo 12.2.0", ""),
        ("gcc", "gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "echo 12.10", "gcc is 12.2.0, "),
        ("s390x-linux-gnu-gcc", "s390x-linux-gnu-gcc (Debian 9) 8.1.1", "echo 9", "8.1.1, "),
        ("clang-19", "Ubuntu clang version 19.1.7 (++2025)", "echo 20.1.0", "clang-19 is 19.1.7, "),
        ("gcc", "gcc (GCC) 8.1.0", "", ""),
        ("gcc", "gcc (GCC) 8.1.0", "exit 1", ""),
        ("gcc", "gcc (GCC) 8.1.0", "echo none", ""),
        ("icc", "icc: a compiler of its own", "echo 99", ""),
    ],
)
def test_ages_of_toolchains(compiler: str, version: str, script: str, why: str) -> None:
    tools = Toolchain("", compiler, version, "")
    said = too_old(tools, architectures.load("x86_64"), script)
    assert why in said and bool(why) == bool(said)


def test_documentation_alone_makes_nothing(tool: Tool, tree: GitTree, matrix: Path) -> None:
    makefile = f"all:\n\t@touch $(CURDIR)/../../made\n{FILES['Makefile']}"
    write(tree, {"Makefile": makefile})
    tree.commit("make everything by default")
    make_range(tree, ("say more", {"Documentation/pages.rst": "Pages!\n"}))
    ran = regress(tool, tree, matrix, "--arch", "x86_64")
    assert ran.status == 0, ran.err
    assert "0 objects" in ran.out
    assert not list(tree.path.parent.rglob("made"))
    make_range(tree, ("a header", {"include/linux/other.h": "#define OTHER 2\n"}))
    regress(tool, tree, matrix, "--arch", "x86_64")
    assert list(tree.path.parent.rglob("made"))
