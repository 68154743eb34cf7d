"""series new: what it writes is a series at once."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import GitTree, Tool, kernel_clone, run_here
from tests.fakelinux import BUILD, make_fake
from tests.minikernel import make_mini

TEMPLATES = ("driver", "kselftest", "kunit")


def new_project(path: Path) -> Path:
    """A project without a series, in git, with an identity."""
    (path / "patches").mkdir(parents=True)
    (path / "patches" / "stack.toml").write_text("series = []\n")
    tree = GitTree(path)
    tree.git("init", "-q")
    tree.git("config", "user.name", "M. Tainer")
    tree.git("config", "user.email", "m@example.org")
    return path


def test_a_new_suite_becomes_a_patch(tool: Tool, minitree: GitTree, tmp_path: Path) -> None:
    (minitree.path / "mm").mkdir()
    (minitree.path / "mm" / "Makefile").write_text("obj-$(CONFIG_X_KUNIT_TEST) += tests/x.o\n")
    (minitree.path / "mm" / "Kconfig").write_text('config X\n\nsource "mm/damon/Kconfig"\n')
    minitree.commit("mm: start")
    project = new_project(tmp_path / "project")
    ran = tool("series", "new", "my_pages", "--template", "kunit", "--project", project)
    assert ran.status == 0, ran.err
    assert 'series = ["my_pages"]' in (project / "patches" / "stack.toml").read_text()
    args = ("my_pages", "--tree", minitree.path, "--project", project)
    # Nothing is generated yet: the project is usable, and says what is to be done.
    for command in (("series", "list"), ("series", "show"), ()):
        ran = tool(*command, cwd=project)
        assert ran.status == 0 and "memdesc-tool generate my_pages" in ran.out, ran.out + ran.err
    for command in ("apply", "check", "cover"):
        ran = tool(command, *args)
        assert ran.status == 2 and "my_pages.patch: is not there yet" in ran.err
        assert "memdesc-tool generate my_pages makes it" in ran.err
    assert tool("generate", *args).status == 0
    assert tool("generate", *args, "--check").status == 0
    made = (project / "patches" / "my_pages").glob("*.patch")
    text = next(made).read_text()
    assert "+obj-$(CONFIG_MY_PAGES_KUNIT_TEST) += tests/my_pages_kunit.o\n" in text
    assert "@" not in text.partition("diff --git")[2].replace("@@", "")
    ran = tool("cover", *args)
    assert ran.status == 0 and "EDITME" in ran.out
    assert "- my_pages/um" in ran.out.partition("Nothing of it was tested.")[2]


def test_names_and_templates_that_cannot_be(tool: Tool, tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    args = ("--template", "kunit", "--project", project)
    assert "cannot be a name in C" in tool("series", "new", "no-name", *args).err
    assert tool("series", "new", "pages", *args).status == 0
    ran = tool("series", "new", "pages", *args)
    assert ran.status == 2 and "exists already" in ran.err
    assert tool("series", "new", "x1", "--template", "magic", "--project", project).status == 2


def test_a_series_named_by_its_path_has_its_suites(tool: Tool, tmp_path: Path) -> None:
    mini = make_mini(tmp_path)
    (mini.series / "cover.md.j2").write_text("{{ series.title }}\n\n{{ tested }}\n")
    elsewhere = tmp_path / "elsewhere" / "numbers"
    shutil.copytree(mini.series, elsewhere)
    tree = ("--tree", mini.tree.path)
    for args, cwd in (
        ((mini.series, *tree), tmp_path),
        ((elsewhere, *tree, "--project", mini.project), tmp_path),
        ((elsewhere, *tree), mini.project),
    ):
        ran = tool("cover", *args, cwd=cwd)
        assert ran.status == 0 and "- counting/um" in ran.out, ran.out + ran.err
    ran = tool("cover", elsewhere, *tree)
    assert ran.status == 2 and "there is no suite counting" in ran.err
    ran = tool("cover", "numbers", *tree, "--project", mini.project, "--describe",
               mini.series / "series.toml")  # fmt: skip
    assert ran.status == 2 and "--describe needs --branch" in ran.err


@pytest.mark.parametrize("stack", ["series = [\n", "", 'series = "first"\n', "series = [1]\n"])
def test_a_stack_that_cannot_be_read_is_left_alone(tool: Tool, tmp_path: Path, stack: str) -> None:
    project = new_project(tmp_path / "project")
    file = project / "patches" / "stack.toml"
    file.write_text(stack)
    ran = tool("series", "new", "pages", "--template", "kunit", "--project", project)
    assert ran.status == 2 and str(file) in ran.err and len(ran.err.splitlines()) <= 2, ran.err
    assert file.read_text() == stack
    assert [path for path in project.rglob("*pages*") if ".git" not in path.parts] == []


def test_a_series_is_begun_as_a_whole_or_not_at_all(tool: Tool, tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    args = ("series", "new", "pages", "--template", "kunit", "--project", project)
    ran = tool(*args, "--base", 'x"y')
    assert ran.status == 2 and "cannot be the name of a release" in ran.err
    (project / "templates").write_text("in the way\n")
    ran = tool(*args)
    assert ran.status == 2 and "cannot write" in ran.err, ran.err
    (project / "templates").unlink()
    ran = tool(*args)
    assert ran.status == 0, ran.err


@pytest.mark.parametrize(
    ("text", "problem"), [(b"{{ 1/0 }}\n", "ZeroDivisionError: "), (b"caf\xe9\n", "not UTF-8")]
)
def test_a_cover_that_cannot_be_made_is_an_error_of_one_line(
    tool: Tool, minitree: GitTree, project: Path, text: bytes, problem: str
) -> None:
    cover = project / "patches" / "first" / "cover.md.j2"
    cover.write_bytes(text)
    ran = tool("cover", "first", "--tree", minitree.path, "--project", project)
    assert ran.status == 2 and f"{cover}: {problem}" in ran.err, ran.err


def test_a_new_suite_is_compiled_with_the_options_that_it_names(tool: Tool, tmp_path: Path) -> None:
    fake = make_fake(tmp_path / "kernel")
    makefile = (fake.path / "Makefile").read_text()
    fake.write("Makefile", makefile + "%.o:\n\t@$(MAKE) --no-print-directory -C $(O)"
               " -f $(CURDIR)/Makefile.build SRC=$(CURDIR) $@\n")  # fmt: skip
    fake.write("Makefile.build", BUILD.replace("mkdir -p mm", "mkdir -p $(@D)"))
    fake.write("mm/Makefile", "obj-$(CONFIG_X_KUNIT_TEST) += tests/x.o\n")
    fake.write("mm/Kconfig", 'config X\n\nsource "mm/damon/Kconfig"\n')
    tree = GitTree(fake.path)
    tree.git("init", "-q", "-b", "main")
    tree.commit("start")
    project = new_project(tmp_path / "project")
    tool("series", "new", "my_pages", "--template", "kunit", "--project", project)
    args = ("my_pages", "--tree", tree.path, "--project", project)
    assert tool("generate", *args).status == 0
    ran = tool("check", *args, "--arch", "um")
    assert ran.status == 1, ran.err  # nothing has run
    assert "not in this configuration" not in ran.out
    (made,) = (tmp_path / "cache" / "build").glob("*/um-*")
    assert (made / "mm/tests/my_pages_kunit.o").exists()
    asked = (made / ".config").read_text().splitlines()
    assert {"CONFIG_KUNIT=y", "CONFIG_MY_PAGES_KUNIT_TEST=y"} <= set(asked)


@pytest.mark.kernel
def test_a_new_kselftest_is_built_and_passes(tmp_path: Path) -> None:
    """By the Makefile of the tree's own mm tests, with warnings that fail it."""
    tree, _ = kernel_clone("scaffold")
    project = new_project(tmp_path / "project")
    assert run_here("series", "new", "my_pages", "--template", "kselftest",
                    "--project", project).status == 0  # fmt: skip
    assert run_here("generate", "my_pages", "--tree", tree.path, "--project", project).status == 0
    tree.git("sparse-checkout", "set", "tools/testing/selftests/mm", "tools/testing/selftests/x86",
             "tools/include", "tools/scripts", "tools/arch", "mm")  # fmt: skip
    tree.git("checkout", "-q")
    (patch,) = (project / "patches" / "my_pages").glob("*.patch")
    tree.git("apply", str(patch))
    place = tmp_path / "built"
    place.mkdir()
    top = tree.path / "tools/testing/selftests/mm"
    subprocess.run(["make", "-C", top, f"OUTPUT={place}", "EXTRA_CFLAGS=-Werror",
                    place / "my_pages"], check=True)  # fmt: skip
    ran = subprocess.run([place / "my_pages"], check=True, capture_output=True, text=True)
    assert "# Totals: pass:2 fail:0" in ran.stdout
    shutil.rmtree(tree.path)


@pytest.mark.kernel
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_series_passes_its_own_checks(tmp_path: Path, template: str) -> None:
    """checkpatch --strict and the rest of a real tree find nothing to mend."""
    tree, _ = kernel_clone("scaffold")
    project = new_project(tmp_path / "project")
    ran = run_here("series", "new", "my_pages", "--template", template, "--project", project)
    assert ran.status == 0, ran.err
    args = ("my_pages", "--tree", tree.path, "--project", project)
    assert run_here("generate", *args).status == 0
    ran = run_here("check", *args, "--no-compile")
    lines = [line for line in ran.out.splitlines() if line.startswith(("  error", "  warning"))]
    said = [line.split()[1:] for line in lines if "results:" not in line]
    assert said == [], ran.out
    assert re.search("note +cover: .*EDITME:", ran.out)
    skipped = [line for line in ran.out.splitlines() if line.startswith("not checked")]
    assert len(skipped) == 2, ran.out
