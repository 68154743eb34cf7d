"""The rules of the isolation protocol, taken out of the kernel one by one: a named case turns red.

kernel-test-modules/models/isolation.toml has them. This builds and runs a kernel a rule, some
minutes in all, and so is asked for: MEMDESC_TOOL_TEST_RULES=1.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GitTree, kernel_clone, on_demand
from tests.conftest import run_here as run

MODELS = Path(__file__).parent.parent / "kernel-test-modules" / "models"
RULES = tomllib.loads((MODELS / "isolation.toml").read_text())["rule"]

pytestmark = on_demand("MEMDESC_TOOL_TEST_RULES", "builds a kernel for every rule", 1200)


@pytest.fixture(scope="module")
def tip() -> GitTree:
    """A tree with the end of the series isolation checked out."""
    tree, base = kernel_clone("rules")
    tree.git("update-ref", "refs/heads/base", base.commit)
    ran = run("apply", "isolation", "--tree", tree.path, "--rev", "base", "--branch", "tip")
    assert ran.status == 0, ran.out + ran.err
    tree.git(
        "sparse-checkout",
        "set",
        "--no-cone",
        *{f"/{edit['path']}" for rule in RULES for edit in rule["edit"]},
    )
    tree.git("checkout", "-q", "tip")
    return tree


def suite(tree: GitTree, commit: str) -> tuple[int, str]:
    """Run the KUnit suite on a commit; exit status and output."""
    where = ("--tree", tree.path, "--rev", commit, "--arch", "um")
    ran = run("kunit", "--suite", "movable_ops", *where)
    return ran.status, ran.out + ran.err


def test_with_all_rules_the_suite_is_green(tip: GitTree) -> None:
    status, out = suite(tip, "tip")
    assert status == 0, out


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["name"])
def test_without_a_rule_its_case_is_red(tip: GitTree, rule: dict[str, Any]) -> None:
    tip.git("checkout", "-q", "--force", "--detach", "tip")
    for edit in rule["edit"]:
        source = tip.path / edit["path"]
        text = source.read_text()
        assert text.count(edit["old"]) == 1, edit["old"]
        source.write_text(text.replace(edit["old"], edit["new"]))
    status, out = suite(tip, tip.commit(f"without {rule['name']}"))
    assert status == 1, out
    red = ("failed: ", "crashed: ", "splat: ")
    assert any(rule["case"] in line for line in out.splitlines() if line.startswith(red)), out
