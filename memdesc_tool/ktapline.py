"""One line of KTAP, TAP or kselftest output: what it is, before what it means in its place.

Sources: Documentation/dev-tools/ktap.rst; tools/testing/selftests/kselftest.h and
kselftest/ktap_helpers.sh, where the name of a skipped test follows the directive; the TAP 13
and 14 specifications, where a number may be absent and `\\#` is no directive; the KTAP v2
draft's `#:ktap_` lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memdesc_tool.cases import Status
from memdesc_tool.logline import STAMP, text

TOKEN = re.compile(
    rb"(?P<prefix>" + STAMP + rb")"
    rb"(?P<lead>[ \t]*+(?:#[ \t]++)*?)"
    rb"(?:(?P<result>not ok|ok)(?:(?=[ \t])[ \t]++(?P<number>\d++)(?![\w.:/%])|(?=[ \t]+[-#])|$)"
    rb"|1\.\.(?P<plan>\d++)[ \t]*+(?=$|\#)"
    rb"|(?P<kind>K?TAP)[ ]version[ ](?P<version>\d++)[ \t]*+$"
    rb"|(?:\#[ \t]*+)?Subtest:[ ](?P<subtest>.*)"
    rb"|\#:ktap_test:[ ]*+(?P<meta>.*)"
    rb"|(?P<bail>Bail[ ]out!))"
)
"""Groups: prefix, lead (indentation, `# ` of nested kselftest output), then one kind of line."""
PLAIN = re.compile(rb"(\[ *\d+\.\d+\](?: ?\[ *[TC]\d+\])? ?)?( *)ok (\d{1,9}) (\w[\w.-]*)$")
"""Prefix, lead, number and name of a passed test of which no more is to be said.

TOKEN and result() say the same of it."""
NOT_OK = re.compile(rb"(?P<result>not ok)(?=[ \t]|$)")
"""`not ok` without a number and without a dash: counts in an open document."""
GLUED = re.compile(rb"(?<![\w\"'`.])not ok (?P<number>\d++)(?= |$)")
VERSION = re.compile(
    rb"(?P<prefix>.*?\S[ \t]?)(?P<lead>[ \t]*)(?P<kind>K?TAP) version (?P<version>\d+)[ \t]*$"
)
"""A version line behind something."""
HINT = re.compile(
    rb"[ \t]*(?:# )*(?:#[ ]+RUN[ ]+(?P<run>\S+) \.\.\.|# (?P<selftest>selftests: .+)"
    rb"|# (?P<case>(?!(?:module|speed|is_init|Totals|Subtest)\b)[A-Za-z_]\w*): )"
)
"""A diagnostic line that names the test that is running."""

MAX_NUMBER = 10**9
_DIRECTIVE = re.compile(
    r"(?<!\\)#\s*(SKIP|XFAIL|XPASS|TIMEOUT|ERROR|TODO)(?=[\s:]|$):?\s*", re.IGNORECASE
)
_COMMENT = re.compile(r"(?:^|\s)#(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Result:
    """A result line. name may be "". text: directive and diagnostic data.

    odd: what contradicts itself in it, or "".
    """

    status: Status
    name: str
    text: str
    odd: str = ""


def width(lead: bytes) -> int:
    """The column at which the content of a line begins, tabs being 8 wide."""
    return len(lead.expandtabs())


def number(digits: bytes) -> int:
    """A number of a log; what nobody can have counted becomes MAX_NUMBER."""
    return min(int(digits), MAX_NUMBER) if len(digits) < 12 else MAX_NUMBER


def result(ok: bool, rest: bytes) -> Result:
    """The result in a line; rest is what follows ok and number."""
    plain = Status.PASSED if ok else Status.FAILED
    if b"#" not in rest:
        return Result(plain, _name(text(rest)), "")
    words = text(rest)
    found = list(_DIRECTIVE.finditer(words))
    if not found:
        parts = _COMMENT.split(words, maxsplit=1)
        return Result(plain, _name(parts[0]), parts[1].strip() if len(parts) > 1 else "")
    failing = [one for one in found if one[1].upper() in ("TIMEOUT", "ERROR", "XPASS")]
    match = (failing or found)[0]
    keyword = match[1].upper()
    status, odd = _status(ok, keyword)
    name, tail = _name(words[: match.start()]), words[match.end() :].strip()
    if not name and tail:  # kselftest.h: "ok 3 # SKIP the name"
        return Result(status, tail, keyword, odd)
    return Result(status, name, f"{keyword} {tail}".rstrip(), odd)


def _name(words: str) -> str:
    words = words.strip()
    if words.startswith("- "):
        words = words[2:].lstrip()
    elif words == "-":
        words = ""
    return words.replace("\\#", "#") if "\\#" in words else words


def _status(ok: bool, keyword: str) -> tuple[Status, str]:
    if keyword == "TODO":
        return (Status.PASSED if ok else Status.XFAIL), ""
    status = Status("skipped" if keyword == "SKIP" else keyword.lower())
    wrong = ok and status in (Status.TIMEOUT, Status.ERROR)
    return status, f"ok with directive {keyword}" if wrong else ""
