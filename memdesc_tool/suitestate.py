"""Whether a suite is what it was when something was measured with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from memdesc_tool import kconfig
from memdesc_tool.errors import ToolError
from memdesc_tool.modules import find_modules
from memdesc_tool.readsuite import find_suite
from memdesc_tool.suites import Suite


def state_of(suite: Suite, root: Path | None) -> str:
    """Stands for what a suite tests, and how; root: the project, for the modules that it uses.

    Raises UserError where one of these is not there.
    """
    digest = hashlib.sha256(suite.digest.encode())
    parts = (suite.kind.value, suite.filter, suite.kernel_args, suite.programs, suite.environment,
             *(kconfig.read(path).key for path in suite.configs))  # fmt: skip
    digest.update(repr(parts).encode())
    for module in find_modules(root, suite.modules) if root and suite.modules else ():
        for path in sorted(module.directory.iterdir()):
            if path.is_file():
                digest.update(
                    f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
                )
    return digest.hexdigest()


def states_of(root: Path | None, suites: Iterable[Suite], names: Iterable[str]) -> dict[str, str]:
    """The state of each of these suites, and of those of the project that have these names.

    One that is there no more, or cannot be read, is left out.
    """
    found = {suite.name: state_of(suite, root) for suite in suites}
    for name in names:
        if name not in found and root:
            try:
                found[name] = state_of(find_suite(root, name), root)
            except ToolError:
                continue
    return found
