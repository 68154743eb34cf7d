"""The definitions in a kernel's Kconfig files, as far as "why is this option n?" needs them.

Weighed (7.3): kconfiglib, the library for this, was last released in 2020 and stops with a
syntax error at the `transitional` of 7.x; the tree's own scripts/kconfig tools tell a
symbol's dependencies only in their interactive front ends. Macros that ask the toolchain are
not evaluated here, a conditional `depends on A if B` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool.kconfig_expr import YES, BadExpressionError, Expr, both, parse

_TYPES = ("bool", "tristate", "int", "hex", "string")
_QUOTED = r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"


@dataclass
class Block:
    """A menu, choice, if or the top: what it demands of everything in it."""

    kind: str
    parent: Block | None
    depends: list[Expr] = field(default_factory=list)
    visible: list[Expr] = field(default_factory=list)

    def chain(self) -> Iterator[Block]:
        """This block and those around it."""
        block: Block | None = self
        while block:
            yield block
            block = block.parent


@dataclass
class Definition:
    """One `config` entry (a symbol may have several).

    prompt: the condition of its prompt, None where users cannot set it; selects and
    defaults: (what, condition); range: its text.
    """

    name: str
    file: str
    line: int
    block: Block
    type: str = ""
    prompt: Expr | None = None
    depends: list[Expr] = field(default_factory=list)
    defaults: list[tuple[str, Expr]] = field(default_factory=list)
    selects: list[tuple[str, Expr]] = field(default_factory=list)
    range: str = ""

    @property
    def where(self) -> str:
        """ "mm/Kconfig:12" """
        return f"{self.file}:{self.line}"

    @property
    def condition(self) -> Expr:
        """All that must hold for it to be other than n: its own and the blocks' around it."""
        outer = [expr for block in self.block.chain() for expr in block.depends]
        return both(*self.depends, *outer)

    @property
    def settable(self) -> Expr | None:
        """When users can set it, besides condition; None for never."""
        if self.prompt is None:
            return None
        return both(self.prompt, *(e for block in self.block.chain() for e in block.visible))

    @property
    def choice(self) -> Block | None:
        """The choice that it is an alternative of."""
        return next((block for block in self.block.chain() if block.kind == "choice"), None)


class KconfigTree:
    """All definitions for one architecture (make's ARCH) of a source tree."""

    def __init__(self, source: Path, make_arch: str) -> None:
        self.source = source
        srcarch = architectures.srcarch(make_arch)
        self.variables = {
            "SRCARCH": srcarch,
            "HEADER_ARCH": "x86" if make_arch == "um" else srcarch,
            "ARCH": make_arch,
            "SUBARCH": "x86" if make_arch == "um" else srcarch,
            "srctree": str(source),
        }
        self.definitions: dict[str, list[Definition]] = {}
        self._entered: set[str] = set()
        self._enter("Kconfig", Block("top", None))

    def named(self, name: str) -> list[Definition]:
        """The definitions of a symbol; empty where it does not exist on this architecture."""
        return self.definitions.get(name, [])

    def selectors(self, name: str) -> list[tuple[Definition, Expr]]:
        """Who selects a symbol, and under which condition (the selector's own apart)."""
        return [
            (definition, condition)
            for definitions in self.definitions.values()
            for definition in definitions
            for target, condition in definition.selects
            if target == name
        ]

    def elsewhere(self, name: str) -> list[str]:
        """Where a symbol is defined in the tree for whatever architecture: "file:line"."""
        entry = re.compile(rf"(?:menu)?config\s+{re.escape(name)}$")
        found = []
        for path in sorted(self.source.glob("**/Kconfig*")):
            relative = path.relative_to(self.source)
            if not path.is_file() or relative.is_relative_to("scripts/kconfig"):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if f"config {name}" in text:
                found += [f"{relative}:{n}" for n, line in _statements(text) if entry.match(line)]
        return found

    def _enter(self, name: str, block: Block) -> None:
        """Read the file called name, which is sourced in block."""
        path = self.source / name
        if name in self._entered or not path.is_file():
            return
        self._entered.add(name)
        reader = _Reader(self, name, block)
        for number, line in _statements(path.read_text(encoding="utf-8", errors="replace")):
            reader.statement(number, line)

    def expand(self, text: str) -> str:
        """text with $(VARIABLE) replaced."""
        return re.sub(r"\$\((\w+)\)", lambda m: self.variables.get(m[1], m[0]), text)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(line number, statement) of a Kconfig file: no comments, no help texts, lines joined."""
    help_indent: int | None = None
    in_help = False
    pending, first = "", 0
    for number, raw in enumerate(text.expandtabs(8).splitlines(), 1):
        indent = len(raw) - len(raw.lstrip())
        if in_help:
            if not raw.strip():
                continue
            help_indent = indent if help_indent is None else help_indent
            if indent >= help_indent and indent > 0:
                continue
            in_help, help_indent = False, None
        line = pending + re.sub(r"^\s*#.*|\s#[^\"']*$", "", raw).strip()
        first = first if pending else number
        if line.endswith("\\"):
            pending = line[:-1] + " "
            continue
        pending = ""
        if line in ("help", "---help---"):
            in_help = True
        elif line:
            yield first, line


class _Reader:
    """Turns the statements of one file into definitions."""

    def __init__(self, tree: KconfigTree, file: str, block: Block) -> None:
        self.tree, self.file, self.block = tree, file, block
        self.current: Definition | None = None
        self.at_block = False  # properties belong to the block that has just been opened

    def statement(self, number: int, line: str) -> None:
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word in ("config", "menuconfig"):
            self.current = Definition(rest, self.file, number, self.block)
            self.at_block = False
            self.tree.definitions.setdefault(rest, []).append(self.current)
        elif word in ("menu", "choice", "if", "comment"):
            self._open(word, rest)
        elif word in ("endmenu", "endchoice", "endif"):
            self.block = self.block.parent or self.block
            self.current, self.at_block = None, False
        elif word == "source":
            self.tree._enter(self.tree.expand(rest.strip("\"'")), self.block)
            self.current, self.at_block = None, False
        else:
            self._property(word, rest)

    def _open(self, kind: str, rest: str) -> None:
        self.current = None
        if kind == "comment":
            self.at_block = False
            return
        self.block = Block(kind, self.block)
        self.at_block = kind != "if"
        if kind == "if":
            self.block.depends.append(_expr(rest))

    def _property(self, word: str, rest: str) -> None:
        if word == "depends" and rest.startswith("on"):
            self._depends(rest.removeprefix("on").strip())
        elif word == "visible" and self.at_block:
            self.block.visible.append(_expr(rest.removeprefix("if").strip()))
        elif self.current:
            _describe(self.current, word, rest)

    def _depends(self, text: str) -> None:
        body, condition = _split_if(text)
        expr = _expr(body)
        if condition != YES:
            expr = Expr("||", args=(expr, Expr("!", args=(condition,))))
        if self.current:
            self.current.depends.append(expr)
        elif self.at_block:
            self.block.depends.append(expr)


def _describe(definition: Definition, word: str, rest: str) -> None:
    """Add a property to a definition."""
    body, condition = _split_if(rest)
    if word in _TYPES or word == "prompt":
        definition.type = definition.type if word == "prompt" else word
        if re.match(_QUOTED, rest):
            definition.prompt = condition
    elif word in ("default", "def_bool", "def_tristate"):
        definition.defaults.append((body, condition))
        definition.type = {"def_bool": "bool", "def_tristate": "tristate"}.get(
            word, definition.type
        )
    elif word == "select":
        definition.selects.append((body, condition))
    elif word == "range":
        definition.range = rest


def _split_if(text: str) -> tuple[str, Expr]:
    """ "body if condition" apart; text in quotes may have an "if" of its own."""
    quoted = re.match(_QUOTED, text)
    start = quoted.end() if quoted else 0
    found = re.search(r"(?:^|\s)if\s", text[start:])
    if not found:
        return text, YES
    return text[: start + found.start()].strip(), _expr(text[start + found.end() :])


def _expr(text: str) -> Expr:
    """The expression in text; what is none counts as a macro, which holds."""
    try:
        return parse(text)
    except BadExpressionError:
        return Expr("macro", text)
