"""A regression run as JUnit XML, JSON, and annotations of a CI. Renders; decides nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from memdesc_tool.baseline import BAD, RUN, WARNING, worst
from memdesc_tool.blame import Finding
from memdesc_tool.cells import Cell, Regression
from memdesc_tool.excerpt import Excerpt
from memdesc_tool.flakiness import rate_of
from memdesc_tool.junit import xml_text
from memdesc_tool.results import Verdict

GITHUB, GITLAB = "github", "gitlab"
ANNOTATIONS = (GITHUB, GITLAB)
OUT_CHARACTERS = 2_000_000
"""Of logs, in one file."""


def junit(found: Regression, excerpts: Mapping[tuple[int, str], Excerpt]) -> bytes:
    """A suite for every cell, named by patch and column. Failures are what the verdict holds
    against the series: what a patch made fail, skip or vanish, and what fails after the last.
    What fails otherwise (on the base, until its fix; known to; by chance) is skipped, with the
    reason; a column that could not be walked to its end has an error. What is bad although no
    case failed, since none passed, is a failure of the suite "verdict".

    A suite has the seconds of its runs, and the moment when the first began; none where nothing
    was run since nothing could differ. No store has those of a case: one that is alone in its
    run took as long as that. A failure has the part of the log that is about it as system-out,
    else the end of the log, OUT_CHARACTERS in all.

    excerpts: by row number and column name.
    """
    xml = JUnitXml()
    at_tip = {(cell.column.name, case) for cell, case in found.failing_at_tip}
    times: list[tuple[TestSuite, float]] = []
    room = OUT_CHARACTERS
    for row in found.rows:
        for cell in found.of_row(row):
            suite = TestSuite(xml_text(f"{row.label}: {cell.column.name}"))
            last = at_tip if row is found.rows[-1] else set()
            names = dict.fromkeys((*cell.cases, *cell.changes))
            cases = [_case(cell, name, (cell.column.name, name) in last) for name in names]
            excerpt = excerpts.get((row.number, cell.column.name), Excerpt())
            for name, case in zip(names, cases, strict=True):
                if case.is_failure:
                    out = _out(excerpt, name)[:room]
                    room -= len(out)
                    case.system_out = out or "(see the log)"
            if len(cases) == 1:
                cases[0].time = _seconds(cell)
            suite.add_testcases(cases)
            if cell.attempts and not cell.inherited:
                suite.timestamp = _timestamp(cell)
            xml.add_testsuite(suite)
            times.append((suite, _seconds(cell)))
    for one in found.troubles:
        suite = TestSuite(xml_text(f"{one.row.label}: {one.column.name}"))
        case = TestCase(RUN, xml_text(one.column.name))
        case.result = [Error(xml_text(one.message), "not run")]
        case.system_out = xml_text(one.hint)
        suite.add_testcases([case])
        xml.add_testsuite(suite)
    if hollow := [*_hollow(found)]:
        suite = TestSuite("verdict")
        suite.add_testcases(hollow)
        xml.add_testsuite(suite)
    plain: Any = xml  # junitparser has no types
    plain.update_statistics()
    for suite, seconds in times:  # not the sum over the cases
        suite.time = seconds
    plain.time = round(sum(seconds for _, seconds in times), 3)
    written: bytes = plain.tostring()
    return written


def _hollow(found: Regression) -> Iterator[TestCase]:
    """What is bad although no case failed."""
    if found.regressed or found.failing_at_tip:
        return
    wrong = [(xml_text(one.name), "no case passed") for one in found.passed_nothing]
    if found.compiled_nothing:
        wrong.append(("(compiled)", "no file of the series was compiled"))
    for name, why in wrong:
        case = TestCase(name, "verdict")
        case.result = [Failure(why, "nothing")]
        yield case


def _seconds(cell: Cell) -> float:
    """What the runs of a cell took."""
    return 0.0 if cell.inherited else round(sum(one.seconds for one in cell.attempts), 3)


def _timestamp(cell: Cell) -> str:
    """When the first of its runs began, as JUnit's ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(cell.attempts[0].started))


def _out(excerpt: Excerpt, name: str) -> str:
    """What the log says of a case."""
    lines = excerpt.cases.get(name)
    if lines is None:
        lines = (*excerpt.problems, *excerpt.end) if name == RUN else excerpt.end
        lines = (*lines, f"[{excerpt.note}]") if excerpt.note else lines
    return xml_text("\n".join(lines))


def _case(cell: Cell, name: str, failing: bool) -> TestCase:
    """A case of a cell; failing: after the last patch, and that is bad."""
    case = TestCase(xml_text(name), xml_text(cell.column.name))
    verdict, change = worst(cell.cases.get(name, ())), cell.changes.get(name)
    why = xml_text(cell.detail(name))
    by = f" by one of {among}" if change and (among := cell.among(name)) else ""
    text = xml_text(f"{change.value if change else verdict.value}{by}: ") + why
    if name in cell.known:
        case.result = [Skipped(f"known to fail: {why}")]
    elif change in BAD or failing:
        case.result = [Failure(text, change.value if change else "failed")]
    elif verdict is Verdict.FAILED:
        case.result = [Skipped(f"not by this patch: {text}")]
    elif verdict is Verdict.SKIPPED and name in cell.cases:
        case.result = [Skipped(text)]
    return case


def as_json(found: Regression, every: Sequence[Finding]) -> bytes:
    """Everything: rows, columns, cells with cases, changes and rates, findings, troubles."""
    data = {
        "good": found.good and not found.troubles,
        "rows": [
            {"number": row.number, "label": row.label, "commit": row.commit} for row in found.rows
        ],
        "columns": [column.name for column in found.columns],
        "cells": [_json_cell(cell) for row in found.rows for cell in found.of_row(row)],
        "findings": [_json_finding(one) for one in every],
        "failing_at_tip": [
            {"column": cell.column.name, "case": case} for cell, case in found.failing_at_tip
        ],
        "troubles": [
            {"row": one.row.number, "column": one.column.name, "message": one.message}
            for one in found.troubles
        ],
    }
    return json.dumps(data, indent=1).encode() + b"\n"


def _json_cell(cell: Cell) -> dict[str, Any]:
    return {
        "row": cell.row.number,
        "column": cell.column.name,
        "inherited": cell.inherited,
        "after": dict(cell.after),
        "outcomes": [attempt.outcome.value for attempt in cell.attempts],
        "seconds": [round(attempt.seconds, 3) for attempt in cell.attempts],
        "logs": [attempt.log for attempt in cell.attempts],
        "cases": {name: [one.value for one in every] for name, every in cell.cases.items()},
        "changes": {name: change.value for name, change in cell.changes.items()},
        "known": list(cell.known),
        "flaky": {name: _json_rate(cell, name) for name in cell.flaky},
    }


def _json_rate(cell: Cell, name: str) -> dict[str, Any]:
    rate = rate_of(cell.cases[name])
    return {"failures": rate.failures, "runs": rate.runs, "probability": round(rate.estimate, 4),
            "interval": [round(one, 4) for one in rate.interval]}  # fmt: skip


def _json_finding(finding: Finding) -> dict[str, Any]:
    return {
        "row": finding.row.number,
        "patch": finding.row.label,
        "among": finding.among,
        "change": finding.change.value,
        "case": finding.case,
        "columns": list(finding.columns),
        "detail": finding.detail,
        "file": finding.file,
        "line": finding.line,
        "hunk": finding.hunk,
    }


@dataclass(frozen=True)
class _Note:
    """What is bad: title, where it is seen, what it is; file, line: "" and 0 for no place."""

    title: str
    columns: Sequence[str]
    case: str
    detail: str
    fingerprint: str
    file: str = ""
    line: int = 0


def annotated(found: Regression, every: Sequence[Finding], kind: str) -> str:
    """What is bad as workflow commands of GitHub (kind "github"), or as a code-quality report
    of GitLab ("gitlab", JSON): what a patch made fail, skip or vanish, and what else fails after
    the last. Empty for GitHub where nothing is.
    """
    bad = [*_by_patches(every), *_at_the_end(found, every)]
    if kind == GITLAB:
        return json.dumps([_gitlab(one) for one in bad], indent=1)
    return "\n".join(map(_github, bad))


def _by_patches(every: Sequence[Finding]) -> Iterator[_Note]:
    for one in every:
        if one.change in BAD:
            yield _Note(f"{one.change.value} by {one.by}", one.columns, one.case,
                        one.detail, one.fingerprint, one.file, one.line)  # fmt: skip


def _at_the_end(found: Regression, every: Sequence[Finding]) -> Iterator[_Note]:
    """What fails after the last patch and no patch is to blame for: new cases, and the base's."""
    told = {(one.case, name) for one in every if one.change in BAD for name in one.columns}
    cells: dict[str, list[Cell]] = {}
    for cell, case in found.failing_at_tip:
        if (case, cell.column.name) not in told:
            cells.setdefault(case, []).append(cell)
    for case, shown in cells.items():
        what = f"{case}\0at the end".encode(errors="surrogateescape")
        columns = [cell.column.name for cell in shown]
        yield _Note("fails at the end", columns, case, shown[0].detail(case),
                    hashlib.sha256(what).hexdigest()[:32])  # fmt: skip


def _github(one: _Note) -> str:
    level = "warning" if one.case.startswith(WARNING) else "error"
    place = f" file={_property(one.file)},line={one.line or 1}," if one.file else " "
    text = f"{', '.join(one.columns)}: {one.case} {one.detail}".strip()
    return f"::{level}{place}title={_property(one.title)}::{_message(text)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _gitlab(one: _Note) -> dict[str, Any]:
    return {
        "description": f"{one.title}: {one.case} ({', '.join(one.columns)})",
        "check_name": "memdesc-tool regress",
        "fingerprint": one.fingerprint,
        "severity": "minor" if one.case.startswith(WARNING) else "critical",
        "location": {"path": one.file or "Makefile", "lines": {"begin": one.line or 1}},
    }
