"""Mutants of a series: one small mistake each in a line that the series adds.

Mistakes are those that kernel programmers make: a call or an unlock forgotten, a condition
the wrong way round, another error code, a bound off by one. What no suite notices is a test
that is missing, or a mutant that is equivalent, which only people can tell.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memdesc_tool.addedlines import AddedLine
from memdesc_tool.cells import Row
from memdesc_tool.git import Git
from memdesc_tool.workspace import Workspace

_CALL = re.compile(r"(?P<indent>\s+)(?P<name>[a-zA-Z_]\w*)\(.*\);\s*(/\*.*\*/)?$")
_CONDITION = re.compile(
    r"^(?P<head>\s*(?:\} else )?(?:if|while) \()(?P<what>.*)(?P<end>\)(?: \{)?)$"
)
_FLAG = re.compile(r"(?P<head>\s+[\w.>\-\[\]]+ = )(?P<what>true|false)(?P<end>;)$")
_BITS = re.compile(r"(?P<head>\s+[\w.>\-\[\]]+ )(?P<what>\|=|&= ~)(?P<end>.*;)$")
_WORDS = re.compile(r'/\*.*?(?:\*/|$)|//.*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
"""Comments, strings and characters in a line of code."""
_ERROR = re.compile(r"-(E[A-Z]{2,})\b")
_BOUND = re.compile(r"(?<=[\w)\]] )(<=|>=|<|>)(?= [\w(])")

# What only says that something impossible has not happened, or only tells: no behaviour.
_TELLS = re.compile(
    r"(VM_|MM_)?(WARN|BUG)\w*|BUILD_BUG\w*|\w*assert\w*|might_\w+|pr_\w+|dev_\w+|printk\w*"
    r"|trace_\w+|EXPORT_\w+|MODULE_\w+|module_\w+|DEFINE_\w+|DECLARE_\w+"
)
_KEYWORDS = re.compile(r"sizeof|return|if|while|for|switch")
_LOCKS = re.compile(r"\w*((?<![bc])lock|mutex|rcu_read)\w*")
_FLAG_CALLS = re.compile(r"(__)?(Set|Clear|TestSet|TestClear|set_|clear_|test_and_)\w*")
_SWAPPED = {"EBUSY": "EAGAIN", "EAGAIN": "EBUSY", "ENOMEM": "EINVAL", "EINVAL": "ENOENT",
            "EIO": "EINVAL"}  # fmt: skip
_BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_BEGINS_STATEMENT = (";", "{", "}", ":", ")", "else", "do", "*/")


@dataclass(frozen=True)
class Mutant:
    """A mistake: line of the last row's tree, and the text that it gets.

    before: the line of code before it, without white space around.
    """

    line: AddedLine
    operator: str
    text: str
    before: str = ""

    @property
    def label(self) -> str:
        """Like "mm/a.c:12: no lock: spin_lock(&x);" """
        return f"{self.line.file}:{self.line.number}: {self.operator}: {self.line.text.strip()}"


def mutants(git: Git, tip: Row, lines: Sequence[AddedLine]) -> tuple[Mutant, ...]:
    """Every mutant of these lines of the last row, in their order."""
    found: list[Mutant] = []
    files: dict[str, tuple[list[str], set[int]]] = {}
    for line in lines:
        if line.file not in files:
            text = (git.blob(tip.commit, line.file) or b"").decode(errors="replace").split("\n")
            files[line.file] = text, _comments(text)
        text, comments = files[line.file]
        if line.number not in comments:
            before = _code_before(text, line.number)
            found += [Mutant(line, *one, before) for one in mistakes(line.text, before)]
    return tuple(found)


def _comments(text: Sequence[str]) -> set[int]:
    """The numbers of lines that are a comment or a directive and nothing else."""
    found, inside = set(), False
    for number, line in enumerate(text, 1):
        words = line.strip()
        if inside or words.startswith(("/*", "//", "#")):
            found.add(number)
        opened, closed = line.rfind("/*"), line.rfind("*/")
        inside = opened > closed or (inside and closed < 0)
    return found


def _code_before(text: Sequence[str], number: int) -> str:
    """The last line before a line that is not empty."""
    return next((line.strip() for line in reversed(text[: number - 1]) if line.strip()), "")


def mistakes(text: str, before: str) -> Iterator[tuple[str, str]]:
    """The (operator, mutated text) of a line of code; before: the code line before it."""
    starts = before.endswith(_BEGINS_STATEMENT)
    call = _CALL.match(text) if starts and _balanced(text) else None
    if call and _TELLS.fullmatch(call["name"]):
        return
    if call and not _KEYWORDS.fullmatch(call["name"]):
        yield _kind(call["name"]), f"{call['indent']};"
    if (condition := _CONDITION.match(text)) and _balanced(text):
        yield "negated", f"{condition['head']}!({condition['what']}){condition['end']}"
    if starts and (flag := _FLAG.match(text)):
        other = "false" if flag["what"] == "true" else "true"
        yield "flag", f"{flag['head']}{other}{flag['end']}"
    if starts and (bits := _BITS.match(text)):
        other = "|=" if bits["what"] != "|=" else "&= ~"
        yield "flag", f"{bits['head']}{other}{bits['end']}"
    code_only = _WORDS.sub(lambda found: "_" * len(found[0]), text)
    for found in _ERROR.finditer(code_only):
        code = _SWAPPED.get(found[1], "EIO")
        yield "error code", f"{text[: found.start(1)]}{code}{text[found.end(1) :]}"
    for found in _BOUND.finditer(code_only):
        yield "bound", f"{text[: found.start()]}{_BOUNDS[found[0]]}{text[found.end() :]}"


def _kind(name: str) -> str:
    if _LOCKS.fullmatch(name):
        return "no lock"
    return "no flag" if _FLAG_CALLS.fullmatch(name) else "no call"


def _balanced(text: str) -> bool:
    return text.count("(") == text.count(")")


def sample(every: Sequence[Mutant], size: int | None, seed: int) -> tuple[Mutant, ...]:
    """A sample in the order of the lines, the same for the same seed; all where size is None."""
    if size is None or size >= len(every):
        return tuple(every)
    chosen = random.Random(seed).sample(range(len(every)), size)
    return tuple(every[index] for index in sorted(chosen))


def plant(workspace: Workspace, tip: Row, mutant: Mutant, number: int) -> Row:
    """A row that is the last row with the mistake in it."""
    file = mutant.line.file
    text = (workspace.scratch.blob(tip.commit, file) or b"").decode(errors="surrogateescape")
    lines = text.split("\n")
    lines[mutant.line.number - 1] = mutant.text
    content = "\n".join(lines).encode(errors="surrogateescape")
    return Row(number, mutant.label, workspace.write_tree(tip.commit, {file: content}))
