"""The form of a patch's subject, message and trailers.

Rules: Documentation/process/submitting-patches.rst ("Describe your changes", "The canonical
patch format", "Using Reported-by:, ..."), coding-assistants.rst for Assisted-by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from memdesc_tool.finding import Finding, Severity
from memdesc_tool.patch import Patch
from memdesc_tool.tags import TAGS, is_known, is_person

WIDTH = 75
"""Columns of a subject and of a line of text."""
SIGNED = ("Fixes", "Reported-by", "Closes", "Suggested-by")
"""Tags that are part of what is signed: whoever adds one signs below it."""
ADDRESS = re.compile(
    r'(?:"[^"]+"|[^<>"]+)? ?<[^<>@\s]+@[^<>@\s]+>(?: *(?:#|\[).*)?$|\S+@\S+(?: +#.*)?$'
)

BRACKETS = re.compile(r"(?:\[[^]]*\] *)+")
"""What `git am` takes off a subject, and b4 puts beside PATCH."""
EDITME = re.compile(r"^.*\bEDITME\b.*$", re.MULTILINE)
"""A line that is still to be written."""

_EMPTY = "\n\n"
_UNFINISHED = re.compile(r"(fixup|squash|amend)!|\b(WIP|TODO|FIXME|EDITME)\b")
_NOT_IMPERATIVE = re.compile(
    r"(add|allow|avoid|change|clean|convert|drop|fix|implement|introduce|move|refactor|remov|"
    r"rename|replac|switch|updat|us|mak)(e?s|e?d|ing)\b", re.IGNORECASE
)  # fmt: skip
_TAG_LINE = re.compile(r"([A-Z][a-z]+(?:-[a-z]+)*-by|Fixes|Cc|Link|Closes): \S")


def check_message(patch: Patch) -> tuple[Finding, ...]:
    """What is wrong with the form of a patch's message."""
    return (*_subject(patch), *_body(patch), *_trailers(patch))


def _found(check: str, severity: Severity, patch: Patch, text: str) -> Finding:
    return Finding(check, severity, text, patch.path.name)


def _subject(patch: Patch) -> Iterator[Finding]:
    subject, summary = patch.subject, patch.subject.rpartition(": ")[2]

    def bad(text: str, severity: Severity = Severity.WARNING) -> Finding:
        return _found("subject", severity, patch, text)

    if len(subject) > WIDTH:
        yield bad(f"has {len(subject)} columns, {WIDTH} are the most")
    if ": " not in subject:
        yield bad("does not say what it is about: area: summary")
    if match := BRACKETS.match(subject):
        yield bad(f"begins with {match[0].strip()}, which git am takes off: area: summary")
    if subject.endswith("."):
        yield bad("ends with a full stop")
    if _UNFINISHED.search(subject):
        yield bad(f"is not a final one: {subject}", Severity.ERROR)
    if match := _NOT_IMPERATIVE.match(summary):
        yield bad(f"is not in the imperative mood: {match[0]}")


def _body(patch: Patch) -> Iterator[Finding]:
    text = _prose(patch)
    if not text.strip():
        yield _found("message", Severity.ERROR, patch, "says nothing beyond the subject")
    if match := EDITME.search(patch.body):
        yield _found("message", Severity.ERROR, patch, f"is to be written: {match[0].strip()}")
    if match := re.search(r"\b[Tt]his (patch|commit) \w+", text):
        yield _found("message", Severity.WARNING, patch,
                     f'"{match[0]}": say what to do, in the imperative mood')  # fmt: skip
    long = [line for line in text.splitlines() if _too_long(line)]
    if long:
        more = f", and {len(long) - 1} more lines" if len(long) > 1 else ""
        text = f"a line has {len(long[0])} columns, {WIDTH} are the most{more}: {long[0]}"
        yield _found("message", Severity.WARNING, patch, text)
    yield from _stranded(patch)


def _stranded(patch: Patch) -> Iterator[Finding]:
    """Tags that are not in the last paragraph, or not alone in it."""

    def bad(name: str, text: str) -> Finding:
        return _found("trailers", Severity.WARNING, patch, f"{name}: stands {text}")

    last = "" if patch.trailers else patch.body.rpartition(_EMPTY)[2]
    for paragraph in _prose(patch).split(_EMPTY):
        matches = (_TAG_LINE.match(line) for line in paragraph.splitlines())
        if tags := [match[1] for match in matches if match]:
            where = "beside text" if paragraph == last else "above an empty line"
            yield bad(tags[0], f"{where}, git does not see it")
    if patch.trailers and _beside(patch):
        yield bad(patch.trailers[0][0], "directly below text, without an empty line")


def _prose(patch: Patch) -> str:
    """The body without the trailers."""
    if not patch.trailers:
        return patch.body
    return f"{patch.body.rpartition(_EMPTY)[0]}{_EMPTY}{_beside(patch)}".strip()


def _beside(patch: Patch) -> str:
    """The text directly above the trailers, without notes: [akpm: fix it]."""
    lines = patch.body.rpartition(_EMPTY)[2].splitlines()
    first = f"{patch.trailers[0][0]}: "
    above = takewhile(lambda line: not line.startswith(first), lines)
    return "\n".join(line for line in above if not line.startswith(("[", "(cherry picked from")))


def _too_long(line: str) -> bool:
    """Output, quotes and links are not wrapped."""
    return len(line) > WIDTH and not line.startswith((" ", "\t", ">")) and "://" not in line


def _trailers(patch: Patch) -> Iterator[Finding]:
    def bad(text: str, severity: Severity = Severity.WARNING) -> Finding:
        return _found("trailers", severity, patch, text)

    names = [name for name, _ in patch.trailers]
    signed = [number for number, name in enumerate(names) if name == "Signed-off-by"]
    known = {tag.lower(): tag for tag in TAGS}
    for number, (name, value) in enumerate(patch.trailers):
        if known.get(name.lower(), name) != name:
            yield bad(f"{name}: is written {known[name.lower()]}:")
        elif not is_known(name):
            yield bad(f"{name}: is no tag that the kernel knows")
        if is_person(name) and not ADDRESS.match(value):
            yield bad(f"{name}: {value} is no name with an address", Severity.ERROR)
        if (name, value) in patch.trailers[:number]:
            yield bad(f"{name}: {value} is there twice")
        following = patch.trailers[number + 1 : number + 2]
        if name == "Co-developed-by" and following != (("Signed-off-by", value),):
            yield bad(f"Co-developed-by: {value} is not followed by Signed-off-by: of the same")
        if name in SIGNED and signed and number > signed[-1]:
            yield bad(f"{name}: belongs before Signed-off-by:")
