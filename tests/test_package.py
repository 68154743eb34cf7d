"""The sdist and the wheel that is made of it, installed where there is no repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from memdesc_tool.project import Project
from tests.conftest import ROOT
from tests.minikernel import make_mini

OUTSIDE = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

pytestmark = [pytest.mark.install, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Installed:
    """An empty environment with the wheel in it, and the packages that were built."""

    environment: Path
    sdist: Path
    wheel: Path

    def run(self, *args: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.environment / "bin" / "memdesc-tool", *map(str, args)],
            cwd=cwd, env={**OUTSIDE, **env}, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    path = tmp_path_factory.mktemp("package")
    _must(sys.executable, "-m", "build", "--outdir", str(path / "dist"), str(ROOT), cwd=path)
    (wheel,) = (path / "dist").glob("*.whl")
    (sdist,) = (path / "dist").glob("*.tar.gz")
    venv.create(path / "empty", with_pip=True)
    pip = path / "empty" / "bin" / "pip"
    _must(str(pip), "install", "--quiet", "--disable-pip-version-check", str(wheel), cwd=path)
    return Installed(path / "empty", sdist, wheel)


def _must(*args: str, cwd: Path) -> None:
    done = subprocess.run(
        args, cwd=cwd, env=OUTSIDE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_shipped_series_are_found(installed: Installed, tmp_path: Path) -> None:
    cache = {"MEMDESC_TOOL_CACHE": str(tmp_path / "cache")}
    listed = installed.run("series", "list", cwd=tmp_path, **cache)
    assert listed.returncode == 0, listed.stderr
    here = Project(ROOT).stack()
    for series in here.series:
        assert series.name in listed.stdout
    shown = installed.run("series", "show", cwd=tmp_path, **cache)
    assert shown.returncode == 0, shown.stderr
    assert all(patch.patch.subject[:40] in shown.stdout for patch in here.patches)
    front = installed.run(cwd=tmp_path, **cache)
    assert front.returncode == 0 and "no project here" in front.stdout


def test_the_shipped_series_are_not_written_to(installed: Installed, tmp_path: Path) -> None:
    (site,) = installed.environment.glob("lib/python*/site-packages/memdesc_tool")
    before = sorted((site / "shipped").rglob("*"))
    mini = make_mini(tmp_path)
    for command in (
        ("series", "new", "mine", "--template", "kunit"),
        ("series", "export", "mine", "main..work", "--tree", mini.tree.path),
        ("generate",),
    ):
        ran = installed.run(*command, cwd=tmp_path, MEMDESC_TOOL_CACHE=str(tmp_path / "cache"))
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "are not changed" in ran.stderr and "mkdir patches" in ran.stderr
    assert sorted((site / "shipped").rglob("*")) == before


def test_what_is_shipped_is_what_is_here(installed: Installed) -> None:
    (site,) = installed.environment.glob("lib/python*/site-packages/memdesc_tool")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "patches", "templates", "kernel-test-modules"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        assert (site / "shipped" / name).read_bytes() == (ROOT / name).read_bytes(), name
    for path in (ROOT / "memdesc_tool" / "data").rglob("*"):
        if path.is_file():
            copy = site / path.relative_to(ROOT / "memdesc_tool")
            assert copy.read_bytes() == path.read_bytes()
            assert os.access(copy, os.X_OK) == os.access(path, os.X_OK), path


def test_the_sdist_has_what_a_build_needs_and_no_more(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "patches/stack.toml", "tests/conftest.py"} <= names
    assert not [name for name in names if name.startswith((".git/", ".venv", "memdesc_tool.egg"))]


def test_the_main_job_on_another_series(installed: Installed, tmp_path: Path) -> None:
    mini = make_mini(tmp_path)
    cache = {"MEMDESC_TOOL_CACHE": str(tmp_path / "cache")}
    where = ("--tree", mini.tree.path)
    ran = installed.run("regress", *where, cwd=mini.project, **cache)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("GOOD: 3 patches on ")
    ran = installed.run("report", *where, "-o", tmp_path / "r.html", cwd=mini.project, **cache)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.kernel
@pytest.mark.timeout(1800)
def test_the_shipped_series_apply(installed: Installed, tmp_path: Path) -> None:
    """On the release that the usual cache has or obtains."""
    ran = installed.run("apply", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(Project(ROOT).stack().patches)} patches" in ran.stdout + ran.stderr
