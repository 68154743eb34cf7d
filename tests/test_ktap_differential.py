"""ktap against the tree's own kunit_parser.py, on the logs that it is tested with."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from memdesc_tool.cache import default_root
from memdesc_tool.git import Git
from memdesc_tool.ktap import Status, parse

KUNIT = Path("tools/testing/kunit")
BASE = "refs/heads/base"
"""Where tree.py keeps the one commit of an obtained release."""

DISAGREEMENTS = {
    "test_is_test_passed-kselftest.log": (
        {"passed": 2, "skipped": 1},
        {"passed": 4, "skipped": 1},
        "kunit_parser drops the results of the programs below kselftest: a failure among them "
        "would be seen only as the program's exit status",
    ),
    "test_kernel_panic_interrupt.log": (
        {"passed": 8, "crashed": 2},
        {"passed": 8, "crashed": 1, "missing": 1},
        "one test was running when the kernel panicked, the other had not begun",
    ),
}
"""log: what kunit_parser counts, what we count, why ours is right."""


@pytest.fixture(scope="session")
def kunit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tools/testing/kunit of a kernel: $MEMDESC_TOOL_TEST_TREE, else an obtained 7.3."""
    if tree := os.environ.get("MEMDESC_TOOL_TEST_TREE"):
        path = Path(tree) / KUNIT
        if not path.is_dir():
            pytest.skip(f"MEMDESC_TOOL_TEST_TREE: no {path}")
        return path
    for repository in sorted((default_root() / "trees").glob("7.3*")):
        if Git(repository).attempt("rev-parse", "--verify", "-q", BASE)[0] == 0:
            return _extract(Git(repository), tmp_path_factory.mktemp("kunit"))
    pytest.skip("no kernel tree: set MEMDESC_TOOL_TEST_TREE, or memdesc-tool tree get 7.3")


def _extract(git: Git, target: Path) -> Path:
    for name in git.run("ls-tree", "-r", "--name-only", BASE, f"{KUNIT}/").splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(git.blob(BASE, name) or b"")
    return target / KUNIT


@pytest.fixture(scope="session")
def parser(kunit: Path) -> Iterator[ModuleType]:
    """The tree's kunit_parser, imported without leaving anything in the tree."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(kunit))
    try:
        yield importlib.import_module("kunit_parser")
    finally:
        sys.path.remove(str(kunit))
        sys.dont_write_bytecode = before
        for name in ("kunit_parser", "kunit_printer"):
            sys.modules.pop(name, None)


def theirs(parser: ModuleType, log: Path) -> dict[str, int]:
    """What kunit_parser counts."""
    printer = importlib.import_module("kunit_printer").Printer(print=False)
    with log.open(errors="backslashreplace") as stream:
        counts = parser.parse_run_tests(stream, printer).counts
    names = ("passed", "failed", "crashed", "skipped")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def ours(log: Path) -> dict[str, int]:
    """What we count."""
    with log.open("rb") as stream:
        return {status.value: count for status, count in parse(stream).counts().items()}


def test_counts_agree_with_the_trees_parser(kunit: Path, parser: ModuleType) -> None:
    logs = sorted((kunit / "test_data").glob("*.log"))
    assert len(logs) > 15
    wrong = {}
    for log in logs:
        pair = (theirs(parser, log), ours(log))
        if log.name in DISAGREEMENTS:
            if pair != DISAGREEMENTS[log.name][:2]:
                wrong[log.name] = pair
        elif pair[0] != pair[1]:
            wrong[log.name] = pair
    assert not wrong


def test_every_disagreement_is_about_a_log_that_exists(kunit: Path) -> None:
    missing = [name for name in DISAGREEMENTS if not (kunit / "test_data" / name).exists()]
    assert not missing


LOST_BY_THE_TREES_PARSER = {
    "directives other than SKIP": "KTAP version 1\n1..1\nok 1 a # XPASS\n",
    "a result beyond the plan": "KTAP version 1\n1..1\nok 1 a\nnot ok 2 b\n",
    "a second document": "KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n1..1\nnot ok 1 b\n",
    "a parent's failure among skips": "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n"
    "  ok 1 a # SKIP\nnot ok 1 s\n",
    "a lost header": "ok 1 a\nnot ok 2 b\n",
}


@pytest.mark.parametrize("name", LOST_BY_THE_TREES_PARSER)
def test_failures_that_the_trees_parser_loses(
    name: str, parser: ModuleType, tmp_path: Path
) -> None:
    """Not a wish to be different: should one of them be mended there, this says so."""
    log = tmp_path / "log"
    log.write_text(LOST_BY_THE_TREES_PARSER[name])
    assert {status.value for status in Status if status.failed} & ours(log).keys()
    if {"failed", "crashed"} & theirs(parser, log).keys():
        print(f"kunit_parser of this tree sees it: {name}")
