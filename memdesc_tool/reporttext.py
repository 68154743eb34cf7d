"""A report as Markdown for a mail or a merge request.

What nobody vouches for stands in code spans and fences, which no renderer takes for markup,
mentions or links, and which read well in a mail as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from memdesc_tool import report, reportview
from memdesc_tool.overview import Overview
from memdesc_tool.reportview import TEMPLATES, view_of
from memdesc_tool.template import render_page

LINES = 30
"""Of an excerpt."""


def markdown(overview: Overview) -> str:
    """The report in short: verdict, matrix, what changed, requirements; the page has the rest."""
    return render_page(
        TEMPLATES,
        "report.md.j2",
        clean=lambda words: words,  # code() and fence() have done it
        html=False,
        filters={
            "cell": cell,
            "code": code,
            "fence": fence,
            "plain": plain,
            "share": reportview.share,
        },
        view=view_of(overview),
        overview=overview,
        legend=report.LEGEND,
        entries=reportview.ENTRIES,
    )


def code(words: object) -> str:
    """words as a code span (GitHub Flavored Markdown, section 6.3)."""
    line = reportview.clean(str(words)).replace("\n", " ").strip()
    if not line:
        return ""
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def cell(words: object) -> str:
    """words as a code span in a cell of a table (GitHub Flavored Markdown, section 4.10)."""
    return code(words).replace("|", "\\|")


def fence(lines: Iterable[str]) -> str:
    """lines as a fenced block, LINES at most."""
    every = [reportview.clean(line).replace("\n", " ") for line in lines]
    if len(every) > LINES:
        every = [*every[:LINES], f"[{len(every) - LINES} lines more]"]
    longest = max((len(run) for line in every for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    return "\n".join([ticks, *every, ticks])


def plain(words: object) -> str:
    """Words inside of a line of text with every character escaped that has a meaning there."""
    line = reportview.clean(str(words)).replace("\n", " ")
    line = re.sub(r"([\\`*\[\]<#|~@&$])", r"\\\1", line)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", line)
