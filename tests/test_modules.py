"""Out-of-tree modules: built, checked, bundled."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from memdesc_tool import kconfig, modules
from memdesc_tool.errors import UserError
from memdesc_tool.modulekernel import as_module, wanted
from memdesc_tool.modules import ModulesBuild, ModulesRequest, find_modules
from tests.conftest import Tool, run_here
from tests.fakekdir import GOOD, make_kdir, make_project

WARNED = GOOD.replace("int start(void);\n", "")


def request(tmp_path: Path, *, header: str = "", **sources: str) -> ModulesRequest:
    project = make_project(tmp_path / "project", **sources)
    (source,) = find_modules(project)
    kdir = make_kdir(tmp_path / "kdir", header=header)
    return ModulesRequest(source, kdir, tmp_path / "out", tmp_path / "logs", sparse=False)


def built(tmp_path: Path, *, header: str = "", **sources: str) -> ModulesBuild:
    return modules.build(request(tmp_path, header=header, **sources))


def test_what_is_built(tmp_path: Path) -> None:
    done = built(tmp_path, b=GOOD, a=GOOD)
    assert (done.ok, done.clean, done.errors, done.warnings) == (True, True, (), ())
    assert [path.name for path in done.modules] == ["a.ko", "b.ko"]
    assert "CC [M]" in done.log.read_text()
    directory = tmp_path / "project" / "kernel-test-modules" / "extra"
    assert sorted(one.name for one in directory.iterdir()) == ["Kbuild", "a.c", "b.c", "config"]


def test_what_was_built_in_place_does_not_count(tmp_path: Path) -> None:
    asked = request(tmp_path, a=GOOD)
    (asked.source.directory / "a.ko").write_text("old")
    (asked.source.directory / "stale.ko").write_text("old")
    done = modules.build(asked)
    assert [path.name for path in done.modules] == ["a.ko"]
    assert "CC [M]" in done.log.read_text()
    again = modules.build(asked)
    assert "CC [M]" in again.log.read_text(), "so that a warning is seen every time"


def test_a_warning_is_seen_with_its_place(tmp_path: Path) -> None:
    done = built(tmp_path, a=WARNED)
    assert done.ok and not done.clean
    (warning,) = done.warnings
    assert (warning.file, warning.line) == ("extra/a.c", 2)
    assert "no previous prototype" in warning.text


def test_what_does_not_compile(tmp_path: Path) -> None:
    done = built(tmp_path, a=GOOD, b="int start(void) { return nonsense; }\n")
    assert not done.ok and done.modules == ()
    assert any(one.file == "extra/b.c" and "nonsense" in one.text for one in done.errors)


def test_a_kbuild_file_that_names_nothing(tmp_path: Path) -> None:
    done = built(tmp_path)
    assert [str(one) for one in done.errors] == ["Kbuild: error: names no module (obj-m)"]


def test_symbols_count_only_where_the_kernel_has_them(tmp_path: Path) -> None:
    asked = request(tmp_path, a=f"// wants other\n{GOOD}")
    assert not modules.build(asked).ok
    assert modules.build(replace(asked, symbols=False)).clean


def test_sparse_complains_about_our_files_alone(tmp_path: Path) -> None:
    if not shutil.which("sparse"):
        pytest.skip("sparse is not installed")
    unclear = GOOD.replace("int start(void);\n", "").replace("start", "static_or_not")
    asked = replace(request(tmp_path, header="int undeclared;\n", a=unclear), sparse=True)
    done = modules.build(asked)
    assert done.unchecked == ""
    assert [one.file for one in done.warnings if "Should it be static" in one.text] == ["extra/a.c"]


def test_sparse_that_does_not_understand_the_kernel(tmp_path: Path) -> None:
    """Said, and nothing is held against the module."""
    if not shutil.which("sparse"):
        pytest.skip("sparse is not installed")
    header = "#ifdef __CHECKER__\nint a b c;\n#endif\n"
    done = modules.build(replace(request(tmp_path, header=header, a=GOOD), sparse=True))
    assert done.clean and done.modules
    assert "does not understand this kernel" in done.unchecked
    assert "kernel.h:3" in done.unchecked


def test_sparse_that_the_kernel_does_not_run(tmp_path: Path) -> None:
    """A kernel's makefile goes on without a sparse that it finds too old: not "checked"."""
    if not shutil.which("sparse"):
        pytest.skip("sparse is not installed")
    asked = replace(request(tmp_path, a=GOOD), sparse=True)
    (asked.kernel_dir / "old-sparse").touch()
    done = modules.build(asked)
    assert done.clean
    assert "not good enough" in done.unchecked


def test_what_is_no_kernel(tmp_path: Path) -> None:
    asked = request(tmp_path, a=GOOD)
    shutil.rmtree(asked.kernel_dir / "include")
    with pytest.raises(UserError, match="nothing was built there"):
        modules.build(asked)
    with pytest.raises(UserError, match="no Makefile"):
        modules.build(replace(asked, kernel_dir=tmp_path))


def test_what_a_kernel_built_elsewhere_lacks(tmp_path: Path) -> None:
    config = "CONFIG_MODULES=y\nCONFIG_M=y\nCONFIG_NUMA=y\n# CONFIG_NONE is not set\n"
    project = make_project(tmp_path / "project", config, a=GOOD)
    (source,) = find_modules(project)
    lacking = modules.lacking(make_kdir(tmp_path / "kdir"), source)
    assert [one.option.name for one in lacking] == ["NUMA"], "a module is as good as built in"


def test_a_suite_becomes_a_module() -> None:
    fragment = kconfig.parse("CONFIG_KUNIT=y\nCONFIG_X_KUNIT_TEST=y\n", "x")
    assert as_module(fragment).text == "CONFIG_KUNIT=y\nCONFIG_X_KUNIT_TEST=m\n"
    both = wanted((), [kconfig.parse("CONFIG_A=m\n", "x")], kconfig.parse("CONFIG_A=y\n", "y"))
    assert both.fragment.get("A") == "m", "what is asked for wins over what is liked"
    assert both.without(["A"]).fragment.get("A") == "m"


# -- the commands ----------------------------------------------------------------------------


def test_build_for_a_directory(tool: Tool, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", a=WARNED)
    words = ("modules", "build", "--project", project, "--kdir", make_kdir(tmp_path / "kdir"))
    ran = tool(*words, "--no-sparse", "--output", tmp_path / "to")
    assert ran.status == 1, ran.out + ran.err
    assert "extra/a.c:2: warning: no previous prototype" in ran.out
    assert "a.ko, 1 warning" in ran.out and "not asked for" in ran.out
    assert tool(*words, "--no-sparse", "--allow-warnings").status == 0
    assert (tmp_path / "to" / "kdir" / "a.ko").is_file()
    (project / "kernel-test-modules" / "extra" / "a.c").write_text("nonsense\n")
    ran = tool(*words, "--allow-warnings")
    assert (ran.status, "DOES NOT BUILD" in ran.out) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("build", "none"), "no module directory none"),
        (("build", "--kdir", "{kdir}", "--series", "x"), "--kdir is used as it is"),
        (("build", "--kdir", "{project}"), "no Makefile"),
        (("bundle", "x.zip"), "no name for a bundle"),
        (("bundle", "x.tar.gz", "--modules-only"), "--modules-only needs --kdir"),
        (("bundle", "x.tar.gz", "--kdir", "{kdir}", "--arch", "x86_64"), "has no arch/x86"),
        (("bundle", "x.tar.gz", "--kdir", "{kdir}", "--modules-only", "--selftests", "{kdir}"),
         "has no kselftest-list.txt"),
    ],
)  # fmt: skip
def test_wrong_use(tool: Tool, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    places = {"project": make_project(tmp_path / "p", a=GOOD), "kdir": make_kdir(tmp_path / "k")}
    ran = tool(
        "modules", *(word.format(**places) for word in words), "--project", places["project"]
    )
    assert ran.status == 2, ran.out + ran.err
    assert message in ran.err


def test_two_bundles_of_the_same_are_identical(tool: Tool, tmp_path: Path) -> None:
    project, kdir = make_project(tmp_path / "p", a=GOOD, b=GOOD), make_kdir(tmp_path / "kdir")
    words = ("--project", project, "--kdir", kdir, "--modules-only")
    for name in ("one.tar.gz", "two.tar.gz"):
        ran = tool("modules", "bundle", tmp_path / name, *words)
        assert ran.status == 0, ran.out + ran.err
        assert "2 steps" in ran.out
    one, two = (tmp_path / name for name in ("one.tar.gz", "two.tar.gz"))
    assert one.read_bytes() == two.read_bytes()
    (project / "kernel-test-modules" / "extra" / "a.c").write_text(GOOD.replace("start", "begin"))
    assert tool("modules", "bundle", two, *words).status == 0
    assert one.read_bytes() != two.read_bytes()


def test_a_bundle_without_anything_to_run(tool: Tool, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    shutil.rmtree(project / "kernel-test-modules")
    words = ("--project", project, "--kdir", make_kdir(tmp_path / "kdir"), "--modules-only")
    ran = tool("modules", "bundle", tmp_path / "x.tar.gz", *words)
    assert (ran.status, "nothing to run" in ran.err) == (1, True)


# -- the real kernel -------------------------------------------------------------------------

REAL = """\
#include <linux/module.h>
static int __init start(void) { return 0; }
static void __exit stop(void) { }
module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("test");
MODULE_LICENSE("GPL");
"""


@pytest.mark.kernel
@pytest.mark.timeout(1800)
def test_for_a_real_kernel(tmp_path: Path) -> None:
    """Prepared only, on the cache that `make regress` uses; um has no NUMA."""
    project = make_project(tmp_path / "p", "CONFIG_MODULES=y\nCONFIG_NUMA=y\n", a=REAL)
    words = ("modules", "build", "--project", project, "--tree", "7.3", "--arch", "x86_64")
    ran = run_here(*words)
    assert ran.status == 0, ran.out + ran.err
    assert "a.ko" in ran.out
    (project / "kernel-test-modules" / "extra" / "a.c").write_text(f"{REAL}void more(void) {{}}\n")
    ran = run_here(*words, "--arch", "um")
    assert ran.status == 1, ran.out + ran.err
    assert "extra/a.c:8: warning: no previous prototype" in ran.out
    assert "left out: CONFIG_NUMA=y cannot be had" in ran.out
