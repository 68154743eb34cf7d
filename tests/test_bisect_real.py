"""Three faults among sixty commits on the real kernel, found by the tool and by git bisect run.

It builds some twenty kernels, and so is asked for: MEMDESC_TOOL_TEST_BISECT=1. Both sides have a
build directory and a ccache of their own, empty at the start, and the tool knows no result; the
seconds that each took are printed (pytest -s).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, GitTree, kernel_clone, on_demand, run_here
from tests.realhistory import COMMITS, FAULTS, GOOD, Fault, make_history

SUITE = ROOT / "kernel-test-modules" / "movable_ops"

pytestmark = on_demand("MEMDESC_TOOL_TEST_BISECT", "builds some twenty kernels", 7200)

ALWAYS = [fault for fault in FAULTS if fault.always]


@pytest.fixture(scope="module")
def tree() -> GitTree:
    """A user's tree with the history on branch hist; branch good has the suite and no fault."""
    made, base = kernel_clone("bisect")
    commits = make_history(made, base.commit)
    made.git("branch", "-f", "hist", commits[-1])
    made.git("branch", "-f", "good", commits[GOOD - 1])
    made.git("sparse-checkout", "disable")
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both sides build is below it; some 10 GB."""
    return tmp_path_factory.mktemp("bisect")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.case)
def test_the_fault_is_found(
    tree: GitTree, fault: Fault, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCACHE_DIR", str(place / "ccache-ours"))
    started = time.monotonic()
    ran = run_here(
        "--cache", place / "cache", "bisect", "--tree", tree.path, "--good", "good",
        "--bad", "hist", "--arch", "um", "--suite", "kunit:movable_ops", "--case", fault.case,
    )  # fmt: skip
    print(f"memdesc-tool bisect, {fault.case}: {time.monotonic() - started:.0f} s")
    planted = tree.git("rev-parse", f"hist~{COMMITS - fault.number}")
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[-1] == f"first bad commit: {planted}"


@pytest.mark.parametrize("fault", ALWAYS, ids=lambda fault: fault.case)
def test_git_bisect_run_takes_as_long(tree: GitTree, fault: Fault, place: Path) -> None:
    """With the tree's kunit.py and one build directory for all the commits and faults."""
    script = place / f"{fault.number}.sh"
    ccache = "ccache " if shutil.which("ccache") else ""
    script.write_text(
        "#!/bin/sh\nexec ./tools/testing/kunit/kunit.py run --arch um"
        f" --build_dir {place}/kunit-build --kunitconfig {SUITE}/.kunitconfig"
        f" --make_options 'CC={ccache}gcc' --make_options 'HOSTCC={ccache}gcc' {fault.case}\n"
    )
    script.chmod(0o755)
    tree.git("bisect", "start", "hist", "good")
    started = time.monotonic()
    env = {**os.environ, "CCACHE_DIR": str(place / "ccache-theirs")}
    done = subprocess.run(
        ["git", "bisect", "run", script], cwd=tree.path, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    print(f"git bisect run, {fault.case}: {time.monotonic() - started:.0f} s")
    tree.git("bisect", "reset")
    planted = tree.git("rev-parse", f"hist~{COMMITS - fault.number}")
    assert f"{planted} is the first bad commit" in done.stdout
