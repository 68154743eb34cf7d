"""Whether a toolchain is too old for a tree, by the tree's own scripts/min-tool-version.sh.

Kconfig and the Makefile refuse such a compiler (scripts/Kconfig.include), once for every
revision and configuration; this is known before anything is built.
"""

from __future__ import annotations

import re
from pathlib import Path

from memdesc_tool import process
from memdesc_tool.arch import Arch, Toolchain, srcarch
from memdesc_tool.errors import CommandError

SCRIPT = "scripts/min-tool-version.sh"

_CLANG = re.compile(r"\bclang version (\d+(?:\.\d+)+)")
_GCC = re.compile(r"\bgcc\S* \(.*\) (\d+(?:\.\d+)+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")


def too_old(tools: Toolchain, arch: Arch, script: str) -> str:
    """Why the compiler cannot build a tree, like "clang is 14.0.6, the tree wants 17.0.1"; ""
    where it can, or where it is not known.

    script: the text of the tree's min-tool-version.sh, "" where it has none.
    """
    name, pattern = ("llvm", _CLANG) if "clang" in tools.compiler else ("gcc", _GCC)
    version = pattern.search(tools.version)
    if not script or not version:
        return ""
    env = {"ARCH": arch.make_arch, "SRCARCH": srcarch(arch.make_arch)}
    try:
        done = process.capture(["sh", "-c", script, SCRIPT, name], cwd=Path.cwd(), env=env)
    except CommandError:
        return ""
    least = done.output.strip()
    if not _NUMBER.fullmatch(least) or _numbers(version[1]) >= _numbers(least):
        return ""
    return f"{tools.compiler} is {version[1]}, the tree wants {least}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
