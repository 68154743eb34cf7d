"""The models of protocols: sound as they stand, and with any one rule taken out not any more."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ISOLATION = Path(__file__).parent.parent / "kernel-test-modules" / "models" / "isolation.pml"
RULES = re.findall(r"^ \*\t([A-Z_]+)\t", ISOLATION.read_text(), re.MULTILINE)

needs_spin = pytest.mark.skipif(not shutil.which("spin"), reason="spin is not installed")


def errors(model: Path, where: Path, *defines: str) -> str:
    """Check a model exhaustively; the first violation, "" for none."""
    for argv in (
        ["spin", *defines, "-a", str(model)],
        ["gcc", "-O1", "-DSAFETY", "-w", "-o", "pan", "pan.c"],
    ):
        done = subprocess.run(argv, cwd=where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        ["./pan", "-m200000"], cwd=where, capture_output=True, text=True, check=False
    )
    # Neither the depth nor the memory may have ended the search.
    assert "max search depth too small" not in done.stdout
    assert "out of memory" not in done.stdout
    count = re.search(r"errors: (\d+)", done.stdout)
    assert count, done.stdout + done.stderr
    found = re.search(r"^pan:\d+: (.*?) \(at depth", done.stdout, re.MULTILINE)
    assert bool(found) == (count[1] != "0"), done.stdout
    return found[1] if found else ""


@needs_spin
def test_isolation_holds(tmp_path: Path) -> None:
    assert RULES
    assert errors(ISOLATION, tmp_path) == ""


@needs_spin
@pytest.mark.parametrize("rule", RULES)
def test_isolation_without_a_rule(rule: str, tmp_path: Path) -> None:
    assert f"WITHOUT_{rule}\n" in ISOLATION.read_text()
    assert errors(ISOLATION, tmp_path, f"-DWITHOUT_{rule}")


def test_every_rule_is_taken_out_of_the_kernel_as_well() -> None:
    """isolation.toml has the C of each rule but for those that um cannot show."""
    in_c = {
        rule["name"] for rule in tomllib.loads(ISOLATION.with_suffix(".toml").read_text())["rule"]
    }
    assert set(RULES) - in_c == {"OWNED_POISON", "TYPE_RESET"}
