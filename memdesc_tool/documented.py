"""Interfaces that a series adds, changes or takes away, and what documents them.

All is asked of the states before the first and after the last patch, so that what only moves is
nothing new, and a document may come with a later patch.

    parameters   Documentation/admin-guide/kernel-parameters.txt; a module's: MODULE_PARM_DESC
    sysctls      Documentation/admin-guide/sysctl/, Documentation/networking/
    sysfs        Documentation/ABI/
    functions    their kernel-doc, and calls and prototypes in Documentation/

A name that can hardly be a word of another meaning may be in any other document instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from memdesc_tool.candidate import Candidate, Step
from memdesc_tool.declared import (
    Declared,
    Kind,
    Signature,
    arguments,
    declared,
    described_parameters,
    signatures,
)
from memdesc_tool.finding import Finding, Severity

PARAMETERS = "Documentation/admin-guide/kernel-parameters.txt"
SYSCTLS = ("Documentation/admin-guide/sysctl/", "Documentation/networking/")
ABI = "Documentation/ABI/"
_ELSEWHERE = ("tools/", "samples/", "scripts/", "Documentation/")
"""Where C files are no part of the kernel."""
_PLACES = {Kind.BOOT: (PARAMETERS,), Kind.MODULE: (PARAMETERS,), Kind.SYSCTL: SYSCTLS,
           Kind.SYSFS: (ABI,)}  # fmt: skip
_DISTINCT = re.compile(r"\w*[_.]|\w{8}")

_Key = tuple[Kind, str]
_Line = tuple[str, int, str]
"""File, number, text of a line of a document."""


def check_documented(candidate: Candidate, *, kernel_doc: bool = True) -> Iterator[Finding]:
    """Findings of all patches; kernel_doc: of the comments of functions, too."""
    names = sorted({name for step in candidate.steps for name in step.patch.files if _is_c(name)})
    if names:
        states = _States(candidate, names)
        yield from _undocumented(states)
        yield from _gone(states)
        yield from _signatures(states, kernel_doc=kernel_doc)


def _is_c(name: str) -> bool:
    return name.endswith((".c", ".h")) and not name.startswith(_ELSEWHERE)


@dataclass(frozen=True)
class _States:
    """The C files of a series, names, before, between and after its patches."""

    candidate: Candidate
    names: list[str]

    @cached_property
    def start(self) -> dict[str, str]:
        return self.texts(self.candidate.start, self.names)

    @cached_property
    def tip(self) -> dict[str, str]:
        return self.texts(self.candidate.tip, self.names)

    def texts(self, commit: str, names: Iterable[str]) -> dict[str, str]:
        found = self.candidate.git.blobs(commit, names)
        return {name: data.decode(errors="replace") for name, data in found.items()}

    def steps(self) -> Iterator[tuple[Step, dict[str, str], dict[str, str]]]:
        """Every patch with its C files before and after it."""
        for step in self.candidate.steps:
            own = [name for name in step.patch.files if name in self.names]
            yield step, self.texts(step.parent, own), self.texts(step.commit, own)

    def document_lines(self, words: Iterable[str], *places: str) -> list[_Line]:
        """The lines of documents at the end that have one of these words."""
        wanted = sorted(set(words))
        if not wanted:
            return []
        tip = self.candidate.tip
        out = self.candidate.git.attempt("grep", "-nwIF", "-f", "-", tip, "--", *places,
                                         stdin="\n".join(wanted).encode())[1]  # fmt: skip
        lines = []
        for line in out.splitlines():
            file, number, text = line.removeprefix(f"{tip}:").split(":", 2)
            lines.append((file, int(number), text))
        return lines


def _all_declared(texts: dict[str, str]) -> dict[_Key, tuple[str, Declared]]:
    """By kind and name, each with its file."""
    return {(one.kind, one.name): (file, one)
            for file, text in texts.items() for one in declared(text)}  # fmt: skip


def _undocumented(states: _States) -> Iterator[Finding]:
    """What is there at the end and not at the start, and no document has."""
    fresh = _all_declared(states.tip).keys() - _all_declared(states.start).keys()
    if not fresh:
        return
    lines = states.document_lines(_spellings(name for _, name in fresh), "Documentation")
    described = frozenset[str]().union(*map(described_parameters, states.tip.values()))
    for step, before, after in states.steps():
        new = _all_declared(after)
        for key in sorted(fresh & new.keys() - _all_declared(before).keys(),
                          key=lambda key: new[key][1].line):  # fmt: skip
            fresh.discard(key)
            kind, name = key
            if _has(lines, kind, name) or (kind is Kind.MODULE and name in described):
                continue
            file, one = new[key]
            lacks = f"is not in {_PLACES[kind][0]}"
            where = "has no MODULE_PARM_DESC" if kind is Kind.MODULE else lacks
            yield _warning(f"the {kind.value} {name} {where}", step, file, one.line)


def _spellings(names: Iterable[str]) -> set[str]:
    """Names as they are, and with the other of - and _, which are the same in a parameter."""
    return {one for name in names
            for one in (name, name.replace("-", "_"), name.replace("_", "-"))}  # fmt: skip


def _has(lines: Iterable[_Line], kind: Kind, name: str) -> bool:
    """Whether a document has a name, where such things are described or by itself."""
    pattern = re.compile(rf"(?<!\w){_either(name)}(?!\w)")
    places = ("Documentation/",) if _DISTINCT.match(name) else _PLACES[kind]
    return any(
        pattern.search(text) and (kind is not Kind.SYSFS or not file.startswith(ABI) or "/" in text)
        for file, _, text in lines if file.startswith(places)
    )  # fmt: skip


def _either(name: str) -> str:
    return re.sub(r"_|\\-", "[-_]", re.escape(name))


def _gone(states: _States) -> Iterator[Finding]:
    """Parameters and sysctls that are not there at the end, and that a document has."""
    gone = _all_declared(states.start).keys() - _all_declared(states.tip).keys()
    gone = {key for key in gone if key[0] is not Kind.SYSFS}
    if not gone:
        return
    lines = states.document_lines(_spellings(name for _, name in gone), PARAMETERS, *SYSCTLS)
    for step, before, after in states.steps():
        old = _all_declared(before)
        for key in sorted(gone & old.keys() - _all_declared(after).keys(),
                          key=lambda key: old[key][1].line):  # fmt: skip
            kind, name = key
            file = old[key][0]
            heading = _heading(kind, name, file)
            found = next(
                (
                    line
                    for line in lines
                    if line[0].startswith(_PLACES[kind]) and heading.match(line[2])
                ),
                None,
            )
            if found and not _is_elsewhere(states, kind, name):
                gone.discard(key)
                text = f"still has the {kind.value} {name}, which is gone"
                yield _warning(text, step, found[0], found[1])


def _heading(kind: Kind, name: str, file: str) -> re.Pattern[str]:
    """The line with which a document begins to speak of what was declared in a file."""
    if kind is Kind.SYSCTL:
        return re.compile(rf"[\s*`-]*{re.escape(name)}[`\s:]*$")
    owners = ""
    if kind is Kind.MODULE:
        directory, _, base = file.rpartition("/")
        stems = {base.rpartition(".")[0], directory.rpartition("/")[2]}
        owners = rf"(?:{'|'.join(_either(stem) for stem in sorted(stems))})\."
    return re.compile(rf"(?:\t| {{1,8}}){owners}{_either(name)}(?![\w.-])")


def _is_elsewhere(states: _States, kind: Kind, name: str) -> bool:
    """Whether another file of the state at the end declares it, too."""
    git, tip = states.candidate.git, states.candidate.tip
    names = git.attempt("grep", "-lwIF", "-e", name, tip, "--", "*.c", "*.h")[1].splitlines()
    texts = states.texts(tip, [one.removeprefix(f"{tip}:") for one in names])
    return (kind, name) in _all_declared({f: t for f, t in texts.items() if _is_c(f)})


# -- functions -----------------------------------------------------------------------------


def _functions(texts: dict[str, str]) -> dict[str, list[tuple[str, Signature]]]:
    """By name, each with its file."""
    found: dict[str, list[tuple[str, Signature]]] = {}
    for file, text in texts.items():
        for one in signatures(text):
            found.setdefault(one.name, []).append((file, one))
    return found


def _changed(
    old: dict[str, list[tuple[str, Signature]]], new: dict[str, list[tuple[str, Signature]]]
) -> dict[str, set[tuple[str, ...]]]:
    """The functions that have other parameters than before, with those that they had."""
    changed = {}
    for name in old.keys() & new.keys():
        before = {one.parameters for _, one in old[name]}
        if before.isdisjoint(one.parameters for _, one in new[name]):
            changed[name] = before
    return changed


def _signatures(states: _States, *, kernel_doc: bool) -> Iterator[Finding]:
    """Functions with other parameters at the end, whose documents do not know of it."""
    tip = _functions(states.tip)
    changed = _changed(_functions(states.start), tip)
    if not changed:
        return
    lines = states.document_lines(changed, "Documentation")
    for step, before, after in states.steps():
        now = _functions(after)
        for name in sorted(changed.keys() & _changed(_functions(before), now).keys()):
            had = changed.pop(name)
            if kernel_doc:
                for file, one in tip[name]:
                    yield from _of_comment(step, file, one, had)
            yield from _of_documents(step, name, had, {s.parameters for _, s in tip[name]}, lines)


def _of_comment(
    step: Step, file: str, one: Signature, had: set[tuple[str, ...]]
) -> Iterator[Finding]:
    """What the kernel-doc of a function with other parameters says of those it has or had."""
    if one.documented is None:
        return
    old = {parameter for every in had for parameter in every}
    for parameter in one.parameters:
        if parameter and parameter not in (*one.documented, *old, "..."):
            text = f"the kernel-doc of {one.name}() has no @{parameter}, which is new"
            yield _warning(text, step, file, one.line)
    for parameter in one.documented:
        if parameter in old and parameter not in one.parameters:
            text = f"the kernel-doc of {one.name}() has @{parameter}, which is gone"
            yield _warning(text, step, file, one.line)


def _of_documents(
    step: Step, name: str, had: set[tuple[str, ...]], has: set[tuple[str, ...]],
    lines: Iterable[_Line],
) -> Iterator[Finding]:  # fmt: skip
    """Prototypes and calls with as many arguments as the function had, and has no more."""
    call = re.compile(rf"(?<!\w){re.escape(name)}\(((?:[^()]|\([^()]*\))+)\)")
    old = {len(one) for one in had} - {len(one) for one in has}
    for file, number, text in lines:
        if any(_count(match[1]) in old for match in call.finditer(text)):
            yield _warning(f"has {name}() as it was, with other parameters", step, file, number)


def _count(text: str) -> int:
    parts = arguments(text)
    return -1 if "..." in text else 0 if parts == ("void",) else len(parts)


def _warning(text: str, step: Step, file: str, line: int) -> Finding:
    return Finding("documentation", Severity.WARNING, text, step.name, file, line)
