"""Kconfig's dependency expressions, with its three-valued logic (n < m < y)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TRISTATE = {"n": 0, "m": 1, "y": 2}
_TOKEN = re.compile(
    r"\s*(?:(?P<op>&&|\|\||!=|<=|>=|[!=<>()])|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'"
    r"|(?P<word>[\w.$/-]+))"
)


class BadExpressionError(ValueError):
    """Text that is not an expression."""


@dataclass(frozen=True)
class Expr:
    """An expression: op is "sym", "text", "macro", "!", "&&", "||" or a comparison.

    name: of the symbol, the text, or the macro call with its $(); args: the operands.
    """

    op: str
    name: str = ""
    args: tuple[Expr, ...] = ()

    def __str__(self) -> str:
        if self.op in ("sym", "macro"):
            return self.name
        if self.op == "text":
            return f'"{self.name}"'
        if self.op == "!":
            return f"!{_wrap(self.args[0])}"
        return f" {self.op} ".join(_wrap(arg) for arg in self.args)

    @property
    def conjuncts(self) -> tuple[Expr, ...]:
        """The expressions that must all hold for this one to hold."""
        if self.op == "&&":
            return tuple(part for arg in self.args for part in arg.conjuncts)
        return (self,)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the symbols in it, each once."""
        own = (self.name,) if self.op == "sym" and self.name not in TRISTATE else ()
        return tuple(dict.fromkeys((*own, *(s for arg in self.args for s in arg.symbols))))

    def value(self, config: Mapping[str, str]) -> int:
        """0 (n), 1 (m) or 2 (y) under a .config (names without CONFIG_).

        A macro asks the toolchain, which is not asked again here: it counts as y.
        """
        if self.op == "macro":
            return 2
        if self.op in ("sym", "text"):
            return TRISTATE.get(self._text(config), 0)
        if self.op == "!":
            return 2 - self.args[0].value(config)
        if self.op in ("&&", "||"):
            pick = min if self.op == "&&" else max
            return pick(arg.value(config) for arg in self.args)
        left, right = (arg._text(config) for arg in self.args)
        return 2 if _COMPARE[self.op](*_comparable(left, right)) else 0

    def _text(self, config: Mapping[str, str]) -> str:
        if self.op != "sym" or self.name in TRISTATE:
            return self.name
        # A word that is no symbol stands for itself: a number, or text without quotes.
        bare = self.name[:1].isdigit() or self.name.islower()
        return config.get(self.name, self.name if bare else "n").strip('"')


_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}

YES = Expr("sym", "y")


def _comparable(left: str, right: str) -> tuple[object, object]:
    try:
        return int(left, 0), int(right, 0)
    except ValueError:
        return left, right


def _wrap(expr: Expr) -> str:
    return f"({expr})" if expr.op in ("&&", "||") else str(expr)


def both(*exprs: Expr) -> Expr:
    """The conjunction of expressions."""
    parts = tuple(expr for expr in exprs if expr != YES)
    return parts[0] if len(parts) == 1 else Expr("&&", args=parts) if parts else YES


def parse(text: str) -> Expr:
    """The expression in text. Raises BadExpressionError."""
    tokens = _tokens(text)
    expr = _parse_or(tokens)
    if tokens:
        raise BadExpressionError(text)
    return expr


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each token: kind is "op", "text", "word" or "macro"."""
    tokens: list[tuple[str, str]] = []
    place = 0
    while text[place:].strip():
        start = len(text) - len(text[place:].lstrip())
        if text.startswith("$(", start):
            place = _end_of_macro(text, start)
            tokens.append(("macro", text[start:place]))
            continue
        found = _TOKEN.match(text, place)
        if not found:
            raise BadExpressionError(text)
        place = found.end()
        for kind in ("op", "double", "single", "word"):
            if found[kind] is not None:
                tokens.append(("text" if kind in ("double", "single") else kind, found[kind]))
    return tokens


def _end_of_macro(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0 and text[place] == ")":
            return place + 1
    raise BadExpressionError(text)


def _parse_or(tokens: list[tuple[str, str]]) -> Expr:
    return _parse_chain(tokens, "||", lambda rest: _parse_chain(rest, "&&", _parse_unary))


def _parse_chain(
    tokens: list[tuple[str, str]], op: str, operand: Callable[[list[tuple[str, str]]], Expr]
) -> Expr:
    args = [operand(tokens)]
    while tokens and tokens[0] == ("op", op):
        tokens.pop(0)
        args.append(operand(tokens))
    return args[0] if len(args) == 1 else Expr(op, args=tuple(args))


def _parse_unary(tokens: list[tuple[str, str]]) -> Expr:
    if not tokens:
        raise BadExpressionError("the end")
    kind, text = tokens.pop(0)
    if (kind, text) == ("op", "!"):
        return Expr("!", args=(_parse_unary(tokens),))
    if (kind, text) == ("op", "("):
        inner = _parse_or(tokens)
        if not tokens or tokens.pop(0) != ("op", ")"):
            raise BadExpressionError("an open parenthesis")
        return inner
    if kind == "op":
        raise BadExpressionError(text)
    atom = Expr("sym" if kind == "word" else kind, text)
    if tokens and tokens[0][0] == "op" and tokens[0][1] in _COMPARE:
        op = tokens.pop(0)[1]
        kind, text = tokens.pop(0) if tokens else ("op", "")
        if kind == "op":
            raise BadExpressionError(op)
        return Expr(op, args=(atom, Expr("sym" if kind == "word" else kind, text)))
    return atom
