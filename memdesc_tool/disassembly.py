"""Atomic instructions of functions, from objdump of the object files that a build has left.

Counted are instructions with a lock prefix, and xchg with memory, which locks without one
(Intel SDM, volume 2, "LOCK" and "XCHG"). What a function calls is not followed. Parts that
the compiler has split off (f.cold, f.isra.0, f.constprop.0, f.part.0) count as f.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.benchplan import AtomicsPath, Functions
from memdesc_tool.errors import FailedError

MACHINES = ("x86_64", "i386")
"""make's ARCH of what is understood."""

_FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(.*)$")
_PREFIXES = r"^(?:(?:data16|xacquire|xrelease|rex\S*|[c-gs]s) )*"
_LOCKED = re.compile(rf"{_PREFIXES}lock\b")
_XCHG = re.compile(rf"{_PREFIXES}xchg[bwlq]?\s+.*(?:\(|%[fg]s:)")
_PART = re.compile(r"\.(?:cold|isra|constprop|part|llvm)(?:\.\d+)*")

Counts = Mapping[str, int]


def count(lines: Iterable[str]) -> dict[str, int]:
    """Atomic instructions by function, of what `objdump -d --no-show-raw-insn` prints.

    A function without any is there with 0.
    """
    counts: dict[str, int] = {}
    name = ""
    for line in lines:
        if found := _FUNCTION.match(line.rstrip()):
            name = _PART.sub("", found[1])
            counts.setdefault(name, 0)
        elif name and (found := _INSTRUCTION.match(line)):
            instruction = found[1].partition("#")[0]
            counts[name] += bool(_LOCKED.match(instruction) or _XCHG.match(instruction))
    return counts


def disassemble(path: Path, objdump: str = "objdump") -> dict[str, int]:
    """The counts of an object file. Raises FailedError, InfraError where objdump cannot."""
    if not path.is_file():
        raise FailedError(f"the build has left no {path.name} to disassemble", f"no {path}")
    argv = [objdump, "-d", "--no-show-raw-insn", str(path)]
    counts = count(process.capture(argv, cwd=path.parent).output.splitlines())
    if not counts:
        raise FailedError(f"objdump finds no function in {path.name}")
    return counts


def of_path(paths: Sequence[AtomicsPath], objects: Mapping[str, Counts]) -> dict[str, int]:
    """Atomic instructions by the paths' names; objects: counts by object file.

    Raises FailedError where a path has no function, or not exactly one table fits.
    """
    found: dict[str, int] = {}
    for path in paths:
        if path.needed and not _matching(path.needed, objects):
            continue
        if path.barred and _matching(path.barred, objects):
            continue
        if path.name in found:
            raise FailedError(f"two tables of atomics called {path.name!r} fit this revision")
        found[path.name] = sum(_sum(one, path, objects) for one in path.functions)
    if lost := [path.name for path in paths if path.name not in found]:
        raise FailedError(f"no table of atomics called {lost[0]!r} fits this revision")
    return found


def _sum(functions: Functions, path: AtomicsPath, objects: Mapping[str, Counts]) -> int:
    names = _matching(functions, objects)
    if not names:
        raise FailedError(
            f"{functions.object} has no function {functions.pattern}, of {path.name!r}"
        )
    return sum(objects[functions.object][name] for name in names)


def _matching(functions: Functions, objects: Mapping[str, Counts]) -> list[str]:
    return [name for name in objects[functions.object] if fnmatchcase(name, functions.pattern)]
