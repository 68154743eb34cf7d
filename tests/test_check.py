"""check: what it finds, how it is silenced, what it tells b4."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memdesc_tool import checkreport, kerneldoc
from memdesc_tool.checks import Report
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.git import Git
from memdesc_tool.message import check_message
from memdesc_tool.objects import objects_of, options_for
from memdesc_tool.patch import Patch, parse_patch
from memdesc_tool.trailers import History, check_trailers
from tests.conftest import GitTree, Tool, kernel_clone
from tests.fakelinux import BUILD, make_fake
from tests.mailbox import describe, give_identity, home, without_git

DIFF = "---\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


def patch(subject: str, body: str, *trailers: str) -> Patch:
    end = "\n\n" + "\n".join(trailers) if trailers else ""
    mail = f"From: A <a@example.org>\nSubject: [PATCH] {subject}\n\n{body}{end}\n{DIFF}"
    return parse_patch(Path("0001-x.patch"), mail.encode())


def problems(*args: str) -> list[str]:
    return [f"{one.check}: {one.text}" for one in check_message(patch(*args))]


GOOD = ("mm/x: count pages", "Pages are not counted.\n\nCount them.")


def test_a_good_message_has_nothing_to_find() -> None:
    fixes = 'Fixes: 0123456789ab ("mm: y")'
    assert problems(*GOOD, fixes, "Cc: stable@vger.kernel.org # 6.1+", "Assisted-by: LLM") == []
    assert (
        problems(*GOOD[:1], "Why.\n\n\t" + "x" * 90 + "\n\nhttps://example.org/" + "x" * 90) == []
    )


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("count pages", "does not say what it is about"),
        ("mm/x: count pages.", "ends with a full stop"),
        ("[media] mm/x: count", "begins with [media], which git am takes off"),
        ("[a][b]: count pages", "begins with [a][b], which git am"),
        ("mm/x: " + "c" * 80, "has 86 columns"),
        ("mm/x: Fixes the count", "not in the imperative mood: Fixes"),
        ("fixup! mm/x: count", "is not a final one"),
    ],
)
def test_subjects(subject: str, problem: str) -> None:
    assert any(problem in one for one in problems(subject, GOOD[1]))


@pytest.mark.parametrize(
    ("body", "trailers", "problem"),
    [
        ("", ("Cc: a@b.org",), "message: says nothing beyond the subject"),
        ("This patch counts.", (), 'message: "This patch counts"'),
        ("word " * 20, (), "message: a line has 99 columns"),
        ("Why.", ("Reviewd-by: A <a@b.org>",), "Reviewd-by: is no tag"),
        ("Why.", ("reviewed-by: A <a@b.org>",), "reviewed-by: is written Reviewed-by:"),
        ("Why.", ("Acked-by: Somebody",), "Somebody is no name with an address"),
        ("Why.", ("Acked-by: A <a@b.org>",) * 2, "is there twice"),
        ("Why.\n\nFixes: 0123456789ab (\"x\")", ("Cc: a@b.org",), "Fixes: stands above"),
        ("Why.", ("Co-developed-by: A <a@b.org>", "Cc: c@d.org"), "is not followed by"),
        ("Why.", ("Signed-off-by: A <a@b.org>", 'Fixes: 0123456789ab ("x")'), "belongs before"),
        ("Why.", ('Fixes: 0123456789ab ("x")', "Signed-off-by: A <a@b.org>",
                  'Fixes: 0123456789cd ("y")'), "Fixes: belongs before Signed-off-by:"),
        ("Why.", ("Signed-off-by: A <a@b.org>", "Reported-by: C <c@d.org>"),
         "Reported-by: belongs before Signed-off-by:"),
        ("Why.", ("Signed-off-by: A <a@b.org>", "Suggested-by: C <c@d.org>"), "belongs before"),
        ("Why.\nReviewed-by: A <a@b.org>", (), "Reviewed-by: stands beside text, git does not"),
        ("Why.\nSigned-off-by: A <a@b.org>", (), "Signed-off-by: stands directly below text"),
        ("Why.\n" * 4 + "Signed-off-by: A <a@b.org>", (), "stands beside text"),
        ("Why.\n\n" + "word " * 20 + "\nExample: run it", (), "a line has 100 columns"),
        ("Why.\n\n" + "word " * 20 + "\nCc: c@d.org", (), "a line has 100 columns"),
    ],
)  # fmt: skip
def test_messages_and_trailers(body: str, trailers: tuple[str, ...], problem: str) -> None:
    assert any(problem in one for one in problems("mm/x: count", body, *trailers))


@pytest.mark.parametrize(
    "body",
    [
        "Do it with a file, for\nExample: cat file",
        'Why.\n\nFixes: 0123456789ab ("x")\nReported-by: C <c@d.org>\n'
        "Closes: https://d.org/1\nSigned-off-by: A <a@b.org>\nReviewed-by: C <c@d.org>\n"
        "Link: https://d.org/2",
        "As a maintainer sends it on.\n\nSigned-off-by: A <a@b.org>\nReported-by: C <c@d.org>\n"
        "[e@f.org: fix the comment]\nSigned-off-by: E <e@f.org>",
        "A backport.\n\n(cherry picked from commit 0123456789ab)\nSigned-off-by: A <a@b.org>",
        "By two.\n\nCo-developed-by: C <c@d.org>\nSigned-off-by: C <c@d.org>\n"
        "Signed-off-by: A <a@b.org>",
    ],
)
def test_messages_that_are_right(body: str) -> None:
    assert problems("mm/x: count", body) == []


def test_commits_and_people_are_looked_up(minitree: GitTree) -> None:
    (minitree.path / "MAINTAINERS").write_text("M:\tJane <Jane@example.org>\n")
    first = minitree.git("rev-parse", "HEAD")
    base = minitree.commit("a: second")
    minitree.git("checkout", "-q", "-b", "side", first)
    (minitree.path / "c.txt").write_text("c")
    side = minitree.commit("c: beside")

    def found(*trailers: str) -> list[tuple[Severity, str]]:
        history = History(Git(minitree.path), base, frozenset({"me@example.org"}))
        checked = check_trailers(patch(*GOOD, *trailers), history)
        return [(one.severity, one.text) for one in checked]

    assert found(f'Fixes: {first[:12]} ("start")') == []
    assert found("Reported-by: Jane <jane@example.org>", "Cc: me@example.org") == []
    assert found("Tested-by: Dev <dev@example.org>") == []
    ((severity, text),) = found(f'Fixes: {first[:12]} ("other")')
    assert severity is Severity.ERROR and f'{first[:12]} is "start", not "other"' in text
    ((severity, text),) = found(f'Fixes: {side[:12]} ("c: beside")')
    assert severity is Severity.WARNING and "is not in the history of the base" in text
    ((severity, text),) = found('Fixes: 000000000000 ("start")')
    assert severity is Severity.NOTE and f'"start" is {first[:12]}' in text
    ((severity, text),) = found('Fixes: 000000000000 ("never was")')
    assert severity is Severity.NOTE and "lacks the history" in text
    ((severity, text),) = found('Fixes: 1234 ("start")')
    assert severity is Severity.ERROR and "is not of the form" in text
    ((severity, text),) = found("Acked-by: Nobody <nobody@example.net>")
    assert severity is Severity.NOTE and "not in MAINTAINERS" in text


def check(tool: Tool, tree: GitTree, project: Path, *args: str | Path) -> tuple[int, str]:
    ran = tool("check", "first", "--tree", tree.path, "--project", project, *args)
    return ran.status, ran.out + ran.err


@pytest.fixture
def careless(minitree: GitTree, project: Path) -> Path:
    """A series with a file without licence, an export without user and a name left behind."""
    (minitree.path / "old.c").write_text("int old_function_of_mine(int a)\n{\n\treturn a;\n}\n")
    (minitree.path / "doc.txt").write_text("See old_function_of_mine() for why.\n")
    (minitree.path / "Documentation").mkdir()
    minitree.git("mv", "-k", "doc.txt", "Documentation/doc.txt")
    (minitree.path / "doc.txt").rename(minitree.path / "Documentation" / "doc.txt")
    minitree.commit("old: start")
    minitree.git("checkout", "-q", "-B", "work")
    (minitree.path / "old.c").write_text("int y;\n")
    (minitree.path / "new.c").write_text(
        "int unused_symbol(void);\nEXPORT_SYMBOL(unused_symbol);\n"
    )
    minitree.commit("a: exchange old for new\n\nBecause new is better.")
    minitree.git("checkout", "-q", "main")
    series = describe(project)
    for left in series.glob("*.patch"):
        left.unlink()
    (series / "series.toml").write_text('title = "new for old"\n')
    minitree.git("format-patch", "-q", "-o", str(series), "main..work")
    name = next(series.glob("*.patch")).name
    (series / "series.toml").write_text(f'title = "new for old"\n\n[[patch]]\nfile = "{name}"\n')
    return project


def test_findings_by_patch_and_exit_status(tool: Tool, minitree: GitTree, careless: Path) -> None:
    status, text = check(tool, minitree, careless)
    assert status == 1
    assert "error     spdx: new.c: no SPDX-License-Identifier" in text
    assert "warning   exports: unused_symbol is exported and has no user" in text
    assert "documentation: Documentation/doc.txt:1: still names old_function_of_mine" in text
    assert "not checked: checkpatch: the tree has no scripts/checkpatch.pl" in text
    assert text.rstrip().splitlines()[-1].startswith("BAD: 1 patch on ")


def test_a_place_that_json_cannot_go_to_is_refused_at_once(tool: Tool, tmp_path: Path) -> None:
    for place in (tmp_path / "none" / "report.json", tmp_path):
        ran = tool("check", "first", "--json", place)
        assert ran.status == 2 and ran.err.startswith("memdesc-tool: --json: "), ran.err


def test_findings_are_silenced_with_a_reason(
    tool: Tool, minitree: GitTree, careless: Path, tmp_path: Path
) -> None:
    toml = careless / "patches" / "first" / "series.toml"
    silences = "".join(
        f'\n[[silence]]\ncheck = "{name}"\npatch = "0001-*"\nreason = "on purpose"\n'
        for name in ("spdx", "exports", "documentation")
    )
    toml.write_text(toml.read_text() + silences)
    status, text = check(tool, minitree, careless, "--json", tmp_path / "report.json")
    assert status == 0, text
    assert "(on purpose)" in text and "GOOD: 1 patch" in text and "3 silenced" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["good"] is True
    assert {one["silenced"] for one in report["patches"][0]["findings"]} == {"on purpose"}
    assert {one["check"] for one in report["skipped"]} >= {"checkpatch", "maintainers"}
    toml.write_text(toml.read_text() + '\n[[silence]]\ncheck = "spelling"\nreason = "old"\n')
    status, text = check(tool, minitree, careless)
    assert status == 1 and "spelling on * silences nothing, it can go" in text
    toml.write_text(toml.read_text().replace('reason = "old"\n', ""))
    status, text = check(tool, minitree, careless)
    assert status == 2 and "silence[4].reason: missing" in text


@pytest.mark.usefixtures("careless")
def test_a_range_of_a_tree_without_a_project(tool: Tool, minitree: GitTree, tmp_path: Path) -> None:
    before = minitree.state()
    described = tmp_path / "mine.toml"
    described.write_text(
        'title = "mine"\n[[silence]]\ncheck = "*"\ntext = "*"\nreason = "a test"\n'
    )
    args = ("check", "--branch", "main..work", "--tree", minitree.path)
    assert tool(*args).status == 1
    ran = tool(*args, "--describe", described)
    assert ran.status == 0 and "4 silenced" in ran.out
    assert minitree.state() == before
    ran = tool("check", "--branch", "nowhere", "--tree", minitree.path)
    assert ran.status == 2 and "has no branch nowhere" in ran.err
    ran = tool("check", "first", "--branch", "main..work", "--tree", minitree.path)
    assert ran.status == 2 and "name a SERIES of patches/, or commits" in ran.err


CHECKPATCH = """\
#!/usr/bin/perl
# Says what checkpatch says of a word, in its form.
open(my $in, '<', $ARGV[-1]); my $n = 0;
while (<$in>) { $n++; print "new.c:1: WARNING:UNUSED: unused\\n" if /^\\+.*unused/; }
"""


def test_b4_runs_the_plug_ins(
    tool: Tool, minitree: GitTree, careless: Path, tmp_path: Path
) -> None:
    """b4 prep --check with our check of a patch, on a prep branch; and the check of a series."""
    variables = home(tmp_path / "home")
    (minitree.path / "scripts").mkdir()
    (minitree.path / "scripts" / "checkpatch.pl").write_text(CHECKPATCH)
    minitree.commit("scripts: add")
    give_identity(minitree)
    ran = tool("send", "first", "--tree", minitree.path, "--project", careless, "-o",
               tmp_path / "out", **variables)  # fmt: skip
    assert ran.status == 0, ran.err
    command = f"{sys.executable} -m memdesc_tool.cli check --b4"
    minitree.git("config", "b4.prep-perpatch-check-cmd", f"{command} patch")
    minitree.git("checkout", "-q", "b4/first")
    b4 = Path(sys.executable).with_name("b4")
    done = subprocess.run([b4, "--offline-mode", "prep", "--check"], cwd=minitree.path, text=True,
                          env=without_git(variables), capture_output=True, check=False)  # fmt: skip
    said = done.stdout + done.stderr
    assert "WARNING: checkpatch:UNUSED: new.c:1: unused" in said
    assert "ERROR: maintainers was not checked: the tree has no scripts/get_maintainer.pl" in said
    cover = next(iter(sorted((tmp_path / "out").glob("*.eml")))).read_text()
    ran_series = subprocess.run(
        [*command.split(), "series"], cwd=minitree.path, input=cover, text=True,
        env=without_git(variables), capture_output=True, check=False,
    )  # fmt: skip
    entries = {one["tool"]: one for one in json.loads(ran_series.stdout)}
    assert entries["memdesc-tool message"]["status"] == "pass"
    assert entries["memdesc-tool interfaces"]["status"] == "pass"
    assert entries["memdesc-tool exports"]["status"] == "warn"
    assert "unused_symbol" in entries["memdesc-tool exports"]["details"]
    assert entries["memdesc-tool maintainers"]["status"] == "warn"


def test_only_what_a_patch_makes_a_compiler_say_is_its_own(tool: Tool, tmp_path: Path) -> None:
    """Objects of a tree with a real make: a warning that was there before is nobody's."""
    fake = make_fake(tmp_path / "kernel")
    makefile = (fake.path / "Makefile").read_text()
    fake.write("Makefile", makefile + "%.o:\n\t@$(MAKE) --no-print-directory -C $(O)"
               " -f $(CURDIR)/Makefile.build SRC=$(CURDIR) $@\n")  # fmt: skip
    fake.write("Makefile.build", BUILD)
    fake.write("mm/a.c", "int a; /* warning: old */\n")
    tree = GitTree(fake.path)
    tree.git("init", "-q", "-b", "main")
    tree.commit("start")
    fake.write("mm/a.c", "int a; /* warning: old */\nint more;\n")
    tree.commit("mm: add more\n\nMore is better.")
    fake.write("mm/b.c", "int b;\nint c; /* warning: new */\n")
    tree.commit("mm: add c\n\nMore is better.")
    fake.write("mm/b.c", "int b;\nint c; /* warning: new */\nint d; /* error */\n")
    tree.commit("mm: add d\n\nMore is better.")
    ran = tool("check", "--branch", "main~3..main", "--tree", tree.path, "--arch", "um")
    assert ran.status == 1, ran.err
    lines = [line.strip() for line in ran.out.splitlines() if "compile:um:" in line]
    assert lines == [
        "warning   compile:um: mm/b.c:2: odd on purpose",
        "error     compile:um: mm/b.c:3: broken on purpose",
    ]


CARELESS = """\
From: A. Developer <dev@example.org>
Subject: [PATCH] mm: add a file

This was missing since commit 0123456789abcdef0123456789abcdef01234567 and teh
reason is unknown.
---
 mm/careless.c | 3 +++
 odd/place.c   | 1 +
 2 files changed, 4 insertions(+)

diff --git a/mm/careless.c b/mm/careless.c
new file mode 100644
index 000000000000..111111111111
--- /dev/null
+++ b/mm/careless.c
@@ -0,0 +1,7 @@
+// SPDX-License-Identifier: GPL-2.0-only
+int a;@
+/**
+ * count() - Count.
+ * @b: not there
+ */
+int count(int a) { return a; }
diff --git a/odd/place.c b/odd/place.c
new file mode 100644
index 000000000000..222222222222
--- /dev/null
+++ b/odd/place.c
@@ -0,0 +1 @@
+int c;
""".replace(";@", "; ")


@pytest.mark.kernel
def test_the_scripts_of_a_real_tree_find_what_is_wrong(tool: Tool, tmp_path: Path) -> None:
    tree, _ = kernel_clone("check")
    series = tmp_path / "careless"
    series.mkdir()
    (series / "0001-mm-add-a-file.patch").write_text(CARELESS)
    ran = tool("check", series, "--tree", tree.path, "--no-compile", "--json", "-")
    assert ran.status == 1, ran.err
    found = {
        (one["check"], one["file"], one["line"])
        for one in json.loads(ran.out)["patches"][0]["findings"]
    }
    assert found >= {
        ("checkpatch:TRAILING_WHITESPACE", "mm/careless.c", 2),
        ("checkpatch:GIT_COMMIT_ID", "", 0),
        ("checkpatch:TYPO_SPELLING", "", 0),
        ("maintainers", "odd/place.c", 0),
        ("spdx", "odd/place.c", 0),
    }
    assert ("maintainers", "mm/careless.c", 0) not in found
    assert any(check == "kernel-doc" and file == "mm/careless.c" for check, file, _ in found)


def test_the_options_of_a_part_of_a_driver(minitree: GitTree) -> None:
    for name, text in {
        "Makefile": "obj-y += drivers/ mm/\n",
        "drivers/Makefile": "obj-$(CONFIG_BUS) += bus/\nobj-$(CONFIG_OTHER) += other/\n",
        "drivers/bus/Makefile": "obj-$(CONFIG_WIDGET) += widget.o\n"
        "widget-y := core.o \\\n\tpart.o\nwidget-$(CONFIG_WIDGET_DEBUG) += debug.o\n",
        "mm/Makefile": "obj-y := part.o\nobj-$(CONFIG_ALONE) += alone.o\n",
    }.items():
        (minitree.path / name).parent.mkdir(parents=True, exist_ok=True)
        (minitree.path / name).write_text(text)
    minitree.commit("Makefiles")

    def of(name: str) -> set[str]:
        return {one.name for one in options_for(Git(minitree.path), "HEAD", [name]).options}

    assert of("drivers/bus/part.o") == {"WIDGET", "BUS"}
    assert of("drivers/bus/debug.o") == {"WIDGET_DEBUG", "WIDGET", "BUS"}
    assert of("mm/alone.o") == {"ALONE"}
    assert of("mm/part.o") == set()


@pytest.mark.skipif(not shutil.which("spatch"), reason="spatch is not installed")
def test_semantic_patches_that_cannot_run_are_named(tmp_path: Path) -> None:
    rule = "virtual report\n@r@\nposition p;\n@@\n twice@p(...)\n"
    tell = "@script:python depends on report@\np << r.p;\n@@\n"
    tell += 'coccilib.report.print_report(p[0], "WARNING: twice")\n'
    scripts = tmp_path / "scripts" / "coccinelle"
    scripts.mkdir(parents=True)
    (scripts / "headers.cocci").write_text(f"// Options: --include-headers\n{rule}{tell}")
    (scripts / "wrong.cocci").write_text("virtual report\n@@\nno such thing\n")
    files = {
        "mm/a.h": b"static inline void f(void)\n{\n\ttwice();\n}\n",
        "mm/a.c": b"void g(void)\n{\n\ttwice();\n}\n",
    }
    found, unable = kerneldoc.coccicheck(tmp_path, files)
    assert set(found) == {("mm/a.h", 3, "WARNING: twice"), ("mm/a.c", 3, "WARNING: twice")}
    assert list(unable) == ["wrong.cocci"]
    assert unable["wrong.cocci"]


def test_a_complaint_that_names_another_line_moves_with_it() -> None:
    """The words are those of use_after_iter.cocci, kfree.cocci and for_each_child.cocci."""
    for text in (
        "ERROR: invalid reference to the index variable of the iterator on line {}",
        "ERROR: reference preceded by free on line {}",
        'WARNING: Function "f" should have of_node_put() before return around lines {},99.',
    ):
        before, after = (("mm/a.c", at + 38, text.format(at)) for at in (1587, 1668))
        assert kerneldoc.new((before,), (after,)) == ()
        assert kerneldoc.new((), (after,)) == (after,)


def test_what_has_not_run_is_not_to_be_silenced() -> None:
    late = Finding("results", Severity.WARNING, "has not run", "0001-x.patch")
    odd = Finding("spdx", Severity.WARNING, "no licence", "0002-y.patch")
    assert checkreport.hint(Report((late,), (), (), ())) == ""
    assert 'check = "spdx"' in checkreport.hint(Report((late, odd), (), (), ()))


def test_an_object_is_compiled_once() -> None:
    """Make complains of a target that is given twice."""
    files = ("mm/a.c", "mm/b.h", "tools/c.c", "mm/a.c", "mm/d.c")
    assert objects_of(files) == ("mm/a.o", "mm/d.o")
