"""The list of splats that are known: each with its reason and the condition for its removal."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from memdesc_tool.errors import UserError
from memdesc_tool.splat import Kind, Splat

_FIELDS = {"fingerprint", "title", "kind", "case", "reason", "remove_when"}
_HINT = "an entry: [[allow]] with fingerprint or title, reason and remove_when"


@dataclass(frozen=True)
class Allowed:
    """An entry: what it matches and why. number: which entry of its file, from 1."""

    number: int
    fingerprint: str
    title: re.Pattern[str] | None
    kind: Kind | None
    case: re.Pattern[str] | None
    reason: str
    remove_when: str

    def matches(self, splat: Splat) -> bool:
        """Whether splat is what this entry allows."""
        return (
            (not self.fingerprint or splat.fingerprint == self.fingerprint)
            and (self.title is None or self.title.search(splat.title) is not None)
            and (self.kind is None or splat.kind is self.kind)
            and (self.case is None or self.case.search(splat.case) is not None)
        )

    @property
    def what(self) -> str:
        """What it matches, for people."""
        return self.fingerprint or (self.title.pattern if self.title else "")


def load_allowed(path: Path) -> tuple[Allowed, ...]:
    """The entries of the file at path.

    Raises UserError that names file, entry and field.
    """
    try:
        words = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UserError(f"cannot read {path}: {reason}") from None
    return _parse(words, str(path))


@cache
def default_allowed() -> tuple[Allowed, ...]:
    """The tool's own list, data/splat/allowed.toml."""
    source = resources.files("memdesc_tool") / "data" / "splat" / "allowed.toml"
    return _parse(source.read_text(encoding="utf-8"), "allowed.toml")


def unused(entries: Iterable[Allowed], splats: Iterable[Splat]) -> tuple[Allowed, ...]:
    """The entries that no splat matches."""
    found = tuple(splats)
    return tuple(entry for entry in entries if not any(map(entry.matches, found)))


def _parse(words: str, name: str) -> tuple[Allowed, ...]:
    try:
        data = tomllib.loads(words)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: {error}", _HINT) from None
    if unknown := sorted(data.keys() - {"allow"}):
        raise UserError(f"{name}: unknown key {unknown[0]}", _HINT)
    entries = data.get("allow", [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise UserError(f"{name}: allow is no list of tables", _HINT)
    return tuple(_entry(entry, number, name) for number, entry in enumerate(entries, 1))


def _entry(entry: dict[str, Any], number: int, name: str) -> Allowed:
    where = f"{name}: entry {number}"
    if unknown := sorted(entry.keys() - _FIELDS):
        raise UserError(f"{where}: unknown field {unknown[0]}", _HINT)
    for key, value in entry.items():
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: field {key} is no text", _HINT)
    for key in ("reason", "remove_when"):
        if key not in entry:
            raise UserError(f"{where}: field {key} is missing", _HINT)
    if "fingerprint" not in entry and "title" not in entry:
        raise UserError(f"{where}: field fingerprint or title is missing", _HINT)
    return Allowed(
        number,
        entry.get("fingerprint", ""),
        _regex(entry, "title", where),
        _kind(entry, where),
        _regex(entry, "case", where),
        entry["reason"],
        entry["remove_when"],
    )


def _regex(entry: dict[str, Any], key: str, where: str) -> re.Pattern[str] | None:
    if key not in entry:
        return None
    try:
        return re.compile(entry[key])
    except re.error as error:
        raise UserError(f"{where}: field {key} is no regular expression: {error}") from None


def _kind(entry: dict[str, Any], where: str) -> Kind | None:
    if "kind" not in entry:
        return None
    try:
        return Kind(entry["kind"])
    except ValueError:
        kinds = ", ".join(kind.value for kind in Kind)
        raise UserError(
            f"{where}: field kind: unknown kind {entry['kind']}", f"kinds: {kinds}"
        ) from None
