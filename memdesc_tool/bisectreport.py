"""What a bisection came to, for people: the table of runs and a report that fits a mail."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import consolelog, process
from memdesc_tool.baseline import RUN, SPLAT
from memdesc_tool.bisect import Bisection, Found, culprit_lines
from memdesc_tool.bisectcommand import HANG, STATUS
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import InfraError
from memdesc_tool.git import Git
from memdesc_tool.search import Verdict

SPLAT_LINES = 30
TAIL_LINES = 15


@dataclass(frozen=True)
class Context:
    """What a report says besides the answer.

    failure: what fails; reproducer: the command that shows it; bad: the name of the bad
    revision as the user gave it; published: whether the commits are the user's own, so that
    others may know their ids.
    """

    git: Git
    failure: str
    reproducer: str
    bad: str
    published: bool = True


def summary(found: Found) -> Iterator[str]:
    """A few lines on how sure the answer is."""
    answer = found.answer
    if found.sought:
        yield f"failure looked for: {found.sought}"
    yield f"confidence: {answer.probability:.1%}, after {len(found.runs)} runs"
    kind = "does not always happen" if answer.flaky else "always happened"
    yield f"the failure {kind}: with the culprit {_rate(answer.bad)}"
    yield f"without it {_rate(answer.good)}"
    if found.reverted:
        yield found.reverted


def _rate(rate: tuple[float, float, float]) -> str:
    mean, low, high = rate
    return f"{mean:.1%} of the runs fail (95 % interval {low:.1%} to {high:.1%})"


def observations(found: Found, git: Git) -> Iterator[str]:
    """A line for each commit that was run, in the order of the first run."""
    counts: dict[str, Counter[Verdict]] = {}
    details: dict[str, str] = {}
    for run in found.runs:
        counts.setdefault(run.commit, Counter())[run.verdict] += 1
        details[run.commit] = run.detail or details.get(run.commit, "")
    words = {Verdict.FAIL: "failed", Verdict.PASS: "passed", Verdict.SKIP: "not testable"}
    for commit, count in counts.items():
        said = ", ".join(
            word if verdict is Verdict.SKIP else f"{count[verdict]} {word}"
            for verdict, word in words.items() if count[verdict]
        )  # fmt: skip
        why = f" [{details[commit][:60]}]" if Verdict.SKIP in count and details[commit] else ""
        yield f"{commit[:12]} {said}{why}  {git.subject(commit)}"


def mail(bisection: Bisection, found: Found, context: Context, source: Path | None) -> str:
    """The report. source: a kernel tree with get_maintainer.pl in it, if there is one."""
    culprit = found.culprits[-1]
    subject = context.git.subject(culprit)
    what = " ".join(context.failure.split())
    lines = [f'Subject: [REGRESSION] {what} since "{" ".join(subject.split())}"']
    lines += [f"To: {person}" for person in people(context.git, culprit, source)]
    lines += ["", f"{what} fails on {context.bad}. Bisection says:", ""]
    lines += [f"  {line}" for line in culprit_lines(found)]
    for commit in found.culprits:
        who = context.git.run("log", "-1", "--format=%an <%ae>, %ad", "--date=short", commit)
        lines.append(f"    {context.git.subject(commit)} ({who})")
    lines += ["", *(f"  {line}" for line in summary(found)), ""]
    lines += ["To reproduce:", "", f"  {context.reproducer}", ""]
    if shown := evidence(bisection, found):
        lines += ["It looks like this:", "", *(f"  {line}" for line in shown), ""]
    lines += ["Every commit that was run:", ""]
    lines += [f"  {line}" for line in observations(found, context.git)]
    if len(found.culprits) == 1 and context.published:
        lines += ["", f'Fixes: {culprit[:12]} ("{subject}")']
    lines += ["", "Log (git bisect replay reads it):", "",
              found.log.read_text(encoding="utf-8", errors="surrogateescape")]  # fmt: skip
    return "\n".join(lines)


def people(git: Git, commit: str, source: Path | None) -> list[str]:
    """The author, and whom get_maintainer.pl names where the tree has it."""
    found = [git.run("log", "-1", "--format=%an <%ae>", commit)]
    script = source / "scripts" / "get_maintainer.pl" if source else None
    if not source or not script or not script.is_file() or not shutil.which("perl"):
        return found
    patch = source.parent / "culprit.patch"
    patch.write_text(git.run("format-patch", "-1", "--stdout", commit), "utf-8", "surrogateescape")
    try:
        done = process.capture(
            ["perl", str(script), "--no-git", "--no-git-fallback", "--no-rolestats", str(patch)],
            cwd=source, check=False,
        )  # fmt: skip
    except InfraError:
        return found
    finally:
        patch.unlink()
    named = [line.strip() for line in done.output.splitlines() if "@" in line]
    return list(dict.fromkeys([*found, *named])) if not done.status else found


def evidence(bisection: Bisection, found: Found) -> list[str]:
    """What the last run that failed with the culprit in it shows of the failure looked for."""
    question, culprit = bisection.question, found.answer.candidates[-1]
    numbers: Counter[str] = Counter()
    logs: list[Path] = []
    for run in found.runs:
        point = question.point(run.commit)
        if run.verdict is Verdict.FAIL and point is not None:
            log = bisection.predicate.evidence(run.commit, numbers[run.commit])
            if question.history.row(point)[culprit] and log and log.is_file():
                logs.append(log)
        numbers[run.commit] += 1
    for log in reversed(logs):
        if lines := _shown(consolelog.read(log), found.sought):
            return lines
    return process.tail_of(logs[-1]).splitlines()[-TAIL_LINES:] if logs else []


def _shown(report: ConsoleReport, sought: str) -> list[str]:
    """The lines of a log about a failure; about any where that has no name in the log."""
    splats = list(report.splats)
    failing = [case.id for case in report.document.cases if case.status.failed]
    if sought.startswith(RUN):
        splats, failing = [splat for splat in splats if splat.kind.fatal], []
    elif sought not in ("", HANG, STATUS):
        failing = [one for one in failing if one == sought]
        splats = [splat for splat in splats
                  if sought in (splat.case, f"{SPLAT}{splat.fingerprint}")]  # fmt: skip
    said = list(splats[0].text[:SPLAT_LINES]) if splats else []
    return [*(f"not ok {one}" for one in failing[:TAIL_LINES]), *said]
