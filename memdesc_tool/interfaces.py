"""Interfaces that a series adds and takes away: exports without users, names left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.documented import check_documented
from memdesc_tool.finding import Finding, Severity

_EXPORT = re.compile(r"^([+-])\s*EXPORT_(?:SYMBOL|TRACEPOINT_SYMBOL)\w*\((\w+)", re.MULTILINE)
_FUNCTION = re.compile(
    r"^-(?:static |inline |extern |__\w+ |struct |const |unsigned |enum )*\w+[ *]+\*?(\w+)\(",
    re.MULTILINE,
)
_MACRO = re.compile(r"^-#define (\w+)", re.MULTILINE)
_KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "defined"}
SHORTEST = 8
"""Letters of a name that is looked for; shorter ones are words of other meaning, too."""


Uses = dict[str, dict[str, list[str]]]
"""Lines with a word, "NUMBER:TEXT", by word and file."""


def check_interfaces(candidate: Candidate, *, kernel_doc: bool = True) -> tuple[Finding, ...]:
    """Findings of every patch, all asked of the state after the last one.

    kernel_doc: of the comments of functions, too, which scripts/kernel-doc reads better.
    """
    exported = {step: _exported(step) for step in candidate.steps}
    gone = {step: _gone(step) for step in candidate.steps}
    uses = _uses(candidate, {name for names in (*exported.values(), *gone.values())
                             for name in names})  # fmt: skip
    found = [
        one
        for step in candidate.steps
        for one in (*_unused(step, exported[step], uses), *_left_behind(step, gone[step], uses))
    ]
    return (*found, *check_documented(candidate, kernel_doc=kernel_doc))


def _text(step: Step) -> str:
    return step.patch.diff.decode(errors="replace")


def _uses(candidate: Candidate, names: set[str]) -> Uses:
    """Where the state after the last patch has these words: one walk for all of them."""
    found: Uses = {name: {} for name in names}
    if not names:
        return found
    out = candidate.git.attempt("grep", "-nwIF", "-f", "-", candidate.tip,
                                stdin="\n".join(sorted(names)).encode())[1]  # fmt: skip
    for line in out.splitlines():
        file, _, rest = line.removeprefix(f"{candidate.tip}:").partition(":")
        for name in names.intersection(re.findall(r"\w+", rest)):
            found[name].setdefault(file, []).append(rest)
    return found


def _exported(step: Step) -> tuple[str, ...]:
    """The symbols that a patch exports and did not only move."""
    every = _EXPORT.findall(_text(step))
    moved = {name for sign, name in every if sign == "-"}
    return tuple(name for sign, name in every if sign == "+" and name not in moved)


def _unused(step: Step, exported: tuple[str, ...], uses: Uses) -> Iterator[Finding]:
    """Symbols that are exported, and that no other C file uses at the end of the series."""
    for name in exported:
        outside = [
            file for file, lines in uses[name].items()
            if file.endswith((".c", ".rs")) and not any("EXPORT_" in line for line in lines)
        ]  # fmt: skip
        inline = [
            file for file, lines in uses[name].items()
            if file.endswith(".h") and any(_is_call(line, name) for line in lines)
        ]  # fmt: skip
        if not outside and not inline:
            text = f"{name} is exported and has no user"
            yield Finding("exports", Severity.WARNING, text, step.name)


def _is_call(line: str, name: str) -> bool:
    """Whether a line of a header, "NUMBER:TEXT", uses name rather than declares it."""
    return bool(re.match(rf"\d+:\s.*\b{name}\b", line))


def _gone(step: Step) -> tuple[str, ...]:
    """Functions and macros that a patch takes away."""
    text = _text(step)
    gone = {*_FUNCTION.findall(text), *_MACRO.findall(text)} - _KEYWORDS
    kept = {word for line in text.splitlines() if line.startswith("+")
            for word in re.findall(r"\w+", line)}  # fmt: skip
    return tuple(sorted(one for one in gone - kept if len(one) >= SHORTEST))


def _left_behind(step: Step, gone: tuple[str, ...], uses: Uses) -> Iterator[Finding]:
    """Names that are gone, and that comments or documents still have."""
    for name in gone:
        every = uses[name].items()
        if any(not _is_prose(file, line) for file, lines in every for line in lines):
            continue  # still there: another definition of it
        for file, lines in every:
            number = int(lines[0].partition(":")[0])
            text = f"still names {name}, which is gone"
            yield Finding("documentation", Severity.WARNING, text, step.name, file, number)


def _is_prose(file: str, line: str) -> bool:
    """Whether a line, "NUMBER:TEXT", is one of a document or a comment."""
    text = line.partition(":")[2].strip()
    comment = text.startswith(("*", "/*", "//")) or "/*" in text
    return file.startswith("Documentation/") or comment
