"""The KUnit wrapper: on a miniature tree, and on the real kernel (marked kernel)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from memdesc_tool import arch, kconfig, kunit, tree
from memdesc_tool.cache import Cache, open_cache
from memdesc_tool.console import Progress
from memdesc_tool.kunit import KunitRequest, Outcome
from memdesc_tool.workspace import Workspace, open_workspace
from tests.conftest import GitTree, Tool
from tests.fakelinux import PASSING, FakeLinux, make_fake
from tests.test_build import wait_for_no_process

FAILING = PASSING.replace(
    "    ok 2 two", "    # two: EXPECTATION FAILED\n    not ok 2 two"
).replace("\nok 1 alpha", "\nnot ok 1 alpha")
SPLAT = PASSING.replace(
    "    ok 2 two",
    "------------[ cut here ]------------\n"
    "WARNING: CPU: 0 PID: 7 at mm/migrate.c:123 some_function+0x12/0x34\n"
    "---[ end trace 0000000000000000 ]---\n"
    "    ok 2 two",
)


@pytest.fixture
def fake(tmp_path: Path) -> FakeLinux:
    return make_fake(tmp_path / "src")


@pytest.fixture
def asked(fake: FakeLinux, tmp_path: Path) -> KunitRequest:
    return KunitRequest(
        source=fake.path,
        arch=arch.load("um"),
        fragment=kconfig.parse("CONFIG_KUNIT=y\n", "t"),
        build_dir=tmp_path / "out",
        log_dir=tmp_path / "logs",
        timeout=20,
        jobs=1,
    )


def test_passed(asked: KunitRequest, cache: Cache, progress: Progress) -> None:
    result = kunit.run(replace(asked, filter_glob="alpha"), cache, progress)
    assert (result.outcome, result.reasons) == (Outcome.PASSED, ())
    assert result.report and len(result.report.document.cases) == 3
    identity = dict(result.identity)
    assert identity["command_line"].endswith("kunit.filter_glob=alpha kunit.enable=1")
    assert identity["machine"] == "um" and "gcc" in identity["toolchain"]


@pytest.mark.parametrize(
    ("console", "end", "outcome", "reason"),
    [
        (FAILING, "exit 0", Outcome.FAILED, "1 of 3 cases failed: alpha.two"),
        (SPLAT, "exit 0", Outcome.FAILED, "splats: "),
        ("Linux version 7.3\nreboot: System halted\n", "exit 0", Outcome.NO_TESTS,
         "no test reported anything"),
        ("Linux version 7.3\nKTAP version 1\n1..0\n", "exit 0", Outcome.NO_TESTS,
         "no test reported anything"),
        ("", "exit 1", Outcome.NOT_BOOTED, "no output of a kernel"),
        ("Linux version 7.3\n", "kill -ABRT $$", Outcome.DIED, "the kernel died (exit status -6)"),
        (PASSING, "kill -SEGV $$", Outcome.DIED, "the kernel died (exit status -11)"),
        (PASSING.partition("    ok 2")[0], "exec sleep 1000", Outcome.TIMEOUT, "still running"),
        (PASSING.replace("    ok 1 one\n    ok 2 two",
                         "    ok 1 one # SKIP\n    ok 2 two # SKIP"), "exit 0",
         Outcome.NO_TESTS, "all 3 cases were skipped"),
    ],
)  # fmt: skip
def test_outcomes(
    fake: FakeLinux, asked: KunitRequest, cache: Cache, progress: Progress,
    console: str, end: str, outcome: Outcome, reason: str,
) -> None:  # fmt: skip
    fake.says(console, end)
    result = kunit.run(replace(asked, timeout=2), cache, progress)
    assert result.outcome is outcome
    assert any(one.startswith(reason) for one in result.reasons), result.reasons


def test_results_cut_short_are_not_green(
    fake: FakeLinux, asked: KunitRequest, cache: Cache, progress: Progress
) -> None:
    fake.says(PASSING.partition("    KTAP version 1\n    # Subtest: beta")[0])
    assert not kunit.run(asked, cache, progress).passed


@pytest.mark.parametrize("glob", ["gamma", "alpha.none", "a", "gamma*.*"])
def test_what_was_asked_for_must_report(
    asked: KunitRequest, cache: Cache, progress: Progress, glob: str
) -> None:
    result = kunit.run(replace(asked, expect=("alpha", "be*", glob)), cache, progress)
    assert result.outcome is Outcome.NO_TESTS
    assert result.reasons == (f"asked for, but nothing reported: {glob}",)


def test_build_and_config_failures(
    fake: FakeLinux, asked: KunitRequest, cache: Cache, progress: Progress
) -> None:
    fake.write("mm/a.c", "error\n")
    result = kunit.run(asked, cache, progress)
    assert (result.outcome, result.boot) == (Outcome.BUILD_FAILED, None)
    assert result.reasons[0] == "mm/a.c:1: error: broken on purpose"
    fake.write("unavailable", "CONFIG_KUNIT\n")
    result = kunit.run(asked, cache, progress)
    assert result.outcome is Outcome.CONFIG_FAILED
    assert "this kernel has no option KUNIT" in result.reasons[0]


def test_build_directory_tells_configurations_apart() -> None:
    um, smp = arch.load("um"), arch.load("um-smp")
    one, two = (kconfig.parse(text, "t") for text in ("CONFIG_A=y", "CONFIG_A=m"))
    where = Path("/b")
    names = [
        kunit.build_directory(where, um, one), kunit.build_directory(where, smp, one),
        kunit.build_directory(where, um, two), kunit.build_directory(where, um, one, ("LLVM=1",)),
    ]  # fmt: skip
    assert len(set(names)) == 4
    assert kunit.build_directory(where, um, one) == names[0]


# -- the command -----------------------------------------------------------------------------


def test_command_plain_directory(fake: FakeLinux, tool: Tool) -> None:
    ran = tool("kunit", "--tree", fake.path, "--jobs", "1")
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[-1].startswith("PASSED (2 passed, 1 skipped, build ")
    log = next(line for line in ran.out.splitlines() if line.startswith("console: "))
    assert "ok 1 alpha" in Path(log.removeprefix("console: ")).read_text()


def test_command_failure(fake: FakeLinux, tool: Tool, tmp_path: Path) -> None:
    fake.says(FAILING)
    ran = tool("kunit", "--tree", fake.path, f"--json={tmp_path}/j", f"--junit={tmp_path}/x")
    assert ran.status == 1
    assert "failed: alpha.two" in ran.out and "EXPECTATION FAILED" in ran.out
    assert ran.out.splitlines()[-1].startswith("FAILED: 1 of 3 cases failed: alpha.two (")
    assert json.loads((tmp_path / "j").read_text())["good"] is False
    assert "alpha" in (tmp_path / "x").read_text()


def test_command_output_forms(fake: FakeLinux, tool: Tool) -> None:
    raw = tool("kunit", "--tree", fake.path, "--raw_output", "alpha")
    assert raw.out.startswith("KTAP version 1") and "PASSED" in raw.err
    everything = tool("kunit", "--tree", fake.path, "--raw-output=all")
    assert everything.out.startswith("Linux version")
    bare = tool("kunit", "--tree", fake.path, "--json", "alpha")
    assert json.loads(bare.out)["good"] is True
    assert tool("kunit", "--tree", fake.path, "--summary").out.count("\n") == 1


def test_command_lists(fake: FakeLinux, tool: Tool) -> None:
    fake.says("Linux version 7.3\nKTAP version 1\na.one\na.two\nb.three\nreboot: halted\n")
    ran = tool("kunit", "--tree", fake.path, "--list_tests")
    assert (ran.status, ran.out.split()) == (0, ["a.one", "a.two", "b.three"])
    assert tool("kunit", "--tree", fake.path, "--list-suites").out.split() == ["a", "b"]
    fake.says("Linux version 7.3\nKTAP version 1\na\n# module: m\na.one\nreboot: System halted\n")
    ran = tool("kunit", "--tree", fake.path, "--list_tests_attr")
    assert (ran.status, ran.out) == (0, "a\n# module: m\na.one\n")
    fake.says("Linux version 7.3\n", "exit 1")
    assert tool("kunit", "--tree", fake.path, "--list_tests").status == 1


def test_command_isolated(fake: FakeLinux, tool: Tool) -> None:
    fake.write(
        "linux.sh",
        f"""#!/bin/sh
case "$*" in
*action=list*) printf 'KTAP version 1\\nalpha.one\\nbeta.three\\n';;
*glob=beta*) printf 'KTAP version 1\\n1..1\\nnot ok 1 beta\\n';;
*) cat {fake.path}/console.txt;;
esac
""",
    )
    ran = tool("kunit", "--tree", fake.path, "--run_isolated", "suite")
    assert ran.status == 1
    verdicts = [
        line.split()[0] for line in ran.out.splitlines() if line[:6] in ("PASSED", "FAILED")
    ]
    assert verdicts == ["PASSED", "FAILED:"]


@pytest.mark.parametrize(
    ("args", "status", "bisect", "message"),
    [
        (("--kconfig_add", "CONFIG_NUMA=y"), 2, 125, "there is no NUMA on um"),
        (("--kconfig-add", "nonsense"), 2, 128, "--kconfig_add:1: not a Kconfig option"),
        (("--arch", "vax"), 2, 128, "there is no architecture vax"),
        (("--kunitconfig", "nowhere"), 2, 128, "nowhere"),
        (("--filter", "a", "b"), 2, 128, "either FILTER_GLOB or --filter"),
        (("--filter", "nosuch"), 1, 1, "asked for, but nothing reported: nosuch"),
        (("--no-such-option",), 2, 128, "No such option"),
        (("--series", "x"), 2, 128, ""),
    ],
)
def test_command_wrong_use(
    fake: FakeLinux, tool: Tool, args: tuple[str, ...], status: int, bisect: int, message: str
) -> None:
    fake.write("unavailable", "CONFIG_NUMA\n")
    ran = tool("kunit", "--tree", fake.path, *args)
    assert ran.status == status and message in ran.out + ran.err
    assert tool("kunit", "--tree", fake.path, "--bisect", *args).status == bisect


def test_command_bisect_statuses(fake: FakeLinux, tool: Tool) -> None:
    assert tool("kunit", "--tree", fake.path, "--bisect").status == 0
    fake.says(FAILING)
    assert tool("kunit", "--tree", fake.path, "--bisect").status == 1
    fake.says("", "exit 1")
    assert tool("kunit", "--tree", fake.path, "--bisect").status == 128
    assert tool("kunit", "--tree", fake.path).status == 3
    fake.write("mm/a.c", "error\n")
    assert tool("kunit", "--tree", fake.path, "--bisect").status == 125
    assert tool("kunit", "--tree", fake.path).status == 1


def test_command_arguments_reach_the_kernel(fake: FakeLinux, tool: Tool) -> None:
    fake.write("linux.sh", f'#!/bin/sh\necho "args: $*"\ncat {fake.path}/console.txt\n')
    ran = tool(
        "kunit", "--tree", fake.path, "--raw_output=all", "--kernel_args=a=1", "--kernel_args=b=2",
        "--filter", "speed>slow", "--filter_action", "skip", "alpha",
    )  # fmt: skip
    for word in ("a=1 b=2", "kunit.filter_glob=alpha", 'kunit.filter="speed>slow"',
                 "kunit.filter_action=skip"):  # fmt: skip
        assert word in ran.out


def test_command_git_tree_is_not_touched(fake: FakeLinux, tool: Tool) -> None:
    git = GitTree(fake.path)
    git.git("init", "-q", "-b", "main")
    git.git("add", "-A")
    git.git("commit", "-q", "-m", "start")
    fake.write("mm/a.c", "error: not committed\n")
    before = git.state()
    ran = tool("kunit", "--tree", fake.path)
    assert ran.status == 0, "what is not committed was built"
    assert "1 uncommitted changes are not in this run" in ran.err
    assert git.state() == before


SUITE = """\
[suite]
name = "gamma"
title = "a suite of the project's"
filter = "gamma"
kunitconfig = "config"

[[file]]
source = "linux.sh"
path = "linux.sh"
"""
GAMMA = r"""#!/bin/sh
printf 'Linux version 7.3\nKTAP version 1\n1..1\nok 1 gamma\n'
"""


def test_command_series_and_suite(fake: FakeLinux, tool: Tool, tmp_path: Path) -> None:
    fake.says(FAILING)
    git = GitTree(fake.path)
    git.git("init", "-q", "-b", "main")
    git.git("add", "-A")
    git.git("commit", "-q", "-m", "start")
    git.git("checkout", "-q", "-b", "work")
    fake.says(PASSING)
    git.git("commit", "-qam", "two: make it pass\n\nIt failed.")
    project = tmp_path / "project"
    series = project / "patches" / "one"
    git.git("format-patch", "-q", "-o", str(series), "main")
    git.git("checkout", "-q", "main")
    (project / "patches" / "stack.toml").write_text('series = ["one"]\n')
    (patch,) = series.glob("*.patch")
    (series / "series.toml").write_text(f'title = "t"\n\n[[patch]]\nfile = "{patch.name}"\n')
    suite = project / "kernel-test-modules" / "gamma"
    suite.mkdir(parents=True)
    (suite / "suite.toml").write_text(SUITE)
    (suite / "config").write_text("CONFIG_KUNIT=y\n")
    (suite / "linux.sh").write_text(GAMMA)
    before = git.state()
    common = ("kunit", "--tree", fake.path, "--project", project)
    assert tool(*common).status == 1
    ran = tool(*common, "--series", "one")
    assert ran.status == 0, ran.out + ran.err
    assert tool(*common, "--upto", "0").status == 1
    ran = tool(*common, "--suite", "gamma")
    assert ran.status == 0 and ran.out.splitlines()[-1].startswith("PASSED (1 passed"), ran.err
    ran = tool(*common, "--suite", "gamma", "--no-overlay")
    assert ran.status == 1 and "asked for, but nothing reported: gamma" in ran.out
    assert git.state() == before
    fake.write("linux.sh", "#!/bin/sh\nexit 3\n")
    git.git("commit", "-qam", "conflict")
    assert tool(*common, "--series", "one", "--bisect").status == 125


def test_kill_9_of_the_command_leaves_nothing(fake: FakeLinux, tmp_path: Path) -> None:
    word = f"4000.{os.getpid()}"
    fake.says(PASSING, f"setsid sh -c ': > {tmp_path}/up; exec sleep {word}' & wait")
    argv = [sys.executable, "-m", "memdesc_tool.cli", "--cache", str(tmp_path / "c"),
            "kunit", "--tree", str(fake.path)]  # fmt: skip
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "up").exists():
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_for_no_process(word)


# -- the real kernel -------------------------------------------------------------------------

EXAMPLE = "CONFIG_KUNIT=y\nCONFIG_KUNIT_EXAMPLE_TEST=y\n"


@dataclass(frozen=True)
class Real:
    """7.3 (or $MEMDESC_TOOL_TEST_TREE, a git tree) and a request for its example suite."""

    workspace: Workspace
    commit: str
    request: KunitRequest

    @property
    def cache(self) -> Cache:
        return self.workspace.cache


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    """User Mode Linux, built in the user's own cache, so that a second run is quick."""
    cache, progress = open_cache(), Progress()
    spec = os.environ.get("MEMDESC_TOOL_TEST_TREE", "7.3")
    base = tree.resolve(spec, cache, progress)
    with open_workspace(cache, base, progress) as workspace:
        um, fragment = arch.load("um"), kconfig.parse(EXAMPLE, "example")
        request = KunitRequest(
            source=workspace.checkout(base.commit),
            arch=um,
            fragment=fragment,
            build_dir=kunit.build_directory(workspace.builds, um, fragment),
            log_dir=cache.logs / "tests",
            filter_glob="example",
        )
        yield Real(workspace, base.commit, request)


@pytest.mark.kernel
def test_real_example_passes(real: Real) -> None:
    request, cache = real.request, real.cache
    result = kunit.run(request, cache, Progress())
    assert (result.outcome, result.reasons) == (Outcome.PASSED, ())
    assert result.report
    ids = {case.id for case in result.report.document.cases}
    assert "example.example_simple_test" in ids
    again = kunit.run(request, cache, Progress())
    assert "  CC " not in again.build.log.read_text(), "compiled again without need"


@pytest.mark.kernel
def test_real_failing_case_is_red(real: Real) -> None:
    path = "lib/kunit/kunit-example-test.c"
    source = (real.request.source / path).read_text()
    broken = source.replace(
        "KUNIT_EXPECT_EQ(test, 1 + 1, 2);", "KUNIT_EXPECT_EQ(test, 1 + 1, 3);", 1
    )
    assert broken != source
    commit = real.workspace.write_tree(real.commit, {path: broken.encode()})
    try:
        real.workspace.checkout(commit)
        result = kunit.run(real.request, real.cache, Progress())
    finally:
        real.workspace.checkout(real.commit)
    assert result.outcome is Outcome.FAILED
    assert result.report
    assert [case.id for case in result.report.document.failures] == ["example.example_simple_test"]


@pytest.mark.kernel
def test_real_kill_9_leaves_no_kernel_running(real: Real, tmp_path: Path) -> None:
    image = str(kunit.run(real.request, real.cache, Progress()).build.image)
    log = tmp_path / "console.log"
    code = (
        "import sys; from pathlib import Path; from memdesc_tool import arch, boot, cache\n"
        "boot.boot(boot.BootRequest(arch.load('um'), Path(sys.argv[1]), Path(sys.argv[2]),"
        " ('kunit.enable=0', 'kunit_shutdown=none', 'root=/dev/none1', 'rootwait')),"
        " cache.open_cache())"
    )
    running = subprocess.Popen([sys.executable, "-c", code, image, str(log)])
    while "Waiting for root" not in (log.read_text() if log.exists() else ""):
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_for_no_process(image)


@pytest.mark.kernel
def test_real_silence_and_deadline(real: Real) -> None:
    request, cache = real.request, real.cache
    result = kunit.run(replace(request, filter_glob="nosuchsuite"), cache, Progress())
    assert result.outcome is Outcome.NO_TESTS
    waits = replace(
        request,
        kernel_args=("kunit_shutdown=none", "root=/dev/none1", "rootwait"),
        timeout=5,
    )
    assert kunit.run(waits, cache, Progress()).outcome is Outcome.TIMEOUT
    wait_for_no_process(str(request.build_dir / "linux"))


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("CONFIG_NUMA=y", "there is no NUMA on um"),
        ("CONFIG_MEMORY_HOTPLUG=y", "ARCH_ENABLE_MEMORY_HOTPLUG is n"),
        ("CONFIG_NO_SUCH_THING=y", "this kernel has no option NO_SUCH_THING"),
        ("CONFIG_TTY=n", "UML selects it"),
    ],
)
def test_real_option_that_cannot_be_had(
    real: Real, option: str, reason: str, tmp_path: Path
) -> None:
    request, cache = real.request, real.cache
    fragment = request.fragment.merge(kconfig.parse(option, "test"))
    asked = replace(request, fragment=fragment, build_dir=tmp_path / "config", log_dir=tmp_path)
    result = kunit.run(asked, cache, Progress())
    assert result.outcome is Outcome.CONFIG_FAILED
    assert any(option in one and reason in one for one in result.reasons), result.reasons
