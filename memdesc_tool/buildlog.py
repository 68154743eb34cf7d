"""What the log of a kernel build says: progress, warnings, errors, trouble of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import InfraError, LastingError

_COMPILER = re.compile(
    r"(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error|warning): (?P<text>.*)"
)
_LINKER = re.compile(
    r"(?:\S*ld(?:\.\w+)?: )?(?P<file>[^\s:]+):(?:\(\S+\): |(?P<line>\d+): )"
    r"(?P<text>(?:undefined reference|multiple definition).*)"
)
_KCONFIG = re.compile(
    r"(?P<file>[^\s:]*Kconfig[^\s:]*):(?P<line>\d+):\s*"
    r"(?P<kind>error: |warning: |syntax error|unknown |invalid |can't open )(?P<text>.*)"
)
_CHECKER = re.compile(
    r"(?:(?P<file>[^\s:]+): )?(?P<kind>ERROR|WARNING|warning|error): "
    r"(?P<text>(?:modpost|objtool|Kconfig)\b.*)"
)
_PLAIN = re.compile(r"(?:\S+: )?(?P<kind>error|fatal error|fatal): (?P<text>.+)")
_MAKE = re.compile(r"make(?:\[\d+\])?: \*\*\* (?P<text>.+)")
_STEP = re.compile(rb"^  ([A-Z][A-Z0-9_]*)(?: \[M\])? +(\S+)", re.MULTILINE)

_MACHINE = (
    (r"No space left on device", "the disk is full: {line}", "memdesc-tool gc gives space back"),
    (r"Killed signal terminated program|internal compiler error: Killed|\*\*\* \[.*\] Killed$",
     "the compiler was killed, probably for want of memory: {line}", "--jobs 1 needs less"),
    (r"virtual memory exhausted|Cannot allocate memory|out of memory allocating",
     "out of memory: {line}", "--jobs 1 needs less"),
    (r"(?:sh|bash|make(?:\[\d+\])?): (?:\d+: )?(?P<what>[\w./-]+): "
     r"(?:command )?(?:not found|No such file or directory)$",
     "the kernel's build needs {what}, which is not installed", "apt install {what}"),
    (r"fatal error: (?:gelf|libelf|elf)\.h: No such file", "the headers of libelf are missing",
     "apt install libelf-dev"),
    (r"fatal error: openssl/\S+: No such file", "the headers of OpenSSL are missing",
     "apt install libssl-dev"),
    (r"Read-only file system|Input/output error", "the disk fails: {line}", ""),
    (r"ccache: error: (?P<what>.*)", "ccache: {what}", "ccache --show-config tells where it is"),
    (r"^\*\*\* +Minimum (?P<what>.+) version: +(?P<version>\S+)$",
     "this kernel needs {what} {version} or newer",
     "install a newer one; a matrix takes it by its number: compilers = [\"clang-19\"]"),
    (r"No rule to make target .*olddefconfig", "this is not the Makefile of a kernel tree", ""),
)  # fmt: skip


_LASTING = ("apt install", "install")
"""How hints begin that the machine cannot follow by itself."""


@dataclass(frozen=True)
class Diagnostic:
    """A message of a compiler, linker or checker.

    file: below the source tree where it is in it ("" where the message has none); line: 0
    where it has none; kind: "error" or "warning"; text: the message.
    """

    file: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.kind}: {self.text}"


@dataclass(frozen=True)
class Trouble:
    """What a machine lacks: one line, and one on what to do.

    lasting: whether it stays like that until somebody does something.
    """

    message: str
    hint: str
    lasting: bool = False

    def error(self, log: Path) -> InfraError:
        """The error to raise for a build with this log."""
        kind = LastingError if self.lasting else InfraError
        return kind(self.message, self.hint or f"whole log: {log}")


class Counter:
    """How far a build is: follows its log, of which it reads each byte once."""

    def __init__(self, log: Path, begin: int = 0) -> None:
        self._log = log
        self._offset = begin
        self.done = 0
        self.current = ""

    def state(self) -> str:
        """ "812 files done, mm/migrate.o" """
        try:
            with self._log.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            data = b""
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for _, target in _STEP.findall(whole):
            self.done += 1
            self.current = target.decode(errors="replace")
        return f"{self.done} files done, {self.current}" if self.done else "starting"


def _lines(log: Path, begin: int) -> Iterator[str]:
    with log.open("rb") as stream:
        stream.seek(begin)
        for raw in stream:
            yield raw.decode(errors="replace").rstrip()


def parse_line(line: str, source: Path) -> Diagnostic | None:
    """The diagnostic in a line of the log, if it is one."""
    line = re.sub(r"\x1b\[[0-9;]*[mK]", "", line)
    for pattern in (_COMPILER, _LINKER, _KCONFIG, _CHECKER, _PLAIN):
        if found := pattern.match(line):
            groups = found.groupdict()
            kind = (groups.get("kind") or "error").strip(" :")
            text = groups["text"].strip()
            if pattern is _KCONFIG and kind not in ("error", "warning"):
                text = f"{kind} {text}".strip()
            return Diagnostic(
                _relative(groups.get("file") or "", source),
                int(groups.get("line") or 0),
                "warning" if kind.lower() == "warning" else "error",
                text,
            )
    return None


def _relative(file: str, source: Path) -> str:
    """A file's path below the source tree, which compilers see as an absolute path."""
    prefix = f"{source}/"
    return file.removeprefix(prefix).removeprefix("./")


def diagnostics(log: Path, source: Path, begin: int = 0) -> tuple[Diagnostic, ...]:
    """The warnings and errors in a build log from byte begin on, each once."""
    found = (parse_line(line, source) for line in _lines(log, begin))
    return tuple(dict.fromkeys(item for item in found if item))


def _diagnostics(log: Path, source: Path, begin: int, kind: str) -> tuple[Diagnostic, ...]:
    return tuple(one for one in diagnostics(log, source, begin) if one.kind == kind)


def warnings(log: Path, source: Path, begin: int = 0) -> tuple[Diagnostic, ...]:
    """The warnings in a build log from byte begin on, each once."""
    return _diagnostics(log, source, begin, "warning")


def errors(log: Path, source: Path, begin: int = 0) -> tuple[Diagnostic, ...]:
    """The errors in a build log from byte begin on, each once; never empty.

    Where no tool explained itself make's own words are taken, or else the last line.
    """
    if found := _diagnostics(log, source, begin, "error"):
        return found
    lines = list(_lines(log, begin))
    said = [match["text"] for line in lines if (match := _MAKE.match(line))]
    last = next((line for line in reversed(lines) if line.strip()), "make printed nothing")
    return tuple(Diagnostic("", 0, "error", text) for text in (said or [last]))


def machine_trouble(log: Path, begin: int = 0) -> Trouble | None:
    """What in a failed build was the machine's fault; None where the kernel is to blame."""
    for line in _lines(log, begin):
        for pattern, message, hint in _MACHINE:
            if found := re.search(pattern, line):
                words = {"line": line.strip(), **found.groupdict()}
                return Trouble(
                    message.format(**words), hint.format(**words), hint.startswith(_LASTING)
                )
    return None
