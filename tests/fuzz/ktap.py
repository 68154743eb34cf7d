"""Fuzz the reader of console logs: python -m tests.fuzz.ktap --seconds 60 [--seed N]

Mutates recorded logs and generated ones and reads them; whatever raises, gives an id twice or
loses a failure that was left whole is written to a file and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from pathlib import Path

from memdesc_tool import consolelog
from memdesc_tool.junit import as_json, junit

LOGS = Path(__file__).parent.parent / "data" / "logs"
SEEDS = [
    b"KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: s\n    1..2\n    ok 1 a\n"
    b"        KTAP version 1\n        # Subtest: p\n        ok 1 x # SKIP\n        not ok 2 y\n"
    b"    not ok 2 p\nnot ok 1 s\nok 2 t # TIMEOUT 4\n",
    b"TAP version 13\n1..2\n# selftests: mm: a\n# TAP version 13\n# 1..2\n# ok 1 # SKIP b\n"
    b"# not ok 2 # error c\n# Bail out! d\nnot ok 1 selftests: mm: a # exit=1\nok 2 # XFAIL e\n",
    b"KTAP version 2\n#:ktap_arch: um\n1..1\n  KTAP version 2\n  #:ktap_test: s\n  1..1\n"
    b"  not ok 1 a\nnot ok 1 s\n",
]
WORDS = [
    b"\n", b"\r\n", b"\0", b"\xff", b"# ", b"    ", b"\t", b"KTAP version 1\n", b"1..3\n",
    b"[    1.000000] ", b"[ T12] ", b"<6>", b" # SKIP", b" # TIMEOUT", b"not ok ", b"ok 1 z\n",
    b"Bail out!\n", b"Kernel panic - not syncing: x\n", b"BUG: KASAN: a in f+0x1/0x2\n",
    b"------------[ cut here ]------------\n", b"# Subtest: q\n", b"99999999999", b"\x1b[31m",
    b"WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: a/1\n", b"---[ end trace 0 ]---\n", b" # ",
]  # fmt: skip
WHOLE = b"\nnot ok 77 left whole\n"


def mutate(log: bytes, chance: random.Random) -> bytes:
    """log with a few random changes to bytes, words and lines."""
    for _ in range(chance.randint(1, 12)):
        at = chance.randint(0, len(log))
        end = min(len(log), at + chance.choice((0, 1, 4, 40)))
        lines = log.splitlines(keepends=True)
        what = chance.randrange(6)
        if what == 0:
            log = log[:at] + chance.choice(WORDS) + log[end:]
        elif what == 1:
            log = log[:at] + chance.randbytes(chance.randint(0, 8)) + log[end:]
        elif what == 2 and lines:
            lines.pop(chance.randrange(len(lines)))
            log = b"".join(lines)
        elif what == 3 and lines:
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
            log = b"".join(lines)
        elif what == 4:
            chance.shuffle(lines)
            log = b"".join(lines)
        else:
            log = log[:at] + log[at:end] * chance.choice((2, 3, 200)) + log[end:]
    return log


def check(log: bytes) -> None:
    """Raise for a log that is read wrongly."""
    report = consolelog.read(io.BytesIO(log))
    ids = [case.id for case in report.document.cases]
    assert len(ids) == len(set(ids)), "an id twice"
    junit(report)
    as_json(report)
    whole = consolelog.read(io.BytesIO(log + WHOLE))
    assert whole.document.failed, "a failure lost"


def main() -> int:
    """Fuzz for a time; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = options.parse_args()
    chance = random.Random(given.seed)
    logs = SEEDS + [path.read_bytes() for path in sorted(LOGS.glob("*.log"))]
    end = time.monotonic() + given.seconds
    count = 0
    while time.monotonic() < end:
        log = mutate(chance.choice(logs), chance)
        count += 1
        try:
            check(log)
        except Exception as error:
            with tempfile.NamedTemporaryFile(delete=False, suffix=".log") as stream:
                stream.write(log)
            print(f"{type(error).__name__}: {error}: {stream.name} (seed {given.seed})")
            return 1
    print(f"{count} logs read, nothing found (seed {given.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
