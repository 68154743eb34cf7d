"""Kconfig fragments: what is asked for, and what of it a final .config does not have.

A fragment is a list of options in the form of a .config or .kunitconfig. Fragments are
merged in order, the later one wins: the arch's base, the suite's, the user's. Two files
that the user gives side by side must not contradict each other (as kunit.py rules).

Why an option is missing is answered by kconfig_why.py, on the error path only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import UserError

_SET = re.compile(r'CONFIG_(\w+)=(".*"|\S+)$')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set$")


@dataclass(frozen=True)
class Option:
    """One option: name without CONFIG_, value as written (y, m, n, 64, 0x10, "text").

    origin says where it was asked for ("file:line"); it does not take part in comparisons.
    """

    name: str
    value: str
    origin: str = ""

    def __str__(self) -> str:
        if self.value == "n":
            return f"# CONFIG_{self.name} is not set"
        return f"CONFIG_{self.name}={self.value}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Option) and (self.name, self.value) == (other.name, other.value)

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    @property
    def asked(self) -> str:
        """The option as people write it: CONFIG_X=n where the file form is a comment."""
        return f"CONFIG_{self.name}={self.value}"


@dataclass(frozen=True)
class Fragment:
    """Options in order, each name once."""

    options: tuple[Option, ...] = ()

    def __iter__(self) -> Iterator[Option]:
        return iter(self.options)

    def __bool__(self) -> bool:
        return bool(self.options)

    def get(self, name: str) -> str | None:
        """The value of the option called name (without CONFIG_); None where it is not there."""
        return next((option.value for option in self.options if option.name == name), None)

    def merge(self, *others: Fragment) -> Fragment:
        """This fragment with others laid over it; the last one that names an option wins."""
        merged = {option.name: option for option in self.options}
        for other in others:
            merged.update({option.name: option for option in other.options})
        return Fragment(tuple(merged.values()))

    def without(self, names: Container[str]) -> Fragment:
        """This fragment without the options of these names."""
        return Fragment(tuple(option for option in self.options if option.name not in names))

    def conflicts(self, other: Fragment) -> list[tuple[Option, Option]]:
        """The options that both have with different values: (ours, theirs)."""
        theirs = {option.name: option for option in other.options}
        return [
            (option, theirs[option.name])
            for option in self.options
            if option.name in theirs and theirs[option.name].value != option.value
        ]

    @property
    def text(self) -> str:
        """The fragment as a .config file."""
        return "".join(f"{option}\n" for option in self.options)

    @property
    def key(self) -> str:
        """A stable short id of the content, whatever the order of the options."""
        lines = sorted(str(option) for option in self.options)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def parse(text: str, origin: str) -> Fragment:
    """The fragment in text; origin names it in errors. Raises UserError with file and line.

    An option that is named twice has its last value, as in kunit.py and Kconfig itself.
    """
    options: dict[str, Option] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        where = f"{origin}:{number}"
        if found := _SET.match(line):
            options[found[1]] = Option(found[1], found[2], where)
        elif found := _UNSET.match(line):
            options[found[1]] = Option(found[1], "n", where)
        elif line and not line.startswith("#"):
            raise UserError(
                f"{where}: not a Kconfig option: {line}",
                'lines are CONFIG_X=value or "# CONFIG_X is not set"',
            )
    return Fragment(tuple(options.values()))


def read(path: Path) -> Fragment:
    """The fragment in a file, or in PATH/.kunitconfig of a directory. Raises UserError."""
    if path.is_dir():
        path = path / ".kunitconfig"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a Kconfig fragment: not UTF-8") from None
    return parse(text, str(path))


def combine(fragments: Iterable[Fragment]) -> Fragment:
    """Fragments that were given side by side, as one. Raises UserError where two disagree."""
    merged = Fragment()
    for fragment in fragments:
        for ours, theirs in merged.conflicts(fragment):
            raise UserError(
                f"{theirs.origin}: {theirs.asked} contradicts {ours.origin}: {ours.asked}",
                "drop one of the two, or use --kconfig_add, which overrides",
            )
        merged = merged.merge(fragment)
    return merged


@dataclass(frozen=True)
class Missing:
    """An option that the final .config does not have as asked.

    value is what the .config has instead ("n" also where the option is not in it at all);
    reasons are sentences for people, and unknown says that the kernel defines no such option
    for the arch: empty and False until kconfig_why.explain() fills them in.
    """

    option: Option
    value: str
    reasons: tuple[str, ...] = ()
    unknown: bool = False

    def __str__(self) -> str:
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.option.asked} was asked for, the kernel has {self.value}{why}"


def values(dotconfig: str) -> dict[str, str]:
    """The values in the text of a .config, by name; options that are not set are "n"."""
    return {option.name: option.value for option in parse(dotconfig, ".config").options}


def missing(fragment: Fragment, dotconfig: str) -> list[Missing]:
    """The options of fragment that the text of a .config does not have, in order.

    An option that is not in the .config at all counts as n.
    """
    final = values(dotconfig)
    return [
        Missing(option, final.get(option.name, "n"))
        for option in fragment.options
        if not _same(option.value, final.get(option.name, "n"))
    ]


def _same(asked: str, final: str) -> bool:
    """Whether two values are the same for Kconfig: 0x10 and 0X10 are, "a" and a are not."""
    if asked == final:
        return True
    return asked.lower().startswith("0x") and asked.lower() == final.lower()
