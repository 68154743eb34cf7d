"""A report as one HTML file that needs no other, no network and no JavaScript.

What tests and builds have printed is escaped and has no control characters. Beyond that the
page has a content security policy that allows its own script and style, by their digests, and
nothing else.
"""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup

from memdesc_tool import report, reportview
from memdesc_tool.overview import Overview
from memdesc_tool.reportview import TEMPLATES, view_of
from memdesc_tool.template import render_page
from memdesc_tool.timeline import STATES


def html(overview: Overview) -> str:
    """The page; the same for the same results."""
    style, script = ((TEMPLATES / name).read_text() for name in ("style.css", "script.js"))
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )
    return render_page(
        TEMPLATES,
        "report.html.j2",
        clean=reportview.clean,
        html=True,
        filters={
            "letters": reportview.letters,
            "moment": reportview.moment,
            "duration": reportview.duration,
            "share": reportview.share,
        },
        view=view_of(overview),
        overview=overview,
        legend=report.LEGEND,
        entries=reportview.ENTRIES,
        cases=reportview.CASES,
        states=STATES,
        style=Markup(style),
        script=Markup(script),
        policy=Markup(policy),
    )


def _digest(text: str) -> str:
    """text as a source expression of CSP level 2."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
