"""Warnings by identity: what stays the same when lines move, so that patches can be compared.

A warning is known by its place (file and function) and its text without line numbers. Which
object it belongs to is told by the log of `make --output-sync=target`: a step ("  CC  x.o")
and all that its tools print stand together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool.baseline import OBJECT, WARNING
from memdesc_tool.buildlog import Diagnostic, parse_line
from memdesc_tool.cache import write_atomic
from memdesc_tool.errors import InfraError

STATE = ".memdesc-warnings.json"

_STEP = re.compile(r"  (?P<tool>[A-Z][A-Z0-9_]*)(?: \[\w\])? +(?P<target>\S+)$")
_FAILED = re.compile(
    r"make(?:\[\d+\])?: \*\*\* \[[^\]]*?(?:: )?(?P<target>[^\s:\]]+)\]"
    r" (?:Error \d+|(?!Error|Killed)[A-Z][\w ]+)"
)
_NO_RULE = re.compile(
    r"make(?:\[\d+\])?: \*\*\* (?P<why>No rule to make target '(?P<what>[^']+)'"
    r"(?:, needed by '(?P<target>[^']+)')?)"
)
_KERNEL_DOC = re.compile(r"(?:\S+: )?[Ww]arning: (?P<file>[^\s:]+):(?P<line>\d+):? (?P<text>.+)")
_NUMBERS = re.compile(r":\d+(?::\d+)?\b|\b0x[0-9a-f]+\b|\b\d+(?= bytes)|\bline \d+")
_FUNCTION = re.compile(r"[A-Za-z_$]")
_NAME = re.compile(r"(\w+)\s*\(")


@dataclass(frozen=True)
class Warned:
    """A warning: name is its identity among a run's results; where is for people."""

    name: str
    where: str


@dataclass(frozen=True)
class ObjectLog:
    """What a build said, by object.

    compiled: the objects that were made or tried; warnings: by object; failed: the first
    error by object that could not be made; lost: errors that belong to no object.
    """

    compiled: frozenset[str]
    warnings: dict[str, tuple[Warned, ...]]
    failed: dict[str, str]
    lost: tuple[str, ...]


def read_log(log: Path, source: Path, begin: int = 0) -> ObjectLog:
    """What the log of a build says from byte begin on; source: the tree that it was of."""
    current, compiled = "", set()
    found: dict[str, list[Diagnostic]] = {}
    failed: dict[str, str] = {}
    with log.open("rb") as stream:
        stream.seek(begin)
        for raw in stream:
            line = raw.decode(errors="replace").rstrip()
            if step := _STEP.match(line):
                current = _object(step["target"], source)
                compiled.add(current)
            elif failure := _FAILED.match(line):
                failed.setdefault(_object(failure["target"], source), "")
            elif no_rule := _NO_RULE.match(line):
                names = (no_rule["what"], no_rule["target"] or "")
                for name in [one for one in names if one.endswith(".o")][:1]:
                    failed[_object(name, source)] = no_rule["why"]
            elif said := _diagnostic(line, source):
                found.setdefault(current, []).append(said)
    for name, every in found.items():
        if name.endswith(".o") and name not in failed:
            found[name] = [_not_fatal(one) for one in every]
    places = _Places(source)
    warnings = {
        name: tuple(dict.fromkeys(places.warned(one) for one in every if one.kind == "warning"))
        for name, every in found.items()
    }
    errors = {
        name: next((str(one) for one in every if one.kind == "error"), "")
        for name, every in found.items()
    }
    objects = {
        name: errors.get(name) or why or "make failed"
        for name, why in failed.items() if name.endswith(".o")
    }  # fmt: skip
    lost = tuple(error for name, error in errors.items() if error and name not in objects)
    return ObjectLog(frozenset(compiled), warnings, objects, lost)


def _object(target: str, source: Path) -> str:
    """The object that a step is part of: CHECK names the source, by its whole path."""
    path = target.removeprefix(f"{source}/").removeprefix("./")
    return re.sub(r"\.[cS]$", ".o", path)


def _diagnostic(line: str, source: Path) -> Diagnostic | None:
    if doc := _KERNEL_DOC.match(line):
        file = doc["file"].removeprefix(f"{source}/").removeprefix("./")
        return Diagnostic(file, int(doc["line"]), "warning", f"{doc['text']} [kernel-doc]")
    return parse_line(line, source)


def _not_fatal(said: Diagnostic) -> Diagnostic:
    """What a tool has said of an object that was made: sparse finds errors and exits with 0."""
    if said.kind != "error" or not said.file:
        return said
    return replace(said, kind="warning", text=f"error: {said.text}")


class _Places:
    """Finds the functions that lines are in, reading each file once."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._files: dict[str, list[str]] = {}

    def warned(self, said: Diagnostic) -> Warned:
        function = self._function(said.file, said.line) if said.line else ""
        place = f"{said.file}:{function}" if function else said.file or "(no file)"
        text = _NUMBERS.sub(lambda found: ":N" if found[0][0] == ":" else "N", said.text)
        where = f"{said.file}:{said.line}" if said.line else said.file
        return Warned(f"{WARNING}{place}: {text}", where)

    def _function(self, file: str, line: int) -> str:
        """The name on the last line before it that begins something, as git's hunks have it."""
        if file not in self._files:
            try:
                text = (self._source / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            self._files[file] = text.splitlines()
        for before in reversed(self._files[file][:line]):
            if _FUNCTION.match(before) and not before.rstrip().endswith(":"):
                found = _NAME.search(before)
                return found[1] if found else before.split()[-1].strip("{;=")
        return ""


class State:
    """The warnings of every object in a build directory, the objects that could not be made,
    and those that were compiled at all, kept in it between builds.

    An object that a build does not make again keeps the warnings it was last made with. The
    log of a build that is under way is noted before it begins, so that what a killed call
    has made is not lost.
    """

    def __init__(self, build_dir: Path, source: Path) -> None:
        self._path, self._source = build_dir / STATE, source
        self.warnings: dict[str, tuple[Warned, ...]] = {}
        self.failed: set[str] = set()
        self.compiled: set[str] = set()
        self._read()

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            self.warnings = {
                name: tuple(Warned(*one) for one in every)
                for name, every in stored["objects"].items()
            }
            self.failed = set(map(str, stored.get("failed", ())))
            self.compiled = set(map(str, stored.get("compiled", stored["objects"])))
            pending = [(Path(log), int(begin)) for log, begin in stored["pending"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InfraError(
                f"{self._path} is damaged", f"remove {self._path.parent}: it is built again"
            ) from None
        for log, begin in pending:
            if log.exists():
                self.update(read_log(log, self._source, begin))

    def begin(self, log: Path) -> int:
        """Note that a build begins that appends to log; returns where it begins in it."""
        begin = log.stat().st_size if log.exists() else 0
        self._write([(str(log), begin)])
        return begin

    def update(self, said: ObjectLog) -> None:
        """Take over what a build said of the objects that it made, and of none ("")."""
        for name in (*said.compiled, ""):
            self.warnings.pop(name, None)
        self.compiled |= said.compiled
        self.warnings |= {name: every for name, every in said.warnings.items() if every}
        self.failed = (self.failed - said.compiled) | set(said.failed)

    def end(self) -> None:
        """The build has ended and was read."""
        self._write([])

    def current(self) -> Iterator[tuple[str, Warned]]:
        """Every (object, warning) whose object's source is still there."""
        for name, every in sorted(self.warnings.items()):
            sources = [self._source / re.sub(r"\.o$", suffix, name) for suffix in (".c", ".S")]
            if name.endswith(".o") and not any(path.exists() for path in sources):
                continue
            for one in every:
                yield name, one

    def _write(self, pending: Iterable[tuple[str, int]]) -> None:
        objects = {
            name: [[one.name, one.where] for one in every] for name, every in self.warnings.items()
        }
        data = {
            "objects": objects,
            "failed": sorted(self.failed),
            "compiled": sorted(self.compiled),
            "pending": list(pending),
        }
        write_atomic(self._path, json.dumps(data).encode())


def object_case(name: str) -> str:
    """The name among a run's results of an object that does not compile."""
    return f"{OBJECT}{name}"
