"""What `make fuzz` does for minutes, for a moment; and what it has found.

A finding is kept as an input beside the rule that it broke.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from memdesc_tool import ktap
from memdesc_tool.cases import Status
from tests.fuzz import files, oracles
from tests.fuzz.ktap import LOGS, SEEDS, mutate
from tests.fuzz.logs import NOISE, Node, Style, documents, styles

some = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
noise = st.lists(st.sampled_from(NOISE), max_size=4)
numbers = st.integers(0, 1 << 30)
PLAIN_STYLE = Style("", "    ", False, True, True, "\n")
TWO = [Node("s", Status.PASSED, (Node("a", Status.PASSED), Node("b", Status.PASSED)))]


@some
@given(documents, styles, noise, numbers, st.integers(0, 6), st.integers(0, 8))
def test_an_injected_failure_is_never_lost(
    tree: list[Node], style: Style, between: list[str], at: int, number: int, indent: int
) -> None:
    lines = oracles.log_of(tree, style, between).splitlines(keepends=True)
    oracles.injected_failure_is_kept(lines, at, number, indent)


@some
@given(documents, styles, noise, numbers)
@example(TWO, PLAIN_STYLE, [], 30)
def test_cut_at_any_byte_a_log_with_a_plan_is_not_good(
    tree: list[Node], style: Style, between: list[str], cut: int
) -> None:
    assume(style.plan)
    oracles.truncated_is_never_good(tree, style, between, cut)


def test_every_cut_of_a_log_that_passes() -> None:
    log = oracles.log_of(TWO, PLAIN_STYLE, [])
    good = [cut for cut in range(len(log) + 1) if oracles.read(log[:cut]).good]
    # What may be missing is the end of the last line, behind its number.
    assert good
    assert good[0] >= len(log) - len(" s\n")


@some
@given(documents, documents, styles, styles, noise)
def test_two_logs_in_one_keep_the_failures_of_both(
    one: list[Node], two: list[Node], style: Style, other: Style, between: list[str]
) -> None:
    oracles.concatenated_keeps_both(
        oracles.log_of(one, style, between), oracles.log_of(two, other, [])
    )


@some
@given(documents, styles, noise, numbers)
def test_an_injected_splat_is_found(
    tree: list[Node], style: Style, between: list[str], at: int
) -> None:
    lines = oracles.log_of(tree, style, between).splitlines(keepends=True)
    oracles.injected_splat_is_found(lines, at)


@some
@given(documents, styles, noise)
def test_the_short_way_reads_the_same(tree: list[Node], style: Style, between: list[str]) -> None:
    oracles.shortcut_changes_nothing(oracles.log_of(tree, style, between))


PASSED = b"KTAP version 1\n"


@pytest.mark.parametrize(
    "log",
    [
        PASSED + b"1..2\nok 1 a\nok 1 a\nok 2 b\n",
        PASSED + b"1..1\nok 1 a\nok 2 b\n",
        PASSED + b"ok 1 a\nok 2 a\nok 3 a#2\nok 4 a\n",
        PASSED + b"ok 1 a.b\n    KTAP version 1\n    # Subtest: a\n    ok 1 b\nok 2 a\n",
        PASSED + b"# Subtest: a\n    ok 1 b\n  ok 2 c\n      ok 3 d\nok 1 a\n",
        PASSED + b"[    1.000000] ok 1 a\n[    1.000000][  T12] ok 2 b\n<6>[    1.0] ok 3 c\n",
        PASSED + b"Subtest: x\nok 1 a\nok 2 b\nok 1 x\nok 3 c\n",
        PASSED + b"BUG: kernel NULL pointer dereference, address: 0\nok 1 a\nok 2 b\n",
        PASSED + b"ok 1 a\nKTAP version 1\nok 1 a\n[    1.000000] KTAP version 1\nok 2 b\n",
        b"ok 1 a\nok 3 c\nok 2 b\nok 4 \xc3\xa9\nok 5 a\xff\nok 6 -\nok 007 g\n",
    ],
)
def test_the_short_way_in_strange_places(log: bytes) -> None:
    oracles.shortcut_changes_nothing(log)


def test_the_short_way_in_recorded_and_mutated_logs() -> None:
    chance = random.Random(7)
    logs = SEEDS + [path.read_bytes() for path in sorted(LOGS.glob("*.log"))]
    for log in logs:
        oracles.shortcut_changes_nothing(log)
        for _ in range(6):
            oracles.shortcut_changes_nothing(mutate(log, chance))


def test_ids_that_meet_are_told_apart() -> None:
    """Suite "a" with case "b.c", suite "a.b" with case "c", and "c#2" as a name."""
    log = (
        "KTAP version 1\n    KTAP version 1\n    # Subtest: a\n    ok 1 b.c\nok 1 a\n"
        "    KTAP version 1\n    # Subtest: a.b\n    ok 1 c\n    ok 2 c#2\n    not ok 3 c\n"
        "not ok 2 a.b\n"
    )
    document = ktap.parse(io.BytesIO(log.encode()))
    assert [case.id for case in document.cases] == ["a.b.c", "a.b.c#2", "a.b.c#2#2", "a.b.c#3"]


def test_an_unexpected_pass_behind_a_lost_header_is_kept() -> None:
    """Found: `# ok 2 x # XPASS` was taken for a comment where no program was known to run."""
    log = (
        b"KTAP version 1\nok 1 a\n# KTAP version 1\nnot ok 3 injected\n# ok 1 b\n"
        b"# ok 2 c # XPASS\n# ok 3 d # TIMEOUT\n"
    )
    names = {case.name for case in oracles.read(log).document.failures}
    assert {"injected", "c", "d"} <= names


def test_files_at_random_are_read_or_refused(tmp_path: Path) -> None:
    files.write(tmp_path)
    assert files.read_all(tmp_path) == []
    chance = random.Random(3)
    for _ in range(60):
        files.check(tmp_path, chance)
    assert files.read_all(tmp_path) == []
