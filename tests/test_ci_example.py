"""The example for a maintainer's CI: its script on a small tree, and its files in step."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, GitTree
from tests.fakekbuild import FILES, make_kbuild, make_range

EXAMPLE = ROOT / "docs" / "ci"
SCRIPT = EXAMPLE / "run-series-tests.sh"
COUNT = FILES["mm/count.c"]
UNUSED = COUNT.replace("\treturn", "\tint unused;\n\n\treturn")


@pytest.fixture
def tree(tmp_path: Path) -> GitTree:
    tree = make_kbuild(tmp_path / "kernel")
    make_range(tree, ("say nothing", {"Documentation/pages.rst": "Pages!\n"}),
               ("warn", {"mm/count.c": UNUSED}))  # fmt: skip
    tree.git("checkout", "-q", "work")
    return tree


def run(tree: GitTree, tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MEMDESC_TOOL_CACHE": str(tmp_path / "cache"),
           "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
    return subprocess.run(["bash", SCRIPT, *args], cwd=tree.path, env=env, capture_output=True,
                          text=True, check=False)  # fmt: skip


def test_a_commit_that_warns_fails_the_job(tree: GitTree, tmp_path: Path) -> None:
    matrix, out = tmp_path / "matrix.toml", tmp_path / "out"
    matrix.write_text('[[compile]]\narches = ["x86_64"]\nconfigs = ["defconfig"]\n')
    ran = run(tree, tmp_path, "main", str(out), "--matrix", str(matrix))
    assert ran.returncode == 1, ran.stderr
    assert "::warning file=mm/count.c,line=5,title=regressed by 2. " in ran.stdout
    assert sorted(path.name for path in out.iterdir()) == ["junit.xml", "report.html", "report.md"]
    assert "**BAD**: 2 patches on " in (out / "report.md").read_text()
    assert "unused variable" in (out / "report.md").read_text()


def test_a_command_judges_and_wrong_use_is_no_verdict(tree: GitTree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run(tree, tmp_path, "main", str(out), "--command", "test -e mm/count.c")
    assert ran.returncode == 0, ran.stderr
    assert "**GOOD**" in (out / "report.md").read_text()
    # How it is run is for regress alone.
    ran = run(tree, tmp_path, "main", str(out), "--confirm", "0", "--command", "exit 1", "--jobs=1")
    assert ran.returncode == 1, ran.stderr
    assert "**BAD**" in (out / "report.md").read_text()
    assert run(tree, tmp_path, "main", str(out)).returncode == 2
    assert run(tree, tmp_path).returncode == 2
    assert run(tree, tmp_path, "main", str(out), "--no-such").returncode == 2


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck (apt: shellcheck)")
def test_scripts_are_clean() -> None:
    for script in (SCRIPT, ROOT / "docs" / "tutorial" / "make-tree.sh"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_workflow_calls_the_script_as_it_is() -> None:
    workflow, text = (EXAMPLE / "series.yml").read_text(), (ROOT / "docs" / "ci.md").read_text()
    call = re.search(r"bash \.github/scripts/(\S+) (.*)", workflow)
    assert call and call[1] == SCRIPT.name
    assert call[2].split()[1] == "out" and "cat out/report.md" in workflow
    assert (ROOT / "docs" / "ci" / call[1]).exists() and f"ci/{call[1]}" in text
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(workflow)["jobs"]["every-commit"]
    assert any(SCRIPT.name in step.get("run", "") for step in job["steps"])
