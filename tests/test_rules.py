"""The rules of the models, taken out of the kernel one by one: a named case turns red.

The .toml beside each model has them, for the end of a series: of isolation for what the model of
the same name is about, of the whole stack for the others. This builds and runs a kernel a rule,
some twenty minutes in all, and so is asked for: MEMDESC_TOOL_TEST_RULES=1.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GitTree, kernel_clone, on_demand
from tests.conftest import run_here as run

MODELS = Path(__file__).parent.parent / "kernel-test-modules" / "models"
# A model's rules, and the series at whose end the .toml has them
SERIES = {"isolation": "isolation", "movable_ops": "frozen-offline", "zspage": "frozen-offline"}
RULES = {model: tomllib.loads((MODELS / f"{model}.toml").read_text())["rule"] for model in SERIES}
EDITED = sorted(
    {edit["path"] for rules in RULES.values() for rule in rules for edit in rule["edit"]}
)

asked_for = on_demand("MEMDESC_TOOL_TEST_RULES", "builds a kernel for every rule", 1200)


@pytest.fixture(scope="module")
def kernel() -> GitTree:
    """A tree with the end of each series as a branch of that name; the files to edit alone."""
    tree, base = kernel_clone("rules")
    tree.git("update-ref", "refs/heads/base", base.commit)
    for series in sorted(set(SERIES.values())):
        ran = run("apply", series, "--tree", tree.path, "--rev", "base", "--branch", series)
        assert ran.status == 0, ran.out + ran.err
    tree.git("sparse-checkout", "set", "--no-cone", *(f"/{path}" for path in EDITED))
    return tree


def suite(tree: GitTree, commit: str) -> tuple[int, str]:
    """Run the KUnit suites on a commit; exit status and output."""
    where = ("--tree", tree.path, "--rev", commit, "--arch", "um")
    ran = run("kunit", "--suite", "movable_ops", *where)
    return ran.status, ran.out + ran.err


def take_out(tree: GitTree, rule: dict[str, Any]) -> None:
    """Edit the files that are checked out; each text is there once."""
    for edit in rule["edit"]:
        source = tree.path / edit["path"]
        text = source.read_text()
        assert text.count(edit["old"]) == 1, edit["old"]
        source.write_text(text.replace(edit["old"], edit["new"]))


@pytest.mark.kernel
@pytest.mark.parametrize("model", SERIES)
def test_the_kernel_has_the_text_of_each_rule(kernel: GitTree, model: str) -> None:
    texts = {path: kernel.git("show", f"{SERIES[model]}:{path}") for path in EDITED}
    for rule in RULES[model]:
        for edit in rule["edit"]:
            assert texts[edit["path"]].count(edit["old"]) == 1, edit["old"]


@pytest.mark.parametrize(
    "series", [pytest.param(one, marks=asked_for) for one in sorted(set(SERIES.values()))]
)
def test_with_all_rules_the_suites_are_green(kernel: GitTree, series: str) -> None:
    status, out = suite(kernel, series)
    assert status == 0, out


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        # What a case cannot show has none; the .toml says why.
        pytest.param(model, rule, id=f"{model}-{rule['name']}", marks=asked_for)
        for model, rules in RULES.items()
        for rule in rules
        if "case" in rule
    ],
)
def test_without_a_rule_its_case_is_red(kernel: GitTree, model: str, rule: dict[str, Any]) -> None:
    kernel.git("checkout", "-q", "--force", "--detach", SERIES[model])
    take_out(kernel, rule)
    status, out = suite(kernel, kernel.commit(f"without {rule['name']}"))
    assert status == 1, out
    red = ("failed: ", "crashed: ", "splat: ")
    assert any(rule["case"] in line for line in out.splitlines() if line.startswith(red)), out
