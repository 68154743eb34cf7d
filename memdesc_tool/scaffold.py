"""New series from data/new/: a KUnit suite, a kselftest, a conversion of drivers.

What is there compiles, passes its own checks and does something, so that a series begins
with what works. @NAME@, @OPTION@ and @BASE@ are filled in, in names of files, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from memdesc_tool.cache import write_atomic
from memdesc_tool.errors import UserError
from memdesc_tool.series import NAME, STACK_FILE
from memdesc_tool.tomlfile import read_toml

SCAFFOLDS = Path(__file__).parent / "data" / "new"
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{1,30}")


def kinds() -> list[str]:
    """What there are templates for."""
    return sorted(path.name for path in SCAFFOLDS.iterdir() if path.is_dir())


@dataclass(frozen=True)
class Scaffold:
    """The files of a new series: path below the project -> content."""

    name: str
    files: dict[Path, bytes]

    def write(self, root: Path) -> None:
        """Write the files, and the series as the last one of the stack; all or nothing.

        Raises UserError where one of them is there already, or the stack cannot be read.
        """
        for path in self.files:
            if (root / path).exists():
                raise UserError(f"{root / path} exists already", "choose another name")
        stack = root / "patches" / STACK_FILE
        order = self._appended(stack)
        written: list[Path] = []
        try:
            for path, data in self.files.items():
                write_atomic(root / path, data)
                written.append(root / path)
            write_atomic(stack, order)
        except BaseException as error:
            for path in written:
                path.unlink()
            if isinstance(error, FileExistsError | NotADirectoryError | PermissionError):
                raise UserError(f"cannot write {error.filename}: {error.strerror}") from None
            raise

    def _appended(self, stack: Path) -> bytes:
        """What a stack.toml is with this series as the last one. Raises UserError."""
        if not stack.exists():
            return f'series = ["{self.name}"]\n'.encode()
        top = read_toml(stack, "the order of the series")
        document = tomlkit.parse(top.text)
        if self.name not in top.strings("series", None):
            document["series"].append(self.name)
        return tomlkit.dumps(document).encode()


def make_scaffold(kind: str, name: str, base: str) -> Scaffold:
    """The files of a new series called name for a base ("7.3"). Raises UserError."""
    if kind not in kinds():
        raise UserError(f"there is no template {kind}", f"known: {', '.join(kinds())}")
    if not IDENTIFIER.fullmatch(name):
        raise UserError(f"{name} cannot be a name in C", "letters a-z, digits and _, as my_pages")
    if not NAME.fullmatch(base):
        raise UserError(f"{base!r} cannot be the name of a release", "as 7.3")
    words = {"@NAME@": name, "@OPTION@": name.upper(), "@BASE@": base}

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    top = SCAFFOLDS / kind
    files = {
        Path(fill(str(path.relative_to(top)))): fill(path.read_text(encoding="utf-8")).encode()
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }
    return Scaffold(name, files)
