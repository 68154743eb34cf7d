"""The models of protocols: sound as they stand, and with any one rule taken out not any more."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

MODELS = sorted((Path(__file__).parent.parent / "kernel-test-modules" / "models").glob("*.pml"))


def rules(model: Path) -> list[str]:
    """The rules that the comment at the start of a model lists."""
    return re.findall(r"^ \*\t([A-Z_]+)\t", model.read_text(), re.MULTILINE)


each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.stem)
each_rule = pytest.mark.parametrize(
    ("model", "rule"),
    [
        pytest.param(model, rule, id=f"{model.stem}-{rule}")
        for model in MODELS
        for rule in rules(model)
    ],
)
# What um cannot show: it has no memory failure. isolation.toml says more.
NOT_IN_C = {"isolation": {"OWNED_POISON", "TYPE_RESET"}}

needs_spin = pytest.mark.skipif(not shutil.which("spin"), reason="spin is not installed")


def errors(model: Path, where: Path, *defines: str) -> str:
    """Check a model exhaustively; the first violation, "" for none."""
    for argv in (
        ["spin", *defines, "-a", str(model)],
        # Most of the time goes into compiling, not into running: not optimised.
        ["gcc", "-O0", "-DSAFETY", "-w", "-o", "pan", "pan.c"],
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
@each_model
def test_holds(model: Path, tmp_path: Path) -> None:
    assert errors(model, tmp_path) == ""


@needs_spin
@each_rule
def test_without_a_rule(model: Path, rule: str, tmp_path: Path) -> None:
    assert f"WITHOUT_{rule}\n" in model.read_text()
    assert errors(model, tmp_path, f"-DWITHOUT_{rule}")


@each_model
def test_every_rule_is_taken_out_of_the_kernel_as_well(model: Path) -> None:
    """The .toml beside a model has the C of each rule, once, but for those that um cannot show."""
    in_c = [rule["name"] for rule in tomllib.loads(model.with_suffix(".toml").read_text())["rule"]]
    expected = set(rules(model)) - NOT_IN_C.get(model.stem, set())
    assert expected
    assert expected <= set(in_c)
    assert len(in_c) == len(set(in_c))
    # Rules that are about more than one page are in no model.
    assert model.stem == "isolation" or set(in_c) == expected
