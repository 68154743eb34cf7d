"""Cells of a regression run that a command of the user's judges.

It runs in the source tree of the revision with SOURCE, BUILD (a directory of its own that is
kept between revisions) and ARCH in its environment. If it prints KTAP, each result is a case;
otherwise its exit status is the one case: 0 passed, 125 skipped, anything else failed. A status
that no result accounts for says that the command did not come to its end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import consolelog, process
from memdesc_tool.baseline import is_case
from memdesc_tool.cells import Column
from memdesc_tool.console import Progress
from memdesc_tool.kunitrun import results_of
from memdesc_tool.results import Attempt, Outcome, Result, Verdict
from memdesc_tool.workspace import Workspace

SKIPPED = 125
KSFT_SKIP = 4
"""What a kselftest program exits with that has skipped (tools/testing/selftests/kselftest.h)."""
_VERDICTS = {0: Verdict.PASSED, SKIPPED: Verdict.SKIPPED}


@dataclass(frozen=True)
class CommandRunner:
    """Runs cells with a command; see filling.Runner."""

    workspace: Workspace
    progress: Progress

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """What the tool knows of: what else the command reads is the user's to say (--rerun)."""
        return {
            "kind": "command",
            "tree": tree,
            "arch": column.arch,
            "command": "\0".join(column.suite.command),
            "timeout": str(column.suite.timeout),
        }

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Run the command. Raises InfraError where it cannot be started."""
        started = time.time()
        log, suite = log_dir / "output.log", column.suite
        build = self.workspace.builds / f"command-{_key(column)}"
        build.mkdir(parents=True, exist_ok=True)
        with self.progress.step(f"{label}: {column.name}"):
            done = process.run_logged(
                list(suite.command),
                cwd=source,
                log_file=log,
                env={"SOURCE": str(source), "BUILD": str(build), "ARCH": column.arch},
                timeout=suite.timeout,
            )
        results = tuple(results_of(consolelog.read(log)))
        outcome, detail = Outcome.RAN, ""
        if done.timed_out:
            outcome, detail = Outcome.TIMEOUT, f"still running after {suite.timeout} s"
        elif not any(is_case(result.name) for result in results):
            verdict = _VERDICTS.get(done.status, Verdict.FAILED)
            results = (Result(suite.name, verdict, f"exit status {done.status}"), *results)
        elif why := _unexplained(done.status, results):
            outcome, detail = Outcome.DIED, why
        return Attempt(outcome, results, started, done.seconds, str(log), detail)

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:  # noqa: ARG002
        """Not known: it may read anything."""
        return None


def _unexplained(status: int, results: Sequence[Result]) -> str:
    """Why results are not all that there is to say of a command with this exit status."""
    found = {result.verdict for result in results}
    if status < 0:
        return f"killed by signal {-status}"
    if status in (0, SKIPPED) or Verdict.FAILED in found:
        return ""
    if status == KSFT_SKIP and Verdict.SKIPPED in found:
        return ""
    return f"exit status {status}, though no result failed"


def _key(column: Column) -> str:
    return hashlib.sha256("\0".join((column.name, *column.suite.command)).encode()).hexdigest()[:12]
