"""What C files have for users: parameters, sysctls, attributes of sysfs, and functions.

Read from the text, without a preprocessor: what a macro of the file's own makes is found where
the macro wraps __ATTR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_TOKEN = re.compile(r'("(?:\\.|[^"\\\n])*")|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_DEFINE = re.compile(r"[ \t]*#[ \t]*define[ \t]+(\w+)\((?:.*)", re.DOTALL)
_BOOT = re.compile(r'\b(?:__setup|__setup_param|early_param)\(\s*"([\w.-]+)|\bcore_param\(\s*(\w+)')
_MODULE = re.compile(
    r"\bmodule_param(?:_named|_array|_array_named|_string|_cb|_hw|_hw_named|_hw_array)?"
    r"(?:_unsafe)?\(\s*(\w+)"
)
_SYSCTL = re.compile(r'\.procname\s*=\s*"([^"]+)"')
_ATTRIBUTE = r"(?:DEVICE|DRIVER|BUS|CLASS|_)_ATTR(?:_RO|_RW|_WO|_ADMIN_R[OW])?(?:_MODE)?"
_DESCRIBED = re.compile(r"\bMODULE_PARM_DESC\(\s*(\w+)")
_DOC_SECTION = re.compile(r"/\*\*\s*\n\s*\*\s*DOC:.*?\*/", re.DOTALL)
_FUNCTION = re.compile(
    r"^(?P<type>[A-Za-z_][\w \t*]*(?:\n[\w \t*]*)?[\s*])(?P<name>[A-Za-z_]\w*)"
    r"\((?P<params>[^(){};]*(?:\([^(){};]*\)[^(){};]*)*)\)"
    r"(?=\s*(?:__\w+(?:\([^;{}]*\))?\s*)*[;{])",
    re.MULTILINE,
)
_DOC = re.compile(r"/\*\*[ \t]*\n(?P<text>.*?)\*/", re.DOTALL)
_DOC_NAME = re.compile(r"\s*\*?\s*(\w+)\s*(?:\(\s*\))?\s*(?:[-:]|$)")
_DOC_PARAMETER = re.compile(r"^\s*\*\s*@(\w+|\.\.\.)\s*:", re.MULTILINE)
_KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "else", "do"}


class Kind(Enum):
    """What users are given."""

    BOOT = "parameter"
    MODULE = "module parameter"
    SYSCTL = "sysctl"
    SYSFS = "sysfs attribute"


@dataclass(frozen=True)
class Declared:
    """Something for users; line: from 1."""

    kind: Kind
    name: str
    line: int


@dataclass(frozen=True)
class Signature:
    """A function as it is defined or declared.

    parameters: their names, "" for one without; documented: the names after @ in its
    kernel-doc, None where it has none; line: of the kernel-doc, or else of the name.
    """

    name: str
    parameters: tuple[str, ...]
    line: int
    documented: tuple[str, ...] | None = None


def declared(text: str) -> Iterator[Declared]:
    """All that a C file declares for users. A description of a parameter is none."""
    plain = _without_comments(text)
    wrappers = [_ATTRIBUTE, *sorted(_wrappers(plain))]
    code = _DIRECTIVE.sub(_blank, plain)
    attribute = re.compile(rf"\b(?:{'|'.join(wrappers)})\(\s*(\w+)")
    for kind, pattern in ((Kind.BOOT, _BOOT), (Kind.MODULE, _MODULE), (Kind.SYSCTL, _SYSCTL),
                          (Kind.SYSFS, attribute)):  # fmt: skip
        for match in pattern.finditer(code):
            name = next(filter(None, match.groups()))
            yield Declared(kind, name, _line(code, match.start()))


def described_parameters(text: str) -> frozenset[str]:
    """Names that MODULE_PARM_DESC or a DOC: section of kernel-doc describes."""
    sections = " ".join(_DOC_SECTION.findall(text))
    return frozenset([*_DESCRIBED.findall(_without_comments(text)), *re.findall(r"\w+", sections)])


def signatures(text: str) -> Iterator[Signature]:
    """The functions of a C file, without those that macros make."""
    code = _DIRECTIVE.sub(_blank, _without_comments(text, strings=False))
    found = [m for m in _FUNCTION.finditer(code)
             if m["name"] not in _KEYWORDS and "return" not in m["type"].split()]  # fmt: skip
    docs = [(match, _documented_name(match["text"])) for match in _DOC.finditer(text)]
    for match in found:
        parameters = _parameters(match["params"])
        before = [doc for doc, name in docs
                  if name == match["name"] and doc.end() <= match.start("name")
                  and _adjacent(code[doc.end() : match.start("name")])]  # fmt: skip
        if before:
            names = tuple(_DOC_PARAMETER.findall(before[-1]["text"]))
            yield Signature(match["name"], parameters, _line(text, before[-1].start()), names)
        else:
            yield Signature(match["name"], parameters, _line(text, match.start("name")))


def arguments(text: str) -> tuple[str, ...]:
    """What is between the parentheses of a call or prototype, at its top-level commas."""
    found, depth = [""], 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return tuple(part for one in found if (part := " ".join(one.split())))


def _parameters(text: str) -> tuple[str, ...]:
    parts = arguments(text)
    return () if parts in ((), ("void",)) else tuple(_name_of(part) for part in parts)


def _name_of(parameter: str) -> str:
    """The name in a parameter's declaration; "" where it has but a type."""
    if parameter == "...":
        return parameter
    if pointer := re.search(r"\(\s*\*\s*(\w+)", parameter):
        return pointer[1]
    found: list[str] = re.findall(r"\w+|\*", re.sub(r"\[[^\]]*\]", "", parameter))
    words = [w for w in found if w not in ("const", "volatile", "restrict", "__user", "__iomem")]
    types = {"int", "long", "char", "short", "unsigned", "signed", "bool", "void", "float"}
    if len(words) < 2 or words[-1] == "*" or words[-1] in types:
        return ""
    if len(words) == 2 and words[0] in ("struct", "enum", "union"):
        return ""
    return words[-1]


def _documented_name(text: str) -> str:
    match = _DOC_NAME.match(text)
    return match[1] if match else ""


def _adjacent(between: str) -> bool:
    """Whether nothing but the type of a function stands in between."""
    return not re.search(r"[;{}]", between)


def _wrappers(code: str) -> set[str]:
    """Macros of the file that make an attribute of their first argument."""
    defines = (_DEFINE.match(match[0]) for match in _DIRECTIVE.finditer(code))
    return {m[1] for m in defines if m and "__ATTR" in m[0] and m[1] != "__ATTR"}


def _without_comments(text: str, *, strings: bool = True) -> str:
    """The text with blanks for comments; for what is in quotes, too, unless strings."""

    def plain(match: re.Match[str]) -> str:
        return match[0] if match[1] and strings else _blank(match)

    return _TOKEN.sub(plain, text)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
