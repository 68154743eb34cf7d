"""Why the final .config does not have an option that was asked for. For the error path only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from memdesc_tool.kconfig import Missing, values
from memdesc_tool.kconfig_expr import TRISTATE, Expr
from memdesc_tool.kconfig_tree import Definition, KconfigTree

LIMIT = 4
"""Reasons of one kind that are given; who selects an option can be a long list."""


def explain(missing: list[Missing], source: Path, make_arch: str, dotconfig: str) -> list[Missing]:
    """The same options with their reasons, from the Kconfig files of source.

    make_arch is make's ARCH; dotconfig the text of the final .config.
    """
    tree = KconfigTree(source, make_arch)
    config = values(dotconfig)
    return [
        replace(
            item,
            reasons=tuple(dict.fromkeys(_reasons(item, tree, config))),
            unknown=not tree.named(item.option.name),
        )
        for item in missing
    ]


def _reasons(item: Missing, tree: KconfigTree, config: Mapping[str, str]) -> Iterator[str]:
    name, asked = item.option.name, item.option.value
    definitions = tree.named(name)
    if not definitions:
        yield _unknown(name, tree)
        return
    wanted = TRISTATE.get(asked)
    got = TRISTATE.get(item.value, 0)
    if wanted is not None and wanted < got:
        yield from _forced(name, definitions, tree, config)
        return
    found = [list(_unmet(each, 2 if wanted is None else wanted, tree, config))
             for each in definitions]  # fmt: skip
    # A symbol with several definitions is available through any one of them.
    yield from min(found, key=len)
    if not min(found, key=len):
        yield from _other(name, asked, definitions, config)


def _unknown(name: str, tree: KconfigTree) -> str:
    places = tree.elsewhere(name)
    if not places:
        return f"this kernel has no option {name}"
    listed = ", ".join(places[:LIMIT]) + (" and others" if len(places) > LIMIT else "")
    return f"there is no {name} on {tree.variables['ARCH']}; it is defined in {listed}"


def _unmet(
    definition: Definition, wanted: int, tree: KconfigTree, config: Mapping[str, str]
) -> Iterator[str]:
    """The dependencies of a definition that are below what was wanted."""
    for part in definition.condition.conjuncts:
        if part.value(config) < wanted:
            yield f"{definition.where}: depends on {part}, {_state(part, tree, config)}"
    settable = definition.settable
    if settable is None:
        yield f"{definition.where}: it has no prompt, {_selected_by(definition.name, tree)}"
        return
    for part in settable.conjuncts:
        if not part.value(config):
            yield f"{definition.where}: can be set only if {part}, {_state(part, tree, config)}"


def _state(part: Expr, tree: KconfigTree, config: Mapping[str, str]) -> str:
    """The values of the symbols in an expression: "and SMP is n"."""
    said = []
    for symbol in part.symbols:
        value = config.get(symbol, "n")
        if not tree.named(symbol):
            value += f" (not there on {tree.variables['ARCH']})"
        said.append(f"{symbol} is {value}")
    return f"and {', '.join(said)}" if said else "which does not hold"


def _selected_by(name: str, tree: KconfigTree) -> str:
    selectors = list(dict.fromkeys(each.name for each, _ in tree.selectors(name)))
    if not selectors:
        return "and nothing selects it"
    more = " and others" if len(selectors) > LIMIT else ""
    return f"other options select it: {', '.join(selectors[:LIMIT])}{more}"


def _forced(
    name: str, definitions: list[Definition], tree: KconfigTree, config: Mapping[str, str]
) -> Iterator[str]:
    """Who sets an option that was not wanted."""
    active = [
        selector
        for selector, condition in tree.selectors(name)
        if config.get(selector.name, "n") != "n" and condition.value(config)
    ]
    for selector in active[:LIMIT]:
        yield f"{selector.where}: {selector.name} selects it"
    if active:
        return
    for definition in definitions:
        settable = definition.settable
        if settable is not None and settable.value(config):
            continue
        need = f"needs {settable} to be set" if settable is not None else "has no prompt"
        for value, condition in definition.defaults:
            if condition.value(config):
                yield f"{definition.where}: it {need}, and its default is {value}"
                return
    yield from _other(name, "n", definitions, config)


def _other(
    name: str, asked: str, definitions: list[Definition], config: Mapping[str, str]
) -> Iterator[str]:
    """Reasons that are no dependency: a choice, a type, a range."""
    for definition in definitions:
        if definition.choice and config.get(name, "n") != asked:
            yield f"{definition.where}: it is one of a choice, in which another was chosen"
        elif asked == "m" and definition.type == "bool":
            yield f"{definition.where}: it is a bool, which cannot be m"
        elif asked == "m" and config.get("MODULES", "n") == "n":
            yield f"{definition.where}: it can be m only if MODULES is y"
        elif definition.range:
            yield f"{definition.where}: its range is {definition.range}"
        elif asked in TRISTATE and definition.type in ("int", "hex", "string"):
            yield f"{definition.where}: it is of type {definition.type}"
