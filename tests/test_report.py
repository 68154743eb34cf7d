"""memdesc-tool report: what it says of a series, in every format, whatever tests print."""

from __future__ import annotations

import fnmatch
import os
import re
import resource
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from junitparser import JUnitXml

from memdesc_tool.cache import open_cache
from memdesc_tool.cellchange import cell_of
from memdesc_tool.cells import Column, Regression, Row, Strategy
from memdesc_tool.excerpt import CHARACTERS, HEAD_BYTES, TAIL_BYTES, TAIL_LINES, read_excerpt
from memdesc_tool.fates import Fate, hunk
from memdesc_tool.formats import OUT_CHARACTERS, junit
from memdesc_tool.measured import Figure, keep_figures, read_figures
from memdesc_tool.project import Project
from memdesc_tool.reporttext import cell, code, fence, plain
from memdesc_tool.requirements import read_requirements
from memdesc_tool.results import Attempt, Outcome, Result, Verdict, key_of, open_store
from memdesc_tool.suites import Suite
from memdesc_tool.workspace import workspace_locks
from tests.conftest import ROOT, Tool
from tests.fakekbuild import make_kbuild, make_range
from tests.minikernel import STEPS, make_mini
from tests.reports import HOSTILE_CASE, REQUIREMENTS, Reported, break_greeting, cached_tool


@pytest.fixture
def reported(tool: Tool, tmp_path: Path) -> Reported:
    mini = make_mini(tmp_path)
    (mini.project / "patches" / "requirements.toml").write_text(REQUIREMENTS)
    return Reported(mini, tool, tmp_path / "cache")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A series that is good, with all its results. Tests change nothing of it."""
    path = tmp_path_factory.mktemp("good")
    mini = make_mini(path)
    (mini.project / "patches" / "requirements.toml").write_text(REQUIREMENTS)
    found = Reported(mini, cached_tool(path / "cache"), path / "cache")
    assert found.run("regress").status == 0
    return found


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A series with a regression, and a suite whose output is an attack."""
    path = tmp_path_factory.mktemp("bad")
    mini = make_mini(path)
    break_greeting(mini, hostile=True)
    found = Reported(mini, cached_tool(path / "cache"), path / "cache")
    assert found.run("regress").status == 1
    return found


class Page(HTMLParser):
    """The elements of a page, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.handle_data(" ")
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def words(text: str) -> str:
    return " ".join(text.split())


# --- what it says -----------------------------------------------------------------------------


def test_a_good_series(good: Reported, tmp_path: Path) -> None:
    reported = good
    before = reported.mini.tree.state()
    ran = reported.run("report", "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    # R3 has a test that nobody has written: that is the report's to show, not a bad verdict.
    assert ran.status == 0, ran.err
    assert ran.out.startswith("GOOD: 3 patches on kernel ")
    page = Page((tmp_path / "r.html").read_text())
    assert words(page.texts["h1"][0]).startswith("GOOD 3 patches on kernel")
    rows = [words(text) for text in page.texts["tr"]]
    assert "2. lib: count right + 3 passed, 1 fixed here" in rows
    assert "counting.right_number counting/um x x + ." in rows
    assert "R1 The count is right. 2. lib: count right 1 case passed counting.right_number" \
        " counting/um passed" in rows  # fmt: skip
    assert reported.mini.tree.state() == before
    assert "| `2. lib: count right` | 3 passed, 1 fixed here |" in (tmp_path / "r.md").read_text()


def test_it_does_not_wait_for_a_walk(good: Reported, tmp_path: Path) -> None:
    """Whoever builds on the same tree holds this lock, for hours sometimes."""
    held, _ = workspace_locks(good.mini.tree.path / ".git")
    with open_cache(good.cache).lock(held), open_cache(good.cache).try_lock(held) as free:
        assert not free
        ran = good.run("report", "-o", tmp_path / "r.html")
    assert ran.status == 0, ran.err
    assert "waiting" not in ran.err


def test_every_cell_leads_to_its_log(bad: Reported, tmp_path: Path) -> None:
    assert bad.run("report", "-o", tmp_path / "r.html").status == 1
    page = Page((tmp_path / "r.html").read_text())
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = [
        str(a["href"])
        for a in page.all("a")
        if str(a["href"]).startswith("#c") and a["href"] != "#cases"
    ]
    assert len(links) == 4 and {link[1:] for link in links} <= targets
    assert any("failed: counting.greets" in text for text in page.texts["pre"])
    assert sum("Linux version 7.3.0 (mini)" in text for text in page.texts["pre"]) == 4
    # Log files are named by their place in the cache, not by where it is on this machine.
    assert str(bad.cache) not in (tmp_path / "r.html").read_text()


def test_what_has_not_run_is_not_good(reported: Reported) -> None:
    ran = reported.run("report", "--markdown", "-")
    assert ran.status == 1
    assert "**INCOMPLETE**" in ran.out and "4 cells have not run" in words(ran.out)
    assert "| not run |" in ran.out
    assert reported.run("regress", "--ends").status == 0
    ran = reported.run("report", "--markdown", "-")
    assert (ran.status, "2 cells have not run" in ran.out) == (1, True)
    ran = reported.run("report", "--markdown", "-", "--strategy", Strategy.ENDS.value)
    assert ran.status == 0
    # A failure is one, whatever is missing.
    break_greeting(reported.mini, hostile=False)
    assert reported.run("regress", "--ends").status == 1
    assert "**BAD**" in reported.run("report", "--markdown", "-").out


def test_the_same_results_give_the_same_page(good: Reported, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        good.run("report", "-o", tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_junit(bad: Reported, tmp_path: Path) -> None:
    assert bad.run("report", "--junit", tmp_path / "r.xml").status == 1
    suites = list(JUnitXml.fromfile(str(tmp_path / "r.xml")))
    assert [suite.name for suite in suites][-1] == "3. lib: be short <b>& rude</b>: counting/um"
    assert suites[-1].failures == 2  # the case and the splat
    assert [case.name for case in suites[-1]][1] == f"counting.{HOSTILE_CASE}"


def test_junit_has_times_and_logs(bad: Reported, tmp_path: Path) -> None:
    bad.run("report", "--junit", tmp_path / "r.xml")
    xml = JUnitXml.fromfile(str(tmp_path / "r.xml"))
    suites = list(xml)
    with open_store(bad.cache / "results.sqlite") as store:
        runs = [run for one in store.inputs("kunit") for run in store.attempts(key_of(one))]
    assert xml.time == pytest.approx(sum(run.seconds for run in runs), abs=0.01)
    assert all(suite.time > 0 for suite in suites)
    began = min(run.started for run in runs)
    assert suites[0].timestamp == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))
    case, splat = (case for case in suites[-1] if case.is_failure)
    assert case.system_out.startswith(f"failed: counting.{HOSTILE_CASE}\n")
    assert splat.system_out.startswith("splat: ")
    assert "Modules linked in: <script>" in splat.system_out
    assert "\\x9b31m \\u202egnp.exe" in splat.system_out
    assert not [one for suite in suites for one in suite if one.system_out and not one.is_failure]


def test_times_of_junit() -> None:
    """Of a run with one case, of one that was run twice, and of one that could not differ."""
    column = Column(Suite("pages", Path(), "", "", ()), "um")

    def attempt(*cases: str) -> Attempt:
        results = tuple(Result(case, Verdict.PASSED) for case in cases)
        return Attempt(Outcome.RAN, results, 86400.0, 2.5, "")

    rows = tuple(Row(n, f"{n}. x", str(n) * 40) for n in range(3))
    runs = ((attempt("a"),), (attempt("a", "b"), attempt("a", "b")), (attempt("a"),))
    cells = {
        (row.number, column.name): cell_of(row, column, run, (), (), inherited=row.number == 2)
        for row, run in zip(rows, runs, strict=True)
    }
    suites = list(JUnitXml.fromstring(junit(Regression(rows, (column,), cells), {}).decode()))
    assert [suite.time for suite in suites] == [2.5, 5.0, 0.0]
    assert [[case.time for case in suite] for suite in suites] == [[2.5], [None, None], [0.0]]
    assert [suite.timestamp for suite in suites] == ["1970-01-02T00:00:00"] * 2 + [None]


def test_what_went_wrong_on_the_way_is_not_well(reported: Reported, tmp_path: Path) -> None:
    bye = STEPS[1][1].replace("echo hello", "echo bye")
    reported.mini.make_series(STEPS[0], ("be short", bye), STEPS[2])
    assert reported.run("regress", "--confirm", "0").status == 1
    assert reported.run("report", "-o", tmp_path / "r.html").status == 1
    text = (tmp_path / "r.html").read_text()
    (row,) = (row for row in Page(text).texts["tr"] if words(row).startswith("counting.greets"))
    assert words(row).endswith(". . R +")
    rows = dict(re.findall(r'<tr class="([^"]*)"><th scope="row"><code>(.*?)</code>', text))
    assert rows == {"f unwell": "counting.greets", "f": "counting.right_number"}


MUTANTS = """\
[[equivalent]]
file = "lib/count.sh"
line = "count() {"
became = "echo same"
reason = "a <b>comment</b> | all the same"
"""


def test_mutants_by_patch(reported: Reported, tmp_path: Path) -> None:
    (reported.mini.project / "patches" / "mutants.toml").write_text(MUTANTS)
    reported.measure()
    reported.run("report", "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    html, told = (tmp_path / "r.html").read_text(), (tmp_path / "r.md").read_text()
    strength = words(re.sub(r"<[^>]*>", " ", html.partition('id="strength"')[2]))
    shown = strength.partition("Mutants that no suite notices")[2].partition("Benchmarks")[0]
    # Of four that have run, one is noticed, one argued; the trial of an older suite is none.
    assert shown.startswith(
        " 1 of 3 mutants that compile and change something (1 do not) are noticed;"
        " 4 of 9 were planted (seed 7). Not finished: 4 of the 5 mutants that were asked for have"
        " run. Not counted, since the suite has changed after it ran on them: counting/i386."
        " shown to mutants noticed lines not run counting/um 4 0 0 counting/um-smp 1 0 0"
        " counting/x86_64 1 1 1 "
    )
    survive, _, argued = shown.partition("Mutants that are argued to change nothing")
    places = [
        survive.index(word) for word in ("2. lib: count right", "bound", "3. lib:", "no call")
    ]
    assert places == sorted(places)
    diff = "diff @@ -1,5 +1,5 @@ # How many pages there are. -count() { +echo &lt;script&gt;"
    assert f"ran on counting/um, counting/um-smp {diff}" in survive
    assert "ran on counting/um; its line is not run on counting/x86_64" in survive
    assert "negated" not in shown and "no lock" not in shown and "flag" not in survive
    assert "2. lib: count right lib/count.sh:2: flag" in argued
    assert "a &lt;b&gt;comment&lt;/b&gt; | all the same" in argued
    assert "<script>document" not in html

    assert "- mutants: 1 of 3 that compile and change something (1 do not) are noticed\n" in told
    assert "- of 9 mutants 4 were planted\n- not finished: 4 of the 5 mutants that were" in told
    assert "changed after it ran on them: `counting/i386`\n- `counting/um`: 0 of 4 mutants" in told
    assert "- `counting/x86_64`: 1 of 1 mutants noticed, 1 in lines that are not run\n" in told
    survive, _, argued = told.partition("### Mutants that are argued to change nothing")
    first = "- `lib/count.sh:2: bound: count() {`: ran on counting/um, counting/um-smp"
    diff = "  ```\n  @@ -1,5 +1,5 @@\n   # How many pages there are.\n  -count() {\n  +echo <"
    assert f"`2. lib: count right`:\n\n{first}\n\n{diff}" in survive
    assert "  a \\<b>comment\\</b> \\| all the same\n" in argued
    assert "lib/count.sh:2: flag" not in survive


def test_mutants_of_another_state_are_not_shown(reported: Reported) -> None:
    reported.measure()
    assert "no call" in reported.run("report", "--markdown", "-").out
    reported.mini.make_series(*STEPS[:2])
    assert "no call" not in reported.run("report", "--markdown", "-").out


def test_a_hunk_of_a_mutant() -> None:
    text = ["#include <a.h>", "int f(void)", "{", "a;", "b;", "c;", "d;", "e;", "f;", "}", ""]
    fate = Fate("1. x", "a.c", 7, "no call", "d;", ";")
    assert hunk(text, fate) == (
        "@@ -4,7 +4,7 @@ int f(void)", " a;", " b;", " c;", "-d;", "+;", " e;", " f;", " }"
    )  # fmt: skip
    assert hunk(text[:1], replace(fate, number=1, line=text[0]))[0] == "@@ -1,1 +1,1 @@"
    assert hunk(text, replace(fate, number=6)) == () == hunk(text, replace(fate, number=70))


def test_figures_of_one_benchmark_are_kept_together(tmp_path: Path) -> None:
    span = {"base": "1", "tip": "2"}
    labels = ["base", "first", "last"]

    def kept(benchmark: str, *figures: tuple[str, float]) -> list[tuple[str, float]]:
        every = [Figure("walk", "instructions", patch, n, n, n, 3) for patch, n in figures]
        with open_store(tmp_path / "s.sqlite") as store:
            keep_figures(store, span, 1.0, every, benchmark, labels)
            found = read_figures(store, span) or ()
        return [(one.patch, one.middle) for one in found]

    assert kept("a", ("base", 1.0), ("first", 2.0), ("last", 3.0))
    assert kept("a", ("base", 4.0), ("last", 5.0)) == [("base", 4.0), ("first", 2.0), ("last", 5.0)]
    assert kept("b", ("last", 6.0)) == [("last", 6.0)]  # another benchmark, other figures


def test_history_flakiness_strength_and_figures(reported: Reported, tmp_path: Path) -> None:
    reported.run("regress")
    reported.measure()
    break_greeting(reported.mini, hostile=False)
    reported.run("regress")
    reported.run("report", "-o", tmp_path / "r.html")
    text = words(" ".join(Page((tmp_path / "r.html").read_text()).texts["section"]))
    assert "5 of 5 states" in text  # four of now, and the third patch as it was
    rows = [words(row) for row in Page((tmp_path / "r.html").read_text()).texts["tr"]]
    assert sum("numbers v1 3/3 3 passed" in row for row in rows) == 1
    assert "Not measured of this state: memdesc-tool regress --coverage" in text

    reported.measure()
    store_flaky(reported)
    ran = reported.run("report", "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert ran.status == 1, ran.err
    page = Page((tmp_path / "r.html").read_text())
    text = words(" ".join(page.texts["section"]))
    assert "3 of 4 (75%) 1 not run" in text
    assert "1 of 4 mutants that compile are noticed; 4 of 9 were planted (seed 7)" in text
    assert "31 (30.5 to 33)" in text
    assert "37.2 (36 to 38) +20 %, slower than the row above" in text
    rows = [words(row) for row in page.texts["tr"]]
    assert any(row.startswith("counting.counts counting/um base (kernel) 1 of 2") for row in rows)
    assert "`counting.counts`: fails 1 of 2: 50%" in (tmp_path / "r.md").read_text()


def store_flaky(reported: Reported) -> None:
    """Add an attempt on the base in which a case fails that has passed."""
    with open_store(reported.cache / "results.sqlite") as store:
        inputs = store.inputs("kunit")[0]
        attempt = store.attempts(key_of(inputs))[0]
        results = tuple(
            type(one)(one.name, type(one.verdict).FAILED, "failed")
            if one.name == "counting.counts" else one
            for one in attempt.results
        )  # fmt: skip
        fields = {**vars(attempt), "results": results}
        store.add(inputs, type(attempt)(**fields))


def test_warnings_come_with_their_hunk(tool: Tool, tmp_path: Path) -> None:

    tree = make_kbuild(tmp_path / "kernel")
    make_range(
        tree,
        ("count", {"mm/count.c": "int count_pages(int x)\n{\n\treturn x;\n}\n"}),
        ("warn", {"mm/count.c": "int count_pages(int x)\n{\n\tint y;\n\treturn x;\n}\n"}),
    )
    matrix = tmp_path / "m.toml"
    matrix.write_text('[[compile]]\narches = ["x86_64"]\nconfigs = ["defconfig"]\n')
    where = ("--tree", tree.path, "--range", "main..work", "--matrix", matrix)
    assert "unused variable" in tool("regress", *where).out
    assert tool("report", *where, "--markdown", "r.md", "-o", "r.html").status == 1
    assert "+\tint y;".expandtabs(5) in (tmp_path / "r.md").read_text()
    pres = Page((tmp_path / "r.html").read_text()).texts["pre"]
    assert any("int y;" in pre and pre.startswith("@@ ") for pre in pres)


# --- requirements -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[requirement]]\nid = "R1"\ntext = "x"\npatches = ["numbers/0009*"]\n',
         "requirements.toml:4: requirement[1].patches: numbers/0009* matches no patch"),
        ('[[requirement]]\nid = "R1"\ntext = "x"\n[[requirement]]\nid = "R1"\ntext = "y"\n',
         "requirements.toml:5: requirement[2].id: R1 is there twice"),
        ('[[requirement]]\nid = "R1"\ntext = "x"\ntest = []\n', "unknown field"),
    ],
)  # fmt: skip
def test_requirements_that_are_wrong(reported: Reported, text: str, says: str) -> None:
    (reported.mini.project / "patches" / "requirements.toml").write_text(text)
    ran = reported.run("report", "--markdown", "-")
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err


def test_the_requirements_of_this_project_name_patches_and_tests_that_exist() -> None:
    """Globs of patches are checked when they are read; those of cases against the suites."""

    found = read_requirements(Project(ROOT))
    assert [one.name for one in found] == [f"R{n}" for n in range(1, 13)]
    sources = "\n".join(
        path.read_text(errors="replace")
        for path in sorted((ROOT / "kernel-test-modules").rglob("*"))
        if path.suffix in (".c", ".sh", ".toml", ".py")
    )
    for one in found:
        for glob in one.tests:
            for word in re.findall(r"\w{4,}", glob):
                assert word in sources, f"{one.name}: {glob}"
            # KUnit's cases can be told from the sources, and so that a glob fits one of them.
            if glob.startswith("movable_ops"):
                assert fnmatch.filter(_kunit_cases(), glob), f"{one.name}: {glob}"


def _kunit_cases() -> list[str]:
    """The cases of our KUnit suites as results name them: an array of them, then its suite."""
    found, cases = [], []
    for path in sorted((ROOT / "kernel-test-modules" / "movable_ops").glob("*.c")):
        for kind, case, suite in re.findall(
            r'KUNIT_CASE(_\w+)?\((\w+)|^\t\.name = "(\w+)"', path.read_text(), re.MULTILINE
        ):
            if case:
                cases.append(f"{case}.X" if kind == "_PARAM" else case)
            else:
                found += [f"{suite}.{name}" for name in cases]
                cases = []
    return found


# --- hostile output ---------------------------------------------------------------------------


def test_hostile_output_is_harmless(bad: Reported, tmp_path: Path) -> None:
    files = {"-o": tmp_path / "r.html", "--markdown": tmp_path / "r.md", "--junit": tmp_path / "x"}
    bad.run("report", *(word for pair in files.items() for word in pair))
    for path in files.values():
        data = path.read_bytes()
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", data), path
        assert "\u202e" not in data.decode() and "\x9b" not in data.decode()
    page = Page(files["-o"].read_text())
    assert page.all("script") == [{}]
    assert not page.all("img")
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert HOSTILE_CASE in " ".join(page.texts["code"])  # shown all the same
    assert "\\u202egnp.exe" in " ".join(page.texts["pre"])
    policy = next(str(a["content"]) for a in page.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_markdown_of_hostile_words() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`a`") == "`` `a` ``"
    assert cell("a|b") == "`a\\|b`"
    assert code("one\ntwo") == "`one two`"
    assert fence(["```", "x"]).splitlines() == ["````", "```", "x", "````"]
    assert len(fence(str(n) for n in range(100)).splitlines()) == 33
    assert plain("<b>[x](y) @me #1 $a$") == r"\<b>\[x\](y) \@me \#1 \$a\$"
    assert plain("_a_b_ c_d") == r"\_a_b\_ c_d"


def test_an_excerpt_says_what_it_leaves_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(1000)) + "x" * 5000 + "\n")
    found = read_excerpt(log, bad=True)
    assert len(found.end) == TAIL_LINES
    assert found.end[0] == f"line {1001 - TAIL_LINES}"
    assert found.end[-1] == f"{'x' * CHARACTERS} [{5000 - CHARACTERS} characters more]"
    assert found.note == f"of the log the last {TAIL_LINES} lines are shown"


@pytest.mark.parametrize("make", ["gone", "fifo", "directory", "empty"])
def test_a_log_that_cannot_be_shown(tmp_path: Path, make: str) -> None:
    log = tmp_path / "log"
    if make == "fifo":
        os.mkfifo(log)
    elif make == "directory":
        log.mkdir()
    elif make == "empty":
        log.touch()
    found = read_excerpt(log, bad=True)
    assert found.end == found.problems == ()
    assert bool(found.note) == (make != "empty")


def test_a_huge_log_is_read_at_its_ends_only(bad: Reported, tmp_path: Path) -> None:
    """A log of 200 MB, in one line without an end, costs no more than its ends.

    The last test of those that use these results: it spoils their logs.
    """
    reported = bad
    with open_store(reported.cache / "results.sqlite") as store:
        logs = [store.attempts(key_of(one))[0].log for one in store.inputs("kunit")]
    size = 200_000_000
    for log in logs:
        with Path(log).open("wb") as stream:
            stream.write(b"first \x1b[2J" + b"A" * 8192)
            stream.truncate(size - 4)
            stream.seek(0, os.SEEK_END)
            stream.write(b"last")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    started = time.monotonic()
    ran = reported.run("report", "-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    assert (ran.status, time.monotonic() - started < 60) == (1, True)
    grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before
    assert grown < 100_000, f"{grown} kB more than any child before"
    assert (tmp_path / "r.html").stat().st_size < 200_000
    text = (tmp_path / "r.html").read_text()
    assert f"of {size:,} bytes the first {HEAD_BYTES:,} and the last {TAIL_BYTES:,}" in text


def test_as_many_cases_as_a_test_can_print(reported: Reported, tmp_path: Path) -> None:
    suite = reported.mini.project / "kernel-test-modules" / "counting" / "counting.sh"
    count = 20_000
    suite.write_text(
        'echo "KTAP version 1"\necho "1..1"\necho "    KTAP version 1"\n'
        f'echo "    # Subtest: counting"\necho "    1..{count}"\n'
        f'i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo "    not ok $i case$i"; done\n'
        'echo "not ok 1 counting"\n'
    )
    reported.run("regress", "--ends")
    files = ("-o", tmp_path / "r.html", "--markdown", tmp_path / "r.md", "--junit", tmp_path / "x")
    ran = reported.run("report", *files)
    assert ran.status == 1
    outs = [case.system_out for suite in JUnitXml.fromfile(str(tmp_path / "x")) for case in suite
            if case.is_failure]  # fmt: skip
    assert len(outs) == count and outs[0] == "failed: counting.case1"
    assert OUT_CHARACTERS - 5000 < sum(map(len, outs)) < OUT_CHARACTERS + 20 * count
    assert outs[-1] == "(see the log)"
    assert (tmp_path / "r.html").stat().st_size < 1_000_000
    assert (tmp_path / "r.md").stat().st_size < 100_000
    assert f"{count - 300} more cases are left out" in (tmp_path / "r.html").read_text()


# --- files ------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written(reported: Reported, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = reported.run("report", "-o", tmp_path / "file" / "r.html")
    assert ran.status == 2
    assert "cannot write" in ran.err and len(ran.err.splitlines()) <= 2


def test_the_default_is_a_page_here(reported: Reported, tmp_path: Path) -> None:
    reported.run("report", cwd=tmp_path / "kernel")
    assert (tmp_path / "kernel" / "report.html").exists()
