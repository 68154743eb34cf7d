"""Trailers looked up: the commits that Fixes: names, the people in the others.

Nothing is taken on trust: a hash must be that of the commit with the subject beside it, in
the history that the base has; a person must be known to the tree.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from memdesc_tool import fixes
from memdesc_tool.finding import Finding, Severity
from memdesc_tool.git import Git
from memdesc_tool.patch import Patch
from memdesc_tool.tags import is_person

_FIXES = re.compile(r'([0-9a-f]+) \("(.+)"\)$')
FILES_WITH_PEOPLE = ("MAINTAINERS", "CREDITS", ".mailmap")
FEW = 1000
"""A tree with fewer commits than this was not cloned with the history of Linux."""


@dataclass(frozen=True)
class History:
    """Where commits are looked up.

    git: the repository; base: the commit whose history counts; known: addresses that need
    not be in the tree (the author's own, recipients of the series).
    """

    git: Git
    base: str
    known: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether a commit that is not found is not there at all."""
        if self.git.run("rev-parse", "--is-shallow-repository") == "true":
            return False
        counted = self.git.run("rev-list", "--count", f"--max-count={FEW}", self.base)
        return int(counted) >= FEW


def check_trailers(patch: Patch, history: History) -> tuple[Finding, ...]:
    """What is wrong with the commits and people that a patch's trailers name."""
    return (*_check_fixes(patch, history), *_check_people(patch, history))


def _check_fixes(patch: Patch, history: History) -> Iterator[Finding]:
    for value in (value for name, value in patch.trailers if name == "Fixes"):
        severity, text = _look_up(value, history)
        if text:
            yield Finding("fixes", severity, text, patch.path.name)


def _look_up(value: str, history: History) -> tuple[Severity, str]:
    """What is wrong with the value of a Fixes: trailer; "" where nothing is."""
    match = _FIXES.match(value)
    if not match or len(match[1]) < fixes.DIGITS:
        form = f'{fixes.DIGITS} digits or more ("subject")'
        return Severity.ERROR, f"Fixes: {value} is not of the form {form}"
    digits, subject = match[1], match[2]
    if not digits.strip("0"):
        return _look_up_subject(subject, history)
    git = history.git
    status, out, _ = git.attempt("rev-parse", "--verify", "--quiet", f"{digits}^{{commit}}")
    if status:
        if history.whole:
            return Severity.ERROR, f"Fixes: the tree has no commit {digits}"
        return Severity.NOTE, f"Fixes: {digits} cannot be looked up, the tree lacks the history"
    commit = out.strip()
    if git.subject(commit) != subject:
        return Severity.ERROR, f'Fixes: {digits} is "{git.subject(commit)}", not "{subject}"'
    if git.attempt("merge-base", "--is-ancestor", commit, history.base)[0]:
        return Severity.WARNING, f"Fixes: {digits} is not in the history of the base"
    return Severity.NOTE, ""


def _look_up_subject(subject: str, history: History) -> tuple[Severity, str]:
    if found := fixes.look_up(history.git, history.base, [subject]):
        digits = found[subject][: fixes.DIGITS]
        return Severity.NOTE, f'Fixes: "{subject}" is {digits}, which `apply --branch` fills in'
    if history.whole:
        return Severity.ERROR, f'Fixes: the tree has no single commit "{subject}"'
    return Severity.NOTE, f'Fixes: "{subject}" has no hash, and the tree lacks the history'


def _check_people(patch: Patch, history: History) -> Iterator[Finding]:
    author = email.utils.parseaddr(patch.mail.author)[1] if patch.mail else ""
    for name, value in patch.trailers:
        address = email.utils.parseaddr(value.partition("#")[0])[1].lower()
        if not is_person(name) or not address or address in (author.lower(), *history.known):
            continue
        if problem := _stranger(history, address):
            yield Finding("people", problem[0], f"{name}: {value}: {problem[1]}", patch.path.name)


def _stranger(history: History, address: str) -> tuple[Severity, str] | None:
    """What is odd about an address; None where the base's files or history have it."""
    git = history.git
    for file in FILES_WITH_PEOPLE:
        text = git.blob(history.base, file) or b""
        if address in text.decode(errors="replace").lower():
            return None
    log = ("log", "-1", "--format=%h", "-i", "-F")
    if git.run(*log, f"--author={address}", history.base):
        return None
    if not history.whole:
        return Severity.NOTE, "not in MAINTAINERS, and the tree lacks the history"
    if git.run(*log, f"--grep={address}", history.base):
        return None
    return Severity.WARNING, "neither MAINTAINERS nor the history has this address"


def addresses(lines: Iterable[str]) -> frozenset[str]:
    """The mail addresses in "Name <address>" lines, in lower case."""
    pairs = email.utils.getaddresses(list(lines))
    return frozenset(address.lower() for _, address in pairs if address)
