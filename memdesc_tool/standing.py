"""What the last `regress` of a whole stack has said of a project, for who asks where it stands."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from memdesc_tool.project import Project
from memdesc_tool.results import Store, peek_measured

VERDICT = "verdict"
"""The kind of what is stored."""


@dataclass(frozen=True)
class Standing:
    """A verdict on a stack.

    line: as it was printed; state: what the project was then (state_of()); tree: as --tree took
    it, made absolute where it is a directory, "" for the default; taken: seconds since the epoch.
    """

    line: str
    state: str
    tree: str
    taken: float

    @property
    def good(self) -> bool:
        return self.line.startswith("GOOD")


def state_of(project: Project) -> str:
    """Stands for the contents of patches/ and kernel-test-modules/."""
    digest = hashlib.sha256()
    for directory in (project.patches, project.root / "kernel-test-modules"):
        for path in sorted(directory.rglob("*")):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except OSError:
                continue  # it went away, or may not be looked at
            digest.update(f"{path.relative_to(project.root)}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def keep_standing(store: Store, project: Project, standing: Standing) -> None:
    """Store it in place of what was said before."""
    store.keep_measured(VERDICT, _key(project), standing.taken, json.dumps(asdict(standing)))


def read_standing(results: Path, project: Project) -> Standing | None:
    """What keep_standing() stored last; None for nothing. results: the file of the store, which
    is neither made nor changed.
    """
    found = peek_measured(results, VERDICT, _key(project))
    try:
        return Standing(**json.loads(found)) if found else None
    except (ValueError, TypeError):
        return None  # another version's


def _key(project: Project) -> dict[str, str]:
    return {"project": str(project.root.resolve())}
