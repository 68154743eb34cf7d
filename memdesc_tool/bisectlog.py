"""The log of a bisection: what it resumes from, and what `git bisect replay` reads.

Lines that begin with `git bisect` are git's, one for each commit, with the verdict that follows
from the answer so far: where a failure does not always happen, git could not make sense of
both verdicts on one commit. Every single run is in a comment, which git passes over:

    # run: <commit> pass 12.5 what was seen

and so is every run of the culprit's revert, as `# revert: ...`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import UserError, one_line
from memdesc_tool.search import Verdict

_RUN = re.compile(r"# (run|revert): ([0-9a-f]{40,64}) (pass|fail|skip) (\d+\.\d)(?: (.*))?")
_FACT = re.compile(r"# (failing|sought|same): (.*)")
_GIT = re.compile(r"git[ -]bisect (\S+) (.*)")
_TERM = re.compile(r"--term-(old|good|new|bad)(?:=(.*))?")
_WORDS = {"good": Verdict.PASS, "old": Verdict.PASS, "bad": Verdict.FAIL, "new": Verdict.FAIL,
          "skip": Verdict.SKIP}  # fmt: skip

STORED = "(stored)"
"""Ends the detail of a run that was not made, but taken from the results store."""


@dataclass(frozen=True)
class Run:
    """One run of a commit: its verdict, seconds (build included) and what was seen, a line."""

    commit: str
    verdict: Verdict
    seconds: float
    detail: str = ""

    @property
    def made(self) -> bool:
        """Whether its seconds are those of a run, not of a look at what is stored or replayed."""
        return self.seconds > 0 and not self.detail.endswith(STORED)


@dataclass(frozen=True)
class Log:
    """What a log says.

    runs: in order; sought: the kind of failure that is looked for, empty for any; same: commits
    whose kernel is their parent's, so that they cannot be the first bad one; failing: what
    failed at the bad end, among which the failure sought is; reverts: runs of the culprit's
    revert on top of bad.
    """

    runs: tuple[Run, ...] = ()
    sought: str = ""
    same: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    reverts: tuple[Run, ...] = ()


@dataclass(frozen=True)
class Consensus:
    """What git is told: a verdict for each commit that was run, bad ones from the newest on.

    culprit: the lines that end the log.
    """

    start: tuple[str, ...]
    verdicts: tuple[tuple[Verdict, str], ...]
    subjects: dict[str, str]
    culprit: tuple[str, ...] = ()


def render(log: Log, consensus: Consensus) -> str:
    """The text of the log; reading it gives the log again."""
    lines = [*_run_lines("run", log.runs), *_run_lines("revert", log.reverts)]
    lines += [f"# failing: {one_line(name)}" for name in log.failing]
    if log.sought:
        lines.append(f"# sought: {one_line(log.sought)}")
    lines += [f"# same: {commit}" for commit in log.same]
    # git reads no argument of this line that is not in quotes
    lines.append(" ".join(["git bisect start", *(f"'{word}'" for word in consensus.start)]))
    for verdict, commit in consensus.verdicts:
        word = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.SKIP: "skip"}[verdict]
        lines.append(f"# {word}: [{commit}] {consensus.subjects.get(commit, '')}".rstrip())
        lines.append(f"git bisect {word} {commit}")
    lines += [f"# {line}" for line in consensus.culprit]
    return "\n".join(lines) + "\n"


def _run_lines(kind: str, runs: Iterable[Run]) -> Iterator[str]:
    for run in runs:
        detail = one_line(run.detail)
        yield f"# {kind}: {run.commit} {run.verdict.value} {run.seconds:.1f} {detail}".rstrip()


def read(path: Path) -> Log:
    """A log of ours, or one of git's own: then each verdict is one run. Raises UserError."""
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    every = [
        (found[1], Run(found[2], Verdict(found[3]), float(found[4]), found[5] or ""))
        for line in lines
        if (found := _RUN.fullmatch(line))
    ]
    runs = [run for kind, run in every if kind == "run"]
    reverts = tuple(run for kind, run in every if kind == "revert")
    facts = [(found[1], found[2]) for line in lines if (found := _FACT.fullmatch(line))]
    if not runs:
        runs = list(_git_runs(lines, path))
    sought = next((value for name, value in facts if name == "sought"), "")
    same, failing = (
        tuple(value for name, value in facts if name == wanted) for wanted in ("same", "failing")
    )
    return Log(tuple(runs), sought, same, failing, reverts)


def _git_runs(lines: Iterable[str], path: Path) -> Iterator[Run]:
    started, words = False, dict(_WORDS)
    for number, line in enumerate(lines, 1):
        found = _GIT.fullmatch(line.strip())
        started = started or line.strip() in ("git bisect start", "git-bisect start")
        if not found:
            continue
        try:
            arguments = shlex.split(found[2])
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        if found[1] == "start":
            started = True
            words |= _terms(arguments)
        elif found[1] in words:
            for revision in arguments:
                yield Run(revision, words[found[1]], 0.0, "replayed")
    if not started:
        raise UserError(f"{path} is no log of a bisection", "git bisect log writes one")


def _terms(arguments: list[str]) -> dict[str, Verdict]:
    """The words that a start line gives to good and bad."""
    found = {}
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if term := _TERM.fullmatch(argument):
            found[term[2] or following] = _WORDS[term[1]]
    return found
