"""TOML files that people write, read with errors that name file, line and field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdesc_tool.errors import UserError
from memdesc_tool.files import read_regular

LIMIT = 4_000_000
"""Bytes of the largest TOML file that is read."""


@dataclass(frozen=True)
class Table:
    """A table of a TOML file: typed access to its fields, each error with its line.

    name: the table as written in the file ("patch[2]" for the second [[patch]]; "" for the
    top); values: what tomllib made of it.
    """

    path: Path
    text: str
    name: str
    values: dict[str, Any]

    def error(self, field: str, problem: str, hint: str = "") -> UserError:
        """The UserError for a field: "FILE:LINE: patch[2].file: problem"."""
        where = f"{self.name}.{field}" if self.name else field
        return UserError(f"{self.path}:{self._line(field)}: {where}: {problem}", hint)

    def only(self, fields: Iterable[str]) -> None:
        """Refuse fields that are not among these."""
        known = set(fields)
        for field in self.values:
            if field not in known:
                raise self.error(field, "unknown field", f"known: {', '.join(sorted(known))}")

    def string(self, field: str, default: str | None = None) -> str:
        """A string; required where there is no default."""
        value = self._get(field, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.error(field, f"must be a string, is {_kind(value)}")
        return value

    def integer(self, field: str, default: int | None = None, minimum: int = 0) -> int:
        """An integer of at least minimum."""
        value = self._get(field, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self.error(field, f"must be an integer of at least {minimum}")
        return value

    def boolean(self, field: str, default: bool) -> bool:
        """true or false."""
        value = self._get(field, default)
        if not isinstance(value, bool):
            raise self.error(field, f"must be true or false, is {_kind(value)}")
        return value

    def strings(self, field: str, default: Iterable[str] | None = ()) -> tuple[str, ...]:
        """A list of strings."""
        value = self._get(field, None if default is None else list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(field, "must be a list of strings")
        return tuple(value)

    def tables(self, field: str) -> Iterator[Table]:
        """The tables of an array of tables ([[field]])."""
        value = self.values.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(field, f"must be tables, written [[{field}]]")
        for number, item in enumerate(value, 1):
            yield Table(self.path, self.text, f"{field}[{number}]", item)

    def table(self, field: str) -> Table:
        """A table ([field], or field = { ... } in a table)."""
        value = self.values.get(field)
        if not isinstance(value, dict):
            raise self.error(field, f"must be a table, written [{field}]")
        return Table(self.path, self.text, f"{self.name}.{field}" if self.name else field, value)

    def file(self, field: str, base: Path, default: str | None = None) -> Path:
        """A path below base that names an existing file; it may not lead out of base."""
        name = self.string(field, default)
        path = base / name
        try:
            if Path(name).is_absolute() or not path.resolve().is_relative_to(base.resolve()):
                raise self.error(field, f"{name} leads out of {base}")
            if not path.is_file():
                raise self.error(field, f"there is no file {path}")
        except OSError as error:  # a name that is too long, say
            raise self.error(field, f"{name[:40]}...: {error.strerror}") from None
        return path

    def _get(self, field: str, default: Any) -> Any:
        if field in self.values:
            return self.values[field]
        if default is None:
            raise self.error(field, "missing")
        return default

    def _line(self, field: str) -> int:
        """The line of a field; of its table where the field is not there, or all is in a line."""
        outer, _, own = self.name.rpartition(".")
        if outer:
            return Table(self.path, self.text, outer, {})._line(own)
        lines = self.text.splitlines()
        start = 0
        if match := re.fullmatch(r"(.+)\[(\d+)\]", self.name):
            header = re.compile(rf"\s*\[\[\s*{re.escape(match[1])}\s*\]\]")
            heads = [number for number, line in enumerate(lines) if header.match(line)]
            if len(heads) >= int(match[2]):
                start = heads[int(match[2]) - 1]
        elif self.name:
            header = re.compile(rf"\s*\[\s*{re.escape(self.name)}\s*\]")
            start = next((n for n, line in enumerate(lines) if header.match(line)), 0)
        wanted = re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(field)}[\"']?\s*(=|\]|\.)")
        for number in range(start, len(lines)):
            if number > start and self.name and lines[number].lstrip().startswith("["):
                break
            if wanted.match(lines[number]):
                return number + 1
        return start + 1


def _kind(value: Any) -> str:
    return {str: "an empty string", int: "a number", bool: "true or false", list: "a list",
            dict: "a table"}.get(type(value), type(value).__name__)  # fmt: skip


def read_toml(path: Path, purpose: str) -> Table:
    """The top table of a TOML file. Raises UserError; purpose says what the file is."""
    try:
        text = read_regular(path, LIMIT).decode()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", f"it is {purpose}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}", f"it is {purpose}") from None
    try:
        return Table(path, text, "", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = re.search(r" \(at line (\d+), column \d+\)$", message)
        line = match[1] if match else len(text.splitlines())
        reason = message[: match.start()] if match else message.split(" (at end", 1)[0]
        raise UserError(f"{path}:{line}: {reason}", "it must be TOML") from None
