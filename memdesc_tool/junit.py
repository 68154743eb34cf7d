"""A console report as JUnit XML and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from memdesc_tool.cases import Case, Status
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.excerpt import shortened
from memdesc_tool.splat import Splat

_NOT_PLAIN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd"
    "\U00010000-\U0010ffff]"
)
"""What XML 1.0 cannot hold, control characters, and what turns the direction of text."""
_ROOT = "(results)"
EXCERPT = 200
"""Lines of what a log says of a failure."""


def junit(report: ConsoleReport, seconds: float | None = None) -> bytes:
    """report as JUnit XML; seconds: what the run took, where that is known.

    A suite is a `testsuite` named by its path, a case a `testcase` with the name of the log;
    a splat that nothing allows is an error in the suite "splats". What a failure or a splat says
    is that of the log, EXCERPT lines at most. A log has no time of a case or a suite: seconds are
    those of all suites together.
    """
    suites: dict[str, list[TestCase]] = {}
    for case in report.document.cases:
        suites.setdefault(".".join(case.path) or _ROOT, []).append(_case(case))
    if report.document.bailed_out and not report.document.failures:
        suites.setdefault(_ROOT, []).append(_error("Bail out!", "", "bailed out", ""))
    for splat in report.splats:
        words = _bounded(splat.text)
        suites.setdefault("splats", []).append(
            _error(splat.title, splat.case, splat.kind.value, words)
        )
    xml = JUnitXml()
    for name, cases in suites.items():
        suite = TestSuite(xml_text(name))
        suite.add_testcases(cases)
        xml.add_testsuite(suite)
    plain: Any = xml  # junitparser has no types
    plain.update_statistics()
    if seconds is not None:
        plain.time = round(seconds, 3)
    written: bytes = plain.tostring()
    return written


def as_json(report: ConsoleReport) -> bytes:
    """report as JSON: cases, suites, splats, oddities, counts and the verdict's parts."""
    document = report.document
    data: dict[str, Any] = {
        "good": report.good,
        "found": document.found,
        "ran": document.ran,
        "documents": document.documents,
        "bailed_out": document.bailed_out,
        "truncated": report.truncated,
        "panicked": report.panicked,
        "booted": report.booted,
        "counts": {status.value: count for status, count in document.counts().items()},
        "cases": [_json_case(case) for case in document.cases],
        "suites": [
            {"id": suite.id, "path": suite.path, "name": suite.name, "status": suite.status.value,
             "number": suite.number, "text": suite.text, "line": suite.line}
            for suite in document.suites
        ],
        "splats": [_json_splat(splat, False) for splat in report.splats]
        + [_json_splat(splat, True) for splat in report.allowed],
        "oddities": [
            {"kind": odd.kind.name.lower(), "text": odd.text, "line": odd.line}
            for odd in report.oddities
        ],
        "oddity_counts": {
            kind.name.lower(): count for kind, count in document.oddity_count.items()
        },
        "unused_allowances": [entry.what for entry in report.unused],
    }  # fmt: skip
    return json.dumps(data, indent=1).encode() + b"\n"


def xml_text(words: str) -> str:
    """words with what XML 1.0 cannot hold, or a terminal obeys, written as \\xNN or \\uNNNN."""
    return _NOT_PLAIN.sub(
        lambda found: (
            f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}"
        ),
        words,
    )


def _bounded(lines: Sequence[str]) -> str:
    """Lines of a log as text of an element."""
    shown = [shortened(line) for line in lines[:EXCERPT]]
    if len(lines) > EXCERPT:
        shown.append(f"[{len(lines) - EXCERPT} lines more in the log]")
    return xml_text("\n".join(shown))


def _case(case: Case) -> TestCase:
    name = f"{case.name}#{case.repeat}" if case.repeat > 1 else case.name
    one = TestCase(xml_text(name), classname=xml_text(".".join(case.path)))
    message = xml_text(case.text or case.status.value)
    result: Any = None
    if case.status.error:
        result = Error(message, case.status.value)
    elif case.status.failed:
        result = Failure(message, case.status.value)
    elif case.status is Status.SKIPPED:
        result = Skipped(message)
    elif case.status is Status.XFAIL:
        result = Skipped(message, "xfail")
    if result is not None:
        if case.diagnostics:
            result.text = _bounded(case.diagnostics)
        one.result = [result]
    return one


def _error(name: str, classname: str, kind: str, words: str) -> TestCase:
    one = TestCase(xml_text(name), classname=xml_text(classname or "kernel"))
    error: Any = Error(xml_text(name), kind)
    error.text = words
    one.result = [error]
    return one


def _json_case(case: Case) -> dict[str, Any]:
    return {
        "id": case.id, "path": case.path, "name": case.name, "status": case.status.value,
        "number": case.number, "text": case.text, "diagnostics": case.diagnostics,
        "line": case.line, "document": case.document,
    }  # fmt: skip


def _json_splat(splat: Splat, allowed: bool) -> dict[str, Any]:
    return {
        "kind": splat.kind.value, "title": splat.title, "frames": splat.frames,
        "fingerprint": splat.fingerprint, "line": splat.line, "case": splat.case,
        "text": splat.text, "allowed": allowed,
    }  # fmt: skip
