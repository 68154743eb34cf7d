"""Fuzz everything that reads what others wrote: python -m tests.fuzz --seconds 120 [--seed N]

Takes turns: recorded and generated console logs with what must hold for them (oracles.py),
descriptions of series and suites, patch files. What breaks a rule is printed with the seed and
ends the run with status 1; it then belongs into a test (tests/test_fuzz.py has what was found).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import files, ktap, oracles
from tests.fuzz.logs import NOISE, Node, Style, documents, styles

TURN = 40
"""Examples of one kind before the next has its turn."""
noise = st.lists(st.sampled_from(NOISE), max_size=4)
numbers = st.integers(0, 1 << 30)


def generated(number: int) -> None:
    """A turn of logs that are trees of results."""

    @seed(number)
    @settings(
        max_examples=TURN, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(documents, documents, styles, noise, numbers)
    def turn(one: list[Node], two: list[Node], style: Style, between: list[str], at: int) -> None:
        log = oracles.log_of(one, style, between)
        lines = log.splitlines(keepends=True)
        oracles.injected_failure_is_kept(lines, at, at % 7, at % 9)
        oracles.injected_splat_is_found(lines, at)
        oracles.concatenated_keeps_both(log, oracles.log_of(two, style, []))
        oracles.shortcut_changes_nothing(log)
        if style.plan:
            oracles.truncated_is_never_good(one, style, between, at)

    turn()


def recorded(chance: random.Random, logs: list[bytes]) -> None:
    """A turn of recorded logs, mutated."""
    for _ in range(TURN):
        log = ktap.mutate(chance.choice(logs), chance)
        try:
            ktap.check(log)
            oracles.shortcut_changes_nothing(log)
            oracles.injected_splat_is_found(log.splitlines(keepends=True), chance.randrange(9999))
        except Exception as error:
            with tempfile.NamedTemporaryFile(delete=False, suffix=".log") as stream:
                stream.write(log)
            error.add_note(f"the log: {stream.name}")
            raise


def main() -> int:
    """Fuzz for a time; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=120)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given_options = options.parse_args()
    print(f"seed {given_options.seed}", flush=True)
    chance = random.Random(given_options.seed)
    logs = ktap.SEEDS + [path.read_bytes() for path in sorted(ktap.LOGS.glob("*.log"))]
    end = time.monotonic() + given_options.seconds
    turns = 0
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        files.write(project)
        while time.monotonic() < end:
            try:
                recorded(chance, logs)
                generated(chance.randrange(1 << 32))
                for _ in range(TURN):
                    files.check(project, chance)
            except Exception:
                traceback.print_exc()
                print(f"found in turn {turns}; again: --seed {given_options.seed}")
                return 1
            turns += 1
    print(f"{turns} turns of {3 * TURN} inputs, nothing found (seed {given_options.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
