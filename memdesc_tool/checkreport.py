"""A check of a series as a table, as JSON, and as b4 wants it. Renders; decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from memdesc_tool.checks import Report
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.series import Series

STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_B4 = {Severity.ERROR: "fail", Severity.WARNING: "warn", Severity.NOTE: "pass"}


def table(series: Series, report: Report) -> Table:
    """A row a patch, and one for what is about the whole series."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("patch", overflow="fold", max_width=76)
    for name in ("errors", "warnings", "notes", "silenced"):
        grid.add_column(name, justify="right")
    for label, patch in _rows(series):
        cells = [_number(report.count(severity, patch), STYLE[severity]) for severity in Severity]
        silenced = sum(one.patch == patch for one, _ in report.silenced)
        grid.add_row(Text(label), *cells, _number(silenced, ""))
    return grid


def _rows(series: Series) -> Iterator[tuple[str, str]]:
    """(label, name of the patch file or "")."""
    for number, entry in enumerate(series.entries, 1):
        yield f"{number}. {entry.patch.subject}", entry.patch.path.name
    yield "the series", ""


def _number(count: int, style: str) -> Text:
    return Text(str(count), style) if count else Text("-", "dim")


def details(series: Series, report: Report) -> Iterator[Text]:
    """Every finding under its patch, then what was not checked."""
    for label, patch in _rows(series):
        own = [one for one in report.findings if one.patch == patch]
        meant = [(one, silence) for one, silence in report.silenced if one.patch == patch]
        if own or meant:
            yield Text(f"{label}:", "bold")
        for one in own:
            yield _line(one.severity.value, STYLE[one.severity], one)
        for one, silence in meant:
            text = _line("silenced", "dim", one)
            text.append(f"  ({silence.reason})", "dim")
            yield text
    for name, reason in report.skipped:
        yield Text(f"not checked: {name}: {reason}", "yellow")


def _line(word: str, style: str, one: Finding) -> Text:
    text = Text("  ")
    text.append(f"{word:9} ", style)
    text.append(f"{one.check}: {one}")
    return text


def hint(report: Report) -> str:
    """How to silence what was found; empty where nothing was, or where tests have to run."""
    failing = [one for one in report.findings
               if one.severity is not Severity.NOTE and one.check != "results"]  # fmt: skip
    if not failing:
        return ""
    one = failing[0]
    return (
        "What is meant to be is silenced in series.toml, with the reason:\n"
        f'  [[silence]]\n  check = "{one.check}"\n  patch = "{one.patch[:4]}*"\n  reason = "..."'
    )


def verdict(series: Series, report: Report, where: str) -> str:
    """The one line that sums it all up."""
    patches = "1 patch" if len(series.entries) == 1 else f"{len(series.entries)} patches"
    counts = ", ".join(_counted(report.count(severity), severity.value) for severity in Severity)
    skipped = f", {_counted(len(report.skipped), 'check')} not made" if report.skipped else ""
    word = "GOOD" if report.good else "BAD"
    return f"{word}: {patches} on {where}: {counts}, {len(report.silenced)} silenced{skipped}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_json(series: Series, report: Report, where: str) -> str:
    """All of it, for programs."""
    silenced = dict(report.silenced)

    def of(patch: str) -> list[dict[str, Any]]:
        every = [*report.findings, *silenced]
        return [
            {"check": one.check, "severity": one.severity.value, "text": one.text,
             "file": one.file, "line": one.line,
             "silenced": silenced[one].reason if one in silenced else ""}
            for one in every if one.patch == patch
        ]  # fmt: skip

    return json.dumps(
        {
            "series": series.name,
            "base": where,
            "good": report.good,
            "checked": report.checked,
            "skipped": [{"check": name, "reason": why} for name, why in report.skipped],
            "patches": [
                {"file": patch, "label": label, "findings": of(patch)}
                for label, patch in _rows(series) if patch
            ],
            "findings": of(""),
        },
        indent=2,
    )  # fmt: skip


def b4_lines(report: Report) -> list[str]:
    """For b4.prep-perpatch-check-cmd: a line a finding, "ERROR:" in what is a failure."""
    words = {Severity.ERROR: "ERROR", Severity.WARNING: "WARNING"}
    lines = [
        f"{words[one.severity]}: {one.check}: {one}"
        for one in report.findings if one.severity in words
    ]  # fmt: skip
    return lines + [f"ERROR: {name} was not checked: {why}" for name, why in report.skipped]


def b4_json(series: Series, report: Report) -> str:
    """For b4.review-series-check-cmd: an entry a check, and findings as its details."""
    found: dict[str, list[Finding]] = {name: [] for name in report.checked}
    for one in report.findings:
        found.setdefault(one.check.partition(":")[0], []).append(one)
    numbers = {entry.patch.path.name: n for n, entry in enumerate(series.entries, 1)}
    entries = []
    for name, every in found.items():
        worst = min((list(Severity).index(one.severity) for one in every), default=2)
        entries.append({
            "tool": f"memdesc-tool {name}",
            "status": _B4[list(Severity)[worst]],
            "summary": f"{len(every)} findings" if every else "nothing found",
            "details": "\n".join(f"{numbers.get(one.patch, 'series')}: {one}" for one in every),
        })  # fmt: skip
    for name, why in report.skipped:
        entries.append({"tool": f"memdesc-tool {name}", "status": "warn",
                        "summary": f"not checked: {why}", "details": ""})  # fmt: skip
    return json.dumps(entries)
