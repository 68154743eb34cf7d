"""The runner of a bundle, under the shells that machines have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from memdesc_tool.arch import DATA
from memdesc_tool.bundle import RUNNER, Step
from memdesc_tool.cases import Status
from tests.bundles import SHELLS, Unpacked, run_step, unpacked

GOOD = run_step("good", "echo hello")


def wait_until(file: Path) -> None:
    """Wait for a file that a step writes."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file}"
        os.sched_yield()


def left(mark: Path) -> list[str]:
    """The running processes whose command line names a file."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(mark) in words:
            found.append(words.decode(errors="replace"))
    return found


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_steps_come_to(tmp_path: Path, shell: tuple[str, ...]) -> None:
    bundle = unpacked(
        tmp_path, shell, GOOD,
        run_step("nested", r"printf 'TAP version 13\n1..2\nok 1 a\nnot ok 2 b # why\n'"),
        run_step("fails", "echo a message; exit 3"),
        run_step("skips", "echo 'SKIP no such device'; exit 4"),
        run_step("xfail", r"printf '1..1\nnot ok 1 a # XFAIL known\n'"),
        Step("strange", "other", "true"),
        run_step("cwd", 'test "$(basename "$PWD")" = "$(basename "$PWD_OF_TEST")"'),
    )  # fmt: skip
    ran = bundle.run()
    assert ran.status == 1, ran.err
    assert "3 passed, 3 failed, 1 skipped" in ran.out
    cases = bundle.cases()
    assert {name: case.status for name, case in cases.items()} == {
        "good": Status.PASSED,
        "nested.a": Status.PASSED,
        "nested.b": Status.FAILED,
        "fails": Status.FAILED,
        "skips": Status.SKIPPED,
        "xfail.a": Status.XFAIL,
        "strange": Status.FAILED,
        "cwd": Status.PASSED,
    }
    assert cases["fails"].text == "exit status 3"
    assert "no such device" in cases["skips"].text
    facts = bundle.read().facts
    assert facts["machine"] == os.uname().nodename
    assert facts["kernel"] == os.uname().release
    assert facts["cpus"] == str(os.cpu_count())


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_step_that_does_not_end(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """It is ended with all it has started, however deaf, and the next one runs."""
    mark = tmp_path / "mark"
    command = f"trap '' TERM; (trap '' TERM; tail -f /dev/null {mark}) & tail -f /dev/null {mark}"
    mark.touch()
    bundle = unpacked(tmp_path, shell, run_step("hangs", command, 1), GOOD)
    assert bundle.run().status == 1
    cases = bundle.cases()
    assert cases["hangs"].status is Status.TIMEOUT
    assert cases["good"].status is Status.PASSED
    assert left(mark) == []


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_a_step_leaves_running_ends_with_it(tmp_path: Path, shell: tuple[str, ...]) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    bundle = unpacked(tmp_path, shell, run_step("leaves", f"tail -f {mark} >/dev/null & :"))
    assert bundle.run().status == 0
    assert left(mark) == []


def started(bundle: Unpacked) -> subprocess.Popen[bytes]:
    """The runner, when its step `waits` has begun."""
    running = subprocess.Popen(bundle.argv(), start_new_session=True)
    wait_until(bundle.directory / "begun")
    (bundle.directory / "begun").unlink()
    return running


def waiting(name: str = "waits") -> Step:
    """A step that ends only when a file `go` is there."""
    return run_step(name, ": >begun; until [ -e go ]; do sleep 0.05; done", 100)


COUNTED = run_step("counted", "echo run >>count")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_crash_is_a_result_and_the_run_goes_on(tmp_path: Path, shell: tuple[str, ...]) -> None:
    bundle = unpacked(tmp_path, shell, COUNTED, waiting(), GOOD)
    running = started(bundle)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    (bundle.directory / "go").touch()  # what still runs of the step ends; a crash ends it too
    bundle.reboot()
    assert bundle.run().status == 1
    cases = bundle.cases()
    assert cases["waits"].status is Status.ERROR
    assert "crashed: the machine went down" in cases["waits"].text
    assert cases["counted"].status is cases["good"].status is Status.PASSED
    assert (bundle.directory / "count").read_text() == "run\n"
    assert not (bundle.result / "running").exists()


def test_a_runner_that_is_killed_has_a_failed_step(tmp_path: Path) -> None:
    bundle = unpacked(tmp_path, ("sh",), waiting(), GOOD)
    running = started(bundle)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    (bundle.directory / "go").touch()
    assert bundle.run().status == 1
    cases = bundle.cases()
    assert cases["waits"].status is Status.FAILED
    assert "killed" in cases["waits"].text
    assert cases["good"].status is Status.PASSED


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_stopped_runner_begins_its_step_anew(tmp_path: Path, shell: tuple[str, ...]) -> None:
    bundle = unpacked(tmp_path, shell, COUNTED, waiting())
    running = started(bundle)
    assert bundle.run().status == 2, "two at once"
    assert bundle.run("--stop").status == 0
    assert running.wait() == 130
    assert "waits" not in {case.id for case in bundle.read().report.document.cases if case.text}
    (bundle.directory / "go").touch()
    assert bundle.run().status == 0
    assert (bundle.directory / "count").read_text() == "run\n"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_attached_to_one_in_the_background(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """Whoever attaches may go away; the run does not."""
    bundle = unpacked(tmp_path, shell, waiting(), GOOD)
    first = subprocess.Popen(bundle.argv("--attach"), stdout=subprocess.DEVNULL)
    wait_until(bundle.directory / "begun")
    first.kill()
    first.wait()
    (bundle.directory / "go").touch()
    ran = bundle.run("--attach")
    assert ran.status == 0
    assert "2 passed, 0 failed" in ran.out
    again = bundle.run("--attach")
    assert (again.status, "2 passed" in again.out) == (0, True)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_kernels_words_are_kept_and_are_no_results(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    if not os.access("/dev/kmsg", os.W_OK):
        pytest.skip("/dev/kmsg cannot be written")
    says = "for words in 'not ok 1 false' 'ok 2 forged' 1..7 'a message'; do echo $words; done"
    bundle = unpacked(tmp_path, shell, run_step("talks", f"({says}) >/dev/kmsg"), GOOD)
    assert bundle.run().status == 0
    assert {name: case.status for name, case in bundle.cases().items()} == {
        "talks": Status.PASSED, "good": Status.PASSED,
    }  # fmt: skip
    text = bundle.read().ktap.decode()
    assert "] a message\n" in text and "forged" in text
    assert not bundle.read().report.oddities


def test_another_kernel_is_refused(tmp_path: Path) -> None:
    steps = (Step("module.x", "module", "modules/x.ko"), GOOD)
    bundle = unpacked(tmp_path, ("sh",), *steps, kernel="0.0.1-other")
    ran = bundle.run()
    assert ran.status == 2
    assert "for kernel 0.0.1-other" in ran.err and os.uname().release in ran.err
    assert not bundle.result.exists()
    assert bundle.run("--anyway").status == 0
    cases = bundle.cases()
    assert cases["module.x"].status is Status.SKIPPED
    assert cases["good"].status is Status.PASSED
    assert bundle.read().facts["right kernel"] == "no"


def test_the_build_id_tells_kernels_of_a_release_apart(tmp_path: Path) -> None:
    notes = Path("/sys/kernel/notes")
    if not notes.exists():
        pytest.skip("the kernel here shows no notes")
    release = os.uname().release
    other = unpacked(tmp_path / "1", ("sh",), GOOD, kernel=release, **{"build-id": "0" * 40})
    assert other.run().status == 2
    own = notes.read_bytes()[-20:].hex()
    assert unpacked(tmp_path / "2", ("sh",), GOOD, **{"build-id": own}).run().status == 0


def test_where_nothing_runs_nothing_passes(tmp_path: Path) -> None:
    bundle = unpacked(tmp_path, ("sh",), run_step("skips", "exit 4"))
    assert bundle.run().status == 1


def test_again_forgets_what_was_there(tmp_path: Path) -> None:
    bundle = unpacked(tmp_path, ("sh",), COUNTED)
    assert [bundle.run().status, bundle.run().status] == [0, 0]
    run = bundle.read().run
    assert (bundle.directory / "count").read_text() == "run\n"
    assert bundle.run("--again").status == 0
    assert (bundle.directory / "count").read_text() == "run\nrun\n"
    assert bundle.read().run != run


def test_wrong_use(tmp_path: Path) -> None:
    bundle = unpacked(tmp_path, ("sh",), GOOD)
    assert bundle.run("--help-me").status == 2
    (bundle.directory / "steps").unlink()
    ran = bundle.run()
    assert (ran.status, "no bundle" in ran.err) == (2, True)


def test_shellcheck_has_nothing_to_say() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-x", "-s", "sh", *RUNNER],
        cwd=DATA / "bundle", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
