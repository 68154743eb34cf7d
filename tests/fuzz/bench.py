"""Time and memory of reading big logs: python -m tests.fuzz.bench [--megabytes 100] [KIND...]

Kinds: noise (a result every 1000 lines), kunit (one every 10 lines, with time stamps), dense
(one every other line: hundreds of thousands of cases).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from memdesc_tool import consolelog

EVERY = {"noise": 1000, "kunit": 10, "dense": 2}
CASES = 200


def lines(every: int) -> Iterator[bytes]:
    """Suites of CASES cases without end, a result every so many lines."""
    yield b"[    0.000001] KTAP version 1\n"
    suite = 0
    while True:
        suite += 1
        stamp = b"[%5d.%06d] " % (suite // 10, suite)
        yield stamp + b"    KTAP version 1\n" + stamp + b"    # Subtest: suite_%d\n" % suite
        yield stamp + b"    1..%d\n" % CASES
        noise = stamp + b"usb 1-1: new high-speed USB device number 2 using xhci_hcd, ready\n"
        note = stamp + b"    # case: initializing\n"
        between = note + noise * (every - 2)
        for case in range(1, CASES + 1):
            yield between + stamp + b"    ok %d case_%d\n" % (case, case)
        yield stamp + b"ok %d suite_%d\n" % (suite, suite)


def write(path: Path, kind: str, size: int) -> None:
    """A log of size bytes."""
    written = 0
    with path.open("wb") as stream:
        for line in lines(EVERY[kind]):
            written += stream.write(line)
            if written >= size:
                return


def main() -> None:
    """Print a line for each kind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=100)
    options.add_argument("kinds", nargs="*", default=list(EVERY))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for kind in given.kinds:
            path = Path(directory) / kind
            write(path, kind, given.megabytes * 1_000_000)
            wall, cpu = time.monotonic(), time.process_time()
            report = consolelog.read(path)
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            cases = len(report.document.cases)
            print(f"{kind}: {wall:.1f} s ({cpu:.1f} s CPU), {peak} MB peak so far, {cases} cases")
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
